"""Each attack on a folder gets the right verdict, in every instance."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from replay.audit.audit import audit
from replay.trace.line import stored_hash
from tests.reliability.attacks import (
    REGISTRY,
    Aged,
    Attack,
    Case,
    Files,
    Folder,
    Link,
    lines_of,
)
from tests.reliability.conftest import Tell
from tests.reliability.evidence import history
from tests.reliability.signed_attacks import ATTACKS
from tests.reliability.tier import either, randomness
from tests.reliability.writing import How, files_of
from tests.sealing.signed import Signer

Histories = list[list[Folder]]


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Histories:
    """Folders that were left by several runs each, every state of them."""
    folder = tmp_path_factory.mktemp("histories")
    rng = randomness("histories")
    return [history(folder / str(n), How(durability="none"), rng) for n in range(either(3, 12))]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("operator"), certified=500)


@pytest.fixture(scope="module")
def signed_histories(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Histories:
    """The same by writers that sign.  Without their heads, which the enemy has deleted."""
    folder, rng = tmp_path_factory.mktemp("signed"), randomness("histories")
    how = How(durability="none", signing_key=signer.file)
    return [history(folder / str(n), how, rng) for n in range(either(3, 12))]


def put(files: Files, out: Path) -> None:
    for name, data in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match data:
            case Link(target):
                path.symlink_to(target)
            case Aged(content):
                path.write_bytes(content)
                os.utime(path, (1, 1))
            case _:
                path.write_bytes(data)
                if not data:  # else an audit waits for a writer that is about to fill it
                    os.utime(path, (1, 1))


def keeps(files: Files, before: bytes) -> bool:
    """Return whether the registry still has the end that was kept elsewhere."""
    kept = lines_of(before)
    now = files[REGISTRY]
    now = now.data if isinstance(now, Aged) else now
    assert isinstance(now, bytes)
    found = lines_of(now)
    return len(found) >= len(kept) and stored_hash(found[len(kept) - 1]) == stored_hash(kept[-1])


def test_what_is_attacked_is_complete_and_of_many_kinds(histories: Histories, memory: Path) -> None:
    for states in histories:
        for n, files in enumerate(states):
            put(dict(files), memory / "x")
            report = audit(str(memory / "x"))
            shutil.rmtree(memory / "x")
            assert (report.verdict, report.findings) == ("complete", []), n
        everything = b"".join(states[-1].values())
        for part in (b'"parent":{', b'"settled":{', b'"follows":{', b'"fragment":{'):
            assert part in everything
    assert len(ATTACKS) >= 20


@pytest.mark.parametrize("one", ATTACKS, ids=[one.name for one in ATTACKS])
def test_an_attack_on_a_signed_folder_gets_the_right_verdict(
    signed_histories: Histories, signer: Signer, memory: Path, one: Attack, tell: Tell
) -> None:
    """By one who asks for the operator's key."""
    rng = randomness("signed attack", one.name)
    n_instances = either(10, 1_000)
    codes: Counter[str] = Counter()
    for n in range(n_instances):
        mine, other = rng.sample(signed_histories, 2)
        files = one.do(Case(dict(mine[-1]), mine[:-1], other[-1], rng))
        out = memory / str(n)
        put(files, out)

        report = signer.audit(out)

        assert report.verdict.value == one.with_vkey, (n, report.findings)
        codes.update({found.code for found in report.findings if found.severity == "error"})
        shutil.rmtree(out)
    tell(instances=n_instances, verdict=one.with_vkey, codes=" ".join(sorted(codes)) or "-")


@pytest.mark.parametrize("one", ATTACKS, ids=[one.name for one in ATTACKS])
def test_an_attack_gets_the_right_verdict(
    histories: Histories, signed_histories: Histories, memory: Path, one: Attack, tell: Tell
) -> None:
    histories = signed_histories if one.signed else histories
    rng = randomness("attack", one.name)
    n_instances = either(20, 1_000)
    codes: Counter[str] = Counter()
    for n in range(n_instances):
        mine, other = rng.sample(histories, 2)
        case = Case(dict(mine[-1]), mine[:-1], other[-1], rng)
        files = one.do(case)
        assert files != mine[-1], n
        out = memory / str(n)
        put(files, out)

        report = audit(str(out))

        found = {finding.code for finding in report.findings if finding.severity == "error"}
        assert report.verdict.value == one.found, (n, report.findings)
        assert (report.exit_code() == 0) == (report.verdict == "complete")
        assert found & set(one.by) if report.verdict != "complete" else not found
        if one.found == "complete":
            assert keeps(files, mine[-1][REGISTRY]) == (not one.kept)
        codes.update(found)
        shutil.rmtree(out)
    tell(instances=n_instances, verdict=one.found, codes=" ".join(sorted(codes)) or "-")


def test_the_folders_are_those_that_real_writers_left(tmp_path: Path) -> None:
    states = history(tmp_path, How(durability="none"), randomness("one"))

    assert states[-1] == files_of(tmp_path)
