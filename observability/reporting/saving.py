"""Reports as files: written beside, synced, renamed; and what is left to save at the end."""

import atexit
import json
import os
import weakref
from typing import Any, Final

import orjson

from observability.files import write_beside
from observability.reporting.unit import LiveUnit

# Reports that have changed since they were saved.
UNSAVED: Final[weakref.WeakSet[LiveUnit]] = weakref.WeakSet()


def _at_exit() -> None:
    for report in list(UNSAVED):
        report.settle()


atexit.register(_at_exit)
# A child's copy of a report is not the one that the parent saves.
os.register_at_fork(after_in_child=UNSAVED.clear)


def dump_report(path: str | os.PathLike[str], report: LiveUnit) -> None:
    """Write a report of any kind as JSON: beside its place, synced, renamed; mode 0644.

    Folders that are missing are made.

    Raises:
        OSError: It could not be written; what stood there stands there still.
    """
    if not isinstance(report, LiveUnit):
        raise TypeError(f"got {type(report).__name__}, want a report")
    put(path, report.json_of(), ensure_dir=True)


def report_json(
    report: LiveUnit, *, indent: int | None, encoding: str, status: str | None = None
) -> list[bytes]:
    """Return the JSON of a report of any kind, in pieces.

    Args:
        report: The report.
        indent: As for `json.dumps`.
        encoding: Of the pieces.
        status: Of a batch, in the place of that of what stands in it.
    """
    chunks = report.json_of(indent=indent is not None, status=status)
    if indent not in {None, 2}:
        view = orjson.loads(b"".join(chunks))
        chunks = [json.dumps(view, indent=indent, ensure_ascii=False).encode()]
    if encoding.lower().replace("-", "").replace("_", "") != "utf8":
        chunks = [b"".join(chunks).decode().encode(encoding)]
    return chunks


def atomic_write_json(
    path: str | os.PathLike[str],
    data: Any,
    *,
    ensure_dir: bool = True,
    indent: int | None = 2,
    encoding: str = "utf-8",
) -> None:
    """Write *data* as JSON: beside its place, synced, renamed; mode 0644.

    What JSON does not have is written as `str` says it.

    Raises:
        ValueError: A number is not finite.
        OSError: It could not be written; what stood there stands there still.
    """
    text = json.dumps(data, ensure_ascii=False, indent=indent, default=str, allow_nan=False)
    put(path, [text.encode(encoding)], ensure_dir=ensure_dir)


def put(path: str | os.PathLike[str], chunks: list[bytes], *, ensure_dir: bool) -> None:
    """Write *chunks*: beside their place, synced, renamed; mode 0644.

    Raises:
        OSError: It could not be written; what stood there stands there still.
    """
    folder = os.path.dirname(os.fspath(path))
    if ensure_dir and folder:
        os.makedirs(folder, exist_ok=True)
    write_beside(path, chunks)
