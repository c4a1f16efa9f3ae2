"""Checkpoints, keys and anchors."""
