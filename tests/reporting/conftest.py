"""Where the tests of reports write."""

from tests.writing.conftest import memory

__all__ = ["memory"]
