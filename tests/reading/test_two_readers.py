"""The audit and the stand-alone verifier share no code: damage of any kind, one judgement.

Where one of them were wrong about the format, the other would have to be wrong in the same way.
"""

import importlib.util
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from replay.audit.audit import audit
from replay.findings import Verdict, worst
from replay.trace.line import GENESIS, stored_hash
from tests.vectors.generate import vectors
from tests.vectors.making import body_of, chained, lines_of
from tests.vectors.vector import Vector

VERIFIER = Path(__file__).parents[2] / "docs" / "verify_trace.py"
ROUNDS = 2
PIECES = [b"\n", b" ", b'"', b"{", b"0", b"\xff", b"x\n"]
# In an excerpt the audit takes the line behind a damaged one as given, the verifier does not.
CHOSEN = [
    v
    for v in vectors()
    if v.kind != "sealed"  # seals are for another verifier
    and not v.large
    and "excerpt" not in {code for code, *_ in v.findings}
]


def flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def put_in(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(PIECES) + data[place:]


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def delete(rng: random.Random, data: bytes) -> bytes:
    lines = lines_of(data)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def repeat(rng: random.Random, data: bytes) -> bytes:
    lines = lines_of(data)
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


def swap(rng: random.Random, data: bytes) -> bytes:
    lines = lines_of(data)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def chain_anew(rng: random.Random, data: bytes) -> bytes:
    """Leave out a line and hash everything behind it again."""
    lines = lines_of(data)
    place = rng.randrange(len(lines))
    before = stored_hash(lines[place - 1]) if place else GENESIS
    rest = chained(map(body_of, lines[place + 1 :]), previous=before or GENESIS)
    return b"".join(lines[:place]) + rest


DAMAGES: list[Callable[[random.Random, bytes], bytes]] = [
    *(flip, put_in, cut, delete, repeat, swap, chain_anew)
]


@pytest.fixture(scope="module")
def verifier() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_trace", VERIFIER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_both_judge_a_damaged_folder_alike(
    damage: Callable[[random.Random, bytes], bytes],
    verifier: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = random.Random(damage.__name__)
    seen: Counter[Verdict] = Counter()
    for number, vector in enumerate(CHOSEN * ROUNDS):
        name = rng.choice([name for name, data in vector.files.items() if data] or [""])
        if not name:
            continue
        damaged = {**vector.files, name: damage(rng, vector.files[name])}
        path = written(vector, damaged, tmp_path / str(number))

        status = verifier.main([str(path)])
        said = [Verdict(text.split()[0]) for text in capsys.readouterr().out.splitlines()]
        report = audit(str(path), outputs=False)

        expected = report.verdict, report.exit_code() if report.exit_code() != 1 else 0
        assert (worst(said), status) == expected, (vector.name, report.findings)
        seen[report.verdict] += 1
    assert seen[Verdict.TAMPERED] > 0


def written(vector: Vector, files: dict[str, bytes], folder: Path) -> Path:
    """Write *files* under *folder*; return the PATH to audit."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / vector.path()
