"""`auditfold tail`, run as a process on real files."""

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from observability.cli.errors import ExitCode
from observability.cli.main import main
from observability.cli.times import timestamp_of
from replay.show.line import render
from tests.command.running import auditfold, on_terminal, running
from tests.reading.traces import START_US, Clock, TraceBuilder, older_lines

VECTORS = Path(__file__).parent.parent / "vectors"
# What a terminal acts on; our own colours aside.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
COLOUR = re.compile("\x1b\\[[0-9;]*m")

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \r\n\t\x7f \u202etxt.exe\u2028 \u2066"


def run(
    name: str = "audit/step_04/trace_04.jsonl",
    *,
    nodes: int = 4,
    run_id: str = "20261121-070312-aaaaaa",
    workflow_id: str = "step_04_survey",
    clock: Clock | None = None,
) -> TraceBuilder:
    """Return a closed trace of one run, whose third node failed."""
    built = TraceBuilder(name, run_id=run_id, workflow_id=workflow_id, clock=clock)
    built.open()
    built.start(nodes)
    for n in range(nodes):
        built.node(f"n{n}", n, error="disk full" if n == 2 else None)
    built.complete(nodes - 1, 1)
    built.close()
    return built


@pytest.fixture
def built(tmp_path: Path) -> TraceBuilder:
    """The trace in the folder `out`."""
    trace = run()
    trace.save(tmp_path / "out")
    return trace


def text_of(lines: list[bytes]) -> bytes:
    return b"".join(render(orjson.loads(line)).encode() + b"\n" for line in lines)


# --- what it prints


@pytest.mark.parametrize("given", ["out", "out/audit", "out/audit/step_04", "."])
def test_the_last_ten_events_as_text(tmp_path: Path, built: TraceBuilder, given: str) -> None:
    done = auditfold("tail", given, cwd=tmp_path / "out" if given == "." else tmp_path)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == text_of(built.lines[-10:])


def test_json_is_what_was_stored(tmp_path: Path, built: TraceBuilder) -> None:
    done = auditfold("tail", "--json", "-n", "all", "out", cwd=tmp_path)

    assert done.stdout == bytes(built)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["-n", "3"], [9, 10, 11]),
        (["-n3"], [9, 10, 11]),
        (["--lines=0"], []),
        (["-n", "all"], list(range(12))),
        (["--type", "node_failure"], [7]),
        (["--type", "NODE_FAILURE"], [7]),
        (["--type", "writer_opened", "--type", "writer_closed"], [0, 11]),
        (["--node", "n1"], [4, 5]),
        (["--node", "n1", "-n1"], [5]),
        (["--node", "n"], []),
        (["--grep", "disk.full"], [7]),
        (["--grep", "(?i)NODE_start n[01]"], [2, 4]),
        (["--type", "node_start", "--node", "n2"], [6]),
        (["--run", "latest", "-n1"], [11]),
        (["--run", "04", "-n1"], [11]),
        (["--run", "aaaa", "-n1"], [11]),
        (["--since", "2026-11-21T07:03:12.010Z"], [9, 10, 11]),
        (["--since", "2026-11-21 08:03:12.010000+01:00", "-n1"], [11]),
        (["--since", "2036-01-01T00:00:00Z"], []),
    ],
    ids=str,
)
def test_options(
    tmp_path: Path, built: TraceBuilder, options: list[str], wanted: list[int]
) -> None:
    done = auditfold("tail", *options, "out", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == text_of([built.lines[n] for n in wanted])


def test_since_so_long_ago_shows_all_of_it(tmp_path: Path) -> None:
    now = int(datetime.now(UTC).timestamp() * 1e6)
    trace = TraceBuilder(clock=Clock(now - 3600 * 1_000_000))
    for _ in range(60):
        trace.write("of_tomorrow", after_us=60_000_000)
    trace.save(tmp_path)

    done = auditfold("tail", "--since", "30m", "--json", tmp_path)

    assert 28 <= done.stdout.count(b"\n") <= 31
    assert done.stdout == b"".join(trace.lines[-done.stdout.count(b"\n") :])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "'yesterday': want 2026-11-21T07:03:12Z, or 30s, 10m, 2h"),
        (["--since", "2026-11-21T07:03:12"], "want 2026-11-21T07:03:12Z"),
        (["--since", "2026-13-21T07:03:12Z"], "month must be in 1..12"),
        (["--since", ""], "want 2026"),
        (["--grep", "("], "'(' is no regular expression: missing )"),
        (["-n", "-1"], "'-1': want a whole number from 0, or 'all'"),
        (["-n", "ten"], "'ten': want a whole number from 0, or 'all'"),
        (["-n", "9" * 30], "want a whole number from 0, or 'all'"),
        (["--run", "bbbb"], "--run bbbb: no such run; want latest, a step number, or a part"),
    ],
    ids=str,
)
def test_wrong_usage(tmp_path: Path, built: TraceBuilder, options: list[str], said: str) -> None:
    del built
    done = auditfold("tail", *options, "out", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("auditfold tail: ")
    assert said in line
    assert line.endswith("See: auditfold tail --help")


def test_an_ambiguous_run_is_wrong_usage_and_lists_them(tmp_path: Path) -> None:
    clock = Clock()
    for n in range(7):
        run(
            f"audit/step_04/trace_04.w{n}.jsonl",
            run_id=f"20261121-070312-aaaaa{n}",
            clock=clock,
        ).save(tmp_path)

    several = auditfold("tail", "--run", "aaaaa", tmp_path)
    one = auditfold("tail", "--run", "aaaaa3", "-n1", "--json", tmp_path)
    latest = auditfold("tail", "--run", "latest", "-n1", "--json", tmp_path)

    assert several.returncode == 2
    assert b"7 runs have that in their ids: 20261121-070312-aaaaa6, 2026" in several.stderr
    assert b"aaaaa3" in one.stdout
    assert b"aaaaa6" in latest.stdout


def test_a_type_that_is_none_is_pointed_out_and_not_refused(
    tmp_path: Path, built: TraceBuilder
) -> None:
    del built
    done = auditfold("tail", "--type", "node_fail", "out", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no event type 'node_fail'; did you mean 'node_failure'?" in done.stderr


@pytest.mark.parametrize("options", [[], ["--run", "latest"]])
def test_standard_input_and_compressed_and_older_traces(
    tmp_path: Path, built: TraceBuilder, options: list[str]
) -> None:
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(bytes(built)))
    (tmp_path / "old.jsonl").write_bytes(b"".join(older_lines()))

    from_stdin = auditfold("tail", "-", *options, stdin=bytes(built))
    from_gz = auditfold("tail", "t.jsonl.gz", *options, cwd=tmp_path)
    older = auditfold("tail", "old.jsonl", "--json", *options, cwd=tmp_path)

    assert from_stdin.stdout == from_gz.stdout == text_of(built.lines[-10:])
    assert older.stdout == b"".join(older_lines())
    assert [done.stderr for done in (from_stdin, from_gz, older)] == [b""] * 3


# --- the terminal


def test_colour_by_kind_on_a_terminal_only(tmp_path: Path, built: TraceBuilder) -> None:
    plain = auditfold("tail", "out", cwd=tmp_path).stdout
    coloured, _ = on_terminal("tail", "out", cwd=tmp_path)
    no_colour, _ = on_terminal("tail", "out", cwd=tmp_path, env={"NO_COLOR": "1"})
    dumb, _ = on_terminal("tail", "out", cwd=tmp_path, env={"TERM": "dumb"})

    assert plain == no_colour == dumb == text_of(built.lines[-10:])
    assert COLOUR.sub("", coloured.decode()) == plain.decode()
    assert b"\x1b[31mNODE_FAILURE\x1b[0m" in coloured
    assert b"\x1b[32mNODE_SUCCESS\x1b[0m" in coloured


def test_a_long_line_is_cut_on_a_terminal_only(tmp_path: Path) -> None:
    built = TraceBuilder()
    built.write("of_tomorrow", text="x" * 10_000)
    path = built.save(tmp_path)

    shown, _ = on_terminal("tail", path, columns=80)

    assert len(COLOUR.sub("", shown.decode())) == 80 * 5 + 1
    assert shown.endswith(b"xxx... (10,055 characters)\n")
    assert auditfold("tail", path).stdout == text_of(built.lines)


@pytest.mark.parametrize("options", [[], ["--json"], ["--grep", "."], ["-f"]])
def test_hostile_text_does_no_harm_to_a_terminal(tmp_path: Path, options: list[str]) -> None:
    built = TraceBuilder()
    hostile: dict[str, Any] = {HOSTILE: [HOSTILE]}
    built.write("node_start", node_id=HOSTILE, message=HOSTILE, **hostile)
    built.write("of_tomorrow", text=HOSTILE)
    built.lines[1] = built.lines[1].replace(b'"of_tomorrow"', orjson.dumps(HOSTILE))
    path = built.save(tmp_path)
    # JSON may have white space that a terminal acts on.
    path.write_bytes(bytes(built) + built.lines[0].replace(b'{"v":1', b'{\r\t"v":1'))
    with path.open("ab") as stream:
        stream.write(f"no json {HOSTILE}\n".encode())
    if "-f" in options:
        built.write("of_tomorrow")
        with path.open("ab") as stream:
            stream.write(b'{"v":2' + built.lines[-1][6:-70] + built.lines[-1][-70:])
        options = [*options, "--strict"]

    shown, _ = on_terminal("tail", *options, path)
    text = COLOUR.sub("", shown.decode())

    assert CONTROL.findall(text) == []
    assert "owned" in text


def test_json_on_a_terminal_means_what_was_stored(tmp_path: Path) -> None:
    built = TraceBuilder()
    hostile: dict[str, Any] = {HOSTILE: [HOSTILE]}
    built.write("node_start", node_id=HOSTILE, **hostile)
    path = built.save(tmp_path)

    shown, _ = on_terminal("tail", "--json", path)

    assert orjson.loads(shown) == orjson.loads(bytes(built))


# --- bad input


@pytest.mark.parametrize(
    "vector",
    sorted(p for k in ("valid", "invalid") for p in (VECTORS / k).iterdir()),
    ids=lambda path: path.name,
)
def test_every_vector_is_printed_or_named(
    vector: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """No traceback, nothing written, every whole line either printed or named."""
    folder = tmp_path / "v"
    shutil.copytree(vector, folder)
    path = folder if (folder / "audit").is_dir() else next(folder.rglob("*.jsonl"))
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    code = main(["tail", "-n", "all", "--json", str(path)])
    out, err = capsysbinary.readouterr()
    strict_code = main(["tail", "-n", "all", "--json", "--strict", str(path)])

    assert b"Traceback" not in err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert capsysbinary.readouterr().out == out
    if b"format version 2, this program knows" in err:
        assert code == strict_code == ExitCode.NEWER
        return
    if b"not a trace: no line is an event; the first: " in err:
        assert code == strict_code == ExitCode.ENVIRONMENT
        assert out == b""
        return
    named = len(re.findall(rb"^\S+:\d+ \(byte \d+\): ", err, re.MULTILINE))
    if more := re.search(rb"^(\d+) more lines are no events", err, re.MULTILINE):
        named += int(more[1])
    n_lines = sum(data.count(b"\n") for p, data in before.items() if p.name.startswith("trace_"))
    assert out.count(b"\n") + named == n_lines
    assert strict_code == (ExitCode.EVIDENCE if named else ExitCode.DONE)
    assert code == ExitCode.DONE


def test_a_line_of_ten_mebibytes_is_named(tmp_path: Path) -> None:
    built = run()
    path = built.save(tmp_path)
    path.write_bytes(built.lines[0] + b"x" * (10 << 20) + b"\n" + b"".join(built.lines[1:]))

    done = auditfold("tail", "-n", "all", "--json", path)

    assert done.returncode == 0
    assert done.stdout == bytes(built)
    said = done.stderr.decode().splitlines()
    assert said[0] == (
        f"trace_04.jsonl:2 (byte {len(built.lines[0])}): line of 10485761 bytes, "
        "want at most 1048576; left out"
    )
    assert said[1].endswith(f"To see what is intact: auditfold audit {path}")


def test_events_before_a_newer_version_are_printed(tmp_path: Path) -> None:
    shutil.copytree(VECTORS / "invalid" / "newer_version", tmp_path / "out")

    done = auditfold("tail", "--json", "out", cwd=tmp_path)

    assert done.returncode == ExitCode.NEWER
    assert done.stdout.count(b"\n") > 0
    assert b"format version 2, this program knows 1" in done.stderr
    assert b"Upgrade" in done.stderr


def as_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [as_link, as_folder, as_fifo])
@pytest.mark.parametrize("given", ["out", "out/audit/step_04/trace_04.jsonl"])
def test_what_is_no_trace_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], given: str
) -> None:
    spoil(run().save(tmp_path / "out"))

    done = auditfold("tail", given, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (ExitCode.ENVIRONMENT, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"auditfold tail: {given}: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_trace_is_one_message(tmp_path: Path) -> None:
    path = run().save(tmp_path)
    path.chmod(0)

    done = auditfold("tail", path)

    assert done.returncode == ExitCode.ENVIRONMENT
    assert b"permission denied" in done.stderr


@pytest.mark.parametrize("command", ["ls", "show", "tail"])
def test_a_registry_whose_traces_are_gone_is_damage(tmp_path: Path, command: str) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "registry.jsonl").write_bytes(bytes(run()))

    done = auditfold(command, tmp_path)

    assert (done.returncode, done.stdout) == (ExitCode.EVIDENCE, b"")
    assert b"a registry, and none of its traces: nothing to read. Run: auditfold audit" in (
        done.stderr
    )


def test_what_is_no_trace_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("so\nmany\nlines\n" * 10)

    done = auditfold("tail", path)

    assert done.returncode == ExitCode.ENVIRONMENT
    assert done.stderr.decode() == (
        "auditfold tail: notes.txt: not a trace: no line is an event; "
        "the first: not JSON: Expecting value at character 0\n"
    )


def test_unreadable_lines_are_named_up_to_ten(tmp_path: Path) -> None:
    built = run()
    path = built.save(tmp_path)
    path.write_bytes(b"bad\n" * 25 + bytes(built))

    done = auditfold("tail", "-n", "all", path)

    said = done.stderr.decode().splitlines()
    assert len(said) == 12
    assert said[9].startswith("trace_04.jsonl:10 (byte 36): not JSON")
    assert said[10] == "15 more lines are no events; left out"


# --- following


def test_following_shows_what_comes_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    built = run()
    path = built.save(tmp_path)
    with running("tail", "-f", "-n2", "--json", tmp_path) as tail:
        tail.until(stdout=b"writer_closed")
        for _ in range(5):
            with path.open("ab") as stream:
                stream.write(built.write("of_tomorrow"))
            tail.until(stdout=built.lines[-1])
        code = tail.interrupt()

    assert code == ExitCode.INTERRUPTED
    assert tail.stdout == b"".join(built.lines[-7:])
    assert tail.stderr == b""


def test_following_waits_for_a_folder_that_is_not_there(tmp_path: Path) -> None:
    built = run()
    with running("tail", "-f", "--json", "out", cwd=tmp_path) as tail:
        tail.until(stderr=b"auditfold tail: out: no trace there yet, waiting for one\n")
        built.save(tmp_path / "out")
        tail.until(stdout=built.lines[-1])
        other = run("audit/step_05/trace_05.jsonl", clock=built.clock)
        other.save(tmp_path / "out")
        tail.until(stdout=other.lines[-1])
        tail.interrupt()

    assert tail.stdout == bytes(built) + bytes(other)


def test_following_goes_on_after_removal_replacement_and_shrinking(tmp_path: Path) -> None:
    built = run()
    path = built.save(tmp_path)
    with running("tail", "-f", "-n1", "--json", tmp_path) as tail:
        tail.until(stdout=built.lines[-1])
        path.unlink()
        tail.until(stderr=b"audit/step_04/trace_04.jsonl: was removed")
        other = TraceBuilder(writer="20261121t070312-ffffffffff")
        other.open()
        other.save(tmp_path)
        tail.until(stdout=other.lines[-1])
        beside = path.with_name("beside")
        beside.write_bytes(bytes(built))
        beside.rename(path)
        tail.until(stderr=b"was replaced", stdout=bytes(other) + bytes(built))
        os.truncate(path, len(b"".join(built.lines[:4])))
        tail.until(stderr=b"shrank to ")
        with path.open("ab") as stream:
            stream.write(built.lines[4])
        tail.until(stdout=other.lines[-1] + bytes(built) + built.lines[4])
        tail.interrupt()

    assert tail.stdout == built.lines[-1] + bytes(other) + bytes(built) + built.lines[4]


def test_strict_following_ends_at_the_first_unreadable_line(tmp_path: Path) -> None:
    built = run()
    path = built.save(tmp_path)
    with running("tail", "-f", "-n1", "--strict", tmp_path) as tail:
        tail.until(stdout=b"WRITER_CLOSED\n")
        with path.open("ab") as stream:
            stream.write(b"bad\n")
        code = tail.wait()

    assert code == ExitCode.EVIDENCE
    assert f"trace_04.jsonl:{len(built.lines) + 1} (byte {len(bytes(built))}): ".encode() in (
        tail.stderr
    )


def test_following_ends_when_its_reader_goes_away_though_nothing_comes(tmp_path: Path) -> None:
    """`auditfold tail -f | head -1` on a quiet trace once waited for the next event."""
    built = run()
    built.save(tmp_path)
    with running("tail", "-f", tmp_path) as tail:
        tail.until(stdout=b"WRITER_CLOSED\n")
        assert tail.process.stdout is not None
        tail.process.stdout.close()
        tail._open = {k: v for k, v in tail._open.items() if v == "stderr"}
        code = tail.wait()

    assert (code, tail.stderr) == (ExitCode.CLOSED_PIPE, b"")


def test_following_standard_input_shows_a_line_when_it_comes(tmp_path: Path) -> None:
    del tmp_path
    built = run()
    with running("tail", "-f", "-", "--json", stdin=subprocess.PIPE) as tail:
        assert tail.process.stdin is not None
        for line in built.lines:
            tail.process.stdin.write(line)
            tail.process.stdin.flush()
            tail.until(stdout=line)
        tail.process.stdin.close()
        assert tail.wait() == 0

    assert tail.stdout == bytes(built)


def test_filters_hold_for_what_comes(tmp_path: Path) -> None:
    built = run()
    built.write("of_tomorrow")
    first = built.lines[-1]
    path = built.save(tmp_path)
    with running("tail", "-f", "--type", "of_tomorrow", "--json", "-n1", tmp_path) as tail:
        tail.until(stdout=first)
        built.write("of_yesterday")
        built.write("of_tomorrow")
        with path.open("ab") as stream:
            stream.writelines(built.lines[-2:])
        tail.until(stdout=built.lines[-1])
        tail.interrupt()

    assert tail.stdout == first + built.lines[-1]


# --- instants


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("2026-11-21T07:03:12Z", "2026-11-21T07:03:12.000000Z"),
        ("2026-11-21t07:03:12.5z", "2026-11-21T07:03:12.500000Z"),
        ("2026-11-21 00:03:12-07:00", "2026-11-21T07:03:12.000000Z"),
        ("1960-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("0s", "2026-11-21T07:03:12.000000Z"),
        ("90s", "2026-11-21T07:01:42.000000Z"),
        ("999999999w", "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_an_instant_is_a_timestamp(text: str, want: str) -> None:
    assert timestamp_of(text, now_us=START_US) == want


@pytest.mark.parametrize("unit", ["s", "m", "h", "d", "w"])
def test_units_of_so_long_ago(unit: str) -> None:
    name = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[unit]
    want = datetime.fromtimestamp(START_US / 1e6, UTC) - timedelta(**{name: 3})

    assert timestamp_of(f"3{unit}", now_us=START_US) == f"{want:%Y-%m-%dT%H:%M:%S.%f}Z"
