"""Going on from a snapshot gives what folding everything gives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.fold.frozen import dump
from replay.fold.metadata import metadata, metadata_bytes
from replay.fold.run import RunState
from replay.fold.runs import At, Fold, fold
from replay.fold.snapshot import from_snapshot, proceed, to_snapshot
from replay.trace.host import Hosts
from tests.reading.histories import Act, histories, older_file, sources, written
from tests.reading.traces import START_US, TraceBuilder

HOSTS = Hosts(now=START_US / 1e6)


def all_of(found: Fold[RunState]) -> bytes:
    """Return everything a fold knows of its runs, and how they stand."""
    return b"".join(
        msgspec.json.encode(dump(state)) + metadata_bytes(metadata(found, state, HOSTS))
        for state in found.runs()
    )


@given(history=histories, data=st.data())
def test_a_snapshot_and_going_on_is_the_fold_of_all(
    history: list[Act], data: st.DataObject
) -> None:
    """Any cut of any file, lines that come late and files that were not there included."""
    files = {name: bytes(builder) for name, builder in sorted(written(history).items())}
    cut = {name: data.draw(st.integers(0, len(files[name])), label=name) for name in files}
    early = {name: files[name][: cut[name]] for name in files}
    if data.draw(st.booleans(), label="files appear"):
        early = {name: part for name, part in early.items() if part}
    state = to_snapshot(fold(sources(early)))

    assert all_of(from_snapshot(state)) == all_of(fold(sources(early)))
    assert to_snapshot(from_snapshot(state)) == state
    found = proceed(from_snapshot(state), sources(files))
    assert all_of(found) == all_of(fold(sources(files)))
    assert to_snapshot(found) == to_snapshot(fold(sources(files)))


@given(history=histories, data=st.data())
def test_going_on_twice_is_going_on_once(history: list[Act], data: st.DataObject) -> None:
    files = {name: bytes(builder) for name, builder in sorted(written(history).items())}
    found = fold(sources(dict.fromkeys(files, b"")))
    ends = dict.fromkeys(files, 0)
    for _ in range(3):
        ends = {name: data.draw(st.integers(end, len(files[name]))) for name, end in ends.items()}
        found = proceed(found, sources({name: files[name][: ends[name]] for name in files}))
    found = proceed(found, sources(files))

    assert all_of(found) == all_of(fold(sources(files)))


def test_only_what_is_new_is_read() -> None:
    trace = TraceBuilder()
    trace.open()
    trace.node("a", 0)
    state = to_snapshot(fold(sources({trace.name: bytes(trace)})))
    before = len(bytes(trace))
    trace.node("b", 1)
    trace.close()
    # What was folded is gone but for the end of its last line: the hash there is what is checked.
    data = b" " * (before - 100) + bytes(trace)[before - 100 :]
    found = proceed(from_snapshot(state), sources({trace.name: data}))

    assert all_of(found) == all_of(fold(sources({trace.name: bytes(trace)})))


def test_a_file_with_other_lines_is_folded_from_its_beginning() -> None:
    trace, other = TraceBuilder(), TraceBuilder()
    trace.node("a", 0)
    other.node("b", 0, error="no")
    other.node("c", 1)
    state = to_snapshot(fold(sources({trace.name: bytes(trace)})))
    found = proceed(from_snapshot(state), sources({trace.name: bytes(other)}))

    assert all_of(found) == all_of(fold(sources({trace.name: bytes(other)})))


def test_a_file_that_is_gone_is_gone_from_the_fold() -> None:
    trace = TraceBuilder()
    trace.node("a", 0)
    state = to_snapshot(fold(sources({trace.name: bytes(trace)})))

    assert len(proceed(from_snapshot(state), [])) == 0


@pytest.mark.parametrize("cut", [0.3, 0.5, 1.0])
def test_older_traces_go_on_too(cut: float) -> None:
    """Their runs are told apart from the beginning of the file, so all of it is read again."""
    data = older_file()
    early = data[: int(len(data) * cut)]
    state = to_snapshot(fold(sources({"audit/step_04/trace_04.jsonl": early})))
    files = {"audit/step_04/trace_04.jsonl": data}

    assert all_of(proceed(from_snapshot(state), sources(files))) == all_of(fold(sources(files)))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"snapshot":1,"files":[],"ended":[],"damage":[],"runs":[{}]}', b"\xff"],
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        from_snapshot(data)


def test_a_snapshot_of_another_version_is_refused() -> None:
    data = to_snapshot(fold([])).replace(b'"snapshot":1', b'"snapshot":2')

    with pytest.raises(ValueError, match="version 2, want 1"):
        from_snapshot(data)


def test_a_fold_that_was_cut_has_no_snapshot() -> None:
    trace = TraceBuilder()
    trace.node("a", 0)
    found = fold(sources({trace.name: bytes(trace)}), at=At(name=trace.name, seq=0))

    with pytest.raises(ValueError, match="cut"):
        to_snapshot(found)
