"""What does a log record cost as a message of a node, beside a log file?"""

import contextlib
import io
import logging
import tempfile
from pathlib import Path

import structlog

from benchmarks.measure import Row, in_turn, rows
from observability import AuditHandler, ExecutionObserver, structlog_processor


def run() -> list[Row]:
    """Return microseconds a record, and ratios to a FileHandler."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        to_file = _logger("file", logging.FileHandler(folder / "program.log"))
        audited = _logger("audited", AuditHandler())
        structured = structlog.wrap_logger(
            structlog.ReturnLogger(), processors=[structlog_processor, _ended]
        )
        with ExecutionObserver("step_04_records", folder) as observer, observer.node("module.py"):
            times = in_turn(
                {
                    "FileHandler": lambda n: _log(to_file, n),
                    "AuditHandler": lambda n: _log(audited, n),
                    "AuditHandler, two values by extra": lambda n: _log_more(audited, n),
                    "structlog_processor, two values": lambda n: _log_structured(structured, n),
                },
                n=2_000,
                rounds=15,
            )
        times |= in_turn(
            {"AuditHandler, no observer": lambda n: _log(audited, n)}, n=2_000, rounds=15
        )
    return rows(times, to="FileHandler", goals={})


def _logger(name: str, handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"benchmarks.{name}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    return logger


def _log(logger: logging.Logger, times: int) -> None:
    for n in range(times):
        logger.info("loaded %d rows of %s", n, "orders")


def _log_more(logger: logging.Logger, times: int) -> None:
    for n in range(times):
        logger.info("loaded", extra={"rows": n, "table": "orders"})


def _log_structured(logger: structlog.typing.FilteringBoundLogger, times: int) -> None:
    for n in range(times):
        logger.info("loaded", rows=n, table="orders")


def _ended(*_: object) -> str:
    return ""
