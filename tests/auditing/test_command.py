"""`auditfold audit`, run as a process."""

import json
from pathlib import Path

import orjson
import pytest

from tests.auditing.build import many_nodes, open_behind, save
from tests.auditing.test_chain import flipped
from tests.auditing.test_outputs import record
from tests.command.running import auditfold, on_terminal
from tests.vectors.making import ALICE, BOB, REGISTRY, TRACE, Out, Writer, small_run

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return save(small_run(), tmp_path / "out")


def test_a_whole_record_exits_0_and_says_so_in_its_first_word(out: Path) -> None:
    done = auditfold("audit", out)

    assert (done.returncode, done.stderr) == (0, b"")
    first, *_ = done.stdout.decode().splitlines()
    assert first.startswith("complete  ")
    assert b"not proven: that nobody rewrote all files" in done.stdout


def test_json_is_the_object_of_the_documentation(out: Path) -> None:
    (out / "table.csv").write_text("x")
    made = Out()
    writer = open_behind(Writer(made))
    writer.put("artifact_written", **record(out / "table.csv", "table.csv"))
    writer.complete(completed=0)
    writer.close()
    save(made, out)
    (out / "table.csv").write_text("y")

    done = auditfold("audit", "--json", out)

    assert done.returncode == 1
    assert done.stdout.count(b"\n") == 1
    found = json.loads(done.stdout)
    assert list(found) == ["verdict", "files", "outputs", "findings"]
    assert found["verdict"] == "complete"
    assert found["files"] == [
        {"path": REGISTRY, "lines": 2, "verdict": "complete"},
        {"path": TRACE, "lines": 5, "verdict": "complete"},
    ]
    assert {key: found["outputs"][key] for key in found["outputs"] if key != "items"} == {
        "ok": 0, "changed": 1, "missing": 0, "untracked": 0, "superseded": 0, "unverified": 0,
    }  # fmt: skip
    (item,) = found["outputs"]["items"]
    assert list(item) == ["path", "state", "expected", "actual", "run_id", "node_id"]
    (finding,) = found["findings"]
    assert list(finding) == ["severity", "code", "path", "line", "seq", "offset", "message"]
    assert (finding["code"], finding["line"], finding["seq"]) == ("output_changed", 3, 2)


def test_damage_exits_3_and_is_named_with_line_and_byte(out: Path) -> None:
    path = out / TRACE
    path.write_bytes(flipped(path.read_bytes(), 1500, 0))

    done = auditfold("audit", out)

    assert done.returncode == 3
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("tampered  ")
    (finding,) = [line for line in lines if line.startswith("error ")]
    assert finding.startswith(f"error bad_hash  {TRACE}:4 (byte 1374): hash ")
    assert finding.endswith("; the first 3 lines are intact")


def test_a_newer_version_exits_4() -> None:
    done = auditfold("audit", Path(__file__).parents[1] / "vectors/invalid/newer_version")

    assert done.returncode == 4
    assert b"pip install -U auditfold" in done.stdout


@pytest.mark.parametrize("arguments", [["absent"], ["."]])
def test_without_a_trace_it_exits_5(tmp_path: Path, arguments: list[str]) -> None:
    done = auditfold("audit", *arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (5, b"")
    assert b"found no trace" in done.stderr


def test_wrong_usage_exits_2(out: Path) -> None:
    assert auditfold("audit", out, "--jobs", "0").returncode == 2


def test_standard_input(out: Path) -> None:
    done = auditfold("audit", "-", stdin=(out / TRACE).read_bytes())

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"intact-prefix  -: ")
    assert b"note alone" in done.stdout


def test_the_chain_alone(out: Path) -> None:
    done = auditfold("audit", "--chain", out)

    assert done.returncode == 0
    assert b"they were not looked at (--chain)" in done.stdout
    assert b"\n  outputs: " not in done.stdout


def test_every_output_is_listed_on_demand(tmp_path: Path) -> None:
    made = Out()
    writer = open_behind(Writer(made))
    (tmp_path / "a.csv").write_text("a")
    writer.put("artifact_written", **record(tmp_path / "a.csv", "a.csv"))
    writer.complete(completed=0)
    writer.close()
    save(made, tmp_path)

    assert b"ok          a.csv of n" in auditfold("audit", "--outputs", tmp_path).stdout
    assert b"ok          a.csv of n" in auditfold("audit", "--chain", "--outputs", tmp_path).stdout
    assert b"  outputs: 1 ok\n" in auditfold("audit", tmp_path).stdout


def test_hostile_text_does_a_terminal_no_harm(tmp_path: Path) -> None:
    made = Out()
    writer = open_behind(Writer(made))
    writer.put("artifact_written", role="output", path=HOSTILE, size=1, digest=f"sha256:{HOSTILE}",
               node_id=HOSTILE)  # fmt: skip
    writer.close()
    other = Writer(made, BOB, file=f"audit/step_04/trace_04.{BOB}.jsonl")
    other.open(follows={"path": HOSTILE, "writer": None, "lines": 0, "hash": None})
    other.close()
    save(made, tmp_path)

    shown, code = on_terminal("audit", "--outputs", tmp_path, env={"NO_COLOR": "1"})
    as_json, _ = on_terminal("audit", "--json", tmp_path)

    assert code == 3
    for text in (shown.decode(), as_json.decode()):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
    assert orjson.loads(as_json)["outputs"]["missing"] == 1


def test_colour_is_for_terminals(out: Path) -> None:
    shown, code = on_terminal("audit", out)

    assert code == 0
    assert shown.startswith(b"\x1b[32mcomplete\x1b[0m  ")


def test_several_processes_say_the_same(tmp_path: Path) -> None:
    folder = save(many_nodes(30, ALICE, BOB), tmp_path)

    one, two = (auditfold("audit", "--json", "--jobs", jobs, folder) for jobs in ("1", "2"))

    assert one.stdout == two.stdout


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 5000,
        b"{" * 10_000 + b"\n",
        b'{"v":1,"seq":0}\n',
        b"x" * (11 << 20),
        b'{"event_type":"a","timestamp":"b"}\n',
        "\u2028\n".encode() * 50,
        b"\xff\xfe\n",
    ],
    ids=["zeros", "braces", "json", "long", "older", "separators", "not-utf-8"],
)
def test_bad_input_is_one_finding_and_no_traceback(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trace_04.jsonl"
    path.write_bytes(data)

    done = auditfold("audit", "--json", path)

    assert (done.returncode, done.stderr) == (3, b"")
    assert len(json.loads(done.stdout)["findings"]) == 1
