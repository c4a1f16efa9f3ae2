"""Whatever files hold, an audit answers: it neither raises nor hangs, nor takes them for whole."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.trace.folder import NoTraceError
from tests.auditing.build import audited
from tests.vectors.making import body_of, chained, lines_of

VECTORS = Path(__file__).parents[1] / "vectors"
FOLDERS = sorted(
    path.parent
    for path in VECTORS.glob("*/*/expected.json")
    if json.loads(path.read_text())["path"] == "."
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False,
    allow_infinity=False) | st.sampled_from(["", "../x", "audit/step_04/trace_04.jsonl", "a" * 64,
    "audit/registry.jsonl", "/etc/passwd", "sha256:0", "output", "directory", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["path", "lines", "hash", "writer", "fragment", "offset", "length",
                         "sha256", "x"]), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
KEYS = [
    "follows", "trace", "settled", "registry", "parent", "process", "fragment", "event_type",
    "writer", "run_id", "node_id", "path", "size", "digest", "kind", "entries", "role", "value",
    "nodes_completed", "total_time_seconds", "output_hash", "mono_us", "seq", "pid",
]  # fmt: skip
TYPES = [
    "writer_opened", "writer_closed", "writer_settled", "gap", "artifact_written", "node_result",
    "node_success", "node_start", "workflow_complete", "workflow_start",
]  # fmt: skip


def copied(folder: Path, to: Path) -> dict[str, bytes]:
    files = {}
    for path in folder.rglob("*.jsonl"):
        name = path.relative_to(folder).as_posix()
        files[name] = path.read_bytes()
        (to / name).parent.mkdir(parents=True, exist_ok=True)
    return files


def with_other_values(line: bytes, changes: list[tuple[str, Any]]) -> bytes:
    """Return the body of *line* with other values under some keys."""
    try:
        fields = orjson.loads(line)
        fields.pop("hash")
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
        return body_of(line)
    fields.update(changes)
    return orjson.dumps(fields)[:-1]


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FOLDERS), st.data())
def test_lines_may_say_anything_with_right_hashes(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("out")
    files = copied(folder, out)
    for name, content in files.items():
        lines = lines_of(content)
        bodies = [body_of(line) for line in lines]
        for _ in range(data.draw(st.integers(0, 2), label="lines changed")):
            if lines:
                at = data.draw(st.integers(0, len(lines) - 1))
                changes = data.draw(
                    st.lists(
                        st.tuples(st.sampled_from(KEYS), VALUES)
                        | st.tuples(st.just("event_type"), st.sampled_from(TYPES)),
                        min_size=1,
                        max_size=3,
                    )
                )
                bodies[at] = with_other_values(lines[at], changes)
        (out / name).write_bytes(chained(bodies))

    report = audited(out)

    assert report.exit_code() in {0, 1, 3, 4}
    assert audited(out, jobs=2) == report
    audited(out, chain_only=True)
    audited(out, strict=True)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FOLDERS), st.data())
def test_bytes_may_be_any(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("out")
    for name, content in copied(folder, out).items():
        changed = bytearray(content)
        for _ in range(data.draw(st.integers(0, 3))):
            begin = data.draw(st.integers(0, len(changed)))
            end = data.draw(st.sampled_from([begin, begin + 1, begin + 50, len(changed)]))
            changed[begin:end] = data.draw(st.binary(max_size=4) | st.just(content[:600]))
        (out / name).write_bytes(bytes(changed))

    try:
        report = audited(out)
    except NoTraceError:
        return

    assert report.exit_code() in {0, 1, 3, 4}
    for finding in report.findings:
        assert finding.message.isprintable() or "\\" in finding.message
