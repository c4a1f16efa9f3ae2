"""What a writer that signs writes, and that an audit believes it: nothing more, nothing less."""

import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from observability import ExecutionObserver
from observability.journal import Journal, JournalError
from observability.signing.keys import (
    KeyFileError,
    SigningKey,
    certified_keys,
    load_credential,
    write_certified,
)
from replay.audit.audit import audit
from replay.audit.checkpoint import Checkpoint, open_note, split_note
from replay.audit.merkle import root
from replay.audit.seals import EVERY
from replay.findings import Verdict
from tests.sealing.signed import WORKFLOW, Signer, codes, lines_of, write

TRACE = "audit/step_04/trace_04.jsonl"


def types_of(path: Path) -> list[str]:
    return [orjson.loads(line)["event_type"] for line in lines_of(path)]


@pytest.mark.parametrize("events", [0, 1, EVERY - 2, EVERY - 1, EVERY, EVERY + 1, 5 * EVERY])
def test_a_checkpoint_comes_after_256_events_and_before_the_end(
    tmp_path: Path, events: int
) -> None:
    signer = Signer(tmp_path)

    path = write(tmp_path / "out", events, signing_key=signer.file)

    found = types_of(path)
    assert found[-3:] == ["key_rotated", "checkpoint", "writer_closed"]
    # writer_opened is an event as well; the last checkpoint is that of the end.
    assert found.count("checkpoint") == (events + 1) // EVERY + 1
    assert found.count("key_rotated") == found.count("checkpoint")
    report = signer.audit(tmp_path / "out")
    assert (report.verdict, report.findings) == (Verdict.COMPLETE, [])
    [signed] = report.signatures
    assert (signed.trust, signed.lines) == ("certified", len(found) - 2)


def test_each_note_is_over_the_lines_before_it_and_by_the_key_named_before_it(
    tmp_path: Path,
) -> None:
    signer = Signer(tmp_path)
    path = write(tmp_path / "out", 700, signing_key=signer.file)
    write(tmp_path / "out", 300, signing_key=signer.file)  # a second writer of the same file

    lines = [orjson.loads(line) for line in lines_of(path)]

    key, coming, begin, checked = "", "", 0, 0
    for n, line in enumerate(lines):
        if line["event_type"] == "writer_opened":
            begin, key = n, line["signing"]["key"]
            certificate = open_note(line["signing"]["certificate"], signer.vkey)
            assert certificate.text == f"auditfold/certificate\n{key}\n{line['writer']}\n"
        elif line["event_type"] == "key_rotated":
            coming = line["key"]
        elif line["event_type"] == "checkpoint":
            said = Checkpoint.parse(open_note(line["note"], key).text)
            assert said.origin == f"auditfold/{line['writer']}"
            assert said.size == n - begin
            assert said.root == root(one["hash"] for one in lines[begin:n])
            last = lines[n + 1]["event_type"] == "writer_closed"
            by = [one.name for one in split_note(line["note"])[1]]
            assert ("ops.example" in by) == last
            key, coming, checked = coming, "", checked + 1
    assert checked == 3 + 2


def test_a_second_after_the_last_the_next_event_is_sealed(tmp_path: Path) -> None:
    class Clock:
        now = 0

        def time_ns(self) -> int:
            return 1_800_000_000_000_000_000 + self.now

        def monotonic_ns(self) -> int:
            return self.now

    clock, signer = Clock(), Signer(tmp_path)
    journal = Journal(tmp_path / "out", WORKFLOW, signing_key=signer.file, clock=clock)
    for step_ns in (400_000_000, 500_000_000, 100_000_000, 999_999_999, 1):
        clock.now += step_ns
        journal.append("message", {"level": "note", "text": "x"})

    found = types_of(journal.trace_path)

    assert found == [
        "writer_opened",
        *["message"] * 3,
        "key_rotated",
        "checkpoint",
        *["message"] * 2,
        "key_rotated",
        "checkpoint",
    ]
    journal.close()
    assert signer.audit(tmp_path / "out").verdict is Verdict.COMPLETE


def test_the_head_is_the_newest_checkpoint_that_was_synced(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    journal = Journal(tmp_path / "out", WORKFLOW, signing_key=signer.file, durability="always")
    head = tmp_path / "out/audit/step_04/trace_04.head"
    for _ in range(EVERY):
        journal.append("message", {"level": "note", "text": "x"})

    lines = [orjson.loads(line) for line in lines_of(journal.trace_path)]

    assert head.read_text() == [line["note"] for line in lines if "note" in line][-1]
    assert stat.S_IMODE(head.stat().st_mode) == 0o644
    journal.close()
    said = Checkpoint.parse(split_note(head.read_text())[0])
    assert said.size == len(lines_of(journal.trace_path)) - 2


def test_without_syncing_a_head_is_written_at_the_end_alone(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    journal = Journal(tmp_path / "out", WORKFLOW, signing_key=signer.file, durability="none")
    for _ in range(3 * EVERY):
        journal.append("message", {"level": "note", "text": "x"})
    head = tmp_path / "out/audit/step_04/trace_04.head"

    assert not head.exists()
    journal.close()
    assert head.exists()


def test_a_live_signed_run_is_live_and_nothing_else(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    journal = Journal(tmp_path / "out", WORKFLOW, signing_key=signer.file)
    for n in range(3 * EVERY):
        journal.append("message", {"level": "note", "text": "x"})
        if n % 100 == 0:
            assert codes(signer.audit(tmp_path / "out")) == {"live"}
    journal.close()


def test_threads_and_forks_sign_each_for_itself(tmp_path: Path) -> None:
    program = """
import os, sys, threading
from observability import ExecutionObserver
with ExecutionObserver("step_04_sealed", "out", use_tqdm=False, quiet=True) as obs:
    def work(n):
        for k in range(200):
            with obs.node(f"{n}/{k}"): pass
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [thread.start() for thread in threads]
    for n in range(3):
        if os.fork() == 0:
            work(f"child {n}")
            obs.close()
            os._exit(0)
    [thread.join() for thread in threads]
    for n in range(3): os.wait()
"""
    signer = Signer(tmp_path, certified=4)

    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "AUDITFOLD_SIGNING_KEY": str(signer.file)},
        check=True,
    )

    report = signer.audit(tmp_path / "out")
    assert (report.verdict, report.findings) == (Verdict.COMPLETE, [])
    assert len(report.signatures) == 4
    assert {signed.trust for signed in report.signatures} == {"certified"}
    assert sum(signed.checkpoints for signed in report.signatures) >= 1600 // EVERY + 4
    assert certified_keys(signer.file) == (0, signer.vkey)  # each of the four took one


def test_a_signed_run_folds_like_any_other(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    for name, key in (("signed", signer.file), ("plain", None)):
        with ExecutionObserver(
            WORKFLOW, tmp_path / name, 400, use_tqdm=False, quiet=True, signing_key=key
        ) as obs:
            for n in range(400):
                with obs.node(f"n{n}"):
                    pass
            assert obs.nodes_completed == 400

    made = [
        json.loads((tmp_path / name / "audit/step_04/report_04.json").read_text())
        for name in ("signed", "plain")
    ]

    assert [len(report["nodes"]) for report in made] == [400, 400]
    assert made[0].keys() == made[1].keys()
    assert made[0]["status"] == "succeeded"
    log = (tmp_path / "signed/audit/step_04/log_04.log").read_text()
    assert "CHECKPOINT: " in log
    assert "\u2014" not in log  # signatures are for programs


def test_a_signed_run_after_another_is_certified_anew(tmp_path: Path) -> None:
    signer = Signer(tmp_path, certified=3)
    for _ in range(3):
        write(tmp_path / "out", 3, signing_key=signer.file)

    report = signer.audit(tmp_path / "out")

    assert report.verdict is Verdict.COMPLETE
    assert len({signed.writer for signed in report.signatures}) == 3
    with pytest.raises(JournalError, match="no certified key is left"):
        write(tmp_path / "out", 3, signing_key=signer.file)
    assert signer.audit(tmp_path / "out").verdict is Verdict.COMPLETE


def test_an_unsigned_writer_behind_a_signed_one_is_found_with_the_key_alone(
    tmp_path: Path,
) -> None:
    signer = Signer(tmp_path)
    write(tmp_path / "out", 3, signing_key=signer.file)
    write(tmp_path / "out", 3, signing_key=None)

    assert audit(str(tmp_path / "out")).verdict is Verdict.COMPLETE
    report = signer.audit(tmp_path / "out")
    assert codes(report) == {"unauthorised"}
    assert report.exit_code() == 3


def test_large_files_are_checked_the_same_by_several_processes(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    journal = Journal(tmp_path / "out", WORKFLOW, signing_key=signer.file, durability="none")
    for _ in range(20_000):
        journal.append("message", {"level": "note", "text": "x" * 900})
    journal.close()

    found = [signer.audit(tmp_path / "out", jobs=jobs) for jobs in (1, 2)]

    assert found[0] == found[1]
    assert found[0].verdict is Verdict.COMPLETE
    path = tmp_path / "out" / TRACE
    data = bytearray(path.read_bytes())
    at = data.index(b'"note":"auditfold/') + 1
    data[data.index(b"=\\n\\n", at) - 9] ^= 1
    path.write_bytes(data)
    assert signer.audit(tmp_path / "out", jobs=2).verdict is Verdict.TAMPERED


# --- Key files


def test_key_files_are_their_owner_s_alone(tmp_path: Path) -> None:
    signer = Signer(tmp_path, certified=2)

    for path in (signer.operator, signer.file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o640)
        with pytest.raises(KeyFileError, match="others may read the key"):
            load_credential(path)
        path.chmod(0o600)


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    before = signer.operator.read_bytes()

    with pytest.raises(FileExistsError):
        write_certified(signer.operator, signer.key, count=1)
    assert signer.operator.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"x\n", b"PRIVATE+KEY+a+b+c\n", b"\xff\n"])
def test_what_is_no_key_file_is_refused_before_anything_is_written(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "wrong.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(KeyFileError, match="auditfold key new"):
        write(tmp_path / "out", 1, signing_key=path)
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "out", 1, signing_key=tmp_path / "none.key")
    assert not (tmp_path / "out" / TRACE).exists()


@pytest.mark.parametrize("line", [b"{", b'{"certified_by":"x"}', b'{"certified_by":"\xff"}'])
def test_a_file_of_certified_keys_says_whose_they_are(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "worker.keys"
    path.write_bytes(line + b"\n")
    path.chmod(0o600)

    for read in (load_credential, certified_keys):
        with pytest.raises(KeyFileError, match="no file of certified keys"):
            read(path)


def test_a_key_file_that_is_locked_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program stood still for as long as somebody held the lock of its key file."""
    monkeypatch.setattr("observability.signing.keys._PATIENCE_S", 0.05)
    signer = Signer(tmp_path, certified=1)

    with signer.file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(JournalError, match="another process has held its lock for"):
            write(tmp_path / "out", 1, signing_key=signer.file)
    write(tmp_path / "out", 1, signing_key=signer.file)
    assert signer.audit(tmp_path / "out").verdict is Verdict.COMPLETE


def test_a_key_file_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        signer = Signer(tmp_path, certified=1)
    finally:
        os.umask(before)

    for path in (signer.operator, signer.file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_name_of_a_key_file_is_on_the_medium_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr("observability.signing.keys.sync_folder", synced.append)

    Signer(tmp_path)

    assert synced == [str(tmp_path)]


@pytest.mark.parametrize("line", [b'{"key":"x","certificate":"y"}', b'{"key":"\xff"}'])
def test_a_damaged_line_of_certified_keys_opens_nothing(tmp_path: Path, line: bytes) -> None:
    signer = Signer(tmp_path, certified=1)
    with signer.file.open("ab") as stream:
        stream.write(line + b"\n")

    with pytest.raises(JournalError, match="no certified key"):
        write(tmp_path / "out", 1, signing_key=signer.file)
    write(tmp_path / "out", 1, signing_key=signer.file)  # the next one is whole
    assert signer.audit(tmp_path / "out").verdict is Verdict.COMPLETE


def test_two_writers_never_take_the_same_certified_key(tmp_path: Path) -> None:
    signer = Signer(tmp_path, certified=40)
    program = (
        "import sys; from observability.signing.keys import load_credential\n"
        "for n in range(10): print(load_credential(sys.argv[1]).first_key('w').key.verifier)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, signer.file], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]

    taken = [key for one in running for key in one.communicate()[0].split()]

    assert len(taken) == len(set(taken)) == 40
    assert b"PRIVATE" not in signer.file.read_bytes()


def test_a_key_without_the_extra_says_what_to_install(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from observability.cli.main import main; sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "exec", "--dir", tmp_path / "out", "--", "true"],
        env={**os.environ, "AUDITFOLD_SIGNING_KEY": str(signer.operator)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 5
    assert done.stderr == "'exec' needs: pip install 'auditfold[sign]'\n"


def test_without_the_extra_roots_are_compared_and_signatures_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer(tmp_path)
    write(tmp_path / "out", 600, signing_key=signer.file)
    monkeypatch.setattr("replay.audit.seals.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    report = audit(str(tmp_path / "out"))

    assert report.verdict is Verdict.COMPLETE
    assert [signed.trust for signed in report.signatures] == ["not_verified"]
    with pytest.raises(ModuleNotFoundError):
        signer.audit(tmp_path / "out")


def test_a_key_file_is_named_by_its_operator(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    write(tmp_path / "out", 1, signing_key=signer.file)

    [signed] = audit(str(tmp_path / "out")).signatures

    assert signed.signer == f"ops.example+{signer.key.verifier.id}"
    assert signed.trust == "unchecked"
    assert SigningKey.parse(signer.operator.read_text()).verifier == signer.key.verifier
