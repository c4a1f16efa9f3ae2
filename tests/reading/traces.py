"""Traces made by hand: lines as the format has them, without a writer, a clock or a disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from replay.trace.folder import step_number
from replay.trace.line import GENESIS, Envelope, seal

START_US = 1_795_244_592_000_000  # 2026-11-21T07:03:12Z


class Clock:
    """Microseconds since 1970 that move when told."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def tick(self, us: int = 1000) -> int:
        self.now_us += us
        return self.now_us


class TraceBuilder:
    """Lines of one file, one call a line, by one writer after the other.

    Attributes:
        name: How events and positions call the file.
        lines: What was written so far.
    """

    def __init__(
        self,
        name: str = "audit/step_04/trace_04.jsonl",
        *,
        writer: str = "20261121t070312-0000000001",
        run_id: str | None = "20261121-070312-aaaaaa",
        workflow_id: str = "step_04_survey",
        pid: int = 100,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.lines: list[bytes] = []
        self.clock = clock or Clock()
        self._hash = GENESIS
        self.be(writer=writer, run_id=run_id, workflow_id=workflow_id, pid=pid)

    def be(
        self, *, writer: str, run_id: str | None, workflow_id: str | None = None, pid: int = 100
    ) -> None:
        """From now on write as *writer* in *run_id*."""
        if workflow_id is not None:
            self.workflow_id = workflow_id
        self.writer, self.run_id, self.pid = writer, run_id, pid
        self._envelope = Envelope(
            writer=writer,
            workflow_id=self.workflow_id,
            step_number=step_number(self.workflow_id),
            run_id=run_id,
        )

    def write(self, event_type: str, *, after_us: int = 1000, **payload: Any) -> bytes:
        """Append one line, *after_us* later, and return it."""
        now = self.clock.tick(after_us)
        body = self._envelope.encode(
            event_type,
            orjson.dumps(payload),
            seq=len(self.lines),
            epoch_us=now,
            mono_us=now - START_US,
            pid=self.pid,
        )
        line, self._hash = seal(self._hash, body)
        self.lines.append(line)
        return line

    def open(self, process: dict[str, Any] | None = None, **payload: Any) -> None:
        self.write("writer_opened", process=process, durability="interval", **payload)

    def start(self, total_nodes: int | None = None) -> None:
        self.write("workflow_start", total_nodes=total_nodes)

    def node(self, node_id: str, index: int, *, error: str | None = None) -> None:
        """Start a node and end it, well or by *error*."""
        self.write("node_start", node_id=node_id, node_index=index)
        self.end(node_id, index, error=error)

    def end(self, node_id: str, index: int | None, *, error: str | None = None) -> None:
        name: dict[str, Any] = {"node_id": node_id}
        if index is not None:
            name["node_index"] = index
        if error is None:
            self.write(
                "node_success",
                **name,
                duration_seconds=0.001,
                output_hash=None,
                output_summary=None,
            )
        else:
            self.write("node_failure", **name, duration_seconds=0.001, error=error)

    def complete(self, completed: int, failed: int = 0) -> None:
        self.write(
            "workflow_complete",
            nodes_completed=completed,
            nodes_failed=failed,
            total_time_seconds=(self.clock.now_us - START_US) / 1e6,
            cumulative_cost_usd=0.0,
        )

    def fail(self, error: str) -> None:
        self.write(
            "workflow_error",
            error=error,
            total_time_seconds=(self.clock.now_us - START_US) / 1e6,
            nodes_completed=0,
            nodes_failed=0,
        )

    def close(self) -> None:
        self.write("writer_closed")

    def __bytes__(self) -> bytes:
        return b"".join(self.lines)

    def save(self, out: Path) -> Path:
        """Write the file below *out* and return its path."""
        path = out / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(self))
        return path


def older_lines(
    workflow_id: str = "step_04_old", pid: int = 77, *, nodes: int = 2, failed: int = 0
) -> Iterator[bytes]:
    """Yield the lines of one run in the older layout, with local timestamps and no hash."""
    base = START_US / 1e6
    second = 0.0

    def line(event_type: str, **payload: Any) -> bytes:
        nonlocal second
        second += 0.25
        fields = {
            "timestamp": f"2026-11-21T08:03:{12 + second:09.6f}",
            "epoch_seconds": base + second,
            "event_type": event_type,
            "pid": pid,
            "workflow_id": workflow_id,
            **payload,
        }
        return orjson.dumps(fields) + b"\n"

    yield line("workflow_start", message="started", total_nodes=nodes)
    for n in range(nodes):
        # It left index 0 out.
        index = {"node_index": n} if n else {}
        yield line("node_start", node_id=f"n{n}", **index)
        if n < failed:
            yield line("node_failure", node_id=f"n{n}", duration_seconds=0.25, error="no")
        else:
            yield line("node_success", node_id=f"n{n}", duration_seconds=0.25, output_hash=None)
    yield line(
        "workflow_complete",
        nodes_completed=nodes - failed,
        nodes_failed=failed,
        total_time_seconds=second,
        cumulative_cost_usd=0.0,
        node_times={},
    )
