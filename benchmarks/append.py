"""What does one event cost, beside the least there is to do and beside loggers?"""

import tempfile
from pathlib import Path

from benchmarks.measure import Row, in_turn, rows
from benchmarks.peers import BareAppend, payload, stdlib_logger, structlog_logger
from observability.journal import Durability, Journal

FREE_TEXT = "The quick brown fox jumps over the lazy dog and runs through the grey wood. " * 2


def run() -> list[Row]:
    """Return microseconds an event of about 400 bytes, and ratios to bare append."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stdlib, structured = stdlib_logger(folder), structlog_logger(folder)
        journals = {mode: _journal(folder, mode) for mode in ("interval", "none")}

        def append(journal: Journal, times: int) -> None:
            for n in range(times):
                journal.append("node_success", payload(n), node_id="module.py", node_index=n)

        def append_text(times: int) -> None:
            for _ in range(times):
                journals["interval"].append("message", {"level": "note", "text": FREE_TEXT})

        def log_stdlib(times: int) -> None:
            for n in range(times):
                stdlib.info("node_success", extra={"fields": payload(n)})

        def log_structured(times: int) -> None:
            for n in range(times):
                structured.info("node_success", node_id="module.py", node_index=n, **payload(n))

        times = in_turn(
            {
                "bare append": BareAppend(folder),
                "Journal.append, interval": lambda n: append(journals["interval"], n),
                "Journal.append, none": lambda n: append(journals["none"], n),
                f"Journal.append, {len(FREE_TEXT)} characters of text": append_text,
                "stdlib logging, JSON formatter": log_stdlib,
                "structlog, orjson": log_structured,
            },
            n=2_000,
            rounds=25,
        )
        for journal in journals.values():
            journal.close()
    goals = {"Journal.append, interval": ("at most 1.6 x of bare append", 1.6)}
    return rows(times, to="bare append", goals=goals)


def _journal(folder: Path, durability: Durability) -> Journal:
    return Journal(
        folder / durability,
        "step_04_survey",
        run_id="20261121-070312-k3f9x2",
        durability=durability,
    )
