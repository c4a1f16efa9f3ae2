"""Fixtures."""

from tests.writing.conftest import memory

__all__ = ["memory"]
