"""The bar on the terminal and in the log, and what a program prints beside it."""

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from observability import ExecutionObserver, TqdmFileWrapper
from observability.terminal.capture import Capture
from observability.terminal.progress import Bar
from observability.terminal.screen import end_line
from tests.writing.terminal import Terminal, screen
from tests.writing.test_terminal_text import texts

EVENT = re.compile(r"\[[0-9TZ:.-]{27}\] ")


@pytest.fixture(autouse=True)
def _at_the_beginning_of_a_line() -> None:
    """A process has one terminal: what another test left on its own is not this one's."""
    end_line()


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal that is stdout and stderr from now on."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setenv("TERM", "xterm")
    return made


def log_of(obs: ExecutionObserver) -> str:
    return obs.audit_log_file.read_text(encoding="utf-8")


def bar_lines(log: str) -> list[str]:
    return [line for line in log.split("\n") if "] Executing " in line]


def run_of(out: Path, use_tqdm: bool | Literal["always"], nodes: int = 20) -> ExecutionObserver:
    obs = ExecutionObserver("step_04_run", out, nodes, use_tqdm)
    for n in range(nodes):
        obs.node_start("node", n)
        obs.node_success("node", 0.1)
    obs.workflow_complete()
    return obs


# --- Where a bar is drawn


@pytest.mark.parametrize(
    ("use_tqdm", "is_terminal", "drawn"),
    [
        (True, True, True),
        (True, False, False),
        ("always", True, True),
        ("always", False, True),
        (False, True, False),
        (False, False, False),
    ],
)
def test_a_bar_is_drawn_on_a_terminal_and_logged_in_any_case(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    use_tqdm: bool | Literal["always"],
    is_terminal: bool,
    drawn: bool,
) -> None:
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    obs = run_of(tmp_path, use_tqdm)

    assert ("Executing step_04_run |" in stream.getvalue()) == drawn
    assert bool(bar_lines(log_of(obs))) == bool(use_tqdm)
    assert not any(char in log_of(obs) for char in "\r\x1b")


@pytest.mark.parametrize("use_tqdm", [True, "always"])
def test_nothing_but_isatty_is_asked_of_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_tqdm: bool | Literal["always"]
) -> None:
    class Bare:
        text = ""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            self.text += text
            return len(text)

    stream = Bare()
    monkeypatch.setattr(sys, "stderr", stream)

    run_of(tmp_path, use_tqdm)

    assert "[20/20]" in stream.text
    assert "█" in stream.text


def test_another_word_than_always_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use_tqdm 'never': want True, False or 'always'"):
        ExecutionObserver("w", tmp_path, 1, "never")  # type: ignore[arg-type]

    assert not list(tmp_path.iterdir())


def test_a_bar_does_not_follow_into_a_stream_that_takes_the_place_of_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that catches its own stderr in a string finds no bar in it."""
    terminal = on_terminal(monkeypatch)
    obs = ExecutionObserver("w", tmp_path, 2)
    with contextlib.redirect_stderr(io.StringIO()) as caught:
        for n in range(2):
            obs.node_start("a", n)
            obs.node_success("a", 0.1)
    obs.workflow_complete()

    assert caught.getvalue() == ""
    assert "[2/2]" in terminal.getvalue()


def test_a_terminal_that_has_no_unicode_gets_a_bar_of_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stderr", stream)

    with ExecutionObserver("w", tmp_path, 1, "always") as obs, obs.node("日本"):
        pass

    assert b"|##########" in raw.getvalue()
    assert b"\\u65e5\\u672c" in raw.getvalue()


# --- What it shows


def test_the_bar_is_that_of_the_older_observer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 3) as obs:
        assert obs.progress_bar.bar_format == "{desc} |{bar}| [{n_fmt}/{total_fmt}] {postfix}"
        assert obs.progress_bar.unit == "node"
        assert re.match(r"Executing step_04_run \| +\| \[0/3\]", str(obs.progress_bar))


def test_n_counts_nodes_that_succeeded_failed_and_were_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar stood still on a failure."""
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 4) as obs:
        obs.node_start("good")
        obs.node_success("good", 0.1)
        obs.node_start("bad")
        obs.node_failure("bad", "no", 0.1)
        obs.node_skipped("left")
        assert obs.progress_bar.n == 3
        assert str(obs.progress_bar).endswith("| [3/4] (1 failed) bad")

        obs.node_start("bad")
        obs.node_success("bad", 0.1)
        assert obs.progress_bar.n == 3

    (shown,) = [line for line in screen(terminal.getvalue()) if "| [" in line]
    assert "| [3/4]" in shown
    assert "failed" not in shown
    assert bar_lines(log_of(obs))[-1].endswith("| [3/4]")


def test_more_nodes_than_announced_are_shown_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 1) as obs:
        for n in range(3):
            with obs.node("a", n):
                pass

    assert re.search(r"Executing step_04_run \|█+\| \[3/1\]", terminal.getvalue())
    assert re.search(r"Executing step_04_run \|█+\| \[3/1\]", log_of(obs))


@pytest.mark.parametrize(("total", "shown"), [(None, "[2/?]"), (0, "[2/0]")])
def test_a_run_of_unknown_length_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int | None, shown: str
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, total) as obs:
        for n in range(2):
            with obs.node("a", n):
                pass

    assert shown in terminal.getvalue()
    assert bar_lines(log_of(obs))[-1].endswith(shown)


@pytest.mark.parametrize("name", ["\x1b[2J\x1b]0;title\x07", "a\nb\rc", "{bar}{0}", "\u202eabc"])
def test_a_hostile_name_does_nothing_to_the_terminal_and_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 1) as obs, obs.node(name):
        pass

    screen(terminal.getvalue())  # refuses what a bar does not need
    assert "\u202e" not in terminal.getvalue()
    for line in bar_lines(log_of(obs)):
        assert EVENT.match(line)


@given(
    title=st.text(max_size=60),
    node=st.text(max_size=60) | st.sampled_from(["日本語の" * 20, "👩‍🚀" * 30, "e\u0301" * 80]),
    columns=st.integers(1, 120),
    failed=st.integers(0, 9),
)
def test_a_bar_is_never_wider_than_it_may_be(
    title: str, node: str, columns: int, failed: int
) -> None:
    bar = Bar(12, title, log=lambda _: None, stream=None)
    bar.say(node)
    bar.move(5, failed=failed)

    drawn = tqdm.format_meter(bar.n, elapsed=1.0, **bar.fields(columns))

    assert len(drawn) <= columns
    assert "\n" not in drawn
    if columns > 60:
        assert "[5/12]" in drawn
        assert f"({failed} failed)" in drawn or not failed


def test_what_the_program_puts_behind_the_bar_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 1) as obs, obs.node("a"):
        obs.progress_bar.set_postfix_str("loss 3")

    assert "a loss 3" in terminal.getvalue()


# --- When


def test_the_log_gets_a_line_at_every_tenth_and_at_the_end(tmp_path: Path) -> None:
    log = log_of(run_of(tmp_path, use_tqdm=True, nodes=200))

    counts = [re.findall(r"\[(\d+)/200\]", line)[0] for line in bar_lines(log)]

    assert counts == [*map(str, range(20, 201, 20)), "200"]  # the last again, without a node
    assert all(EVENT.match(line) for line in bar_lines(log))


def test_the_log_gets_a_line_when_30_seconds_have_passed() -> None:
    lines: list[str] = []
    now = [0.0]
    bar = Bar(1000, "w", log=lines.append, stream=None, clock=lambda: now[0])

    for n in range(1, 100):
        now[0] += 1
        bar.move(n, failed=0)
    bar.say("slow")
    now[0] += 31
    bar.say("next")

    counts = [re.findall(r"\[(\d+)/", line)[0] for line in lines]
    assert counts == ["30", "60", "90", "99"]
    assert lines[-1].endswith("next")
    bar.close()
    bar.close()
    assert len(lines) == 5


def test_a_terminal_is_not_redrawn_at_every_node_and_shows_the_last_state_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar that was drawn 20 ms before a long node began showed the node before it for hours."""
    terminal = on_terminal(monkeypatch)
    obs = ExecutionObserver("step_04_run", tmp_path, 5000)
    for n in range(1000):
        obs.node_start("fast", n)
        obs.node_success("fast", 0.1)
    obs.node_start("slow", 1000)
    drawn = terminal.getvalue().count("\r")

    give_up = time.monotonic() + 60
    while "[1000/5000] slow" not in terminal.getvalue():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert drawn < 500
    while any(thread.name == "auditfold-bar" for thread in threading.enumerate()):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    obs.workflow_complete()


def test_a_thread_that_holds_the_terminal_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event in the middle of a `tqdm` block waited for a thread that waited for the journal."""
    on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 30) as obs, tqdm.external_write_mode():

        def work() -> None:
            for n in range(20):
                obs.node_start("other", n)
                obs.node_success("other", 0.1)

        thread = threading.Thread(target=work)
        thread.start()
        with obs.node("mine"):
            thread.join(60)
        assert not thread.is_alive()


def test_the_environment_of_tqdm_may_say_that_there_are_no_bars(tmp_path: Path) -> None:
    said = run_python(
        "with ExecutionObserver('w', sys.argv[1], 1, 'always') as obs, obs.node('a'): pass",
        tmp_path,
        environment={"TQDM_DISABLE": "1"},
    )

    assert said.stderr == b""
    assert "[1/1]" in (tmp_path / "audit/step_00/log_00.log").read_text(encoding="utf-8")


# --- The wrapper


@pytest.mark.parametrize("streams", [(1, 1), (1, 0), (0, 1), (0, 0)])
@given(text=texts, data=st.data())
def test_both_logs_have_the_same_lines_however_a_text_is_cut(
    streams: tuple[int, int], text: str, data: st.DataObject
) -> None:
    cuts = [0, *sorted(data.draw(st.sets(st.integers(0, len(text))))), len(text)]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(Terminal()) as shown:
        logs = []
        for name, pieces in (("one", [text]), ("cut", [text[slice(*c)] for c in pairwise(cuts)])):
            paths = [Path(folder, f"{name}_{n}") for n in range(2)]
            wrapper = TqdmFileWrapper(
                *(path if is_there else None for path, is_there in zip(paths, streams, strict=True))
            )
            for piece in pieces:
                assert wrapper.write(piece) == len(piece)
            wrapper.flush()
            wrapper.close()
            logs.append([path.read_bytes() if path.exists() else b"" for path in paths])

    assert logs[0] == logs[1]
    assert not any(byte < 32 and byte != 10 for log in logs[0] for byte in log)
    assert [bool(log) for log in logs[0]] in ([bool(n) for n in streams], [False, False])
    assert shown.getvalue().replace("\n", "") == (text + text).replace("\n", "")


def test_a_tqdm_bar_through_the_wrapper_is_one_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames were glued to the lines of events, and newlines alone were dropped."""
    terminal = on_terminal(monkeypatch)
    wrapper = TqdmFileWrapper(tmp_path / "log", tmp_path / "audit")

    for _ in tqdm(range(3), desc="items", file=wrapper, mininterval=0):
        pass
    print("after", file=wrapper)
    wrapper.close()

    first, last = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("items: 100%|██████████| 3/3")
    assert last == "after"
    assert (tmp_path / "audit").read_bytes() == (tmp_path / "log").read_bytes()
    assert screen(terminal.getvalue())[1:] == ["after", ""]


def test_it_answers_for_stderr_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar was drawn with `#`, because the wrapper had no encoding; and on a stderr of before."""
    wrapper = TqdmFileWrapper(None, tmp_path / "log")
    parent, child = pty.openpty()
    with os.fdopen(child, "w", encoding="utf-8") as one:
        monkeypatch.setattr(sys, "stderr", one)
        assert wrapper.isatty()
        assert wrapper.fileno() == child
        assert wrapper.encoding == "utf-8"
        wrapper.write("to the first\n")
        assert os.read(parent, 100) == b"to the first\r\n"
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        wrapper.write("to the second\n")
        assert not wrapper.isatty()
        with pytest.raises(OSError, match="fileno"):
            wrapper.fileno()
    os.close(parent)
    wrapper.close()

    assert (tmp_path / "log").read_text() == "to the first\nto the second\n"


def broken_pipe() -> io.TextIOWrapper:
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", encoding="utf-8", buffering=1)


def closed() -> io.TextIOWrapper:
    with Path(os.devnull).open("w", encoding="utf-8") as stream:
        pass
    return stream


@pytest.mark.parametrize("make", [lambda: None, closed, broken_pipe, object])
@pytest.mark.parametrize("use_tqdm", [True, "always", False])
def test_everything_works_without_a_stderr(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], object],
    use_tqdm: bool | Literal["always"],
) -> None:
    stream = make()
    monkeypatch.setattr(sys, "stderr", stream)

    with ExecutionObserver("w", tmp_path, 2, use_tqdm, verbose=True) as obs:
        obs.tqdm_wrapper.write("said\n")
        obs.tqdm_wrapper.flush()
        with obs.capture_progress(), obs.node("a"):
            print("printed", file=sys.stderr)
            for _ in tqdm(range(2), mininterval=0):
                pass

    assert sys.stderr is stream
    log = log_of(obs).split("\n")
    assert "said" in log
    assert "printed" in log
    assert any(line.startswith("100%|") for line in log)
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError):
            stream.close()


@pytest.mark.parametrize("error", [TimeoutError("late"), KeyboardInterrupt(), LookupError()])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_a_signal_handler_raises_in_the_middle_of_a_write_propagates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, name: str
) -> None:
    """A timeout that came while the bar was drawn was taken for a broken terminal, and lost."""

    class Interrupted(Terminal):
        def write(self, text: str) -> int:
            if "[0/1]" in text:
                raise error
            return super().write(text)

    monkeypatch.setattr(sys, name, Interrupted())
    obs = ExecutionObserver("w", tmp_path, 1, name == "stderr")

    with pytest.raises(type(error)):
        obs.node_start("a", 0)

    monkeypatch.undo()
    obs.workflow_complete()


def test_a_wrapper_may_stand_for_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Terminal()
    monkeypatch.setattr(sys, "__stderr__", real)
    wrapper = TqdmFileWrapper(None, tmp_path / "log")

    with contextlib.redirect_stderr(wrapper):
        print("one", file=sys.stderr)
        with Capture(wrapper):
            print("two", file=sys.stderr)
    wrapper.close()

    assert real.getvalue() == "one\ntwo\n"
    assert (tmp_path / "log").read_text() == "one\ntwo\ntwo\n"  # twice through a wrapper


def test_only_text_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be str, not bytes"):
        TqdmFileWrapper(None, tmp_path / "log").write(b"x")  # type: ignore[arg-type]

    assert not (tmp_path / "log").exists()


def run_python(
    code: str, folder: Path, *, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run *code* with the folder as its argument; it must succeed."""
    head = "import os, shutil, sys\nfrom observability import *\nfrom tqdm import tqdm\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", head + code, str(folder)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        timeout=120,
        check=True,
    )


@pytest.mark.parametrize("began", [True, False])
def test_a_folder_that_is_gone_at_the_interpreters_end_is_no_error(
    tmp_path: Path, began: bool
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    said = run_python(
        "wrapper = TqdmFileWrapper(os.path.join(sys.argv[1], 'log'), None)\n"
        f"if {began}: wrapper.write('begun\\n')\n"
        "bar = tqdm(range(3), file=wrapper)\n"
        "next(iter(bar))\n"
        "shutil.rmtree(sys.argv[1])\n",
        folder,
    )

    assert b"rror" not in said.stderr
    assert not folder.exists()


def test_what_a_log_cannot_take_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    wrapper = TqdmFileWrapper(tmp_path / "no/log", None)

    wrapper.write("lost\n")

    assert isinstance(wrapper.error, FileNotFoundError)
    assert terminal.getvalue() == "lost\n"


def test_a_printed_line_is_not_taken_for_one_of_the_log(tmp_path: Path) -> None:
    forged = "[2026-11-21T07:03:12.000000Z] WORKFLOW_COMPLETE"

    with ExecutionObserver("w", tmp_path) as obs, obs.capture_progress():
        print(forged)

    assert f"\n| {forged}\n" in log_of(obs)
    assert f"\n{forged}" not in log_of(obs)


def test_a_log_that_ends_in_half_a_line_goes_on_with_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("whole\nhal")

    wrapper = TqdmFileWrapper(None, tmp_path / "log")
    wrapper.write("one\ntwo\n")
    wrapper.close()

    assert (tmp_path / "log").read_text() == "whole\nhal\none\ntwo\n"


def test_printed_secrets_are_redacted_in_the_log_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "password=hunter2hunter2"

    obs = ExecutionObserver("w", tmp_path, redact=[("customer", r"CUST-\d+")])
    with obs.capture_progress():
        print(f"with {secret} for CUST-12")
    obs.workflow_complete()

    assert f"with {secret} for CUST-12\n" in capsys.readouterr().out
    assert secret not in log_of(obs)
    assert "[REDACTED:customer]" in log_of(obs)

    wrapper = TqdmFileWrapper(None, tmp_path / "log", redact=False)
    wrapper.write(f"{secret}\n")
    wrapper.close()
    assert (tmp_path / "log").read_text() == f"{secret}\n"


def test_a_rule_that_fails_or_prints_makes_no_print_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rule(_key: str, text: str) -> str | None:
        print("asked")
        if text == "bad":
            raise LookupError
        return None

    with ExecutionObserver("w", tmp_path, redact=rule) as obs, obs.capture_progress():
        print("bad")
        print("good")

    assert "(a line that could not be redacted: LookupError)\ngood\n" in log_of(obs)
    assert "bad\n" in capsys.readouterr().out


# --- Prints and bars of the program


def test_prints_go_past_the_bar_and_into_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 2) as obs, obs.capture_progress():
        header = terminal.getvalue().count("\n")
        for n in range(2):
            obs.node_start("a", n)
            print("out", n)
            print("err", n, file=sys.stderr)
            obs.node_success("a", 0.1)
        shown = terminal.getvalue()

    rows = screen(shown)[header:]
    assert rows[:4] == ["out 0", "err 0", "out 1", "err 1"]
    assert len(rows) == 5
    assert re.match(r"Executing step_04_run \|█+ *\| \[[012]/2\] a$", rows[4])
    assert [line for line in log_of(obs).split("\n") if re.match("out|err", line)] == rows[:4]
    # Lines of the observer itself stand there once.
    assert log_of(obs).count("[RUN] Executing") == log_of(obs).count("Workflow completed") == 1


def test_a_bar_of_the_program_stands_below_and_its_end_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 1) as obs, obs.capture_progress():
        header = terminal.getvalue().count("\n")
        obs.node_start("a")
        inner = tqdm(total=4, desc="inner", ncols=60, mininterval=0)
        for n in range(4):
            print("line", n)
            inner.update()
        both = screen(terminal.getvalue())[header:]
        inner.close()
        at_once = screen(terminal.getvalue())[header:]
        print("after")
        closed = screen(terminal.getvalue())[header:]

    assert both[:4] == ["line 0", "line 1", "line 2", "line 3"]
    assert both[4].startswith("Executing step_04_run |")
    assert both[5].startswith("inner: 100%|")
    assert at_once[4].startswith("inner: 100%|")
    assert at_once[5].startswith("Executing step_04_run |")
    assert closed[4].startswith("inner: 100%|")
    assert closed[5] == "after"
    assert closed[6].startswith("Executing step_04_run |")
    lines = [line for line in log_of(obs).split("\n") if re.match("line|inner|after", line)]
    assert [line[:6] for line in lines] == [*(f"line {n}" for n in range(4)), "inner:", "after"]


@pytest.mark.parametrize("use_tqdm", [True, False])
def test_bars_of_the_program_may_end_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_tqdm: bool
) -> None:
    """One that ended made the others redraw each other, and left an old redraw of itself below."""
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 1, use_tqdm) as obs, obs.capture_progress():
        header = terminal.getvalue().count("\n")
        bars = [tqdm(total=2, desc=f"bar {n}", leave=True, ncols=60 + n) for n in range(3)]
        for bar in bars:
            bar.mininterval = bar.miniters = 0
        for bar in bars * 2:
            bar.update()
        for bar in bars:
            bar.close()
        rows = screen(terminal.getvalue())[header:]

    ended = [f"bar {n}: 100%" for n in range(3)]
    assert [row[:11] for row in rows[:3]] == ended
    if use_tqdm:
        assert [row[:9] for row in rows[3:]] == ["Executing"]
    lines = [line[:11] for line in log_of(obs).split("\n") if line.startswith("bar")]
    assert lines == ended


def test_an_unfinished_line_waits_and_a_flushed_one_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("step_04_run", tmp_path, 2) as obs, obs.capture_progress():
        header = terminal.getvalue().count("\n")
        obs.node_start("a")
        print("held", end="")
        assert "held" not in terminal.getvalue()
        print(" back")
        print("working ... ", end="", flush=True)
        assert screen(terminal.getvalue())[header + 1] == "working ..."
        obs.progress_bar.miniters = 0
        obs.node_success("a", 0.1)
        print("done")
        print("open", end="", flush=True)
        print("other", file=sys.stderr)
        rows = screen(terminal.getvalue())[header:]

    assert rows[:4] == ["held back", "working ... done", "open", "other"]
    assert rows[4].startswith("Executing")
    assert "working ... done\n" in log_of(obs)


def test_data_on_a_stdout_that_is_no_terminal_is_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = io.StringIO()
    monkeypatch.setattr(sys, "stdout", data)
    monkeypatch.setattr(sys, "stderr", Terminal())

    with ExecutionObserver("w", tmp_path, 1) as obs, obs.node("a"), obs.capture_progress():
        data.truncate(0)
        data.seek(0)
        for text in ("a,b\n", "1,", "\x1b[31m2\r\n", "no end"):
            sys.stdout.write(text)
        shown = data.getvalue()

    assert shown == "a,b\n1,\x1b[31m2\r\nno end"


def test_streams_return_after_nested_blocks_and_exceptions(tmp_path: Path) -> None:
    before = sys.stdout, sys.stderr
    with ExecutionObserver("w", tmp_path) as obs:
        with contextlib.suppress(KeyError), obs.capture_progress(), obs.capture_progress():
            inside = sys.stdout
            raise KeyError
        assert (sys.stdout, sys.stderr) == before

        with obs.capture_progress() as wrapper:
            assert wrapper is obs.tqdm_wrapper
            with obs.capture_progress():
                print("one")
            print("two")
        assert (sys.stdout, sys.stderr) == before

        @obs.capture_progress()
        def work() -> None:
            print("three")

        work()
        print("not in the log")
        print("too late", file=inside)

    log = log_of(obs).split("\n")
    assert [line for line in log if line in {"one", "two", "three"}] == ["one", "two", "three"]
    assert "not in the log" not in log
    assert "too late" not in log


def test_two_observers_may_leave_in_any_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout, sys.stderr
    one, two = (ExecutionObserver(f"step_0{n}_w", tmp_path) for n in (1, 2))
    first, second = one.capture_progress(), two.capture_progress()

    first.__enter__()
    second.__enter__()
    print("both")
    first.__exit__(None, None, None)
    print("second")
    second.__exit__(None, None, None)
    print("none")

    assert (sys.stdout, sys.stderr) == before
    assert "both\nsecond\nnone\n" in capsys.readouterr().out
    one.workflow_complete()
    two.workflow_complete()
    said = [[line for line in log_of(obs).split("\n") if line.isalpha()] for obs in (one, two)]
    assert said == [["both"], ["both", "second"]]


def test_a_stream_that_the_program_sets_inside_stays(tmp_path: Path) -> None:
    before = sys.stdout
    own = io.StringIO()
    with ExecutionObserver("w", tmp_path) as obs:
        with obs.capture_progress():
            with contextlib.redirect_stdout(io.StringIO()) as caught:
                print("caught")
            sys.stdout = own
        assert sys.stdout is own
        sys.stdout = before

    assert caught.getvalue() == "caught\n"
    assert "caught\n" not in log_of(obs)


def test_threads_print_whole_lines_and_share_a_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    count, threads = 50, 8

    def work(name: int) -> None:
        with obs.capture_progress():
            for n in range(count):
                print("thread", name, n)
                if n % 10 == 0:
                    with obs.node(f"{name}", n):
                        pass

    with ExecutionObserver("step_04_run", tmp_path, 40) as obs:
        header = terminal.getvalue().count("\n")
        running = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        rows = screen(terminal.getvalue())[header:]
    assert sys.stdout is terminal

    wanted = {f"thread {name} {n}" for name in range(threads) for n in range(count)}
    lines = log_of(obs).split("\n")
    assert len(rows) == len(wanted) + 1
    assert set(rows[:-1]) == wanted
    assert wanted <= set(lines)
    assert not [line for line in lines if line.count("thread") > 1]


def test_many_threads_that_ended_leave_no_lines_behind(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as obs, obs.capture_progress():
        for n in range(200):
            thread = threading.Thread(target=print, args=("no end", n), kwargs={"end": ""})
            thread.start()
            thread.join()

    text = log_of(obs)
    assert all(f"no end {n}" in text for n in range(200))


def test_a_broken_stdout_is_still_the_programs_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that prints into `head` ends by the broken pipe."""
    stream = broken_pipe()
    obs = ExecutionObserver("w", tmp_path)
    monkeypatch.setattr(sys, "stdout", stream)

    with pytest.raises(BrokenPipeError), obs.capture_progress():
        print("x" * 100_000)

    assert sys.stdout is stream
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        stream.close()
    obs.workflow_complete()


def test_a_missing_stdout_takes_prints_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    with ExecutionObserver("w", tmp_path) as obs, obs.capture_progress():
        print("said")
        assert not sys.stdout.isatty()

    assert "\nsaid\n" in log_of(obs)
    assert sys.stdout is None


def test_a_captured_stream_answers_as_the_one_it_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out.txt").open("w", encoding="latin-1", errors="replace") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with ExecutionObserver("w", tmp_path) as obs, obs.capture_progress():
            assert sys.stdout.fileno() == stream.fileno()
            assert sys.stdout.encoding == "latin-1"
            assert sys.stdout.errors == "replace"
            assert sys.stdout.name == stream.name
            assert sys.stdout.buffer is stream.buffer
            sys.stdout.writelines(["a\n", "b\n"])
            sys.stdout.flush()
            assert Path(stream.name).read_text().endswith("a\nb\n")
        monkeypatch.undo()


# --- Processes


def test_a_fork_prints_past_the_bar_of_its_parent_and_does_not_close_it(tmp_path: Path) -> None:
    """A child's end wrote a newline into the bar, and half a line of its parent's into the log."""
    said = run_python(
        "obs = ExecutionObserver('step_04_w', sys.argv[1], 4, 'always')\n"
        "with obs.capture_progress():\n"
        "    obs.node_start('a', 0)\n"
        "    print('parents', end='')\n"
        "    if (child := os.fork()) == 0:\n"
        "        print('childs')\n"
        "        with obs.node('b', 1): print('within')\n"
        "        sys.exit()\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    print(' line')\n"
        "    obs.node_success('a', 0.1)\n"
        "obs.workflow_complete()\n",
        tmp_path,
    )

    log = (tmp_path / "audit/step_04/log_04.log").read_text(encoding="utf-8").split("\n")
    lines = [line for line in log if line in {"childs", "within", "parents line"}]
    assert lines == ["childs", "within", "parents line"]
    assert screen(said.stderr.decode())[-2].startswith("Executing step_04_w |")
    assert len(screen(said.stderr.decode())) == 2


def test_no_thread_of_the_bar_is_there_at_a_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch)
    with ExecutionObserver("w", tmp_path, 1000) as obs:
        for n in range(50):
            with obs.node("a", n):
                pass
        child = os.fork()
        if child == 0:
            os._exit(threading.active_count() - 1)

        assert os.waitpid(child, 0)[1] == 0


def watched(code: str, folder: Path, columns: int) -> list[str]:
    """Run a program on a terminal of that width, and return the rows that it has shown."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 30, columns, 0, 0))
    head = "import sys, time\nfrom observability import *\nfrom tqdm import tqdm\n"
    program = subprocess.Popen(
        [sys.executable, "-c", head + code, str(folder)],
        env={**os.environ, "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    data = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
        while piece := os.read(parent, 65_536):
            data += piece
    os.close(parent)
    assert program.wait(60) == 0
    return screen(data.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize("columns", [40, 80, 100, 200])
def test_a_real_terminal_keeps_bars_and_prints_apart(tmp_path: Path, columns: int) -> None:
    code = (
        "obs = ExecutionObserver('step_04_a_long_name', sys.argv[1], 9)\n"
        "with obs.capture_progress():\n"
        "    for n in range(9):\n"
        "        with obs.node('a long name of a node which is cut', n):\n"
        "            for k in tqdm(range(3), desc='inner', leave=n % 2 == 0, mininterval=0):\n"
        "                print('\\x1b[32mline\\x1b[0m', n, k)\n"
        "            print('warning', n, file=sys.stderr)\n"
        "obs.workflow_complete()\n"
    )
    rows = watched(code, tmp_path, columns)
    begin = rows.index("line 0 0")
    below = rows[begin : rows.index("", begin)]

    lines = []
    for n in range(9):
        lines += [f"line {n} {k}" for k in range(3)]
        lines += ["inner: 100%|"] * (n % 2 == 0) + [f"warning {n}"]
    assert [row[:12] for row in below[:-1]] == lines
    assert below[-1].startswith("Exec")
    assert all(len(row) < columns for row in below)
    assert "[9/9]" in below[-1]


# --- Events on stderr


def test_verbose_prints_events_as_they_stand_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    obs = ExecutionObserver("w", tmp_path, 1, use_tqdm=False, verbose=True)
    with obs.node("\x1b[2Ja\nb"):
        pass
    obs.workflow_complete()

    events = [line for line in log_of(obs).split("\n") if EVENT.match(line)]
    assert stream.getvalue().split("\n")[:-1] == events
    assert "NODE_START \\x1b[2Ja\\nb" in stream.getvalue()


def test_verbose_leaves_the_bar_whole_and_begins_no_line_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    with ExecutionObserver("w", tmp_path, 1, verbose=True) as obs:
        header = terminal.getvalue().count("\n")
        with obs.capture_progress(), obs.node("a"):
            print("printed")
        rows = screen(terminal.getvalue())[header:]
    assert [row.partition("] ")[2] or row for row in rows[:2]] == ["NODE_START a", "printed"]
    assert rows[3].startswith("Executing w |")
    assert "printed" in log_of(obs)
    assert log_of(obs).count("NODE_START") == 1

    with ExecutionObserver("w", tmp_path, 1, use_tqdm=False, verbose=True) as obs:
        header = terminal.getvalue().count("\n")
        with obs.node("a", 0):
            pass
        rows = screen(terminal.getvalue())[header:]
    assert rows[1].rstrip() == " [0/1] a..."
    assert EVENT.match(rows[2])
    assert re.match(r" \(\d\.\d\ds\)", rows[3])
