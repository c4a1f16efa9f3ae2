"""Following with notifications: they end a wait, and nothing depends on them."""

import select
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from replay.trace.hints import Hints
from replay.trace.tail import Item, Shown, Tail
from tests.command.running import running
from tests.docs.pages import root

LIMIT_S = 120
SAMPLE = root() / "sample_runs" / "survey"
LINES = (SAMPLE / "audit" / "step_01" / "trace_01.jsonl").read_bytes().splitlines(keepends=True)


@pytest.fixture
def hints() -> Iterator[Hints]:
    with Hints() as opened:
        yield opened


def comes(hints: Hints) -> bool:
    return bool(select.select([hints], [], [], LIMIT_S)[0])


def settle(hints: Hints, folders: list[Path]) -> None:
    """Cover *folders*, and wait until they are watched."""
    hints.cover(folders)
    assert comes(hints)
    while select.select([hints], [], [], 0.2)[0]:
        hints.take()


@pytest.mark.parametrize("how", ["append", "make", "rename", "remove"])
def test_a_change_in_a_folder_is_a_hint(how: str, hints: Hints, tmp_path: Path) -> None:
    file = tmp_path / "file"
    if how != "make":
        file.write_bytes(b"line\n")
    settle(hints, [tmp_path])

    with (file if how in {"append", "make"} else tmp_path / "other").open("ab") as stream:
        stream.write(b"line\n")
    if how == "rename":
        (tmp_path / "other").replace(file)
    elif how == "remove":
        file.unlink()

    assert comes(hints)


def test_what_changed_before_the_watch_began_is_a_hint(hints: Hints, tmp_path: Path) -> None:
    """A line may come between the last look and the moment from which changes are told."""
    hints.cover([tmp_path])

    assert comes(hints)


def test_a_folder_that_was_made_anew_is_watched_again(hints: Hints, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    settle(hints, [folder])
    shutil.rmtree(folder)
    hints.cover([folder])
    assert not hints.is_watching

    folder.mkdir()
    settle(hints, [folder])
    (folder / "file").write_bytes(b"line\n")

    assert comes(hints)


def test_the_same_folders_are_not_watched_twice(hints: Hints, tmp_path: Path) -> None:
    settle(hints, [tmp_path])
    thread = hints._thread

    hints.cover([tmp_path])

    assert hints._thread is thread


def test_what_is_closed_covers_nothing_more(tmp_path: Path) -> None:
    first = Hints()
    first.close()
    first.cover([tmp_path])
    assert not first.is_watching


def followed(tail: Tail, trace: Path, lines: list[bytes]) -> list[Item]:
    """Write *lines* one after the other, each when the last one was seen; return what came."""
    came: list[Item] = []
    coming = tail.follow()
    for line in lines:
        with trace.open("ab") as stream:
            stream.write(line)
        came += next(coming)
    return came


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace_01.jsonl"
    path.write_bytes(LINES[0])
    return path


def waiting_for(hints: Hints) -> Callable[[float], None]:
    """Return a sleep that only a hint ends."""

    def sleep(seconds: float) -> None:
        del seconds
        assert comes(hints)

    return sleep


def test_hints_alone_show_every_line(hints: Hints, trace: Path) -> None:
    with Tail(str(trace), sleep=waiting_for(hints), hints=hints) as tail:
        list(tail.last(0))
        came = followed(tail, trace, LINES[1:])

    assert [item.line for item in came if isinstance(item, Shown)] == LINES[1:]


def test_a_trace_that_appears_is_shown_by_a_hint(hints: Hints, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE / "audit", tmp_path / "audit")
    step = tmp_path / "audit" / "step_01"
    with Tail(str(tmp_path), sleep=waiting_for(hints), hints=hints) as tail:
        list(tail.last(0))
        came = followed(tail, step / "trace_01.20260302t070312-aaaaaaaaaa.jsonl", LINES[:1])

    assert [item.line for item in came if isinstance(item, Shown)] == LINES[:1]


@pytest.mark.parametrize("missing", ["watchfiles", "watches"])
def test_without_notifications_polling_shows_every_line(
    missing: str, hints: Hints, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if missing == "watchfiles":
        monkeypatch.setitem(sys.modules, "watchfiles", None)
        monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    else:
        monkeypatch.setattr("watchfiles._rust_notify.RustNotify", no_room)

    with Tail(str(trace), sleep=lambda _: None, hints=hints) as tail:
        list(tail.last(0))
        came = followed(tail, trace, LINES[1:])

    assert [item.line for item in came if isinstance(item, Shown)] == LINES[1:]


@pytest.mark.parametrize("options", [[], ["--poll"]], ids=["hints", "polling"])
def test_the_command_follows_and_ends_by_an_interrupt(options: list[str], trace: Path) -> None:
    with running("tail", "-f", "--json", *options, trace) as tail:
        tail.until(stdout=LINES[0])
        for line in LINES[1:]:
            with trace.open("ab") as stream:
                stream.write(line)
            tail.until(stdout=line)

        assert tail.interrupt() == 130
        assert tail.stderr == b""


def test_an_interruption_while_watching_begins_is_the_only_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in that moment was a RuntimeError of a thread that cannot be joined yet."""

    def interrupted(_: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)

    with pytest.raises(KeyboardInterrupt), Hints() as hints:
        hints.cover([tmp_path])


def test_the_command_waits_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("tail", "-f", "--json", out) as tail:
        tail.until(stderr=b"no trace there yet, waiting for one")
        shutil.copytree(SAMPLE / "audit", out / "audit")
        tail.until(stdout=LINES[-1])

        assert tail.interrupt() == 130
