"""Signals, kills and full disks in the middle of a checkpoint break no seal."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from observability.journal import Journal, JournalError
from observability.signing.keys import VARIABLE, certified_keys, load_credential
from replay.audit import seals
from replay.findings import Verdict
from tests.reliability.tier import either
from tests.sealing.signed import WORKFLOW, Signer, codes
from tests.writing.oracle import count


@pytest.mark.parametrize("mode", ["once", "often"])
def test_a_checkpoint_that_a_handler_interrupts_is_finished_or_begun_again(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    signer = Signer(tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.sealing.storm", memory, mode, "20261129"],
        env={**os.environ, VARIABLE: str(signer.operator)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert said["interruptions"] > 100

    monkeypatch.setattr(seals, "EVERY", 8)
    report = signer.audit(memory)

    assert (report.verdict, report.findings) == (Verdict.COMPLETE, [])
    found = count(memory)
    assert max(found.values()) == 1
    assert set(said["acknowledged"]) <= set(found) <= set(said["begun"])


def killed_life(out: Path, signer: Signer, seconds: float) -> int:
    """Let a signing child write for so long, kill it, and return what it had acknowledged."""
    tells, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(tells)
            journal = Journal(out, WORKFLOW, signing_key=signer.file)
            while True:
                for n in range(700):
                    journal.append("tick", {"n": f"{os.getpid()}.{time.monotonic_ns()}.{n}"})
                    os.write(told, b".")
                journal.close()
                journal = Journal(out, WORKFLOW, signing_key=signer.file)
        finally:
            os._exit(1)
    os.close(told)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    with os.fdopen(tells, "rb") as pipe:
        return len(pipe.read())


CYCLES = either(20, 200)


def test_a_killed_signing_writer_never_looks_tampered_with(tmp_path: Path) -> None:
    chance, signer, out, acknowledged = random.Random(7), Signer(tmp_path), tmp_path / "out", 0

    for _ in range(CYCLES):
        acknowledged += killed_life(out, signer, 0.02 + 0.2 * chance.random())
        if (out / "audit").exists() and count(out):
            report = signer.audit(out)
            assert report.verdict in {Verdict.COMPLETE, Verdict.INTACT_PREFIX}
            assert codes(report) <= {"not_closed", "torn", "unregistered", "empty"}

    Journal(out, WORKFLOW, signing_key=signer.file).close()
    report = signer.audit(out)
    assert (report.verdict, report.findings) == (Verdict.COMPLETE, [])
    found = count(out)
    assert max(found.values()) == 1
    assert sum(found.values()) >= acknowledged


def test_a_full_disk_in_the_middle_of_a_checkpoint_ends_the_file_and_not_the_evidence(
    tmp_path: Path,
) -> None:
    signer = Signer(tmp_path)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            # Smaller than what 256 events and their checkpoint take, by every size in turn.
            refused: list[int | None] = []
            acknowledged = 0
            for limit in range(100_000, 100_800, 37):
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
                journal = Journal(tmp_path / f"{limit}", WORKFLOW, signing_key=signer.file)
                for n in range(400):
                    try:
                        journal.append("tick", {"n": n, "text": "x" * 20})
                        acknowledged += 1
                    except JournalError as error:
                        refused.append(error.errno)
                journal.close()
            assert set(refused) == {errno.EFBIG}
            status = 0
        except BaseException:  # noqa: BLE001 - told in the status
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0

    for limit in range(100_000, 100_800, 37):
        report = signer.audit(tmp_path / f"{limit}")
        assert (report.verdict, report.findings) == (Verdict.COMPLETE, []), limit
        assert len(report.signatures) == 2


class Minutes:
    """A clock on which a minute passes from each look to the next."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000_000

    def time_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        self.now += 60_000_000_000
        return self.now


def test_a_disk_that_stays_full_uses_up_no_certified_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt to open a file took one; when the disk had room again there was none left."""
    signer = Signer(tmp_path, certified=3)
    real, full = os.write, [False]

    def write(fd: int, data: bytes) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    journal = Journal(
        tmp_path / "out", WORKFLOW, signing_key=signer.file, on_error="warn", clock=Minutes()
    )
    journal.append("tick", {})
    full[0] = True
    for _ in range(20):
        with pytest.warns(RuntimeWarning, match="dropped"):
            journal.append("tick", {})
    full[0] = False
    journal.append("tick", {})
    journal.close()

    assert journal.dropped == 20
    assert certified_keys(signer.file) == (1, signer.vkey)
    report = signer.audit(tmp_path / "out")
    assert (report.verdict, report.findings) == (Verdict.COMPLETE, [])


def test_a_fork_does_not_sign_with_what_was_given_back_to_its_parent(tmp_path: Path) -> None:
    signer = Signer(tmp_path, certified=3)
    keys = load_credential(signer.file)
    first = keys.first_key("a")
    keys.take_back(first)

    pid = os.fork()
    if pid == 0:
        os._exit(0 if keys.first_key("b").key.verifier != first.key.verifier else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert keys.first_key("c") is first
    assert certified_keys(signer.file) == (1, signer.vkey)
