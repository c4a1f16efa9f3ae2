"""What the benchmarks compare with: the least there is to do, and what others do.

The observer of four opens an event is written anew here from a description of what it does.
"""

import json
import logging
import os
import re
import time
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog
from tqdm import tqdm

SUMMARY = {"rows": 1234, "columns": 12, "bytes": 456_789}


def payload(n: int) -> dict[str, Any]:
    """Return the payload of a `node_success`."""
    return {"duration_seconds": 0.123456, "output_hash": None, "output_summary": SUMMARY | {"n": n}}


def whole_event(n: int) -> dict[str, Any]:
    """Return a whole event of about 400 bytes."""
    return {
        "v": 1,
        "seq": n,
        "timestamp": "2026-11-21T07:03:12.123456Z",
        "epoch_seconds": 1795244592.123456,
        "mono_us": 123_456_789,
        "event_type": "node_success",
        "pid": 12_345,
        "writer": "20261121t070312-9f3a1c2e5b",
        "run_id": "20261121-070312-k3f9x2",
        "workflow_id": "step_04_survey",
        "step_number": "04",
        "node_id": "module.py",
        "node_index": n,
        **payload(n),
    }


class BareAppend:
    """orjson.dumps, SHA-256 of 0x00, the hash before and the body, os.write: the floor."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "bare.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        self._previous = b"0" * 64

    def __call__(self, times: int) -> None:
        """Append *times* events."""
        previous, fd = self._previous, self._fd
        for n in range(times):
            body = orjson.dumps(whole_event(n))[:-1]
            previous = sha256(b"\0" + previous + body).hexdigest().encode()
            os.write(fd, body + b',"hash":"' + previous + b'"}\n')
        self._previous = previous


class CleaningStream:
    """A stream for a bar that opens two logs for each redraw and strips escapes for them."""

    def __init__(self, stream: TextIO, logs: list[Path]) -> None:
        self._stream = stream
        self._logs = logs
        self._escape = re.compile(r"\x1B(?:[@-Z\\-_]|\[[0-?]*[ -/]*[@-~])")

    def write(self, text: str) -> None:
        """Write to the terminal and both logs."""
        self._stream.write(text)
        clean = self._escape.sub("", text)
        if clean.strip():
            for path in self._logs:
                with path.open("a") as file:
                    file.write(clean)

    def flush(self) -> None:
        """Flush the terminal."""
        self._stream.flush()


class FourOpens:
    """An observer that opens four files an event, two logs and two traces.

    Args:
        folder: Where it writes.
        terminal: Draws a tqdm bar there, redrawn at each node's start; else a line a node.
        total: Nodes to come.
    """

    def __init__(self, folder: Path, terminal: TextIO | None, total: int) -> None:
        self._logs = [folder / "four_a.log", folder / "four_b.log"]
        self._traces = [folder / "four_a.jsonl", folder / "four_b.jsonl"]
        self._bar: Any = None
        if terminal is not None:
            self._bar = tqdm(
                total=total,
                desc="Executing step_04_survey",
                unit="node",
                ncols=100,
                bar_format="{desc} |{bar}| [{n_fmt}/{total_fmt}] {postfix}",
                file=CleaningStream(terminal, self._logs),
            )

    def _entry(self, kind: str, node_id: str, index: int | None, details: dict[str, Any]) -> None:
        stamp = datetime.now().isoformat()  # noqa: DTZ005 - as it does
        entry = {
            "timestamp": stamp,
            "epoch_seconds": time.time(),
            "event_type": kind,
            "pid": 12_345,
            "workflow_id": "step_04_survey",
            "node_id": node_id,
        }
        if index:
            entry["node_index"] = index
        entry.update(details)
        line = f"[{stamp}] {kind.upper()} {node_id} | {json.dumps(details)}\n"
        for path in self._logs:
            with path.open("a") as file:
                file.write(line)
        for path in self._traces:
            with path.open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def node(self, n: int) -> None:
        """Record start and end of one node."""
        self._entry("node_start", "module.py", n, {"epoch_seconds": time.time()})
        if self._bar is not None:
            self._bar.set_postfix_str("module.py")
        else:
            print(f" [{n}/1000] module.py...", end=" ")
        details = {**payload(n), "epoch_seconds": time.time()}
        self._entry("node_success", "module.py", None, details)
        if self._bar is not None:
            self._bar.update(1)
        else:
            print(" (0.12s)")


class JsonFormatter(logging.Formatter):
    """A record as one JSON object, as most JSON formatters make it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return json.dumps(
            {
                "timestamp": self.formatTime(record),
                "level": record.levelname,
                "event_type": record.getMessage(),
                **record.__dict__["fields"],
            }
        )


def stdlib_logger(folder: Path) -> logging.Logger:
    """Return a logger that writes JSON lines to a file."""
    logger = logging.Logger("bench", logging.INFO)  # noqa: LOG001 - apart from the global tree
    handler = logging.FileHandler(folder / "stdlib.jsonl")
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return logger


def structlog_logger(folder: Path) -> Any:
    """Return a structlog logger that writes orjson lines to a file."""
    return structlog.wrap_logger(
        structlog.BytesLogger((folder / "structlog.jsonl").open("wb")),
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
    )
