"""Folders as the older observer, and the runner around it, leave them.

It writes what that program wrote to files, defects included, and nothing else of it: no console,
no bar.  Every event is appended to two traces and two logs, which are opened for it.  Time stamps
are naive local ones; pid, step number and names are fixed where it begins.
"""

import json
import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

RULE = "=" * 80


class Clock:
    """Local time that goes on by some milliseconds whenever it is asked."""

    def __init__(self, begin: str = "2025-03-01T09:00:00", *, step_ms: float = 1.25) -> None:
        self._now = datetime.fromisoformat(begin)
        self._step = timedelta(milliseconds=step_ms)

    def __call__(self) -> datetime:
        """Return the time, and go on."""
        self._now += self._step
        return self._now

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self._now += timedelta(seconds=seconds)


class OlderObserver:
    """The file output of the older observer.

    Attributes:
        trace_file: The copy under `traces/`.
        audit_trace_file: The trace under `audit/`, which all runs of the step share.
    """

    def __init__(
        self,
        workflow_id: str,
        output_dir: str | Path,
        total_nodes: int,
        *,
        clock: Callable[[], datetime],
        pid: int = 4711,
    ) -> None:
        self.workflow_id, self.total_nodes, self.pid = workflow_id, total_nodes, pid
        self.output_dir = Path(output_dir)
        self._clock = clock
        self.start_time = clock()
        self.nodes_completed = self.nodes_failed = 0
        self.node_times: dict[str, float] = {}
        found = re.search(r"step_(\d+)", workflow_id)
        self.step_num = found[1] if found else "00"
        stamp = self.start_time.strftime("%Y%m%d_%H%M%S")
        logs, traces = self.output_dir / "logs", self.output_dir / "traces"
        audit = self.output_dir / "audit" / f"step_{self.step_num}"
        for folder in (logs, traces, audit):
            folder.mkdir(parents=True, exist_ok=True)
        self.log_file = logs / f"execution_{workflow_id}_{stamp}.log"
        self.trace_file = traces / f"trace_step_{self.step_num}_{stamp}.jsonl"
        self.audit_log_file = audit / f"log_{self.step_num}.log"
        self.audit_trace_file = audit / f"trace_{self.step_num}.jsonl"
        self.metadata_file = audit / f"metadata_{self.step_num}.json"
        self._log(
            "workflow_start",
            message=f"Workflow execution started: {workflow_id}",
            details={
                "workflow_id": workflow_id,
                "pid": pid,
                # The start, in the place of the time at which the line is written.
                "timestamp": self.start_time.isoformat(),
                "total_nodes": total_nodes,
            },
        )
        started = self.start_time.strftime("%Y-%m-%d %H:%M:%S")
        self._say(
            *("", RULE, f"[RUN] Executing: {workflow_id}"),
            *(f"[DIR] Output: {self.output_dir.absolute()}", f" PID: {pid}"),
            *(f" Started: {started}", RULE, ""),
        )

    def node_start(self, node_id: str, node_index: int) -> None:
        """Write `node_start`; index 0 is lost on the way."""
        self._log("node_start", node_id, node_index, details={"epoch_seconds": self._epoch()})

    def node_success(
        self, node_id: str, duration_seconds: float, output_hash: Any = None, summary: Any = None
    ) -> None:
        """Write `node_success`."""
        self.nodes_completed += 1
        self.node_times[node_id] = duration_seconds
        details = {
            "duration_seconds": duration_seconds,
            "output_hash": output_hash,
            "epoch_seconds": self._epoch(),
            "output_summary": summary,
        }
        self._log("node_success", node_id, details=details)

    def node_failure(self, node_id: str, error_msg: str, duration_seconds: float) -> None:
        """Write `node_failure`."""
        self.nodes_failed += 1
        self.node_times[node_id] = duration_seconds
        details = {
            "duration_seconds": duration_seconds,
            "error": error_msg,
            "epoch_seconds": self._epoch(),
        }
        self._log("node_failure", node_id, details=details)

    def workflow_complete(self, cumulative_cost_usd: float = 0.0) -> None:
        """Write the summary, the event, and metadata in place."""
        seconds = self._epoch() - self.start_time.timestamp()
        self._say(
            *("", RULE, f" Workflow completed: {self.workflow_id}"),
            f" Nodes executed: {self.nodes_completed}/{self.total_nodes}",
            f" Total time: {seconds:.2f}s ({seconds / 60:.2f}m)",
            *(RULE, ""),
        )
        details = {
            "workflow_id": self.workflow_id,
            "nodes_completed": self.nodes_completed,
            "nodes_failed": self.nodes_failed,
            "total_time_seconds": seconds,
            "cumulative_cost_usd": cumulative_cost_usd,
            "trace_file": str(self.trace_file),
            "log_file": str(self.log_file),
            "node_times": self.node_times,
            "epoch_seconds": self._epoch(),
        }
        self._log("workflow_complete", details=details)
        self._metadata(seconds, {"cumulative_cost_usd": cumulative_cost_usd})

    def workflow_error(self, error_msg: str) -> None:
        """Write the event and metadata."""
        seconds = self._epoch() - self.start_time.timestamp()
        details = {
            "workflow_id": self.workflow_id,
            "error": error_msg,
            "total_time_seconds": seconds,
            "nodes_completed": self.nodes_completed,
            "nodes_failed": self.nodes_failed,
            "epoch_seconds": self._epoch(),
        }
        self._log("workflow_error", details=details)
        self._metadata(seconds, {"error": error_msg})

    def _epoch(self) -> float:
        return self._clock().timestamp()

    def _log(
        self,
        event_type: str,
        node_id: str | None = None,
        node_index: int | None = None,
        message: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        now = self._clock()
        entry: dict[str, Any] = {
            "timestamp": now.isoformat(),
            "epoch_seconds": now.timestamp(),
            "event_type": event_type,
            "pid": self.pid,
            "workflow_id": self.workflow_id,
        }
        named = {"node_id": node_id, "node_index": node_index, "message": message}
        entry.update({key: value for key, value in named.items() if value})
        entry.update(details or {})
        line = f"[{entry['timestamp']}] {event_type.upper()}"
        line += f" {node_id}" if node_id else ""
        line += f": {message}" if message else ""
        line += f" | {json.dumps(details)}" if details else ""
        for path, text in (
            (self.trace_file, json.dumps(entry)),
            (self.audit_trace_file, json.dumps(entry)),
            (self.log_file, line),
            (self.audit_log_file, line),
        ):
            with path.open("a") as file:
                file.write(text + "\n")

    def _say(self, *lines: str) -> None:
        with self.log_file.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def _metadata(self, seconds: float, outcome: dict[str, Any]) -> None:
        found = {
            "workflow_id": self.workflow_id,
            "step_number": self.step_num,
            "start_time": self.start_time.isoformat(),
            "end_time": self._clock().isoformat(),
            "pid": self.pid,
            "total_nodes": self.total_nodes,
            "nodes_completed": self.nodes_completed,
            "nodes_failed": self.nodes_failed,
            "total_time_seconds": seconds,
            **outcome,
            "node_times": self.node_times,
            "log_file": str(self.audit_log_file),
            "trace_file": str(self.audit_trace_file),
        }
        with self.metadata_file.open("w") as file:
            json.dump(found, file, indent=2)


class OlderTraceLogger:
    """The other logger of the runner: lines that are no events, in a file of its own."""

    def __init__(self, output_dir: str | Path, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        folder = Path(output_dir) / "traces"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"trace_{clock():%Y%m%d_%H%M%S}.jsonl"

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line, with a time stamp if it has none."""
        entry = {"timestamp": self._clock().isoformat(), **entry}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def some_lines(self) -> None:
        """Append a line of each shape that the runner writes."""
        self.log({"event": "compliance_info", "compliant": True})
        self.log({"event": "retry", "provider": "a", "model": "b", "error": "x"})
        self.log({"tool": "model_call", "tokens_used": 3, "actual_cost_usd": 0.01})
        self.log({"node_id": "a", "tool": "shell", "status": "success", "output_keys": ["x"]})
        self.log({"type": "budget_summary", "node_costs": {}, "max_workflow_usd": 1.0})


def link_audit_files(observer: OlderObserver, logger: OlderTraceLogger, *, how: str) -> None:
    """Do to the audit files what the runner does behind a run that succeeded.

    Args:
        observer: Whose files are removed.
        logger: Whose file takes their place.
        how: `relative` or `absolute`.
    """
    for path, target in (
        (observer.audit_trace_file, logger.path),
        (observer.audit_log_file, observer.log_file),
    ):
        path.unlink()
        there = target.absolute()
        path.symlink_to(there if how == "absolute" else os.path.relpath(there, path.parent))


def older_run(
    out: str | Path,
    *,
    clock: Clock,
    workflow_id: str = "step_04_tables",
    pid: int = 4711,
    end: str = "complete",
) -> OlderObserver:
    """Write a run of three nodes, of which one fails, and end it so: complete, error or killed."""
    observer = OlderObserver(workflow_id, out, 3, clock=clock, pid=pid)
    observer.node_start("load", 0)
    observer.node_success("load", 0.25, "0123456789abcdef", {"rows": 3})
    observer.node_start("clean", 1)
    observer.node_failure("clean", "ValueError: no such column\n  'x'", 0.5)
    if end == "killed":
        return observer
    observer.node_start("write", 2)
    observer.node_success("write", float("nan"))
    if end == "error":
        observer.workflow_error("RuntimeError: stopped")
    else:
        observer.workflow_complete(0.02)
    return observer
