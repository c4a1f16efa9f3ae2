"""`auditfold key`, `checkpoint`, and the options of `audit` that go with them, as processes."""

import json
import os
import stat
from pathlib import Path

import pytest

from observability.cli.errors import ExitCode
from observability.signing.keys import SigningKey, write_certified, write_key
from tests.command.running import auditfold, on_terminal
from tests.sealing.signed import lines_of, write


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "operator.key"
    assert auditfold("key", "new", "--name", "ops.example", "-o", path).returncode == 0
    return path


@pytest.fixture
def vkey(key: Path) -> str:
    return auditfold("key", "show", key).stdout.decode().strip()


@pytest.fixture
def out(key: Path, tmp_path: Path) -> Path:
    write(tmp_path / "out", 300, signing_key=key)
    return tmp_path / "out"


def test_a_new_key_is_its_owner_s_and_its_verifier_key_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "new.key"

    done = auditfold("key", "new", "-o", path)

    assert (done.returncode, done.stderr) == (0, b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert done.stdout.split()[-1] == auditfold("key", "show", path).stdout.strip()
    assert b"PRIVATE" not in done.stdout
    as_json = json.loads(auditfold("key", "show", "--json", path).stdout)
    assert as_json["vkey"].encode() == done.stdout.split()[-1]


def test_a_key_file_that_is_there_stays(key: Path) -> None:
    before = key.read_bytes()

    for command in (("key", "new", "-o", key), ("key", "certify", key, "-o", key)):
        done = auditfold(*command)
        assert done.returncode == 5
        assert b"file exists" in done.stderr
        assert b"Traceback" not in done.stderr
    assert key.read_bytes() == before


@pytest.mark.parametrize("name", ["a b", "a+b", "", "\x07", "a\x9b31m", "a\u202eb", "x" * 201])
def test_a_name_that_no_key_may_have_is_refused(name: str, tmp_path: Path) -> None:
    done = auditfold("key", "new", "--name", name, "-o", tmp_path / "x.key")

    # An empty name is the name of the machine.
    assert done.returncode == (0 if name == "" else 2)
    assert b"Traceback" not in done.stderr


def test_the_name_of_a_key_that_others_made_does_a_terminal_no_harm(tmp_path: Path) -> None:
    """A name turned the rest of the line around, and deleted characters."""
    key = SigningKey.new("\u202eops\x7f")
    write_key(tmp_path / "o.key", key)
    write_certified(tmp_path / "o.keys", key, count=2)
    commands = [
        ("key", "show", tmp_path / "o.key"),
        ("key", "show", tmp_path / "o.keys"),
        ("key", "certify", tmp_path / "o.key", "-o", tmp_path / "more.keys"),
    ]

    for command in commands:
        shown = auditfold(*command).stdout.decode()
        assert r"\u202eops\x7f+" in shown
        assert "\u202e" not in shown


def test_a_file_may_have_a_name_that_is_no_text(out: Path, key: Path) -> None:
    """The file was made, and what says so was a traceback."""
    for n, command in enumerate((("key", "new"), ("key", "certify", key), ("checkpoint", out))):
        for options in ((), ("--json",)):
            name = f"{out.parent}/\udcff{n}{len(options)}"
            done = auditfold(*command, *options, "-o", name)
            assert (done.returncode, done.stderr) == (0, b"")
            assert b"udcff" in done.stdout
            assert Path(name).exists()


def test_certified_keys_say_whose_they_are_and_how_many_are_left(
    key: Path, vkey: str, tmp_path: Path
) -> None:
    worker = tmp_path / "worker.keys"
    made = auditfold("key", "certify", key, "--count", "2", "-o", worker)
    assert made.stdout.decode() == f"{worker}: 2 keys, certified by {vkey}\n"
    env = {"AUDITFOLD_SIGNING_KEY": str(worker)}

    for left in (1, 0):
        done = auditfold("exec", "--dir", tmp_path / "out", "--", "true", env=env)
        assert (done.returncode, done.stderr) == (0, b"")
        shown = json.loads(auditfold("key", "show", "--json", worker).stdout)
        assert shown == {"count": left, "certified_by": vkey}

    done = auditfold("exec", "--dir", tmp_path / "out", "--", "touch", tmp_path / "ran", env=env)
    assert done.returncode == 5
    assert b"no certified key is left in it. Run: auditfold key certify" in done.stderr
    assert not (tmp_path / "ran").exists()
    done = auditfold("audit", "--vkey", vkey, tmp_path / "out")
    assert done.returncode == 0


def test_the_key_to_ask_for_may_come_from_the_environment(out: Path, vkey: str) -> None:
    asked = {"AUDITFOLD_VKEY": f"{vkey}"}

    done = auditfold("audit", out, env=asked)
    assert done.returncode == 0
    assert b"signed by ops.example" in done.stdout
    assert b"a key you gave" in done.stdout
    write(out, 3, signing_key=None)
    assert auditfold("audit", out).returncode == 0
    done = auditfold("audit", out, env=asked)
    assert done.returncode == 3
    assert b"does not sign" in done.stdout


def test_json_has_who_signed(out: Path, vkey: str) -> None:
    report = json.loads(auditfold("audit", "--json", "--vkey", vkey, out).stdout)

    [signed] = report["signatures"]
    assert signed["trust"] == "certified"
    assert signed["signer"] == "+".join(vkey.split("+", 2)[:2])  # base64 has a + too
    assert signed["lines"] == report["files"][1]["lines"] - 2
    assert "anchored" not in report["files"][0]


@pytest.mark.parametrize("text", ["x", "a+b+c", "PRIVATE+KEY+a+00000000+AAAA"])
def test_what_is_no_verifier_key_is_wrong_usage(out: Path, text: str) -> None:
    done = auditfold("audit", "--vkey", text, out)

    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"verifier key" in done.stderr


def test_an_anchor_is_kept_extended_and_missed(out: Path, key: Path, vkey: str) -> None:
    note = out.parent / "anchor.txt"
    made = auditfold("checkpoint", out, "-o", note, "--key", key)
    assert (made.returncode, made.stderr) == (0, b"")
    assert stat.S_IMODE(note.stat().st_mode) == 0o644
    assert auditfold("checkpoint", out, "--key", key).stdout == note.read_bytes()
    expect = ("audit", "--vkey", vkey, "--expect", note)

    assert auditfold(*expect, "--require-anchor", out).returncode == 0
    write(out, 10, signing_key=key)
    done = auditfold(*expect, out)
    assert done.returncode == 0
    assert b"1-2 anchored, 3-4 not" in done.stdout
    done = auditfold(*expect, "--require-anchor", "--json", out)
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"]) == (3, "intact-prefix")
    assert {finding["code"] for finding in report["findings"]} == {"unanchored"}
    assert report["files"][0]["anchored"] == 2

    registry = out / "audit/registry.jsonl"
    registry.write_bytes(b"".join(lines_of(registry)[:1]))
    done = auditfold(*expect, out)
    assert done.returncode == 3
    assert b"error cut" in done.stdout


def test_an_anchor_may_come_by_standard_input_and_unsigned(out: Path) -> None:
    note = auditfold("checkpoint", out).stdout

    assert b"\xe2\x80\x94" not in note
    assert auditfold("audit", "--expect", "-", out, stdin=note).returncode == 0


def test_a_note_that_is_none_or_was_changed_is_wrong_usage(out: Path, key: Path, vkey: str) -> None:
    note = out.parent / "anchor.txt"
    auditfold("checkpoint", out, "-o", note, "--key", key)
    good = note.read_bytes()
    other_signature = good[:-3] + (b"E=\n" if good.endswith(b"A=\n") else b"A=\n")

    for bad in (b"", b"x\n", b"\xff", good.replace(b"\n2\n", b"\n1\n"), other_signature):
        note.write_bytes(bad)
        done = auditfold("audit", "--vkey", vkey, "--expect", note, out)
        assert done.returncode == 2, bad
        assert done.stderr.count(b"\n") == 1
        assert b"--expect" in done.stderr


def test_an_anchor_without_its_signature_is_said_to_have_none(
    out: Path, key: Path, vkey: str
) -> None:
    """Who can change a signed anchor can also take the signature away from it."""
    note = out.parent / "anchor.txt"
    auditfold("checkpoint", out, "-o", note, "--key", key)

    assert auditfold("audit", "--vkey", vkey, "--expect", note, out).stderr == b""
    note.write_bytes(note.read_bytes().partition(b"\n\n")[0] + b"\n")

    done = auditfold("audit", "--vkey", vkey, "--expect", note, out)
    assert done.returncode == 0
    assert b"anchor.txt: not signed by a key you gave" in done.stderr
    assert auditfold("audit", "--expect", note, out).stderr == b""


def test_an_endless_note_is_refused(out: Path) -> None:
    """It filled the memory."""
    done = auditfold("audit", "--expect", "/dev/zero", out)

    assert done.returncode == 2
    assert b"over 64000000 bytes" in done.stderr


@pytest.mark.parametrize("command", ["checkpoint", "key new"])
@pytest.mark.parametrize(
    ("name", "said"),
    [("", "want the name of a file"), ("made", "'made' is a directory"), ("x/", "x/: a directory")],
)
def test_what_is_no_name_of_a_file_is_wrong_usage(
    out: Path, tmp_path: Path, command: str, name: str, said: str
) -> None:
    (tmp_path / "made").mkdir()
    place = [out] if command == "checkpoint" else []
    done = auditfold(*command.split(), *place, "-o", name, cwd=tmp_path)

    assert done.returncode == ExitCode.USAGE
    assert said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_no_anchor_is_made_of_what_was_tampered_with(out: Path) -> None:
    trace = out / "audit/step_04/trace_04.jsonl"
    trace.write_bytes(trace.read_bytes().replace(b"event 7", b"event 8"))

    done = auditfold("checkpoint", out, "-o", out / "anchor.txt")

    assert done.returncode == 3
    assert done.stdout.startswith(b"tampered")
    assert not (out / "anchor.txt").exists()


def test_a_folder_without_a_registry_has_no_anchor(tmp_path: Path) -> None:
    done = auditfold("checkpoint", tmp_path)

    assert done.returncode == 5
    assert done.stderr.count(b"\n") == 1


def test_on_a_terminal_what_was_not_checked_is_yellow(out: Path, vkey: str) -> None:
    shown, _ = on_terminal("audit", out)
    assert b"\x1b[33mnot checked against a key you gave" in shown
    shown, _ = on_terminal("audit", "--vkey", vkey, out)
    assert b"\x1b[32ma key you gave" in shown


def test_the_end_of_a_run_prints_the_hash_of_the_registry(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "from observability import ExecutionObserver\n"
        "with ExecutionObserver('step_04_x', 'out', use_tqdm=False): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=True,
    )

    last = json.loads(lines_of(tmp_path / "out/audit/registry.jsonl")[-1])
    assert done.stdout.decode().endswith(f"\n Registry: 2 lines, hash {last['hash']}\n\n")


def test_a_page_says_by_whom_it_is_signed_and_whether_that_was_asked(
    out: Path, vkey: str, tmp_path: Path
) -> None:
    texts = []
    for env in ({}, {"AUDITFOLD_VKEY": vkey}, {"AUDITFOLD_VKEY": "x"}):
        done = auditfold("report", out, "--format", "md", "-o", tmp_path / "page.md", env=env)
        texts.append((tmp_path / "page.md").read_text())
        assert done.returncode == (2 if env.get("AUDITFOLD_VKEY") == "x" else 1)
        assert b"Traceback" not in done.stderr
    assert "not checked against a key you gave" in texts[0]
    assert "a key you gave: 3" in texts[1]
