"""Building blocks of the vectors: runs as a writer would leave them, with fixed clock and ids.

Lines are made by `replay.trace.line`; what a vector then does to them is in `generate`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

import orjson

from replay.trace.line import GENESIS, SUFFIX_LENGTH, Envelope, seal

REGISTRY: Final = "audit/registry.jsonl"
TRACE: Final = "audit/step_04/trace_04.jsonl"
WORKFLOW: Final = "step_04_tables"
ALICE: Final = "20260314t092653-0a11ce0a11"
BOB: Final = "20260314t093000-0b0b0b0b0b"
CAROL: Final = "20260314t094500-0ca201ca20"

_RUN_OF: Final = {
    ALICE: "20260314-092653-alice1",
    BOB: "20260314-093000-bobbo1",
    CAROL: "20260314-094500-carol1",
}
_PID_OF: Final = {ALICE: 4711, BOB: 4712, CAROL: 4713}
_BEGIN_US: Final = 1_773_480_413_589_793  # 2026-03-14T09:26:53.589793Z
_TICK_US: Final = 250_000
_SEQ: Final = re.compile(rb'"seq":(\d+),')


def lines_of(data: bytes) -> list[bytes]:
    """Return the lines of *data* with their newlines; the last may lack it."""
    return [line for line in re.split(rb"(?<=\n)", data) if line]


def seq_of(line: bytes) -> int | None:
    """Return the `seq` that stands near the beginning of *line*, None where none does."""
    found = _SEQ.search(line[:200])
    return int(found[1]) if found else None


def body_of(line: bytes) -> bytes:
    """Return the bytes of *line* that its hash covers, apart from the hash before it."""
    return line[:-SUFFIX_LENGTH]


def chained(bodies: Iterable[bytes], *, previous: bytes = GENESIS) -> bytes:
    """Return the lines that *bodies* make behind *previous*: every hash is right."""
    data = b""
    for body in bodies:
        line, previous = seal(previous, body)
        data += line
    return data


def edited(data: bytes, number: int, edit: Callable[[bytes], bytes]) -> bytes:
    """Return *data* with line *number* (from 1) as *edit* returns it; hashes stay."""
    lines = lines_of(data)
    changed = edit(lines[number - 1])
    assert changed != lines[number - 1], "the edit does nothing"
    lines[number - 1] = changed
    return b"".join(lines)


def rewritten(data: bytes, number: int, edit: Callable[[bytes], bytes]) -> bytes:
    """Return *data* with the body of line *number* edited, and every hash made anew."""
    return chained(map(body_of, lines_of(edited(data, number, edit))))


class File:
    """A file in the making.

    Attributes:
        name: Relative to OUT.
        data: Its bytes.
        hash: Of the last line.
        lines: Lines of the chain; the `seq` of the next one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = b""
        self.hash = GENESIS
        self.lines = 0

    def put(self, body: bytes) -> None:
        """Append the line that *body* makes."""
        line, self.hash = seal(self.hash, body)
        self.data += line
        self.lines += 1

    def fragment(self, offset: int) -> dict[str, Any]:
        """Return what stands from *offset* to the end, as an event says it."""
        rest = self.data[offset:]
        return {"offset": offset, "length": len(rest), "sha256": sha256(rest).hexdigest()}

    def extent(self, writer: str | None) -> dict[str, Any]:
        """Return the file as another line names it."""
        end = self.data.rfind(b"\n") + 1
        extent: dict[str, Any] = {
            "path": self.name,
            "writer": writer,
            "lines": self.lines,
            "hash": self.hash.decode() if writer else None,
        }
        if writer is None:
            end = 0
        if end != len(self.data):
            extent["fragment"] = self.fragment(end)
        return extent


class Out:
    """A folder OUT in the making: its files, and the clock that stamps their lines."""

    def __init__(self) -> None:
        self.registry = File(REGISTRY)
        self.files: dict[str, File] = {}
        self._ticks = 0

    def file(self, name: str = TRACE) -> File:
        """Return the trace *name*, which is empty at first."""
        return self.files.setdefault(name, File(name))

    def now(self) -> int:
        """Return the next instant, in microseconds since 1970."""
        self._ticks += 1
        return _BEGIN_US + self._ticks * _TICK_US

    def contents(self) -> dict[str, bytes]:
        """Return every file's bytes by name, the registry's too."""
        return {
            REGISTRY: self.registry.data,
            **{file.name: file.data for file in self.files.values()},
        }

    def trace(self) -> bytes:
        """Return the bytes of the step's main trace."""
        return self.file().data


class Writer:
    """One writer: opens a file, appends, closes; the registry keeps up."""

    def __init__(
        self,
        out: Out,
        writer: str = ALICE,
        *,
        file: str = TRACE,
        run_of: str | None = None,
        run: bool = True,
    ) -> None:
        self.out, self.id, self.file = out, writer, out.file(file)
        self._envelope = Envelope(
            writer=writer,
            workflow_id=WORKFLOW,
            step_number="04",
            run_id=_RUN_OF[run_of or writer] if run else None,
        )
        self._mono_of: dict[str, int] = {}
        self._last_us = 0

    def put(self, event_type: str, *, ticks: int = 0, **payload: Any) -> None:
        """Append an event to the trace; *ticks* puts the clock forward or back before it."""
        self._append(self.file, event_type, orjson.dumps(payload), ticks=ticks)

    def put_raw(self, event_type: str, payload: bytes) -> None:
        """Append an event whose payload is these bytes, whatever they are."""
        self._append(self.file, event_type, payload)

    def open(self, *, registered: bool = True, **payload: Any) -> None:
        """Append `writer_opened` to the trace, and its line to the registry."""
        registry = self.out.registry
        if registry.lines:
            payload["registry"] = {"lines": registry.lines, "hash": registry.hash.decode()}
        process = {
            "host": "build.example",
            "boot_id": "6f1c1d4e-0d3f-4a53-9d0f-1b9c64f7a8e2",
            "pid": _PID_OF[self.id],
            "start_time": "5512873",
            "pid_ns": "pid:[4026531836]",
        }
        versions = {"auditfold": "0.1.0", "python": "3.11.7"}
        self.put(
            "writer_opened", process=process, durability="interval", versions=versions, **payload
        )
        if registered:
            self.register("writer_opened", **{k: payload[k] for k in payload if k == "follows"})

    def close(self, *, registered: bool = True) -> None:
        """Append `writer_closed` to the trace, and its line to the registry."""
        self.put("writer_closed")
        if registered:
            self.register("writer_closed")

    def register(self, event_type: str, **payload: Any) -> None:
        """Append a line to the registry that names the trace as it stands."""
        whole = {"trace": self.file.extent(self.id), **payload}
        self._append(self.out.registry, event_type, orjson.dumps(whole))

    def note_gap(self, *, at: int | None = None) -> None:
        """Put a newline behind the registry's fragment, which begins *at*, and name it."""
        registry = self.out.registry
        torn = registry.fragment(registry.data.rfind(b"\n") + 1 if at is None else at)
        registry.data += b"\n"
        payload = {"reason": "a line that was cut off", "fragment": torn}
        self._append(registry, "gap", orjson.dumps(payload))

    def start(self, *, total_nodes: int = 1, **payload: Any) -> None:
        """Append `workflow_start`."""
        self.put(
            "workflow_start",
            message=f"Workflow execution started: {WORKFLOW}",
            total_nodes=total_nodes,
            **payload,
        )
        self._mono_of[""] = self._last_us

    def node(self, node_id: str, index: int) -> None:
        """Append `node_start`."""
        self.put("node_start", node_id=node_id, node_index=index)
        self._mono_of[node_id] = self._last_us

    def succeed(self, node_id: str, index: int, **payload: Any) -> None:
        """Append `node_success` with the duration that the clock gives."""
        self.put(
            "node_success",
            node_id=node_id,
            node_index=index,
            duration_seconds=self._since(node_id),
            output_hash=None,
            output_summary=payload or None,
        )

    def fail(self, node_id: str, index: int, error: str) -> None:
        """Append `node_failure`."""
        self.put(
            "node_failure",
            node_id=node_id,
            node_index=index,
            duration_seconds=self._since(node_id),
            error=error,
        )

    def complete(self, *, completed: int = 1, failed: int = 0, **node_times: float) -> None:
        """Append `workflow_complete`; what it counts is the caller's business."""
        self.put(
            "workflow_complete",
            nodes_completed=completed,
            nodes_failed=failed,
            nodes_skipped=0,
            total_time_seconds=self._since(""),
            cumulative_cost_usd=0.0,
            trace_file=self.file.name,
            log_file="audit/step_04/log_04.log",
            node_times=node_times,
        )

    def small_run(self) -> None:
        """Append a run of one node with two messages, from opening to closing: 8 lines."""
        self.opening()
        self.rest_of_run()

    def opening(self) -> None:
        """Append the first half of `small_run`: lines 1 to 4."""
        follows = self.file.extent(self._last_writer()) if self.file.lines else None
        payload: dict[str, Any] = {"follows": follows} if follows else {}
        self.open(**payload)
        self.start()
        self.node("orders", 0)
        self.message("1,200 rows read")

    def rest_of_run(self) -> None:
        """Append the second half of `small_run`: lines 5 to 8."""
        self.message("3 rows have no price")
        self.succeed("orders", 0, rows=1197)
        self.complete(orders=0.75)
        self.close()

    def message(self, text: str) -> None:
        """Append a note about the node `orders`."""
        self.put("message", node_id="orders", node_index=0, level="note", text=text)

    def torn(self, length: int) -> None:
        """Append the first *length* bytes of a line: what a killed process leaves."""
        before = self.file.data, self.file.hash, self.file.lines
        self.message("cut off")
        data = self.file.data
        self.file.data, self.file.hash, self.file.lines = before
        self.file.data += data[len(before[0]) :][:length]

    def _last_writer(self) -> str:
        last = lines_of(self.file.data)[-1]
        return str(orjson.loads(last)["writer"])

    def _since(self, what: str) -> float:
        # The event to come is stamped one tick after the last one.
        return (self._last_us + _TICK_US - self._mono_of[what]) / 1e6

    def _append(self, file: File, event_type: str, payload: bytes, *, ticks: int = 0) -> None:
        mono_us = self.out.now()
        body = self._envelope.encode(
            event_type,
            payload,
            seq=file.lines,
            epoch_us=mono_us + ticks * _TICK_US,
            mono_us=mono_us - _BEGIN_US + 86_400_000_000,
            pid=_PID_OF[self.id],
        )
        file.put(body)
        if file is self.file:
            self._last_us = mono_us


def small_run() -> Out:
    """Return an OUT with one finished run of 8 lines."""
    out = Out()
    Writer(out).small_run()
    return out


def with_long_line(length: int) -> Out:
    """Return an OUT whose line 5 has *length* bytes, newline included."""
    trial = Out()
    w = Writer(trial)
    w.opening()
    before = len(trial.trace())
    w.message("")
    empty = len(trial.trace()) - before
    out = Out()
    w = Writer(out)
    w.opening()
    w.message("x" * (length - empty))
    w.rest_of_run()
    assert len(lines_of(out.trace())[4]) == length
    return out


def offsets_of(data: bytes) -> Iterator[int]:
    """Yield the byte offset of every line of *data*, and that of its end."""
    offset = 0
    yield offset
    for line in lines_of(data):
        offset += len(line)
        yield offset
