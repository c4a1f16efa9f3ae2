"""When evidence cannot be written: one error, nothing cut off, a file that follows."""

import errno
import fcntl
import os
import re
import resource
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from observability import ExecutionObserver, files
from observability.journal import Journal, JournalError, OnError
from observability.log import AuditLog
from tests.writing.clock import ManualClock
from tests.writing.oracle import (
    BASE,
    REGISTRY,
    assert_complete,
    assert_each_once,
    assert_one_writer_at_a_time,
    count,
    events,
    judge,
    lines,
    traces,
    verdicts,
)

WORKFLOW = "step_04_failures"
TEXT = "x" * 300


@pytest.fixture(autouse=True)
def nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens, no file is truncated by a writer."""

    def refuse(*_: object) -> None:
        raise AssertionError("truncated")

    monkeypatch.setattr(os, "ftruncate", refuse)
    monkeypatch.setattr(os, "truncate", refuse)


def follower(out: Path) -> list[dict[str, object]]:
    """Return the lines of the only trace beside the first one."""
    (found,) = [found for name, found in traces(out).items() if name != BASE]
    return found


# --- Limits and full disks


def test_a_limit_on_file_size_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Each file is filled to its limit; the part of a line at its end is named by the next."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
            journal = Journal(tmp_path, WORKFLOW)
            refused: list[int | None] = []
            with (tmp_path / "acknowledged").open("w") as stream:
                for n in range(150):
                    try:
                        journal.append("tick", {"n": n, "text": TEXT})
                        stream.write(f"{n}\n")
                    except JournalError as error:
                        refused.append(error.errno)
            assert refused == [errno.EFBIG] * 4
            journal.close()
            status = 0
        except BaseException:  # noqa: BLE001 - told in the status
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0

    acknowledged = [int(n) for n in (tmp_path / "acknowledged").read_text().split()]
    assert_complete(tmp_path)
    assert_each_once(tmp_path, acknowledged)
    assert len(traces(tmp_path)) == 5
    torn = [path for path in tmp_path.glob(f"{BASE[:14]}*") if path.read_bytes()[-1:] != b"\n"]
    assert len(torn) == 4
    assert {path.stat().st_size for path in torn} == {20_000}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no small disk to be had: {error}")
    if done.returncode != 0:
        pytest.skip(f"no small disk to be had: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_an_error_each_time_and_over_when_there_is_space(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(400_000))
    journal = Journal(small_disk, WORKFLOW)
    acknowledged = []
    refused: list[int | None] = []
    for n in range(600):
        if len(refused) == 20:
            (small_disk / "ballast").unlink(missing_ok=True)
        try:
            journal.append("tick", {"n": n, "text": TEXT})
            acknowledged.append(n)
        except JournalError as error:
            refused.append(error.errno)
    journal.close()

    assert refused == [errno.ENOSPC] * 20
    assert_complete(small_disk)
    assert_each_once(small_disk, acknowledged)
    assert len(traces(small_disk)) <= 3


def test_a_full_disk_under_warn_drops_counts_and_says_so(small_disk: Path) -> None:
    clock = ManualClock()
    (small_disk / "ballast").write_bytes(bytes(400_000))
    journal = Journal(small_disk, WORKFLOW, on_error="warn", clock=clock)
    written, n = [], 0
    with pytest.warns(RuntimeWarning, match="dropped.*No space left"):  # noqa: PT031 - some time
        while journal.dropped == 0:
            written += [n] if journal.append("tick", {"n": n, "text": TEXT}) is not None else []
            n += 1
    for _ in range(100):
        assert journal.append("tick", {"n": n, "text": TEXT}) is None
        n += 1
    (small_disk / "ballast").unlink()
    clock.forward(2)
    assert journal.append("tick", {"n": n, "text": TEXT}) is not None
    journal.close()

    assert journal.dropped == 101
    assert [gap["dropped"] for gap in events(small_disk, "gap")] == [101]
    assert_each_once(small_disk, [*written, n])
    assert_complete(small_disk)


# --- What fails under the writer


def test_a_descriptor_that_somebody_closed_is_an_error_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    journal.append("tick", {"n": 1})
    assert journal._writer is not None
    os.close(journal._writer.file.fd)
    with pytest.raises(JournalError) as info:
        journal.append("tick", {"n": 2})
    journal.append("tick", {"n": 3})
    journal.close()

    assert info.value.errno == errno.EBADF
    assert info.value.filename == str(tmp_path / BASE)
    assert "the 2 lines before it are intact" in str(info.value)
    assert_each_once(tmp_path, [1, 3])


@contextmanager
def failing_once(name: str, after: int = 0) -> Iterator[None]:
    """Let the function *name* of `os` fail with EIO after so many calls, once."""
    original = getattr(os, name)
    left = [after]

    def fail(*arguments: object, **more: object) -> object:
        left[0] -= 1
        if left[0] == -1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, fail)
        yield


@pytest.mark.parametrize("call", ["write", "fdatasync", "fstat", "stat"])
def test_each_call_that_fails_is_one_error_and_a_file_that_follows(
    tmp_path: Path, call: str
) -> None:
    journal = Journal(tmp_path, WORKFLOW, durability="always")
    journal.append("tick", {"n": 1})
    with failing_once(call), pytest.raises(JournalError) as info:
        journal.append("tick", {"n": 2})
    journal.append("tick", {"n": 3})
    journal.close()

    assert info.value.errno == errno.EIO
    if call != "fdatasync":  # else see below
        assert_complete(tmp_path)
    found = count(tmp_path)
    assert max(found.values()) == 1
    assert {1, 3} <= set(found) <= {1, 2, 3}
    assert follower(tmp_path)[0]["follows"]["path"] == BASE  # type: ignore[index]


@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "fsync", "fstat", "pread", "mkdir"])
def test_an_opening_that_fails_anywhere_leaves_nothing_that_nobody_names(
    memory: Path, call: str
) -> None:
    """At each of its calls in turn, for a new trace and for one that is continued."""
    for after in range(40):
        out = memory / str(after)
        failed = 0
        for n in range(2):
            with failing_once(call, after):
                try:
                    journal = Journal(out, WORKFLOW)
                except JournalError as error:
                    assert error.errno == errno.EIO  # noqa: PT017 - it may also succeed
                    failed += 1
                    continue
            journal.append("tick", {"n": n})
            journal.close()
        Journal(out, WORKFLOW).close()
        assert set(verdicts(out).values()) == {"complete"}, (after, judge(out))
        assert_one_writer_at_a_time(out)
        if not failed:
            return
    pytest.fail("it has more calls than that")


@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync", "fstat", "open"])
def test_a_file_that_follows_and_fails_too_is_named_by_the_next(memory: Path, call: str) -> None:
    for after in range(20):
        out = memory / str(after)
        journal = Journal(out, WORKFLOW)
        acknowledged = []
        with failing_once("write"), pytest.raises(JournalError):
            journal.append("tick", {"n": 0})
        with failing_once(call, after):
            for n in range(1, 4):
                try:
                    journal.append("tick", {"n": n})
                    acknowledged.append(n)
                except JournalError as error:
                    assert error.errno == errno.EIO  # noqa: PT017 - it may also succeed
        journal.append("tick", {"n": 4})
        journal.close()

        assert set(verdicts(out).values()) == {"complete"}, (after, judge(out))
        found = count(out)
        assert max(found.values()) == 1
        assert set(acknowledged) <= set(found)


def test_after_a_sync_that_failed_only_what_was_synced_before_is_named(tmp_path: Path) -> None:
    """The next fsync succeeds: the system has dropped the pages that it could not write."""
    journal = Journal(tmp_path, WORKFLOW, durability="always")
    journal.append("tick", {"n": 1})
    with failing_once("fdatasync"), pytest.raises(JournalError):
        journal.append("tick", {"n": 2})
    journal.append("tick", {"n": 3})
    journal.close()

    named = follower(tmp_path)[0]["follows"]
    assert (named["lines"], named["fragment"]) == (2, None)  # type: ignore[index]
    # Behind these 2 lines stands a third, whose end nobody can prove.
    assert judge(tmp_path)[BASE] == ("intact-prefix", ("live",))
    assert verdicts(tmp_path)[REGISTRY] == "complete"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_short_writes_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:size]))
    journal = Journal(tmp_path, WORKFLOW)
    for n in range(5):
        journal.append("tick", {"n": n})
    journal.close()

    assert list(traces(tmp_path)) == [BASE]
    assert_complete(tmp_path)
    assert_each_once(tmp_path, range(5))


def test_a_part_of_a_line_is_named_as_a_fragment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    size = (tmp_path / BASE).stat().st_size
    write = os.write
    parts = iter([100])

    def write_a_part(fd: int, data: bytes) -> int:
        if (part := next(parts, None)) is not None:
            return write(fd, data[:part])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_a_part)
        with pytest.raises(JournalError):
            journal.append("tick", {"n": 1})
    journal.append("tick", {"n": 2})
    journal.close()

    data = (tmp_path / BASE).read_bytes()
    assert len(data) == size + 100
    assert follower(tmp_path)[0]["follows"] == {
        **lines(tmp_path / REGISTRY)[0]["trace"],
        "fragment": {
            "offset": size,
            "length": 100,
            "sha256": sha256(data[size:]).hexdigest(),
        },
    }
    assert_each_once(tmp_path, [2])
    assert_complete(tmp_path)


# --- A file that others change


def remove(path: Path) -> None:
    path.rename(path.parent.parent / "moved")


def replace(path: Path) -> None:
    remove(path)
    path.write_bytes(b"another file\n")


def shorten(path: Path) -> None:
    shutil.copyfile(path, path.parent.parent / "moved")
    os.system(f"truncate -s 10 {path}")


def lengthen(path: Path) -> None:
    shutil.copyfile(path, path.parent.parent / "moved")
    with path.open("ab") as stream:
        stream.write(b"not yours\n")


@pytest.mark.parametrize(
    ("change", "number", "words"),
    [
        (remove, errno.ENOENT, "removed while it was written"),
        (replace, errno.ESTALE, "replaced while it was written"),
        (shorten, errno.ESTALE, "changed while it was written: [0-9]+ bytes, want [0-9]+"),
        (lengthen, errno.ESTALE, "changed while it was written: [0-9]+ bytes, want [0-9]+"),
    ],
)
def test_a_file_that_was_changed_is_an_error_at_the_next_sync_and_is_followed(
    tmp_path: Path, change: object, number: int, words: str
) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path, WORKFLOW, clock=clock)
    journal.append("tick", {"n": 1})
    clock.forward(1)
    journal.append("tick", {"n": 2})  # synced
    change(tmp_path / BASE)  # type: ignore[operator]
    journal.append("tick", {"n": 3})
    clock.forward(1)
    with pytest.raises(JournalError, match=words) as info:
        journal.append("tick", {"n": 4})
    journal.append("tick", {"n": 5})
    journal.close()

    assert info.value.errno == number
    assert info.value.filename == str(tmp_path / BASE)
    judged = verdicts(tmp_path)
    assert judged[BASE] == "tampered"
    assert [verdict for name, verdict in judged.items() if name != BASE] == ["complete"] * 2
    changed = tmp_path / BASE
    (tmp_path / "audit" / "moved").rename(changed)
    opened, five, _ = follower(tmp_path)
    assert five["n"] == 5
    assert opened["follows"]["path"] == BASE  # type: ignore[index]
    assert opened["follows"]["lines"] >= 3  # type: ignore[index]


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW, durability="always")
    shutil.rmtree(tmp_path / "audit")
    with pytest.raises(JournalError, match="removed while it was written"):
        journal.append("tick", {"n": 1})
    journal.append("tick", {"n": 2})
    journal.close()

    assert_each_once(tmp_path, [2])


# --- on_error


def test_under_warn_the_work_goes_on_and_new_files_are_tried_with_back_off(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    obstacle = tmp_path / "audit"
    obstacle.write_text("")
    tried = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        journal = Journal(tmp_path, WORKFLOW, on_error="warn", clock=clock)
        for second in range(300):
            n_said = len(said)
            assert journal.append("tick", {"n": second}) is None
            if len(said) > n_said:
                tried.append(second)
            clock.forward(1)
    assert tried == [1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert journal.dropped == 300
    assert str(journal.trace_path) == str(tmp_path / BASE)

    obstacle.unlink()
    clock.forward(60)
    assert journal.append("tick", {"n": "after"}) is not None
    journal.close()

    kinds = [(line["event_type"], line.get("dropped")) for line in lines(tmp_path / BASE)]
    assert kinds == [
        ("writer_opened", None),
        ("gap", 300),
        ("tick", None),
        ("writer_closed", None),
    ]
    assert_complete(tmp_path)


def test_under_warn_what_was_dropped_is_said_at_closing_too(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path, WORKFLOW, on_error="warn", clock=clock)
    with failing_once("write"), pytest.warns(RuntimeWarning, match="Input/output error"):
        assert journal.append("tick", {"n": 1}) is None
    assert journal.append("tick", {"n": 2}) is None
    journal.close()

    assert [gap["dropped"] for gap in events(tmp_path, "gap")] == [2]
    assert count(tmp_path) == {}
    assert_complete(tmp_path)


def test_under_warn_an_event_that_was_not_synced_is_not_counted_as_dropped(tmp_path: Path) -> None:
    """It stands in the file: to say it was dropped would be as wrong as to say it was kept."""
    journal = Journal(tmp_path, WORKFLOW, on_error="warn", durability="always")
    with failing_once("fdatasync"), pytest.warns(RuntimeWarning, match="1 lines are safe"):
        assert journal.append("tick", {"n": 1}) is not None
    journal.close()

    assert journal.dropped == 0
    assert_each_once(tmp_path, [1])


def test_under_warn_an_end_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW, on_error="warn")
    (tmp_path / BASE).unlink()
    with pytest.warns(RuntimeWarning, match="the trace was not closed.*removed"):
        journal.close()
    assert journal.closed


def test_under_raise_the_end_of_a_journal_that_failed_is_quiet(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORKFLOW)
    with failing_once("write"), pytest.raises(JournalError):
        journal.append("tick", {"n": 1})
    journal.close()
    Journal(tmp_path, WORKFLOW).close()

    assert_complete(tmp_path)


def test_errors_name_where_what_is_good_and_what_comes(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OSError, match="Not a directory") as info:
        Journal(tmp_path / "out", WORKFLOW)

    assert type(info.value) is JournalError
    assert info.value.filename.startswith(str(tmp_path / "out"))
    assert isinstance(info.value.__cause__, OSError)


# --- What a system cannot do


def test_a_file_system_without_locks_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(JournalError, match="must support flock") as info:
        Journal(tmp_path, WORKFLOW)
    assert info.value.errno == errno.ENOLCK
    assert not (tmp_path / BASE).exists()


def test_folders_that_cannot_be_synced_and_drives_without_full_sync_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems and, for F_FULLFSYNC, on macOS."""

    def refuse(_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(files, "_FULL_SYNC", 51)
    Journal(tmp_path, WORKFLOW).close()

    assert_complete(tmp_path)


# --- The log


def test_a_log_that_could_not_be_written_goes_on_with_whole_lines_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(tmp_path / "log")
    log.write(["one"])
    write = os.write
    parts = iter([2])

    def write_a_part(fd: int, data: bytes) -> int:
        if (part := next(parts, None)) is not None:
            return write(fd, data[:part])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_a_part)
        log.write(["two", "three"])
        log.write(["four"])
    log.write(["five"])
    log.write(["six"])
    log.close()

    assert log.error is not None
    assert log.error.errno == errno.ENOSPC
    assert (tmp_path / "log").read_text().splitlines() == [
        "one",
        "tw",
        "(3 lines lost here: the log could not be written)",
        "five",
        "six",
    ]


# --- Programs on a full disk

PROGRAM = """
import sys, warnings
from observability import ExecutionObserver

place, policy, then = sys.argv[1:]
obs = ExecutionObserver("step_04_small", place, on_error=policy)
refused = 0
for n in range(3_000):
    try:
        with obs.node("n", n):
            pass
    except OSError:
        refused += 1
        if refused == 3:
            break
if then == "space":
    import os
    os.unlink(place + "/ballast")
try:
    obs.workflow_complete()
except OSError as error:
    print("RAISED", error.errno)
print("DONE", obs.nodes_completed)
"""


def run_program(place: Path, policy: str, then: str) -> subprocess.CompletedProcess[str]:
    (place / "ballast").write_bytes(bytes(300_000))
    arguments = [sys.executable, "-W", "always", "-c", PROGRAM, str(place), policy, then]
    return subprocess.run(arguments, capture_output=True, text=True, check=True)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "observability", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_program_on_a_full_disk_under_warn_goes_on_and_its_summary_counts_what_was_lost(
    small_disk: Path,
) -> None:
    """Not even the `gap` has room: stdout is the one place left to say it."""
    done = run_program(small_disk, "warn", "nothing")

    kept = len(events(small_disk, "node_start")) + len(events(small_disk, "node_success"))
    lost = re.search(r"^ Events lost: (\d+) ", done.stdout, re.MULTILINE)
    assert lost is not None
    assert kept + int(lost[1]) == 2 * 3_000 + 1
    assert f"DONE {len(events(small_disk, 'node_success'))}" in done.stdout
    assert "events are being dropped: [Errno 28]" in done.stderr
    assert "Traceback" not in done.stderr
    listed = run_command("ls", "--json", str(small_disk))
    assert '"status":"interrupted"' in listed.stdout
    assert_each_once(small_disk, [])


def test_a_gap_is_said_by_log_summary_ls_show_and_report_once_there_is_room(
    small_disk: Path,
) -> None:
    done = run_program(small_disk, "warn", "space")

    (gap,) = events(small_disk, "gap")
    lost = gap["dropped"]
    assert isinstance(lost, int)
    said = f" Events lost: {lost} "
    assert said in done.stdout
    log = (small_disk / "audit" / "step_04" / "log_04.log").read_text()
    assert said in log
    assert f'GAP | {{"dropped":{lost},' in log
    assert '"status":"succeeded"' in run_command("ls", "--json", str(small_disk)).stdout
    assert f"{lost} events lost" in run_command("ls", str(small_disk)).stdout
    assert f"{lost} events not recorded" in run_command("show", str(small_disk)).stdout
    assert f'"events_dropped":{lost}' in run_command("ls", "--json", str(small_disk)).stdout
    assert_complete(small_disk)


def test_a_program_on_a_full_disk_under_raise_gets_the_error_and_no_traceback_at_its_end(
    small_disk: Path,
) -> None:
    done = run_program(small_disk, "raise", "nothing")

    assert f"RAISED {errno.ENOSPC}" in done.stdout
    assert "Traceback" not in done.stderr
    assert set(verdicts(small_disk).values()) <= {"complete", "intact-prefix"}


def observe_under_limit(out: Path, policy: OnError, limit: int) -> int:
    """Run a program whose files may not be longer than *limit* bytes; return its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        warnings.simplefilter("ignore")
        with ExecutionObserver("step_04_end", out, 2, on_error=policy) as obs:
            for n in range(2):
                with obs.node("n", n):
                    pass
        status = 0
    except JournalError:
        status = 3
    except BaseException:  # noqa: BLE001 - told in the status
        traceback.print_exc()
    finally:
        os._exit(status)


@pytest.mark.parametrize(("policy", "wanted"), [("raise", {0, 3}), ("warn", {0})])
def test_wherever_there_is_no_more_room_what_is_there_is_right_and_the_end_is_no_surprise(
    memory: Path, policy: OnError, wanted: set[int]
) -> None:
    """Opening, nodes, terminal event, closing line, registry line, derived files."""
    assert observe_under_limit(memory / "whole", policy, 1 << 20) == 0
    size = (memory / "whole" / BASE).stat().st_size
    for limit in range(100, size + 100, 149):
        out = memory / str(limit)
        assert observe_under_limit(out, policy, limit) in wanted, limit
        judged = judge(out)
        assert "tampered" not in {found.verdict for found in judged.values()}, (limit, judged)
        for path in traces(out):
            assert (out / path).stat().st_size <= limit
