"""The trace: its vocabulary, its bytes, and reading them.  Specified in docs/trace-format.md."""
