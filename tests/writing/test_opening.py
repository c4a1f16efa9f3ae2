"""Which file a writer appends to, whatever it finds where the trace should be."""

import errno
import itertools
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from observability.journal import Journal, JournalError
from replay.trace.host import this_process
from tests.reading.traces import TraceBuilder, older_lines
from tests.writing.oracle import BASE, REGISTRY, assert_complete, judge, lines, traces

WORKFLOW = "step_04_opening"
STEP = "audit/step_04"


def run(out: Path, n: int = 1) -> Path:
    """Write one run in good order and return its trace."""
    journal = Journal(out, WORKFLOW)
    journal.append("tick", {"n": n})
    journal.close()
    return journal.trace_path


def leave_unclosed(out: Path, n: int = 1) -> None:
    """Write a run in a process that ends without closing."""
    pid = os.fork()
    if pid == 0:
        try:
            Journal(out, WORKFLOW).append("tick", {"n": n})
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def opened(path: Path) -> dict[str, Any]:
    """Return the last `writer_opened` in *path*."""
    return [line for line in lines(path) if line["event_type"] == "writer_opened"][-1]


def whole_file(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"offset": 0, "length": len(data), "sha256": sha256(data).hexdigest()}


def place(out: Path) -> Path:
    """Make the step's folder and return where its trace should be."""
    path = out / BASE
    path.parent.mkdir(parents=True)
    return path


# --- Continuing


def test_a_new_trace_says_who_writes_it(tmp_path: Path) -> None:
    path = run(tmp_path)

    first, event, last = lines(path)
    assert path == tmp_path / BASE
    assert first["event_type"] == "writer_opened"
    assert first["durability"] == "interval"
    assert first["process"] == {
        key: value
        for key in ("host", "boot_id", "pid", "start_time", "pid_ns")
        if (value := getattr(this_process(), key)) is not None
    }
    assert set(first["versions"]) == {"auditfold", "python"}
    assert "follows" not in first
    assert "registry" not in first
    assert (event["event_type"], last["event_type"]) == ("tick", "writer_closed")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert_complete(tmp_path)


def test_registry_and_trace_hold_each_others_hash(tmp_path: Path) -> None:
    for n in range(3):
        run(tmp_path, n)

    told = lines(tmp_path / REGISTRY)
    trace = lines(tmp_path / BASE)
    assert [line["event_type"] for line in told] == ["writer_opened", "writer_closed"] * 3
    for line in told:
        reach = line["trace"]
        assert reach["path"] == BASE
        assert trace[reach["lines"] - 1]["hash"] == reach["hash"]
        assert trace[reach["lines"] - 1]["writer"] == reach["writer"] == line["writer"]
    for line in trace:
        if registry := line.get("registry"):
            assert told[registry["lines"] - 1]["hash"] == registry["hash"]
    assert trace[3]["follows"] == {**told[1]["trace"]} == told[2]["follows"]


@pytest.mark.parametrize("closed", [True, False])
def test_a_whole_file_is_continued(tmp_path: Path, *, closed: bool) -> None:
    if closed:
        run(tmp_path)
    else:
        leave_unclosed(tmp_path)
    before = (tmp_path / BASE).read_bytes()

    assert run(tmp_path, 2) == tmp_path / BASE

    old = orjson.loads(before.split(b"\n")[-2])
    assert (tmp_path / BASE).read_bytes().startswith(before)
    assert opened(tmp_path / BASE)["follows"] == {
        "path": BASE,
        "writer": old["writer"],
        "lines": old["seq"] + 1,
        "hash": old["hash"],
        "fragment": None,
    }
    assert_complete(tmp_path)


def test_a_trace_of_more_than_a_megabyte_a_line_is_continued(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    for _ in range(3):
        journal.append("tick", {"text": "x" * 1_040_000})
    journal.close()

    assert run(tmp_path) == tmp_path / BASE
    assert_complete(tmp_path)


def test_every_cut_of_the_last_line_is_named(memory: Path) -> None:
    """A process may be killed between any two bytes of its last line."""
    leave_unclosed(memory / "whole")
    data = (memory / "whole" / BASE).read_bytes()
    begin = data.rfind(b"\n", 0, -1) + 1
    for cut in range(begin, len(data)):
        out = memory / str(cut)
        shutil.copytree(memory / "whole", out)
        os.truncate(out / BASE, cut)

        follower = run(out, 2)

        assert_complete(out)
        assert (out / BASE).read_bytes()[:cut] == data[:cut]
        if cut == begin:
            assert follower == out / BASE
            continue
        assert (out / BASE).stat().st_size == cut
        follows = opened(follower)["follows"]
        assert (follows["path"], follows["lines"]) == (BASE, 1)
        assert follows["fragment"] == {
            "offset": begin,
            "length": cut - begin,
            "sha256": sha256(data[begin:cut]).hexdigest(),
        }


def test_every_cut_of_the_first_line_is_named(memory: Path) -> None:
    """The registry has no line of that writer then, and the file none either."""
    run(memory / "whole")
    data = (memory / "whole" / BASE).read_bytes().split(b"\n")[0]
    for cut in range(len(data) + 1):
        out = memory / str(cut)
        path = place(out)
        path.write_bytes(data[:cut])
        (out / REGISTRY).touch()

        follower = run(out, 2)

        assert_complete(out)
        if cut == 0:
            assert follower == path
            continue
        assert opened(follower)["follows"] == {
            "path": BASE,
            "writer": None,
            "lines": 0,
            "hash": None,
            "fragment": whole_file(path),
        }


def test_a_writer_killed_before_the_registry_knew_it_is_made_known_by_the_next(
    tmp_path: Path,
) -> None:
    leave_unclosed(tmp_path)
    os.truncate(tmp_path / REGISTRY, 0)
    os.truncate(tmp_path / BASE, (tmp_path / BASE).read_bytes().index(b"\n") + 1)

    assert run(tmp_path) == tmp_path / BASE
    assert_complete(tmp_path)


# --- What cannot be continued


def test_a_damaged_last_line_is_left_alone(tmp_path: Path) -> None:
    leave_unclosed(tmp_path)
    path = tmp_path / BASE
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)

    follower = run(tmp_path)

    assert path.read_bytes() == data
    assert opened(follower)["follows"]["fragment"] == whole_file(path)
    judged = judge(tmp_path)
    assert judged[BASE].verdict == "tampered"
    assert judged[follower.relative_to(tmp_path).as_posix()].verdict == "complete"


@pytest.mark.parametrize(
    "data",
    [
        b"".join(older_lines()),
        b"\x00\xff" * 5000,
        b"\n",
        b"\n\n\n",
        b"{}\n",
        b"{" * 100_000 + b"\n",
        b"x" * 5_000_000,
        b"x" * 5_000_000 + b"\n",
        b'{"v":1,"seq":0,"event_type":"gap","fragment":{"offset":-9}}\n',
    ],
    ids=["older", "binary", "newline", "newlines", "object", "nested", "long", "long_line", "gap"],
)
def test_a_file_that_is_no_trace_of_this_version_is_followed(tmp_path: Path, data: bytes) -> None:
    path = place(tmp_path)
    path.write_bytes(data)

    first, second = run(tmp_path), run(tmp_path)

    assert path.read_bytes() == data
    assert first == second != path
    follows = lines(first)[0]["follows"]
    assert follows == {
        "path": BASE,
        "writer": None,
        "lines": 0,
        "hash": None,
        "fragment": whole_file(path),
    }
    assert judge(tmp_path)[first.relative_to(tmp_path).as_posix()].verdict == "complete"


def test_a_newer_version_is_followed(tmp_path: Path) -> None:
    trace = TraceBuilder(name=BASE, workflow_id=WORKFLOW)
    trace.open()
    path = trace.save(tmp_path)
    newer = path.read_bytes().replace(b'{"v":1,', b'{"v":2,')
    path.write_bytes(newer)

    follower = run(tmp_path)

    assert path.read_bytes() == newer
    assert opened(follower)["follows"]["fragment"] == whole_file(path)


def test_a_last_line_may_have_any_payload(tmp_path: Path) -> None:
    """A payload key 'fragment' kept every later run from opening the trace."""
    values = ["text", {"offset": 1}, {"offset": 0, "length": 1, "sha256": "x"}, None, 5]
    for value in values:
        pid = os.fork()
        if pid == 0:
            try:
                Journal(tmp_path, WORKFLOW).append("tick", {"fragment": value, "trace": 1})
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    run(tmp_path)

    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)


def symbolic_link(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    (path.parent / "elsewhere").write_bytes(b"precious")


def dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def link_to_a_trace(path: Path) -> None:
    run(path.parent / "other")
    path.symlink_to(path.parent / "other" / BASE)


def hard_link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"precious")
    os.link(path.parent / "elsewhere", path)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"precious")


@pytest.mark.parametrize(
    "obstacle", [symbolic_link, dangling_link, link_to_a_trace, hard_link, fifo, folder]
)
def test_what_is_no_regular_file_is_followed_by_its_name(
    tmp_path: Path, obstacle: Callable[[Path], None]
) -> None:
    path = place(tmp_path)
    obstacle(path)
    before = [
        (p, p.read_bytes()) for p in sorted(path.parent.rglob("*")) if p.is_file() and p != path
    ]
    kind = path.lstat().st_mode
    began = time.monotonic()

    first, second = run(tmp_path), run(tmp_path)

    assert time.monotonic() - began < 5  # it waits for nobody at the other end
    assert first == second != path
    follows = lines(first)[0]["follows"]
    assert follows == {
        "path": BASE,
        "writer": None,
        "lines": 0,
        "hash": None,
        "fragment": None,
    }
    assert path.lstat().st_mode == kind
    assert [(p, p.read_bytes()) for p, _ in before] == before


# --- Others who write


def test_two_journals_at_once_have_a_file_each(tmp_path: Path) -> None:
    journals = [Journal(tmp_path, WORKFLOW) for _ in range(3)]
    for n, journal in enumerate(journals):
        journal.append("tick", {"n": n})
    for journal in journals:
        journal.close()

    assert len({journal.trace_path for journal in journals}) == 3
    assert all("follows" not in found[0] for found in traces(tmp_path).values())
    assert_complete(tmp_path)
    assert run(tmp_path) == tmp_path / BASE


def test_what_a_live_writer_has_is_followed_by_none(tmp_path: Path) -> None:
    """Even where its file has a torn line: it may be about to end it."""
    with_lock = Journal(tmp_path, WORKFLOW)
    with (tmp_path / BASE).open("ab") as stream:
        stream.write(b"{")
    other = run(tmp_path)

    assert "follows" not in lines(other)[0]
    with pytest.raises(JournalError):
        with_lock.close()


# --- Successions


def test_a_hundred_runs_behind_a_torn_file_make_one_file(memory: Path) -> None:
    leave_unclosed(memory)
    with (memory / BASE).open("ab") as stream:
        stream.write(b'{"v":1,"se')
    for n in range(100):
        leave_unclosed(memory, n)
    run(memory)

    assert len(traces(memory)) == 2
    assert_complete(memory)


def test_a_chain_of_torn_files_is_followed_to_its_end(memory: Path) -> None:
    names = [BASE]
    leave_unclosed(memory)
    for n in range(5):
        with (memory / names[-1]).open("ab") as stream:
            stream.write(b"{" * (n + 1))
        leave_unclosed(memory, n)
        names += sorted(set(traces(memory)) - set(names))
    assert len(names) == 6
    assert run(memory) == memory / names[-1]

    for before, name in itertools.pairwise(names):
        assert traces(memory)[name][0]["follows"]["path"] == before
    assert_complete(memory)


def follower_of(path: str, **changed: Any) -> bytes:
    """Return a trace whose first line says it follows *path*."""
    trace = TraceBuilder(workflow_id=WORKFLOW, writer="20260101t000000-0000000000")
    extent = {"path": path, "writer": None, "lines": 0, "hash": None, "fragment": None}
    trace.open(follows={**extent, **changed})
    return bytes(trace)


def test_files_that_follow_each_other_are_passed_over(tmp_path: Path) -> None:
    path = place(tmp_path)
    path.write_bytes(b"torn")
    one, two, own, base = (f"{STEP}/trace_04.{letter}.jsonl" for letter in "abcd")
    for name, follows in [(one, two), (two, one), (own, own)]:
        (tmp_path / name).write_bytes(follower_of(follows) + b"torn")
    fragment = {"offset": 0, "length": 4, "sha256": ""}
    (tmp_path / base).write_bytes(follower_of(BASE, fragment=fragment) + b"torn")

    assert opened(run(tmp_path))["follows"]["path"] == base


def test_a_file_that_went_on_behind_its_follower_is_followed_again(tmp_path: Path) -> None:
    """The follower was continued for ever, and the end of what came since was named by nobody."""
    failing = Journal(tmp_path, WORKFLOW)
    os.close(failing._writer.file.fd)  # type: ignore[union-attr]
    with pytest.raises(JournalError):
        failing.append("tick", {"n": 1})
    run(tmp_path, 2)  # goes on in the first file
    failing.append("tick", {"n": 3})  # in a file that follows it as it was
    failing.close()
    leave_unclosed(tmp_path, 4)
    with (tmp_path / BASE).open("ab") as stream:
        stream.write(b"torn")

    last = run(tmp_path, 5)

    assert len(traces(tmp_path)) == 3
    assert opened(last)["follows"]["fragment"]["length"] == 4
    assert run(tmp_path, 6) == last
    assert_complete(tmp_path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"trace_04.\xff\xfe.jsonl", follower_of(BASE)),
        (b"trace_04.a\nb.jsonl", follower_of(BASE)),
        (b"trace_04.x.jsonl", b'{"event_type":"writer_opened","writer":"w","x":' + b"[" * 99_999),
        (b"trace_04.x.jsonl", b'{"event_type":"writer_opened","writer":"w","follows":7}\n'),
        (b"trace_04.x.jsonl", b"[" * 2_000_000),
        (b"trace_04.x.jsonl", b""),
        (b"trace_04.x.jsonl", b"\xff\n"),
        (b"trace_04.x.jsonl", follower_of("../../../etc/passwd")),
        (b"trace_04.x.jsonl", follower_of("/etc/passwd")),
    ],
)
def test_a_hostile_neighbour_is_passed_over(tmp_path: Path, name: bytes, data: bytes) -> None:
    """A file name that is no text, or a first line nested deeply, kept every run from opening."""
    path = place(tmp_path)
    path.write_bytes(b"torn")
    neighbour = path.parent / os.fsdecode(name)
    neighbour.write_bytes(data)

    follower = run(tmp_path)

    assert opened(follower)["follows"]["path"] == BASE
    assert neighbour.read_bytes() == data


# --- Where it cannot be written


def test_an_output_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(JournalError, match="no event was written there") as info:
        Journal(tmp_path / "out", WORKFLOW)
    assert info.value.errno == errno.ENOTDIR

    (tmp_path / "audit").write_text("")
    with pytest.raises(JournalError) as info:
        Journal(tmp_path, WORKFLOW)
    assert info.value.errno in {errno.EEXIST, errno.ENOTDIR}


@pytest.mark.parametrize("dangling", [True, False])
def test_a_step_folder_that_is_a_link_is_refused(tmp_path: Path, *, dangling: bool) -> None:
    """Readers pass over it, so what is written there would be missing."""
    (tmp_path / "audit").mkdir()
    (tmp_path / STEP).symlink_to(tmp_path / "elsewhere")
    if not dangling:
        (tmp_path / "elsewhere").mkdir()

    with pytest.raises(JournalError):
        Journal(tmp_path, WORKFLOW)
    if not dangling:
        assert list((tmp_path / "elsewhere").iterdir()) == []


AS_NOBODY = """
import os, sys
from observability.journal import Journal, JournalError
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    journal = Journal(sys.argv[1], "step_04_opening")
    journal.close()
    print(journal.trace_path.name)
except JournalError as error:
    print(type(error).__name__, error.errno, error.filename)
"""


def as_nobody(out: Path) -> str:
    """Run a writer as a user with no rights, and return what it says."""
    for parent in [out, *out.parents[:-1]]:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AS_NOBODY, str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_folder_that_may_not_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)

    assert as_nobody(tmp_path / "out") == f"JournalError {errno.EACCES} {tmp_path}/out/audit"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_trace_that_may_not_be_read_is_followed(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / BASE).chmod(0o000)
    (tmp_path / REGISTRY).chmod(0o666)
    (tmp_path / BASE).parent.chmod(0o777)

    name = as_nobody(tmp_path) if os.geteuid() == 0 else run(tmp_path).name
    (tmp_path / BASE).chmod(0o640)

    assert name != "trace_04.jsonl"
    follows = lines(tmp_path / STEP / name)[0]["follows"]
    assert (follows["path"], follows["lines"], follows["hash"]) == (BASE, 0, None)
    assert_complete(tmp_path)


def test_an_error_names_the_file_that_was_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file beside the step's trace has another name until its first line is written."""
    first = Journal(tmp_path, WORKFLOW)
    for call in ("open", "write"):
        original = getattr(os, call)

        def fail(*arguments: Any, original: Callable[..., Any] = original) -> Any:
            if ".new" in str(arguments[0]) or "writer_op" in str(arguments[1]):
                raise OSError(errno.EIO, os.strerror(errno.EIO), arguments[0])
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(JournalError) as info:
                Journal(tmp_path, WORKFLOW)
        name = Path(info.value.filename).name
        assert name.startswith("trace_04.")
        assert name.endswith(".jsonl")
    first.close()
    assert [path.name for path in (tmp_path / STEP).iterdir()] == ["trace_04.jsonl"]


def test_a_killed_writer_leaves_no_file_without_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty trace beside the step's own was audited as such for ever: nobody continues it."""
    first = Journal(tmp_path, WORKFLOW)
    pid = os.fork()
    if pid == 0:
        monkeypatch.setattr(os, "write", lambda *_: os._exit(0))
        first.append("tick", {})
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    first.close()

    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)


def test_folders_that_are_made_at_the_same_time_are_no_error(tmp_path: Path) -> None:
    children = []
    for _ in range(12):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                run(tmp_path / "deep" / "deeper")
                status = 0
            finally:
                os._exit(status)
        children.append(pid)

    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 12
    assert_complete(tmp_path / "deep" / "deeper")


@pytest.mark.parametrize(
    "workflow_id", ["a/b", "", ".", "..", "a\nb", "x" * 201, "\ud800", "a\x00"]
)
def test_a_workflow_id_is_refused_before_any_file_is_made(tmp_path: Path, workflow_id: str) -> None:
    with pytest.raises(ValueError, match="workflow_id"):
        Journal(tmp_path / "out", workflow_id)
    assert not (tmp_path / "out").exists()


def test_other_arguments_are_refused_before_any_file_is_made(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"durability": "sometimes"},
        {"on_error": "ignore"},
        {"redact": 5},
        {"redact": [("name", "(")]},
    ]
    for arguments in wrong:
        with pytest.raises((ValueError, TypeError)):
            Journal(tmp_path / "out", WORKFLOW, **arguments)
    with pytest.raises(TypeError):
        Journal(tmp_path / "out", 5)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
