"""Traces to read: many runs of many nodes in one file, as a journal would have written them."""

from collections.abc import Iterator
from pathlib import Path

import orjson

from replay.trace.line import GENESIS, Envelope, seal

_BEGAN_US = 1_795_244_592_000_000
_STEP_US = 1_000


def write_trace(path: Path, *, runs: int, nodes: int) -> int:
    """Write *runs* complete runs of *nodes* nodes, two events each; return the bytes written."""
    size, previous, seq = 0, GENESIS, 0
    with path.open("wb", buffering=1 << 20) as file:
        for run in range(runs):
            writer = f"20261121t070312-{run:010x}"
            envelope = Envelope(
                writer=writer,
                workflow_id="step_04_survey",
                step_number="04",
                run_id=f"20261121-070312-{run:06d}",
            )
            follows = None
            if run:
                follows = {
                    "path": "audit/step_04/trace_04.jsonl",
                    "writer": f"20261121t070312-{run - 1:010x}",
                    "lines": seq,
                    "hash": previous.decode(),
                    "fragment": None,
                }
            for event_type, head, payload in _events(nodes, follows):
                stamp = _BEGAN_US + seq * _STEP_US
                body = envelope.encode(
                    event_type,
                    payload,
                    head=head,
                    seq=seq,
                    epoch_us=stamp,
                    mono_us=stamp - _BEGAN_US,
                    pid=4242,
                )
                line, previous = seal(previous, body)
                size += file.write(line)
                seq += 1
    return size


def _events(nodes: int, follows: object) -> Iterator[tuple[str, bytes, bytes]]:
    opened = {"durability": "interval", "follows": follows}
    yield "writer_opened", b"", orjson.dumps(opened)
    yield "workflow_start", b"", b'{"total_nodes":%d}' % nodes
    for n in range(nodes):
        head = b',"node_id":"module_%d.py","node_index":%d' % (n, n)
        yield "node_start", head, b"{}"
        payload = (
            b'{"duration_seconds":0.123456,"output_hash":null,'
            b'"output_summary":{"rows":1234,"columns":12,"bytes":456789,"n":%d}}' % n
        )
        yield "node_success", head, payload
    end = {
        "nodes_completed": nodes,
        "nodes_failed": 0,
        "nodes_skipped": 0,
        "total_time_seconds": 2 * nodes * _STEP_US / 1e6,
        "cumulative_cost_usd": 0.0,
        "trace_file": "audit/step_04/trace_04.jsonl",
        "log_file": "audit/step_04/log_04.log",
        "node_times": None,
    }
    yield "workflow_complete", b"", orjson.dumps(end)
    yield "writer_closed", b"", b"{}"
