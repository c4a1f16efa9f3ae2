"""Where traces lie: names of files and folders, and what a PATH given by a person means.

Specified in docs/trace-format.md, "Files".  Nothing here reads a trace.
"""

import os
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

MAX_WORKFLOW_ID: Final = 200  # bytes of UTF-8

_STEP: Final = re.compile(r"step_([0-9]+)")
_TRACE: Final = re.compile(r"trace_[0-9]+(\.[0-9A-Za-z-]+)?\.jsonl(\.gz)?")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HEAD: Final = re.compile(r"trace_[0-9]+(\.[0-9A-Za-z-]+)?\.head")
REGISTRY: Final = "registry.jsonl"
HEAD_SUFFIX: Final = ".head"


class NoTraceError(Exception):
    """There is neither a trace nor a registry where one was looked for."""

    def __init__(self, path: str, looked_for: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: found no trace, looked for {looked_for}. "
            "Run a program with an ExecutionObserver there, or try: auditfold demo"
        )


def step_number(workflow_id: str) -> str:
    """Return the digits of the first `step_NN` in *workflow_id*, verbatim; otherwise `00`.

    >>> step_number("my_step_07_of_step_09"), step_number("nightly")
    ('07', '00')
    """
    found = _STEP.search(workflow_id)
    return found[1] if found else "00"


def check_workflow_id(workflow_id: str) -> None:
    """Refuse an id that could not stand in a file name or a log line.

    Raises:
        TypeError: It is not a str.
        ValueError: It is empty, longer than 200 bytes of UTF-8, `.` or `..`, or holds `/`, a
            control character, or a lone surrogate.
    """
    if not isinstance(workflow_id, str):
        raise TypeError(f"workflow_id: got {type(workflow_id).__name__}, want str")
    try:
        length = len(workflow_id.encode())
    except UnicodeEncodeError:
        raise ValueError(f"workflow_id {workflow_id!r}: not Unicode text") from None
    if not 1 <= length <= MAX_WORKFLOW_ID:
        raise ValueError(f"workflow_id: got {length} bytes, want 1 to {MAX_WORKFLOW_ID}")
    if "/" in workflow_id or _CONTROL.search(workflow_id) or workflow_id in {".", ".."}:
        raise ValueError(
            f"workflow_id {workflow_id!r}: want a name without '/' and control characters, "
            "not '.' or '..'"
        )


@dataclass(frozen=True, slots=True)
class TraceFile:
    """One trace file under a place.

    Attributes:
        path: Where to open it.
        name: Relative to OUT, with `/`: how events name it (`audit/step_04/trace_04.jsonl`).
        shown: Relative to the PATH that was given: how people and JSON see it.
        step: Digits of its step folder, or None for a file given by itself.
    """

    path: Path
    name: str
    shown: str
    step: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a PATH turned out to be.

    Attributes:
        given: The PATH as it was given.
        kind: `folder` (OUT, or its `audit/`), `step` (one `step_XX`), `file`, or `stdin`.
        out: OUT, where `kind` is `folder` or `step`; paths in events are relative to it.
        traces: The trace files, by name.
        registry: The registry, where PATH covers it, whether or not it exists.
        heads: The newest checkpoint of each trace file whose writers sign, by name.
    """

    given: str
    kind: Literal["folder", "step", "file", "stdin"]
    out: Path | None
    traces: tuple[TraceFile, ...]
    registry: TraceFile | None
    heads: tuple[TraceFile, ...] = ()


def locate(given: str) -> Place:
    """Return what PATH *given* means.

    PATH is a folder that has `audit/`, an `audit/` folder, a `step_XX` folder, a trace, or `-`.

    Raises:
        NoTraceError: There is neither a trace nor a registry.
        OSError: The folder cannot be read.
    """
    if given == "-":
        only = TraceFile(Path("-"), "-", "-", None)
        return Place(given, "stdin", None, (only,), None)
    path = Path(given)
    if not path.is_dir():
        if not os.path.lexists(path):
            raise NoTraceError(given, "a folder or a trace of that name")
        only = TraceFile(path, path.name, path.name, None)
        return Place(given, "file", None, (only,), None)
    resolved = Path(os.path.abspath(path))
    if (path / "audit").is_dir():
        return _folder(given, resolved, resolved)
    if resolved.name == "audit" or (path / REGISTRY).exists():
        return _folder(given, resolved.parent, resolved)
    out = resolved.parent.parent
    traces, heads = _step_files(path, out=out, shown_from=resolved)
    if not traces:
        raise NoTraceError(given, "audit/, registry.jsonl, step_*/ and trace_*.jsonl in it")
    return Place(given, "step", out, traces, None, heads)


def _folder(given: str, out: Path, shown_from: Path) -> Place:
    audit = out / "audit" if out == shown_from else shown_from
    steps = sorted(
        entry.path
        for entry in os.scandir(audit)
        if _STEP.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
    )
    found = [_step_files(Path(step), out=out, shown_from=shown_from) for step in steps]
    traces = tuple(trace for here, _ in found for trace in here)
    heads = tuple(head for _, here in found for head in here)
    registry = _named(audit / REGISTRY, out=out, shown_from=shown_from, step=None)
    if not traces and not os.path.lexists(registry.path):
        raise NoTraceError(given, f"{audit}/{REGISTRY} and {audit}/step_*/trace_*.jsonl")
    return Place(given, "folder", out, traces, registry, heads)


def _step_files(
    step: Path, *, out: Path, shown_from: Path
) -> tuple[tuple[TraceFile, ...], tuple[TraceFile, ...]]:
    """Return the traces and the heads in a step's folder."""
    number = _STEP.fullmatch(step.absolute().name)
    names = frozenset(os.listdir(step))
    traces = [n for n in sorted(names) if _TRACE.fullmatch(n) and not is_double(n, names)]
    heads = [name for name in sorted(names) if _HEAD.fullmatch(name)]
    folder, digits = Path(os.path.abspath(step)), number[1] if number else None
    found = [
        tuple(_named(folder / name, out=out, shown_from=shown_from, step=digits) for name in some)
        for some in (traces, heads)
    ]
    return found[0], found[1]


def is_double(name: str, names: Container[str]) -> bool:
    """Return whether *name* is a compressed trace beside the one that it was made of.

    Only the trace counts then: its writer may have gone on.
    """
    return name.endswith(".gz") and name.removesuffix(".gz") in names


def _named(path: Path, *, out: Path, shown_from: Path, step: str | None) -> TraceFile:
    return TraceFile(
        path=path,
        name=path.relative_to(out).as_posix(),
        shown=path.relative_to(shown_from).as_posix(),
        step=step,
    )
