"""Outputs: as recorded, changed, missing, untracked, superseded, unverified."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from replay.audit.facts import Item
from replay.audit.report import AuditReport
from replay.digest import directory_digest, file_digest, json_digest
from tests.auditing.build import audited, open_behind, save, told
from tests.vectors.making import ALICE, BOB, TRACE, Out, Writer

OTHER = f"audit/step_04/trace_04.{BOB}.jsonl"


def record(path: Path, name: str, **more: Any) -> dict[str, Any]:
    """Return the payload that records *path* as the output *name*."""
    if path.is_dir():
        whole = directory_digest(path)
        payload = {"kind": "directory", "size": whole.size, "digest": whole.digest,
                   "entries": whole.entries}  # fmt: skip
    else:
        size, digest = file_digest(path)
        payload = {"kind": "file", "size": size, "digest": digest}
    return {"role": "output", "path": name, **payload, "node_id": "n", "node_index": 0, **more}


class Case:
    """A folder OUT with outputs, and the run that records them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = Out()
        self.writer = open_behind(Writer(self.out))

    def write(self, name: str, text: str = "text") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def output(self, name: str, *, writer: Writer | None = None, **more: Any) -> None:
        path = self.folder / name if not name.startswith("/") else Path(name)
        (writer or self.writer).put("artifact_written", **record(path, name, **more))

    def put(self, name: str, **payload: Any) -> None:
        self.writer.put("artifact_written", **{"role": "output", "path": name, **payload})

    def audit(self, **options: Any) -> AuditReport:
        self.writer.complete(completed=0)
        self.writer.close()
        save(self.out, self.folder)
        return audited(self.folder, **options)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def states(report: AuditReport) -> dict[str | None, str]:
    return {item.path: item.state for item in report.outputs.items}


def bad(report: AuditReport) -> list[str]:
    return [finding.code for finding in report.findings]


def test_an_output_as_it_was_recorded_is_ok(case: Case) -> None:
    case.write("out/table.csv")
    case.output("out/table.csv")

    report = case.audit()

    assert (report.verdict, report.exit_code()) == ("complete", 0)
    digest = file_digest(case.folder / "out/table.csv")[1]
    assert report.outputs.items == [
        Item(path="out/table.csv", state="ok", expected=digest, actual=digest,
             run_id="20260314-092653-alice1", node_id="n")
    ]  # fmt: skip
    assert report.outputs.ok == 1


@pytest.mark.parametrize("text", ["texT", "longer text", ""])
def test_a_changed_output_exits_1_and_is_named(case: Case, text: str) -> None:
    case.write("table.csv")
    case.output("table.csv")
    case.write("table.csv", text)

    report = case.audit()

    assert (report.verdict, report.exit_code()) == ("complete", 1)
    (item,) = report.outputs.items
    assert (item.state, item.actual) == ("changed", file_digest(case.folder / "table.csv")[1])
    (finding,) = report.findings
    assert (finding.code, finding.path, finding.line) == ("output_changed", TRACE, 3)
    assert "output table.csv: " in finding.message


def test_an_output_that_is_gone_is_missing(case: Case) -> None:
    case.write("a/table.csv")
    case.output("a/table.csv")
    (case.folder / "a/table.csv").unlink()

    report = case.audit()

    assert (bad(report), report.outputs.missing, report.exit_code()) == (["output_missing"], 1, 1)


def test_the_newest_record_of_a_path_counts(case: Case) -> None:
    case.write("table.csv", "one")
    case.output("table.csv")
    case.write("table.csv", "two")
    case.output("table.csv")

    report = case.audit()

    assert report.exit_code() == 0
    assert [item.state for item in report.outputs.items] == ["ok", "superseded"]


@pytest.mark.parametrize("newest", [ALICE, BOB])
def test_across_files_the_sort_time_decides(case: Case, newest: str) -> None:
    """A clock that steps back moves no record before those of its own file."""
    bob = Writer(case.out, BOB, file=OTHER)
    bob.open()
    first, second = (case.writer, bob) if newest == BOB else (bob, case.writer)
    case.write("table.csv", "old")
    case.output("table.csv", writer=first)
    case.write("table.csv", "new")
    second.put("message", level="note", text="the clock steps back behind this")
    second.put("artifact_written", ticks=-9, **record(case.folder / "table.csv", "table.csv"))
    bob.close()

    report = case.audit()

    assert [item.state for item in report.outputs.items] == ["ok", "superseded"]


def test_a_directory_is_compared_file_by_file(case: Case) -> None:
    for name in ("d/same", "d/changed", "d/gone", "d/sub/deep"):
        case.write(name)
    case.output("d")
    case.write("d/changed", "texT")
    (case.folder / "d/gone").unlink()
    case.write("d/sub/new")

    report = case.audit()

    assert states(report) == {
        "d": "changed",
        "d/changed": "changed",
        "d/gone": "missing",
        "d/sub/new": "untracked",
    }
    assert sorted(bad(report)) == sorted(
        ["output_changed", "output_changed", "output_missing", "output_untracked"]
    )


def test_a_directory_as_it_was_recorded_is_ok(case: Case) -> None:
    case.write("d/a")
    (case.folder / "d/link").symlink_to("a")
    (case.folder / "d/empty").mkdir()
    case.output("d")

    report = case.audit()

    assert (states(report), report.exit_code()) == ({"d": "ok"}, 0)


def test_a_new_file_alone_leaves_the_directory_ok(case: Case) -> None:
    case.write("d/a")
    case.output("d")
    case.write("d/b")

    report = case.audit()

    assert states(report) == {"d": "ok", "d/b": "untracked"}
    assert report.exit_code() == 1


def test_a_file_with_a_later_record_of_its_own_is_not_untracked(case: Case) -> None:
    case.write("d/a", "one")
    case.output("d")
    case.write("d/a", "two")
    case.output("d/a")
    case.write("d/b")
    case.output("d/b")

    report = case.audit()

    assert (states(report), report.exit_code()) == ({"d": "ok", "d/a": "ok", "d/b": "ok"}, 0)


def test_a_directory_supersedes_older_records_of_its_files(case: Case) -> None:
    case.write("d/a", "one")
    case.output("d/a")
    case.write("d/a", "two")
    case.output("d")

    report = case.audit()

    assert (states(report), report.exit_code()) == ({"d": "ok", "d/a": "superseded"}, 0)


@pytest.mark.parametrize("text", ["texT", "longer"])
def test_without_a_list_a_directory_is_just_changed(case: Case, text: str) -> None:
    case.write("d/a")
    case.output("d", entries=None)
    case.write("d/a", text)

    report = case.audit()

    assert (states(report), bad(report)) == ({"d": "changed"}, ["output_changed"])


def test_names_that_are_not_utf8_are_found_again(case: Case) -> None:
    try:
        case.write(os.fsdecode(b"d/a\xff\\"))
    except OSError:
        pytest.skip("this file system refuses such names")
    case.output("d")
    report = case.audit()

    assert (states(report), report.exit_code()) == ({"d": "ok"}, 0)


@pytest.mark.parametrize(
    ("make", "state", "actual"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "changed", "link:/etc/hostname"),
        (os.mkfifo, "changed", "special:fifo"),
        (Path.mkdir, "changed", None),
    ],
    ids=["link", "fifo", "directory"],
)
def test_what_stands_in_the_place_of_a_file_is_neither_followed_nor_opened(
    case: Case, make: Any, state: str, actual: str | None
) -> None:
    path = case.write("table.csv")
    case.output("table.csv")
    path.unlink()
    make(path)
    begin = time.monotonic()

    report = case.audit()

    (item,) = report.outputs.items
    assert (item.state, item.actual) == (state, actual)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    "name",
    ["../secret", "a/../../secret", "link/secret", ".", "", "a//b", "nul\0", "x" * 5000],
)
def test_a_path_never_leads_out_of_the_folder(case: Case, tmp_path: Path, name: str) -> None:
    """A trace may be a stranger's: what it names elsewhere is not read."""
    case.folder = tmp_path / "out"
    case.folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (case.folder / "link").symlink_to("..")
    size, digest = file_digest(tmp_path / "secret")
    case.put(name, kind="file", size=size, digest=digest)

    report = case.audit()

    (item,) = report.outputs.items
    assert (item.state, item.actual, report.exit_code()) == ("unverified", None, 0)


def test_an_absolute_path_is_read(case: Case, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("x")
    case.folder = tmp_path / "out"
    case.folder.mkdir()
    case.output(str(elsewhere))
    report = case.audit()

    assert states(report) == {str(elsewhere): "ok"}


def test_a_file_that_may_not_be_read_is_unverified(case: Case) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    case.write("table.csv").chmod(0)
    case.put("table.csv", kind="file", size=4, digest="sha256:0")

    assert states(case.audit()) == {"table.csv": "unverified"}


def test_a_file_of_the_kernel_does_not_hang_the_audit(case: Case) -> None:
    if not Path("/proc/kmsg").exists():
        pytest.skip("no such file here")
    for name in ("/proc/kmsg", "/proc/self/pagemap", "/dev/zero", "/dev/tty"):
        case.put(name, kind="file", size=0, digest="sha256:0")
    begin = time.monotonic()

    report = case.audit()

    assert set(states(report).values()) <= {"changed", "missing"}
    assert time.monotonic() - begin < 5


def test_an_output_without_a_digest_is_unverified(case: Case) -> None:
    case.write("a")
    case.put("a", kind="file")

    assert states(case.audit()) == {"a": "unverified"}


@pytest.mark.parametrize(
    "payload",
    [{"path": 5}, {"path": "a", "size": "x"}, {"path": "a", "entries": [[1]]}, {"role": 5}],
)
def test_an_event_that_does_not_fit_is_no_output(case: Case, payload: dict[str, Any]) -> None:
    case.writer.put("artifact_written", **{"role": "output", "path": "p", **payload})

    assert case.audit().outputs.items == []


def test_other_artifacts_are_no_outputs(case: Case) -> None:
    case.put("gone", role="scratch", kind="file", size=1, digest="sha256:0")

    assert case.audit().outputs.items == []


def test_a_result_is_recomputed_where_it_stands(case: Case) -> None:
    value = {"rows": 3.0, "b": [1e21, None]}
    case.writer.put("node_result", node_id="n", digest=json_digest(value), size=9, value=value)
    case.writer.put("node_result", node_id="m", digest=json_digest(1), size=1, value=2)
    case.writer.put("node_result", node_id="o", digest=json_digest(1), size=70_000)

    report = case.audit()

    assert [(item.node_id, item.state) for item in report.outputs.items] == [
        ("n", "ok"),
        ("m", "changed"),
        ("o", "unverified"),
    ]
    assert (told(report.findings), report.exit_code()) == ([("output_changed", 4)], 1)


def test_a_hash_of_the_callers_own_is_unverified(case: Case) -> None:
    for index in range(450):  # enough for the shape to be known
        case.writer.put("node_success", node_id=f"n{index}", node_index=index,
                        duration_seconds=0.1, output_hash="0123456789abcdef")  # fmt: skip
    case.writer.put("node_success", node_id="x", duration_seconds=0.1, output_hash=None)
    save(case.out, case.folder)

    report = audited(case.folder)

    assert report.outputs.unverified == 450
    assert {item.expected for item in report.outputs.items} == {"0123456789abcdef"}
    assert report.outputs.items[449].node_id == "n449"


def test_without_the_folder_relative_paths_are_unverified(case: Case) -> None:
    case.write("table.csv")
    case.output("table.csv")
    case.audit()
    copy = case.folder / "copy.jsonl"
    copy.write_bytes(case.out.trace())

    report = audited(copy)

    assert states(report) == {"table.csv": "unverified"}
    assert report.exit_code() == 0


def test_outputs_can_be_left_alone(case: Case) -> None:
    case.write("table.csv")
    case.output("table.csv")
    case.write("table.csv", "changed")

    assert case.audit(outputs=False).findings == []
    assert audited(case.folder, chain_only=True).findings == []


def test_many_outputs_are_read_by_several_threads_alike(case: Case) -> None:
    for n in range(60):
        case.write(f"out/{n}", str(n))
        case.output(f"out/{n}")
        if n % 7 == 0:
            case.write(f"out/{n}", "other")

    one = case.audit()
    two = audited(case.folder, jobs=2)

    assert one == two
    assert one.outputs.changed == 9
