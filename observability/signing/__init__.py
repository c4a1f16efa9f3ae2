"""Signing a trace: the operator's keys, the keys that a writer uses up, and its checkpoints."""
