"""The vectors: generated again to the same bytes, and judged alike by every reader."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from observability.cli.main import main
from tests.vectors.generate import vectors
from tests.vectors.vector import Vector

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "vectors"
VERIFIER = ROOT / "docs" / "verify_trace.py"
SEALS = ROOT / "docs" / "verify_seals.py"
ALL = vectors()
KEYS = ("severity", "code", "path", "line", "seq", "offset")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vectors")
    for vector in ALL:
        vector.write(root)
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Return every file under *root* by its name there."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for kind in ("valid", "invalid", "sealed")
        for path in (root / kind).rglob("*")
        if path.is_file()
    }


def test_the_vectors_kept_are_the_vectors_generated(made: Path) -> None:
    large = {f"{vector.kind}/{vector.name}" for vector in ALL if vector.large}

    fresh = {
        name: data
        for name, data in contents(made).items()
        if "/".join(name.split("/")[:2]) not in large
    }

    assert contents(KEPT) == fresh


def test_vectors_have_a_name_and_a_sentence_each() -> None:
    names = [vector.name for vector in ALL]

    assert len(names) == len(set(names))
    assert all(vector.about.endswith(".") for vector in ALL)


def each(*kinds: str) -> list[Any]:
    return [
        pytest.param(vector, id=f"{vector.kind}-{vector.name}")
        for vector in ALL
        if vector.kind in kinds
    ]


def verify(*paths: Path, cwd: Path) -> tuple[int, dict[str, tuple[str, int | None, str]]]:
    """Run the verifier; return its exit status, and (verdict, line, why) by file."""
    done = subprocess.run(
        [sys.executable, str(VERIFIER), *map(str, paths)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    told = {}
    for text in done.stdout.splitlines():
        verdict, place, why = text.split(" ", 2)
        file, _, line = place.partition(".jsonl")
        told[f"{file}.jsonl"] = verdict, int(line[1:]) if line else None, why
    return done.returncode, told


@pytest.mark.parametrize("vector", each("valid", "invalid"))
def test_the_stand_alone_verifier_agrees_with_the_vector(made: Path, vector: Vector) -> None:
    expected = vector.expected()
    path = made / vector.kind / vector.name / expected["path"]

    status, told = verify(path, cwd=path if path.is_dir() else path.parent)

    assert status == expected["exit"]
    assert {name: verdict for name, (verdict, _, _) in told.items()} == {
        file["path"]: file["verdict"] for file in expected["files"]
    }
    for name, (verdict, line, why) in told.items():
        if verdict != "complete":
            deciding = why.split(":")[0], line
            assert deciding in {
                (found["code"], found["line"])
                for found in expected["findings"]
                if found["path"] == name
            }


@pytest.mark.parametrize("vector", each("sealed"))
def test_the_second_verifier_agrees_with_the_vector(
    made: Path, vector: Vector, tmp_path: Path
) -> None:
    folder = made / vector.kind / vector.name

    done = subprocess.run(
        [sys.executable, SEALS, "--vkey", vector.vkey, *kept_note(vector, tmp_path), folder],
        capture_output=True,
        text=True,
        check=False,
    )

    # What no signature shows is for the other verifier.
    expected = vector.expected()["exit"] if vector.name != "signed_writer_killed" else 0
    assert done.stderr == ""
    assert done.returncode == expected, done.stdout
    for finding in vector.expected()["findings"]:
        if finding["code"] in {"unsealed", "unauthorised"}:
            assert f"{finding['path']}:{finding['line']} " in done.stdout


def kept_note(vector: Vector, folder: Path) -> list[str]:
    """Return the arguments that give an anchor, where there is one."""
    if not vector.anchor:
        return []
    (folder / "anchor").write_text(vector.anchor)
    return ["--expect", str(folder / "anchor")]


@pytest.mark.parametrize("vector", each("valid", "invalid", "sealed"))
def test_the_audit_agrees_with_the_vector(
    made: Path, vector: Vector, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = vector.expected()
    keys = ["--vkey", vector.vkey] if vector.vkey else []
    given = [*keys, *kept_note(vector, tmp_path)]

    path = str(made / vector.kind / vector.name / expected["path"])
    status = main(["audit", "--json", *given, path])

    report = json.loads(capfd.readouterr().out)
    found = [{key: one[key] for key in KEYS} for one in report["findings"]]
    assert (report["verdict"], status) == (expected["verdict"], expected["exit"])
    assert sorted(found, key=str) == sorted(expected["findings"], key=str)
    for file in report["files"]:
        file.pop("anchored", None)
    assert report["files"] == expected["files"]


def test_the_verifier_says_verdict_file_line_and_why(made: Path) -> None:
    folder = made / "invalid" / "duplicate_key"

    done = subprocess.run(
        [sys.executable, VERIFIER, "trace_04.jsonl"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "tampered trace_04.jsonl:4 malformed: ['key']\n"


def test_the_second_verifier_has_at_most_200_lines_and_needs_cryptography_alone() -> None:
    code = SEALS.read_text()

    imported = {
        line.split()[1].partition(".")[0]
        for line in code.splitlines()
        if line.startswith(("import", "from"))
    }
    assert len(code.splitlines()) <= 200
    assert imported - sys.stdlib_module_names == {"cryptography"}


def test_the_verifier_has_at_most_150_lines_and_imports_the_standard_library_only() -> None:
    code = VERIFIER.read_text()

    imported = {
        line.split()[1] for line in code.splitlines() if line.startswith(("import", "from"))
    }
    assert len(code.splitlines()) <= 150
    assert imported <= sys.stdlib_module_names


def test_any_flipped_bit_of_a_complete_folder_is_pinned_to_its_line(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("verify_trace", VERIFIER)
    assert spec
    assert spec.loader
    verifier = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(verifier)
    minimal = next(vector for vector in ALL if vector.name == "minimal")
    (data,) = (data for name, data in minimal.files.items() if "step_04" in name)
    path = tmp_path / "trace.jsonl"
    path.write_bytes(data)
    starts = [0, *(n + 1 for n, byte in enumerate(data) if byte == 10)]

    for offset in range(len(data)):
        flipped = bytearray(data)
        flipped[offset] ^= 1 << offset % 8
        path.write_bytes(flipped)
        line = sum(start <= offset for start in starts)

        found = verifier.File(str(path))
        named = {n for _, n in found.findings} | ({found.n} if found.rest else set())

        assert named == {line}, (offset, found.findings)


def test_expected_findings_say_where(made: Path) -> None:
    for vector in ALL:
        expected = json.loads((made / vector.kind / vector.name / "expected.json").read_text())
        for found in expected["findings"]:
            data = vector.files.get(found["path"]) or vector.files.get(expected["path"], b"")
            if found["line"] is not None:
                assert data.count(b"\n", 0, found["offset"]) == found["line"] - 1
                assert found["offset"] in {0, len(data)} or data[found["offset"] - 1] == 10
