"""A call with a wrong value, or a write that fails, ends that call and not the run."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from observability import ExecutionObserver
from replay.audit.audit import audit

# Each file takes 20,000 bytes; the line that meets the limit is cut off in its middle.
_LIMITED = """
import resource, signal, sys
from observability import ExecutionObserver
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with ExecutionObserver("step_01_limited", sys.argv[1], on_error="warn") as observer:
    for n in range(100):
        with observer.node(f"n{n}"):
            pass
print(observer.nodes_completed)
"""


@pytest.mark.parametrize(
    ("key", "call"),
    [
        ("text", lambda _, node: node.note(None)),
        ("text", lambda _, node: node.warn({"a": 1})),
        ("name", lambda _, node: node.check(1, ok=True)),
        ("detail", lambda _, node: node.check("rows", True, 3)),
        ("reason", lambda _, node: node.request_review(["why"])),
        ("delay_seconds", lambda _, node: node.retry(1, 2, "soon")),
        ("integer", lambda _, node: node.retry(1, "two")),
        ("duration_seconds", lambda run, _: run.node_success("a", None)),
        ("duration_seconds", lambda run, _: run.node_failure("a", "no", [])),
        ("output_hash", lambda run, _: run.node_success("a", 1.0, 5)),
        ("cumulative_cost_usd", lambda run, _: run.workflow_complete(None)),
    ],
    ids=[
        *("note", "warn", "check", "detail", "review"),
        *("delay", "attempts", "success", "failure", "hash", "cost"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_and_the_run_goes_on(
    tmp_path: Path, key: str, call: Callable[[Any, Any], None]
) -> None:
    """A line that does not fit its declaration would stand in the trace for good."""
    with ExecutionObserver("w", tmp_path) as observer:
        with observer.node("a") as node:
            before = observer.audit_trace_file.read_bytes()
            with pytest.raises(TypeError, match=key):
                call(observer, node)
            assert observer.audit_trace_file.read_bytes() == before
        assert observer.nodes_completed == 1

    assert b'"workflow_complete"' in observer.audit_trace_file.read_bytes()


def test_a_line_that_was_cut_off_does_not_reach_the_program_under_warn(tmp_path: Path) -> None:
    """The lines are read again to count them; what the failed write left is none of them."""
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    torn = [p for p in tmp_path.glob("audit/step_01/trace_*") if p.read_bytes()[-1:] != b"\n"]
    assert torn


@pytest.mark.parametrize("total", [-1, 2**53, 10**29])
def test_a_total_that_no_line_holds_is_refused_before_a_file_is_made(
    total: int, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="total_nodes"):
        ExecutionObserver("w", tmp_path / "out", total)
    assert not (tmp_path / "out").exists()


def test_a_run_of_very_long_node_ids_can_end(tmp_path: Path) -> None:
    """The times of all nodes stand in the end of a run, which has to fit a line."""
    with ExecutionObserver("w", tmp_path, redact=False) as observer:
        for n in range(20):
            with observer.node(f"{n}" * 30_000):
                pass

    assert observer.nodes_completed == 20
    metadata = json.loads((tmp_path / "audit/step_00/metadata_00.json").read_bytes())
    assert metadata["status"] == "succeeded"
    assert len(metadata["node_times"]) == 20


def test_counts_and_time_of_an_end_are_those_of_its_moment(tmp_path: Path) -> None:
    """An audit recomputes both; threads that still end nodes made them differ."""
    with ExecutionObserver("w", tmp_path) as observer:

        def work(thread: int) -> None:
            with contextlib.suppress(RuntimeError):  # the run has ended
                for n in range(10_000):
                    observer.node_start(f"t{thread}", n)
                    observer.node_success(f"t{thread}", 0.0)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        observer.workflow_complete()
        for thread in threads:
            thread.join()

    report = audit(str(tmp_path))
    assert [found for found in report.findings if found.severity == "error"] == []
