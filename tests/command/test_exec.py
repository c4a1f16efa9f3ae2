"""`auditfold exec`: any program is a node, and does what it would do without."""

import hashlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import pytest

from replay.audit.audit import audit
from replay.digest import file_digest
from tests.command.running import AUDITFOLD, TIMEOUT_S, environment

STEP: Final = "audit/step_00"
Done = subprocess.CompletedProcess[bytes]


def run(out: Path, *words: str | Path, options: Sequence[str | Path] = (), **more: Any) -> Done:
    """Run `auditfold exec --dir OUT OPTIONS -- WORDS`."""
    env = environment(**more.pop("env", {}))
    return subprocess.run(
        [*AUDITFOLD, "exec", "--dir", str(out), *map(str, options), "--", *map(str, words)],
        check=False,
        timeout=TIMEOUT_S,
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": env,
            **more,
        },
    )


def shell(out: Path, text: str, **more: Any) -> Done:
    return run(out, "sh", "-c", text, **more)


def python(out: Path, text: str, **more: Any) -> Done:
    return run(out, sys.executable, "-c", text, **more)


def events(out: Path) -> list[dict[str, Any]]:
    """Return all events, in the order of their time."""
    found = [
        json.loads(line)
        for path in out.glob("audit/step_*/trace_*.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    return sorted(found, key=lambda event: (event["timestamp"], event["seq"]))


def of_type(out: Path, event_type: str) -> list[dict[str, Any]]:
    return [event for event in events(out) if event["event_type"] == event_type]


def end_of(out: Path) -> dict[str, Any]:
    """Return the event that ended the only node."""
    (end,) = (e for e in events(out) if e["event_type"] in {"node_success", "node_failure"})
    return end


def runs(out: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*AUDITFOLD, "ls", "--json", str(out)],
        env=environment(),
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(out: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [*AUDITFOLD, "show", "--json", *options, str(out)],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_sound(out: Path) -> None:
    found = audit(str(out))
    assert found.verdict.value == "complete", found.findings
    assert found.findings == []


# --- How it ends


@pytest.mark.parametrize(
    ("text", "code", "status", "killed_by"),
    [
        ("exit 0", 0, 0, None),
        ("exit 7", 7, 7, None),
        ("kill -TERM $$", 143, None, "SIGTERM"),
        ("kill -KILL $$", 137, None, "SIGKILL"),
        ("exit 255", 255, 255, None),
    ],
)
def test_it_exits_as_the_program_does(
    tmp_path: Path, text: str, code: int, status: int | None, killed_by: str | None
) -> None:
    done = shell(tmp_path, text)

    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")
    end = end_of(tmp_path)
    assert (end.get("exit_status"), end.get("signal")) == (status, killed_by)
    assert [one["status"] for one in runs(tmp_path)] == ["failed" if code else "succeeded"]
    assert_sound(tmp_path)


def test_a_program_that_is_not_there_is_127_and_one_that_cannot_be_run_126(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")

    absent = run(tmp_path, "no_such_program_at_all")
    plain = run(tmp_path, tmp_path / "plain")
    folder = run(tmp_path, tmp_path)

    assert [absent.returncode, plain.returncode, folder.returncode] == [127, 126, 126]
    assert absent.stderr == b"auditfold exec: no_such_program_at_all: command not found\n"
    assert b"cannot be run: permission denied" in plain.stderr
    assert of_type(tmp_path, "node_failure")[0]["error"] in absent.stderr.decode()
    assert {one["status"] for one in runs(tmp_path)} == {"failed"}
    assert_sound(tmp_path)


def test_a_script_without_an_interpreter_line_is_run_by_sh(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$0 $1"\n')
    script.chmod(0o755)

    assert run(tmp_path / "out", script, "x").stdout == f"{script} x\n".encode()


def test_wrong_usage_is_2_and_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for options, env in (
        (["--step", "x"], {}),
        (["--in", str(tmp_path / "absent")], {}),
        (["--nonsense"], {}),
        ([], {"AUDITFOLD_RUN_ID": "a b"}),
    ):
        done = run(tmp_path / "out", "touch", mark, options=options, env=env)
        assert done.returncode == 2, done
        assert b"auditfold exec" in done.stderr
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_recorded_nothing_is_run(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")

    done = run(tmp_path / "out", "touch", tmp_path / "mark")

    assert done.returncode == 5
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "mark").exists()


def test_what_it_used_is_recorded_and_what_is_unknown_is_null(tmp_path: Path) -> None:
    python(tmp_path, "x = bytearray(200_000_000); sum(range(2_000_000))")
    run(tmp_path, "true")

    large, small = (event["resource"] for event in of_type(tmp_path, "node_success"))
    assert large["scope"] == small["scope"] == "children"
    assert large["cpu_user_seconds"] > 0
    assert large["max_rss_bytes"] > 200_000_000
    # As small as this process itself: the system does not tell them apart.
    assert small["max_rss_bytes"] is None


# --- What it prints


def test_streams_are_passed_on_and_told_apart(tmp_path: Path) -> None:
    done = shell(tmp_path, "echo out; echo err >&2; echo more")

    assert (done.stdout, done.stderr) == (b"out\nmore\n", b"err\n")
    found = {event["stream"]: event for event in of_type(tmp_path, "captured")}
    assert {name: event["text"] for name, event in found.items()} == {
        "stdout": "out\nmore\n",
        "stderr": "err\n",
    }
    for event in found.values():
        assert file_digest(tmp_path / event["path"])[1] == event["digest"]
        assert Path(event["path"]).match(f"{STEP}/exec_{event['writer']}_?.log")
        assert not event["truncated"]
    assert_sound(tmp_path)
    assert audit(str(tmp_path)).outputs.items == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize("text", ["print('short')", "print('x' * 1_000_000)"])
def test_a_stream_that_takes_no_more_is_said_and_no_success(tmp_path: Path, text: str) -> None:
    """A short output was lost on a full disk, and it exited 0."""
    with Path("/dev/full").open("wb") as full:
        done = run(tmp_path, sys.executable, "-c", text, stdout=full)

    assert done.returncode != 0
    assert b"stdout: no space left on device; not all of it was passed on" in done.stderr
    assert [one["status"] for one in runs(tmp_path)] == ["failed"]


@pytest.mark.parametrize("status", [0, 3])
def test_a_record_that_is_lost_meanwhile_does_not_change_how_it_exits(
    tmp_path: Path, status: int
) -> None:
    """It exited 5, whatever the program had done."""
    out = tmp_path / "out"
    done = run(out, "sh", "-c", f"rm -rf {shlex.quote(str(out))}; exit {status}")

    assert done.returncode == status
    assert b"removed while it was written" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_command_without_a_name_is_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path / "out", "")

    assert (done.returncode, done.stderr) == (
        2,
        b"auditfold exec: CMD is empty; nothing was run. See: auditfold exec --help\n",
    )
    assert not (tmp_path / "out").exists()


def test_it_prints_nothing_of_its_own(tmp_path: Path) -> None:
    done = run(tmp_path, "true")

    assert (done.stdout, done.stderr) == (b"", b"")
    assert of_type(tmp_path, "captured") == []
    assert not list(tmp_path.glob("**/exec_*"))


def test_stdin_is_the_programs(tmp_path: Path) -> None:
    done = run(tmp_path, "sort", stdin=None, input=b"b\na\n")

    assert done.stdout == b"a\nb\n"


def test_what_is_kept_is_clean_and_what_is_shown_is_untouched(tmp_path: Path) -> None:
    raw = (
        b"\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n"
        b" 10%\r100%\n\n\ta\x00b\xc2\x9b31m\xe2\x80\xae\xff\n\x1bP1$r\x1b\\end"
    )
    path = tmp_path / "raw"
    path.write_bytes(b"x" * 9000 + b"\n" + raw)  # NUL is behind what tells binary from text

    done = run(tmp_path, "cat", path)

    assert done.stdout == path.read_bytes()
    (event,) = of_type(tmp_path, "captured")
    assert event["text"].partition("\n")[2].splitlines()[:3] == ["red", "100%", ""]
    kept = (tmp_path / event["path"]).read_bytes()
    assert not {0x1B, 0x0D, 0x00, 0x07} & set(kept)
    assert b"\xc2\x9b" not in kept
    assert b"\xe2\x80\xae" not in kept
    assert kept.endswith(b"end")


SECRET: Final = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
KEY: Final = "-----BEGIN RSA PRIVATE KEY-----\n{}-----END RSA PRIVATE KEY-----\n".format(
    "MIIEpAIBAAKCAQEA75XSJe0EXAMPLEONLY\n" * 40
)


def test_secrets_are_nowhere_in_the_record(tmp_path: Path) -> None:
    text = (
        f"{SECRET}\npassword = hunter2hunter2\n{'x' * 200_000} {SECRET} {'y' * 200_000}\n{KEY}after"
    )
    (tmp_path / "text").write_text(text)

    done = run(
        tmp_path / "out",
        *("sh", "-c", f"cat {tmp_path}/text; : {SECRET}", "--password", "hunter2hunter2"),
        options=["--env", "API_TOKEN", "--env", "NOT_SET", "--env", "LC_ALL"],
        env={"API_TOKEN": "a-short-one"},
    )

    assert done.stdout.decode() == text
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            kept = path.read_text()
            for secret in (SECRET, "hunter2hunter2", "MIIE", "a-short-one"):
                assert secret not in kept, path
    (start,) = of_type(tmp_path / "out", "node_start")
    assert start["variables"]["NOT_SET"] is None
    assert start["variables"]["LC_ALL"] == "C.UTF-8"
    assert start["variables"]["API_TOKEN"].startswith("[REDACTED:")
    (event,) = of_type(tmp_path / "out", "captured")
    assert event["text"].endswith("after")


def test_much_output_is_cut_in_the_trace_and_whole_in_its_file(tmp_path: Path) -> None:
    done = shell(tmp_path, "seq 1 300000; echo the last line")

    (event,) = of_type(tmp_path, "captured")
    kept = (tmp_path / event["path"]).read_bytes()
    assert kept == done.stdout
    assert event["size"] == len(kept)
    assert event["digest"] == f"sha256:{hashlib.sha256(kept).hexdigest()}"
    assert event["truncated"]
    assert len(event["text"].encode()) <= 64 * 1024
    assert event["text"].startswith("1\n2\n")
    assert event["text"].endswith("the last line\n")
    assert "bytes left out ...]" in event["text"]


def test_megabytes_without_a_newline_and_binary_output_pass(tmp_path: Path) -> None:
    blob = shell(tmp_path / "blob", "head -c 5000000 /dev/zero | tr '\\0' x")
    binary = shell(tmp_path / "binary", "head -c 5000000 /dev/zero")

    assert blob.stdout == b"x" * 5_000_000
    assert binary.stdout == bytes(5_000_000)
    (event,) = of_type(tmp_path / "blob", "captured")
    assert (tmp_path / "blob" / event["path"]).read_bytes() == blob.stdout
    (event,) = of_type(tmp_path / "binary", "captured")
    assert event["binary"]
    assert event["digest"] == f"sha256:{hashlib.sha256(binary.stdout).hexdigest()}"
    assert "text" not in event
    assert "path" not in event


def test_a_reader_that_goes_away_ends_the_program_as_without(tmp_path: Path) -> None:
    command = [*AUDITFOLD, "exec", "--dir", str(tmp_path), "--", "yes"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"y\ny\n"
        process.stdout.close()
        assert process.wait(TIMEOUT_S) == 128 + signal.SIGPIPE

    assert end_of(tmp_path)["signal"] == "SIGPIPE"
    assert_sound(tmp_path)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_ones_trace(tmp_path: Path, redirection: str) -> None:
    """A file that is opened while descriptor 1 is closed gets its number, and all output."""
    words = f"exec --dir {tmp_path} -- sh -c 'echo out; echo err >&2'"

    subprocess.run(
        ["sh", "-c", f"{sys.executable} -m observability {words} {redirection}"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )

    assert {event["text"] for event in of_type(tmp_path, "captured")} == {"out\n", "err\n"}
    assert_sound(tmp_path)


def test_a_process_left_behind_keeps_its_output_and_nobody_waits(tmp_path: Path) -> None:
    """A server that a build starts had its pipe to the recorder closed, or was waited for."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    command = [*AUDITFOLD, "exec", "--dir", str(tmp_path / "out"), "--"]
    text = f"echo first; (read line < {fifo}; echo $line) & "
    with subprocess.Popen(
        [*command, "sh", "-c", text], env=environment(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.wait(TIMEOUT_S) == 0
        fifo.write_text("later\n")
        assert process.stdout.read() == b"first\nlater\n"

    (event,) = of_type(tmp_path / "out", "captured")
    assert event["text"] == "first\n"
    (message,) = of_type(tmp_path / "out", "message")
    assert "left behind" in message["text"]
    assert_sound(tmp_path / "out")


# --- What it reads and makes


def test_inputs_are_digested_before_and_outputs_after(tmp_path: Path) -> None:
    file, folder = tmp_path / "in.txt", tmp_path / "folder"
    file.write_text("before\n")
    folder.mkdir()
    before = file_digest(file)[1]

    done = shell(
        tmp_path,
        "echo after > in.txt; echo made > folder/made",
        options=["--in", file, "--out", file, "--out", folder],
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    (read,) = of_type(tmp_path, "artifact_read")
    written = of_type(tmp_path, "artifact_written")
    assert (read["path"], read["digest"]) == ("in.txt", before)
    assert [(e["path"], e["role"], e["kind"]) for e in written] == [
        ("in.txt", "output", "file"),
        ("folder", "output", "directory"),
    ]
    assert written[0]["digest"] == file_digest(file)[1] != before
    assert_sound(tmp_path)
    (folder / "made").write_text("changed\n")
    assert audit(str(tmp_path)).findings != []


def test_an_output_that_is_not_there_fails_the_node(tmp_path: Path) -> None:
    done = run(tmp_path, "true", options=["--out", tmp_path / "absent"])

    assert done.returncode == 1
    assert done.stderr.startswith(f"auditfold exec: --out {tmp_path}/absent: no such file".encode())
    end = end_of(tmp_path)
    assert end["event_type"] == "node_failure"
    assert end["exit_status"] == 0
    assert f"--out {tmp_path}/absent" in end["error"]


def test_outputs_of_a_program_that_failed_are_not_recorded(tmp_path: Path) -> None:
    done = shell(tmp_path, "echo half > o; exit 3", options=["--out", "o"], cwd=tmp_path)

    assert (done.returncode, done.stderr) == (3, b"")
    assert of_type(tmp_path, "artifact_written") == []


def test_the_error_says_what_the_program_said_last(tmp_path: Path) -> None:
    shell(tmp_path, "echo fine; echo 'fatal: no such branch' >&2; exit 128")

    assert end_of(tmp_path)["error"] == "exit status 128: fatal: no such branch"


def test_the_outcome_as_json_goes_to_stderr(tmp_path: Path) -> None:
    done = shell(tmp_path, "echo out; exit 4", options=["--json", "--name", "x"])

    assert done.stdout == b"out\n"
    found = json.loads(done.stderr)
    assert (found["node_id"], found["exit_status"], found["exit_code"]) == ("x", 4, 4)
    assert found["run_id"] == runs(tmp_path)[0]["run_id"]
    assert found["captured"][0]["stream"] == "stdout"


def test_names_of_any_kind_become_a_workflow(tmp_path: Path) -> None:
    run(tmp_path, "true", options=["--step", "07", "--name", "build/ä\n" + "x" * 300])
    run(tmp_path, "true", options=["--step", "7", "--name", "a", "--workflow", "nightly"])

    found = {one["step_number"]: one["workflow_id"] for one in runs(tmp_path)}
    assert found["07"].startswith("step_07_build_ä_xxx")
    assert found["7"] == "step_7_nightly"
    assert_sound(tmp_path)


# --- Signals and terminals

READY: Final = b"ready"
WAITS: Final = f"import time; print({READY.decode()!r}, flush=True); time.sleep(1000)"


@contextmanager
def started(out: Path, text: str = WAITS, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a Python program under exec, and wait until it says that it is ready."""
    process = subprocess.Popen(
        [*AUDITFOLD, "exec", "--dir", str(out), "--", sys.executable, "-c", text],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline().strip() == READY
        yield process
    finally:
        # What a test leaves undone is not waited for.
        process.kill()
        process.stdout.close()
        process.stderr.close()
        process.wait()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGQUIT"])
def test_a_signal_is_handed_on_and_ends_both(tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    with started(tmp_path) as process:
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == 128 + number

    assert end_of(tmp_path)["signal"] == name
    assert [one["status"] for one in runs(tmp_path)] == ["failed"]
    assert_sound(tmp_path)


def test_an_interrupt_ends_the_run_as_interrupted(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130

    end = end_of(tmp_path)
    assert end["signal"] == "SIGINT"
    assert end["error"].startswith("interrupted, killed by SIGINT")
    assert [one["status"] for one in runs(tmp_path)] == ["interrupted"]
    assert_sound(tmp_path)


def test_a_program_that_makes_a_good_end_of_an_interrupt_was_not_interrupted(
    tmp_path: Path,
) -> None:
    text = f"try:\n {WAITS}\nexcept KeyboardInterrupt:\n print('bye')"
    with started(tmp_path, text) as process:
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=TIMEOUT_S)

    assert (process.returncode, shown) == (0, b"bye\n")
    assert [one["status"] for one in runs(tmp_path)] == ["succeeded"]


def test_an_interrupt_of_the_whole_job_reaches_the_program_once(tmp_path: Path) -> None:
    """Programs take a second Ctrl-C for the wish not to clean up."""
    text = (
        "import signal, time\nn = 0\ndef on(*_):\n global n\n n += 1\n"
        "signal.signal(signal.SIGINT, on)\nprint('ready', flush=True)\n"
        "end = time.monotonic() + 30\n"
        "while not n and time.monotonic() < end: time.sleep(0.05)\n"
        "time.sleep(0.5)\nprint('times', n)"
    )
    with _Terminal(
        tmp_path, "sh", "-c", 'trap : INT; "$@"; true', "sh", *_exec(tmp_path, text)
    ) as terminal:
        terminal.until(READY)
        terminal.type(b"\x03")
        shown = terminal.until_end()

    assert b"times 1" in shown


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    text = "import signal; print(signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGPIPE))"
    done = python(tmp_path, text, preexec_fn=nohup)

    # Python itself ignores SIGPIPE: that it can be seen to do so says that it was not before.
    assert done.stdout.split() == [b"1", b"1"]
    assert shell(tmp_path, "yes | head -n 1; kill -PIPE $$").returncode == 128 + signal.SIGPIPE


def _exec(out: Path, text: str) -> list[str]:
    return [*AUDITFOLD, "exec", "--dir", str(out), "--", sys.executable, "-c", text]


class _Terminal:
    """A terminal in which a command is the job in the foreground, as a shell starts it."""

    def __init__(self, cwd: Path, *argv: str, columns: int = 80) -> None:
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                termios.tcsetwinsize(0, (24, columns))
                os.chdir(cwd)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.execvpe(argv[0], argv, environment(TERM="xterm"))
            finally:
                os._exit(99)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def until(self, *wanted: bytes) -> bytes:
        """Read until all of *wanted* was shown."""
        until = time.monotonic() + TIMEOUT_S
        while not all(one in self.shown for one in wanted):
            left = until - time.monotonic()
            assert select.select([self.fd], [], [], max(0.0, left))[0], self.shown
            self.shown += os.read(self.fd, 1 << 16)
        return self.shown

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def until_end(self) -> bytes:
        """Read all that is shown."""
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except OSError:  # EIO: nobody has the other end
                return self.shown
            if not data:
                return self.shown
            self.shown += data

    def wait(self) -> int:
        """Return the exit code."""
        self.until_end()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_on_a_terminal_the_program_has_one_of_the_same_size(tmp_path: Path) -> None:
    text = (
        "import os; print([os.isatty(n) for n in (0, 1, 2)], os.get_terminal_size(0).columns,"
        " os.tcgetpgrp(0) == os.getpgrp()); print('\\033[32mgreen\\033[0m')"
    )
    with _Terminal(tmp_path, *_exec(tmp_path, text), columns=57) as terminal:
        assert terminal.wait() == 0

    assert terminal.shown == b"[True, True, True] 57 True\r\n\x1b[32mgreen\x1b[0m\r\n"
    (event,) = of_type(tmp_path, "captured")
    assert (event["stream"], event["text"]) == ("terminal", "[True, True, True] 57 True\ngreen\n")
    assert_sound(tmp_path)


def test_ctrl_c_reaches_the_program_through_its_terminal(tmp_path: Path) -> None:
    with _Terminal(tmp_path, *_exec(tmp_path, WAITS)) as terminal:
        terminal.until(READY)
        terminal.type(b"\x03")
        assert terminal.wait() == 130

    assert [one["status"] for one in runs(tmp_path)] == ["interrupted"]


def test_keys_and_sizes_are_passed_on_and_modes_restored(tmp_path: Path) -> None:
    text = (
        "import os, signal, sys, termios, tty\n"
        # Not print(): the size may change while the print() of the key is being written.
        "on = lambda *_: os.write(1, b'size %d %d\\n' % os.get_terminal_size(1))\n"
        "signal.signal(signal.SIGWINCH, on)\n"
        "tty.setraw(0)\nprint('ready', flush=True)\n"
        "print('key', os.read(0, 1), flush=True)\n"
        "while (key := os.read(0, 1)) != b'q': print('key', key, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    job = f"stty -a > before; {shlex.join(_exec(tmp_path, text))}; echo code $?; stty -a > after"
    (tmp_path / "job").write_text(job)
    with _Terminal(tmp_path, "bash", "--norc", "-i") as terminal:
        terminal.type(b". ./job\n")
        terminal.until(READY)
        terminal.type(b"\x03")
        terminal.until(b"key b'\\x03'")
        termios.tcsetwinsize(terminal.fd, (30, 99))
        terminal.until(b"size 99 30")
        terminal.type(b"q")
        terminal.until(b"code 137")
        terminal.type(b"exit\n")
        terminal.until_end()

    before, after = (tmp_path / "before").read_text(), (tmp_path / "after").read_text()
    assert re.sub("rows.*?;.*?;", "", before) == re.sub("rows.*?;.*?;", "", after)


def test_in_a_job_of_several_the_terminal_stays_that_of_all(tmp_path: Path) -> None:
    """Raw modes for one command of `make -j` would end the others' lines and Ctrl-C."""
    text = (
        "import os, termios, time; isig = termios.tcgetattr(0)[3] & termios.ISIG\n"
        "print('ready', os.isatty(1), bool(isig), flush=True); time.sleep(1000)"
    )
    with _Terminal(
        tmp_path, "sh", "-c", '"$@"; echo "code $?"', "sh", *_exec(tmp_path, text)
    ) as terminal:
        terminal.until(b"ready True True\r\n")
        terminal.type(b"\x03")
        terminal.until_end()

    assert end_of(tmp_path)["signal"] == "SIGINT"


def test_a_stream_that_is_no_terminal_is_a_pipe_beside_one(tmp_path: Path) -> None:
    text = "import os, sys; print(os.isatty(1)); print(os.isatty(2), file=sys.stderr)"
    with _Terminal(
        tmp_path, "sh", "-c", '"$@" 2> errors', "sh", *_exec(tmp_path, text)
    ) as terminal:
        assert terminal.wait() == 0

    assert terminal.shown == b"True\r\n"
    assert (tmp_path / "errors").read_text() == "False\n"
    assert {event["stream"] for event in of_type(tmp_path, "captured")} == {"stdout", "stderr"}


# --- Several commands, one run


def test_commands_that_share_an_id_are_one_run_also_at_the_same_time(tmp_path: Path) -> None:
    shared = {"AUDITFOLD_RUN_ID": "build-1"}
    run(tmp_path, "true", env=shared)
    with subprocess.Popen(
        [*AUDITFOLD, "exec", "--dir", str(tmp_path), "--name", "slow", "--", "sleep", "1.5"],
        env=environment(**shared),
    ) as slow:
        for _ in range(2):
            run(tmp_path, "sh", "-c", "exit 4", env=shared)
        assert slow.wait(TIMEOUT_S) == 0
    run(tmp_path, "true", env=shared)

    (found,) = runs(tmp_path)
    assert (found["run_id"], found["status"], found["workflow_id"]) == (
        "build-1",
        "failed",
        "step_00_exec",
    )
    nodes = {
        (node["node_id"], node["node_index"]): node["status"] for node in report(tmp_path)["nodes"]
    }
    # Those without a name are nodes of their own, and the later success hides nothing.
    assert nodes[("slow", None)] == "succeeded"
    assert [status for (name, _), status in nodes.items() if name == "sh"] == ["failed", "failed"]
    assert len(nodes) == 5
    assert report(tmp_path, "--slowest")["nodes"][0]["node_id"] == "slow"
    check = [*AUDITFOLD, "replay", "--check", str(tmp_path)]
    assert subprocess.run(check, env=environment(), check=False).returncode == 0
    assert_sound(tmp_path)


def test_the_same_name_is_the_next_attempt(tmp_path: Path) -> None:
    for code in (1, 0):
        shell(
            tmp_path,
            f"exit {code}",
            options=["--name", "fetch"],
            env={"AUDITFOLD_RUN_ID": "nightly-1"},
        )

    (found,) = runs(tmp_path)
    assert found["status"] == "succeeded"
    (node,) = report(tmp_path)["nodes"]
    assert [attempt["status"] for attempt in node["attempts"]] == ["failed", "succeeded"]


def test_a_command_that_was_killed_leaves_the_run_interrupted(tmp_path: Path) -> None:
    env = environment(AUDITFOLD_RUN_ID="killed-1")
    command = [*AUDITFOLD, "exec", "--dir", str(tmp_path), "--name", "a", "--", "sh", "-c"]
    with subprocess.Popen(
        [*command, "echo; exec sleep 1000"], env=env, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [one["status"] for one in runs(tmp_path)] == ["running"]
        process.kill()
    run(tmp_path, "true", env={"AUDITFOLD_RUN_ID": "killed-1"}, options=["--name", "b"])
    assert [one["status"] for one in runs(tmp_path)] == ["interrupted"]

    run(tmp_path, "true", env={"AUDITFOLD_RUN_ID": "killed-1"}, options=["--name", "a"])

    assert [one["status"] for one in runs(tmp_path)] == ["succeeded"]


# --- The builds of docs/exec.md


def _block(kind: str, n: int = 0) -> str:
    page = (Path(__file__).resolve().parents[2] / "docs" / "exec.md").read_text()
    found = re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(found[n])


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder with a C program of two files."""
    if missing := [name for name in ("gcc", "make") if shutil.which(name) is None]:
        pytest.skip(f"a build needs {' and '.join(missing)}")
    (tmp_path / "main.c").write_text(
        "#include <stdio.h>\nint twice(int n);\n"
        'int main(void) { printf("%d\\n", twice(21)); return 0; }\n'
    )
    (tmp_path / "twice.c").write_text("int twice(int n) { return 2 * n; }\n")
    # `auditfold` of this checkout.
    tool = tmp_path / "bin" / "auditfold"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m observability "$@"\n')
    tool.chmod(0o755)
    return tmp_path


def _sh(folder: Path, text: str) -> Done:
    env = environment()
    env["PATH"] = f"{folder / 'bin'}:{env['PATH']}"
    return subprocess.run(
        ["sh", "-c", text], cwd=folder, env=env, capture_output=True, timeout=300, check=False
    )


def test_a_build_under_make_is_one_run_that_shows_its_slowest_step(sources: Path) -> None:
    (sources / "Makefile").write_text(_block("make"))

    done = _sh(sources, _block("sh"))

    assert done.returncode == 0, done
    assert _sh(sources, "./answer").stdout == b"42\n"
    assert re.search(rb"^slowest \(3\)\n  (main.o|twice.o|answer) ", done.stdout, re.MULTILINE)
    assert b"3 ok" in done.stdout
    (found,) = runs(sources)
    assert (found["workflow_id"], found["status"]) == ("step_03_build", "succeeded")
    nodes = {node["node_id"]: node for node in report(sources)["nodes"]}
    assert set(nodes) == {"main.o", "twice.o", "answer"}
    reads = {(e["node_id"], e["path"]): e["digest"] for e in of_type(sources, "artifact_read")}
    made = {e["path"]: e["digest"] for e in of_type(sources, "artifact_written")}
    assert reads[("answer", "main.o")] == made["main.o"]


def test_a_build_that_fails_is_a_run_that_failed(sources: Path) -> None:
    (sources / "Makefile").write_text(_block("make"))
    (sources / "twice.c").write_text("int twice(int n) { return 2 * m; }\n")

    done = _sh(sources, "make -j2")

    assert done.returncode == 2
    (found,) = runs(sources)
    assert found["status"] == "failed"
    failed = [node for node in report(sources)["nodes"] if node["status"] == "failed"]
    assert [node["node_id"] for node in failed] == ["twice.o"]
    (event,) = (e for e in of_type(sources, "captured") if e["node_id"] == "twice.o")
    assert event["stream"] == "stderr"
    assert "undeclared" in event["text"]
    assert_sound(sources)


def test_a_makefile_that_knows_nothing_of_it_can_be_recorded(sources: Path) -> None:
    (sources / "Makefile").write_text(
        "answer: main.o twice.o\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -c -o $@ $<\n"
    )

    done = _sh(sources, _block("sh", 1))

    assert done.returncode == 0, done
    (found,) = runs(sources)
    assert (found["run_id"], found["status"], found["step_number"]) == (
        "nightly-7",
        "succeeded",
        "03",
    )
    assert {node["node_id"] for node in report(sources)["nodes"]} >= {"main.o", "twice.o", "answer"}


def test_a_report_says_what_was_run_and_what_it_printed(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("x")
    shell(
        tmp_path,
        "seq 1 2000; echo last >&2; exit 2",
        options=["--in", tmp_path / "given", "--env", "LC_ALL", "--name", "count"],
    )

    (attempt,) = report(tmp_path)["nodes"][0]["attempts"]
    assert attempt["command"] == ["sh", "-c", "seq 1 2000; echo last >&2; exit 2"]
    assert (attempt["exit_status"], attempt["variables"]) == (2, {"LC_ALL": "C.UTF-8"})
    assert [one["path"] for one in attempt["inputs"]] == ["given"]
    printed = {one["stream"]: one["tail"] for one in attempt["captured"]}
    assert printed["stderr"] == "last\n"
    assert printed["stdout"].endswith("\n1999\n2000\n")
    assert len(printed["stdout"]) <= 2000
    shown = subprocess.run(
        [*AUDITFOLD, "show", "--failed", str(tmp_path)],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert b"    $ sh -c 'seq 1 2000; echo last >&2; exit 2'\n" in shown.stdout
    assert b"      2000\n    stderr, 5 B: audit/step_00/exec_" in shown.stdout
