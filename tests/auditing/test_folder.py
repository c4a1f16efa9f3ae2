"""What files say of each other, how they end, and what is not at hand: rows 3 to 8."""

import gzip
import io
import os
import socket
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.audit import audit as audit_module
from replay.findings import Verdict
from replay.trace.events import Process
from replay.trace.evidence import TraceError
from replay.trace.folder import NoTraceError
from replay.trace.host import Hosts, this_process
from tests.auditing.build import LATER, audited, many_nodes, open_behind, save, told
from tests.auditing.test_chain import flipped
from tests.vectors.making import ALICE, BOB, REGISTRY, TRACE, Out, Writer, lines_of, small_run

OTHER = f"audit/step_04/trace_04.{BOB}.jsonl"


def codes(report: Any) -> list[tuple[str, str, int | None]]:
    return [(finding.code, finding.path, finding.line) for finding in report.findings]


def test_a_finished_run_is_complete(tmp_path: Path) -> None:
    report = audited(save(small_run(), tmp_path))

    assert (report.verdict, report.exit_code(), report.findings) == (Verdict.COMPLETE, 0, [])
    assert [(file.path, file.lines) for file in report.files] == [(REGISTRY, 2), (TRACE, 8)]


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_bit_of_a_folder_is_told_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = save(small_run(), tmp_path_factory.mktemp("out"))
    name = data.draw(st.sampled_from([REGISTRY, TRACE]))
    whole = (folder / name).read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    (folder / name).write_bytes(flipped(whole, position, data.draw(st.integers(0, 7))))

    report = audited(folder)

    assert report.exit_code() == 3
    line = whole.count(b"\n", 0, position) + 1
    assert (name, line) in [(finding.path, finding.line) for finding in report.findings]
    if name == TRACE:
        assert report.verdict is Verdict.TAMPERED


def test_a_trace_cut_anywhere_is_never_complete(tmp_path: Path) -> None:
    """The registry knows how many lines there were; without it the end is not proven."""
    folder = save(small_run(), tmp_path)
    whole = (folder / TRACE).read_bytes()
    for cut in range(0, len(whole), 7):
        (folder / TRACE).write_bytes(whole[:cut])

        report, alone = audited(folder), audited(folder / TRACE)

        assert (report.verdict, report.exit_code()) == (Verdict.TAMPERED, 3)
        assert "cut" in {code for code, _, _ in codes(report)}
        assert (alone.verdict, alone.exit_code()) == (Verdict.INTACT_PREFIX, 3)


def test_a_registry_cut_anywhere_is_never_complete(tmp_path: Path) -> None:
    folder = save(many_nodes(1, ALICE, BOB), tmp_path)
    whole = (folder / REGISTRY).read_bytes()
    ends = [len(whole[:cut]) for cut in range(len(whole)) if whole[:cut].endswith(b"\n")]
    for cut in range(0, len(whole), 11):
        (folder / REGISTRY).write_bytes(whole[:cut])

        assert audited(folder).exit_code() == 3
    # Without its last line it is a right registry of a writer that did not come to close there.
    (folder / REGISTRY).write_bytes(whole[: ends[-1]])
    assert audited(folder).exit_code() == 0


def test_what_is_left_of_a_gap_in_the_registry_is_torn(tmp_path: Path) -> None:
    """A process was killed while it mended the registry: that is no tampering."""
    folder = save(small_run(), tmp_path)
    whole = (folder / REGISTRY).read_bytes()
    left = b'{"v":1,"seq":2,"time\n{"v":1,"seq":2'
    for n in range(22, len(left)):
        (folder / REGISTRY).write_bytes(whole + left[:n])

        report = audited(folder)

        assert codes(report) == [("torn", REGISTRY, 3)]
        assert report.findings[0].offset == len(whole)
        assert f"{n} bytes behind" in report.findings[0].message
        assert report.verdict is Verdict.INTACT_PREFIX
    (folder / REGISTRY).write_bytes(whole + b'{"v":1}\n')
    assert audited(folder).verdict is Verdict.TAMPERED


def test_a_copy_of_a_trace_beside_it_is_told_and_the_registered_one_is_not(tmp_path: Path) -> None:
    """Every event of it would count twice."""
    folder = save(many_nodes(1, ALICE, BOB), tmp_path)
    (folder / OTHER).write_bytes((folder / TRACE).read_bytes())

    report = audited(folder)

    assert {(code, path) for code, path, _ in codes(report)} == {("bad_session", OTHER)}
    assert report.verdict is Verdict.TAMPERED


# --- Whole files


@pytest.mark.parametrize("name", [TRACE, REGISTRY])
def test_a_file_that_is_gone_is_missing(tmp_path: Path, name: str) -> None:
    folder = save(small_run(), tmp_path)
    (folder / name).unlink()

    report = audited(folder)

    assert (codes(report), report.exit_code()) == ([("missing", name, None)], 3)
    assert [(file.path, file.verdict) for file in report.files if file.path == name] == [
        (name, "tampered")
    ]


def test_traces_that_are_all_gone_are_missing(tmp_path: Path) -> None:
    folder = save(small_run(), tmp_path)
    (folder / TRACE).unlink()
    (folder / TRACE).parent.rmdir()

    assert codes(audited(folder)) == [("missing", TRACE, None)]


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/etc/hostname"),
        os.mkfifo,
        Path.mkdir,
        bind,
    ],
    ids=["link", "fifo", "directory", "socket"],
)
@pytest.mark.parametrize("name", [TRACE, REGISTRY])
def test_what_is_no_regular_file_is_no_trace(
    tmp_path: Path, name: str, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(small_run(), tmp_path)
    path = folder / name
    path.unlink()
    monkeypatch.chdir(path.parent)
    make(Path(path.name))

    report = audited(folder)

    assert ("not_a_trace", name, None) in codes(report)
    assert report.exit_code() == 3


def test_a_path_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trace_04.jsonl")

    with pytest.raises(TraceError, match="not a regular file"):
        audited(tmp_path / "trace_04.jsonl")
    with pytest.raises(NoTraceError, match="found no trace"):
        audited(tmp_path / "absent")


def test_garbage_is_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace_04.jsonl"
    path.write_bytes(bytes(range(256)) * 5000)

    assert told(audited(path).findings) == [("not_a_trace", None)]


# --- Pipes, compressed files, steps


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = small_run().trace()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    report = audited(Path("-"))

    assert (report.verdict, told(report.findings)) == ("intact-prefix", [("alone", None)])
    assert [(file.path, file.lines) for file in report.files] == [("-", 8)]


def test_a_compressed_trace_is_read_and_stands_for_the_one_the_registry_names(
    tmp_path: Path,
) -> None:
    folder = save(small_run(), tmp_path)
    data = (folder / TRACE).read_bytes()
    (folder / f"{TRACE}.gz").write_bytes(gzip.compress(data))
    (folder / TRACE).unlink()

    assert audited(folder).verdict == "complete"
    assert audited(folder, jobs=2).verdict == "complete"


def test_a_compressed_trace_that_ends_early_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "trace_04.jsonl.gz"
    path.write_bytes(gzip.compress(many_nodes(50).trace(), mtime=0)[:-500])

    report = audited(path)

    assert [code for code, _ in told(report.findings)] == ["alone", "not_closed", "torn"]
    assert 60 < report.files[0].lines < 104
    assert report.exit_code() == 3


def test_a_damaged_compressed_trace_is_damage(tmp_path: Path) -> None:
    whole = gzip.compress(small_run().trace(), mtime=0)
    path = tmp_path / "trace_04.jsonl.gz"
    path.write_bytes(whole[:-6] + b"\0\0\0\0" + whole[-2:])

    report = audited(path)

    assert ("bad_frame", 9) in told(report.findings)
    assert report.verdict == "tampered"


def test_a_step_by_itself_has_no_registry(tmp_path: Path) -> None:
    folder = save(small_run(), tmp_path)

    report = audited(folder / "audit/step_04")

    assert (told(report.findings), report.exit_code()) == ([("alone", None)], 0)
    assert audited(folder / "audit").verdict == "complete"


def test_a_folder_that_was_renamed_is_the_same_evidence(tmp_path: Path) -> None:
    folder = save(small_run(), tmp_path / "out")
    (folder / "audit").rename(tmp_path / "evidence")

    assert audited(tmp_path / "evidence").verdict == "complete"


def followed() -> Out:
    """Return an OUT whose first file is torn; a second one follows it."""
    out = Out()
    alice = open_behind(Writer(out, ALICE))
    alice.torn(100)
    bob = Writer(out, BOB, file=OTHER)
    follows = alice.file.extent(ALICE)
    bob.open(follows=follows)
    bob.start(total_nodes=0)
    bob.close()
    return out


def test_a_torn_file_that_another_follows_is_whole(tmp_path: Path) -> None:
    assert audited(save(followed(), tmp_path)).verdict == "complete"


def test_in_a_copied_step_names_still_hold(tmp_path: Path) -> None:
    folder = save(followed(), tmp_path / "out")
    step = tmp_path / "copy"
    (folder / "audit/step_04").rename(step)
    (step / "trace_04.jsonl").unlink()

    report = audited(step)

    assert {code for code, _ in told(report.findings)} == {"alone"}


def test_in_a_copied_step_what_is_there_is_compared(tmp_path: Path) -> None:
    folder = save(followed(), tmp_path / "out")
    step = tmp_path / "copy"
    (folder / "audit/step_04").rename(step)
    whole = (step / "trace_04.jsonl").read_bytes()
    (step / "trace_04.jsonl").write_bytes(b"".join(lines_of(whole)[:1]))

    report = audited(step)

    assert {code for code, _ in told(report.findings)} == {"alone", "cut", "not_closed"}


def test_in_a_step_of_the_same_name_a_file_that_is_named_is_missing(tmp_path: Path) -> None:
    folder = save(followed(), tmp_path / "out")
    (folder / TRACE).unlink()

    report = audited(folder / "audit/step_04")

    assert {code for code, _ in told(report.findings)} == {"alone", "missing"}


def test_a_file_that_only_another_trace_names_as_one_is_read_as_one(tmp_path: Path) -> None:
    """Every line lost its hash, and the registry was made anew without it."""
    out = Out()
    alice = open_behind(Writer(out, ALICE))
    bob = Writer(out, BOB, file=OTHER)
    out.registry.data, out.registry.lines, out.registry.hash = b"", 0, b"0" * 64
    bob.open(registered=False, follows=alice.file.extent(ALICE))
    bob.register("writer_opened")
    bob.close()
    folder = save(out, tmp_path)
    lines = lines_of((folder / TRACE).read_bytes())
    (folder / TRACE).write_bytes(b"".join(line[:-76] + b"}\n" for line in lines))

    assert codes(audited(folder)) == [("bad_frame", TRACE, 1), ("bad_frame", TRACE, 2)]


def test_bytes_that_came_behind_a_named_fragment_are_torn(tmp_path: Path) -> None:
    folder = save(followed(), tmp_path)
    with (folder / TRACE).open("ab") as file:
        file.write(b"more")

    assert [code for code, _ in told(audited(folder).findings)] == ["not_closed", "torn"]


def test_names_that_lead_elsewhere_are_never_opened(tmp_path: Path) -> None:
    out = small_run()
    writer = Writer(out, BOB, file=OTHER)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    digest = sha256(b"other").hexdigest()
    writer.open(
        follows={"path": "../secret", "writer": None, "lines": 0, "hash": None,
                 "fragment": {"offset": 0, "length": 6, "sha256": digest}}
    )  # fmt: skip
    writer.start()
    writer.close()
    folder = save(out, tmp_path / "out")

    report = audited(folder)

    assert codes(report) == [("missing", "../secret", None)]


# --- Running writers


def unclosed(process: Process | None, **where: Any) -> Out:
    out = Out()
    writer = Writer(out, ALICE)
    real = None if process is None else msgspec.structs.asdict(process)
    put = writer.put

    def with_process(event_type: str, **payload: Any) -> None:
        if event_type == "writer_opened":
            payload["process"] = real
        put(event_type, **payload)

    writer.put = with_process  # type: ignore[method-assign]
    writer.open(**where)
    writer.start()
    writer.node("a", 0)
    return out


def test_a_running_writer_is_a_note(tmp_path: Path) -> None:
    out = unclosed(this_process())
    out.file().data += b'{"v":1,"seq":3,"times'
    report = audited(save(out, tmp_path), hosts=Hosts())

    assert (codes(report), report.exit_code()) == ([("live", TRACE, None)], 0)
    assert report.findings[0].severity == "note"
    assert "is running (checked)" in report.findings[0].message
    assert report.verdict == "intact-prefix"


def test_a_running_writer_may_not_be_registered_yet(tmp_path: Path) -> None:
    out = unclosed(this_process(), registered=False)

    report = audited(save(out, tmp_path), hosts=Hosts())

    assert {code for code, _, _ in codes(report)} == {"live"}
    assert report.exit_code() == 0


def test_a_process_that_is_gone_is_not_running(tmp_path: Path) -> None:
    gone = this_process()
    gone.start_time = "1"

    report = audited(save(unclosed(gone), tmp_path), hosts=Hosts())

    assert codes(report) == [("not_closed", TRACE, 3)]


@pytest.mark.parametrize(("later_s", "wanted"), [(60.0, "live"), (3700.0, "not_closed")])
def test_on_another_host_an_hour_decides(tmp_path: Path, later_s: float, wanted: str) -> None:
    other = this_process()
    other.host = "elsewhere.example"
    hosts = Hosts(now=1_773_480_414.0 + later_s)

    report = audited(save(unclosed(other), tmp_path), hosts=hosts)

    assert [code for code, _, _ in codes(report)] == [wanted]


def test_a_file_that_grows_between_two_looks_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends while it is audited: its process is gone, and its last lines are there."""
    folder = save(small_run(), tmp_path)
    path = folder / TRACE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 500])
    registry = (folder / REGISTRY).read_bytes()
    (folder / REGISTRY).write_bytes(lines_of(registry)[0])
    judge = audit_module.judge  # type: ignore[attr-defined]

    def judged_while_it_ends(*arguments: Any, **options: Any) -> Any:
        found = judge(*arguments, **options)
        path.write_bytes(whole)
        (folder / REGISTRY).write_bytes(registry)
        return found

    monkeypatch.setattr(audit_module, "judge", judged_while_it_ends)

    assert audited(folder).verdict == "complete"


# --- Names beyond the ends of writers


def test_a_name_in_the_middle_is_looked_up(tmp_path: Path) -> None:
    """`follows` may name any line, as a parent does; it is found whether or not it was marked."""
    for right in (True, False):
        out = many_nodes(30)
        lines = lines_of(out.trace())
        digits = lines[9][-67:-3].decode() if right else "0" * 64
        bob = Writer(out, BOB, file=OTHER)
        bob.open(follows={"path": TRACE, "writer": ALICE, "lines": 10, "hash": digits})
        bob.close()

        report = audited(save(out, tmp_path / str(right)))

        assert codes(report) == ([] if right else [("diverged", TRACE, 10)])


def test_a_longest_cut_is_reported_once(tmp_path: Path) -> None:
    out = many_nodes(3, ALICE, BOB)
    folder = save(out, tmp_path)
    lines = lines_of((folder / TRACE).read_bytes())
    (folder / TRACE).write_bytes(b"".join(lines[:2]))

    report = audited(folder)

    assert codes(report) == [("not_closed", TRACE, 2), ("cut", TRACE, 3)]
    assert f"want {len(lines)} lines" in report.findings[1].message


# --- Strict, and memory


def test_strict_holds_events_against_their_declaration(tmp_path: Path) -> None:
    out = Out()
    writer = open_behind(Writer(out))
    writer.put("message", level="note", text=5)
    writer.put("something_else", text=5)
    writer.complete(completed=0)
    writer.close()
    folder = save(out, tmp_path)

    assert audited(folder).exit_code() == 0
    assert told(audited(folder, strict=True).findings) == [("malformed", 3)]


def test_what_a_newer_version_says_is_not_judged() -> None:
    vector = Path(__file__).parents[1] / "vectors/invalid/newer_version"

    report = audited(vector)

    assert {code for code, _ in told(report.findings)} == {"newer_version"}
    assert (report.verdict, report.exit_code()) == ("intact-prefix", 4)


def test_the_chain_alone_finds_what_the_chain_shows(tmp_path: Path) -> None:
    folder = save(many_nodes(200, ALICE, BOB), tmp_path)
    whole = (folder / TRACE).read_bytes()
    assert audited(folder, chain_only=True).verdict == "complete"

    for position in range(100, len(whole), len(whole) // 50):
        (folder / TRACE).write_bytes(flipped(whole, position, 1))

        assert audited(folder, chain_only=True) == audited(folder)


def test_progress_counts_bytes(tmp_path: Path) -> None:
    folder = save(many_nodes(100), tmp_path)
    seen: list[tuple[int, int]] = []

    audited(folder, progress=lambda done, total: seen.append((done, total)))

    size = (folder / TRACE).stat().st_size
    assert seen[-1] == (size, size)
    assert LATER.now > 0
