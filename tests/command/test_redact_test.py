"""`auditfold redact-test` says where secrets stand, and never shows one."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from observability import ExecutionObserver
from observability.dry_run import LARGEST_PIECE, described_rules
from tests.command.running import auditfold, on_terminal
from tests.redaction.corpus import harmless, secrets

HIDDEN = "pwd=[REDACTED:password]"


def run(*arguments: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    done = auditfold("redact-test", *arguments, stdin=stdin)
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def test_a_text_is_told_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text('one\npassword: "hunter2"\nthree\nredis://:hunter2@cache/0 pwd=hunter2\n')

    code, said = run(path)

    assert code == 1
    assert said.splitlines() == [
        f'{path}:2: password: password: "[REDACTED:password]"',
        f"{path}:4: url-password, password: redis://:[REDACTED:url-password]@cache/0 {HIDDEN}",
        "2 places would be hidden: 2 password, 1 url-password",
    ]


def test_no_secret_of_the_corpus_is_shown_and_each_is_told(tmp_path: Path) -> None:
    cases = secrets()
    path = tmp_path / "all.txt"
    path.write_text("\n".join(case.text for case in cases if "cut" not in case.text))

    code, said = run("--json", path)

    found = json.loads(said)
    assert code == 1
    assert {"key", *found["rules"]} == {rule.name for rule in described_rules()}
    for case in cases:
        for secret in case.secrets:
            assert len(secret) < 8 or json.dumps(secret)[1:-1] not in said


def test_harmless_text_is_not_reported() -> None:
    assert run(stdin="\n".join(harmless()).encode()) == (0, "nothing would be hidden\n")


def test_a_secret_of_several_lines_is_told_by_the_first() -> None:
    key = (
        b"-----BEGIN PRIVATE KEY-----\nTWFkZSB1cCwgYW5kIGxvbmcgZW5vdWdo\n-----END PRIVATE KEY-----"
    )

    code, said = run(stdin=b"one\nx " + key + b" y\nthree\npwd=hunter2\n")

    assert code == 1
    assert said.splitlines()[:2] == [
        "-:2: private-key: x [REDACTED:private-key]",
        "-:6: password: pwd=[REDACTED:password]",
    ]


def test_a_line_of_json_is_looked_at_by_its_keys() -> None:
    line = {"a": {"db.password": "x", "n": [1, {"token": 5}]}, "text": "pwd=hunter2", "ok": None}

    code, said = run("--json", stdin=json.dumps(line).encode())

    assert code == 1
    assert [(one["rules"], one["place"], one["text"]) for one in json.loads(said)["found"]] == [
        (["key"], "a.db.password", "[REDACTED:key]"),
        (["key"], "a.n[1].token", "[REDACTED:key]"),
        (["password"], "text", "pwd=[REDACTED:password]"),
    ]


def test_a_trace_that_was_redacted_when_it_was_written_has_nothing_to_hide(tmp_path: Path) -> None:
    """And one that was not has; a folder means all of its traces."""
    for name, redact in (("with", None), ("without", False)):
        with ExecutionObserver("step_04_x", tmp_path / name, use_tqdm=True, redact=redact) as obs:
            obs.node_start("a")
            obs.node_success("a", 0.1, output_summary={"password": "hunter2"})

    assert run(tmp_path / "with") == (0, "nothing would be hidden\n")
    code, said = run(tmp_path / "without")
    assert code == 1
    trace = tmp_path / "without" / "audit" / "step_04" / "trace_04.jsonl"
    assert said.splitlines()[0] == f"{trace}:4: key: output_summary.password: [REDACTED:key]"
    assert "hunter2" not in said


def test_patterns_are_tried_and_wrong_ones_refused() -> None:
    code, said = run("--pattern", "customer=CUST-[0-9]+", stdin=b"a CUST-17 b")
    assert (code, said.splitlines()[0]) == (1, "-:1: customer: a [REDACTED:customer] b")

    for wrong in ("customer", "customer=(", "cust omer=x", "=x"):
        done = auditfold("redact-test", "--pattern", wrong)
        assert done.returncode == 2
        assert b"See: auditfold redact-test --help" in done.stderr
        assert b"Traceback" not in done.stderr


def test_the_rules_are_listed() -> None:
    code, said = run("--rules")
    names = [line.split()[0] for line in said.splitlines()]
    assert code == 0
    assert names == [rule.name for rule in described_rules()]

    _, said = run("--rules", "--json")
    rules: list[dict[str, Any]] = json.loads(said)
    assert [rule["name"] for rule in rules] == names
    assert all(rule["says"].endswith(".") and rule["source"] for rule in rules)


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_what_is_no_text_is_one_message(tmp_path: Path, what: str) -> None:
    (tmp_path / "folder").mkdir()

    done = auditfold("redact-test", tmp_path / what)

    assert done.returncode == 5
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert what.encode() in done.stderr


def test_binary_input_is_looked_at_and_does_a_terminal_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"\x7fELF\0\x1b[2J\xff\xfe password=hunter2\0\xc3 end\n" + bytes(range(256)))

    shown, code = on_terminal("redact-test", path)

    assert code == 1
    assert b"[REDACTED:password]" in shown
    assert b"hunter2" not in shown
    assert b"\x1b" not in shown
    assert b"\0" not in shown


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_marks_of_an_encoding_are_understood(encoding: str) -> None:
    code, said = run(stdin="\u00e9\nDB_PASSWORD=hunter2\n".encode(encoding))

    assert code == 1
    assert said.splitlines()[0] == "-:2: password: DB_PASSWORD=[REDACTED:password]"


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"x\npwd=hunter2\n"))

    code, said = run(path)

    assert code == 1
    assert said.startswith(f"{path}:2: password: ")


def test_a_line_without_end_is_looked_at_in_pieces() -> None:
    text = b"word " * (LARGEST_PIECE // 5) + b"pwd=hunter2 " + b"word " * (LARGEST_PIECE // 5)

    code, said = run(stdin=text * 2 + b"\npwd=hunter2\n")

    rows = said.splitlines()
    assert code == 1
    assert [row.split(": ")[0] for row in rows[:-1]] == ["-:1", "-:1", "-:2"]
    assert "hunter2" not in said
    assert all(len(row) <= 200 for row in rows)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_row_is_cut_to_the_terminal_around_the_marker(tmp_path: Path, columns: int) -> None:
    path = Path("a.log")
    (tmp_path / path).write_text("x " * 300 + "password=hunter2 " + "y " * 300)

    shown, _ = on_terminal("redact-test", path, cwd=tmp_path, columns=columns)

    row = shown.splitlines()[0]
    assert b"[REDACTED:password]" in row
    assert len(row) <= max(columns, len("a.log:1: password: ") + 60)


def test_no_input_is_no_finding() -> None:
    assert run(stdin=b"") == (0, "nothing would be hidden\n")
