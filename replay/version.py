"""The version of auditfold, the one place that states it.

The build backend reads the assignment as text, both packages show it as their
`__version__`, and a writer states it in `writer_opened`.
"""

__version__ = "0.1.0"
