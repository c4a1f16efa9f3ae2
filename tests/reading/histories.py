"""Histories for hypothesis: what several writers may have left in several files."""

import io
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from hypothesis import strategies as st

from replay.fold.files import Source
from tests.reading.traces import Clock, TraceBuilder, older_lines

NODES = ("a", "b", "c.csv")
RUNS = ("20261121-070312-aaaaaa", "20261121-070312-bbbbbb")
FILES = (
    "audit/step_04/trace_04.jsonl",
    "audit/step_04/trace_04.20261121t070312-00000000f1.jsonl",
    "audit/step_05/trace_05.jsonl",
)

# Act -> (event type, whether it is about a node, payload).
_EVENTS: Final[dict[str, tuple[str, bool, dict[str, Any]]]] = {
    "open": ("writer_opened", False, {"process": None, "durability": "none"}),
    "close": ("writer_closed", False, {}),
    "start": ("workflow_start", False, {"total_nodes": 3, "output_dir": "/somewhere/out"}),
    "complete": (
        "workflow_complete",
        False,
        {
            "nodes_completed": 1,
            "nodes_failed": 0,
            "total_time_seconds": 0.5,
            "cumulative_cost_usd": 0.25,
        },
    ),
    "fail": (
        "workflow_error",
        False,
        {"error": "no\nmore", "total_time_seconds": 0.5, "nodes_completed": 1, "nodes_failed": 0},
    ),
    "node_start": ("node_start", True, {}),
    "success": (
        "node_success",
        True,
        {"duration_seconds": 0.25, "output_hash": None, "output_summary": {"rows": 3}},
    ),
    "failure": (
        "node_failure",
        True,
        {"duration_seconds": "NaN", "error": "bad", "error_type": "ValueError"},
    ),
    "skipped": ("node_skipped", True, {"reason": "not today"}),
    "retry": ("node_retry", True, {"attempt": 1, "max_attempts": 3, "error": "again"}),
    "result": ("node_result", True, {"digest": "sha256:00", "size": 9, "value": {"x": [1]}}),
    "output": (
        "artifact_written",
        True,
        {"role": "output", "path": "out/a", "size": 1, "digest": "sha256:00"},
    ),
    "message": ("message", True, {"level": "warning", "text": "careful"}),
    "gap": ("gap", False, {"dropped": 2, "reason": "disk full"}),
    "aside": ("writer_opened", False, {"durability": "none", "purpose": "review"}),
    "decided": (
        "review_resolved",
        True,
        {"decision": "approved", "reviewer": "anna", "note": "fine", "digest": "sha256:00"},
    ),
    "remark": ("message", True, {"level": "note", "text": "well", "author": "anna"}),
    "unknown": ("from_the_future", True, {"new": {"deep": True}}),
}
_ACTS: Final = st.sampled_from([*_EVENTS, "node_start", "node_start", "success"])

# (file, run or None, act, node, index, microseconds since the event before)
Act = tuple[int, int | None, str, str, int | None, int]

acts = st.tuples(
    st.integers(0, len(FILES) - 1),
    st.sampled_from([0, 0, 0, 1, None]),
    _ACTS,
    st.sampled_from(NODES),
    st.sampled_from([0, 0, 1, None]),
    st.sampled_from([1000, 1, 0, 500_000, -300]),
)
histories = st.lists(acts, max_size=40)


def written(history: Sequence[Act]) -> dict[str, TraceBuilder]:
    """Return the files that *history* leaves, by name; time is common to all of them."""
    clock = Clock()
    files: dict[str, TraceBuilder] = {}
    for place, run, act, node, index, after in history:
        name = FILES[place]
        run_id = None if run is None else RUNS[run]
        if name not in files:
            files[name] = TraceBuilder(name, clock=clock)
        builder = files[name]
        number = name[11:13]
        writer = f"20261121t070312-00000000{place}{9 if run is None else run}"
        builder.be(writer=writer, run_id=run_id, workflow_id=f"step_{number}_made", pid=100 + place)
        _write(builder, act, node, index, after)
    return files


def _write(builder: TraceBuilder, act: str, node: str, index: int | None, after: int) -> None:
    event_type, about_node, payload = _EVENTS[act]
    whose: dict[str, Any] = {"node_id": node} if about_node else {}
    if about_node and index is not None:
        whose["node_index"] = index
    builder.write(event_type, after_us=after, **whose, **payload)


def sources(files: dict[str, bytes]) -> list[Source]:
    """Return *files*, bytes by name, as a fold reads them."""
    return [Source(name, partial(io.BytesIO, data)) for name, data in files.items()]


def older_file() -> bytes:
    """Return a file of the older layout with two runs."""
    return b"".join([*older_lines(nodes=2, failed=1), *older_lines(pid=78)])
