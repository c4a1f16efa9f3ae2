"""docs/trace-format.md says what code and vectors say, and its shell lines do what it says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.examples import blocks_of
from tests.docs.pages import generator_of, root
from tests.vectors.generate import vectors
from tests.vectors.vector import Vector

PAGE = root() / "docs" / "trace-format.md"
GENERATOR = root() / "docs" / "generate_tables.py"
SHELL = [block.text for block in blocks_of(PAGE.read_text()) if block.kind == "sh"]


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return generator_of("generate_tables", monkeypatch)


def test_the_generated_parts_are_those_of_the_code() -> None:
    done = subprocess.run([sys.executable, GENERATOR, "--check"], check=False)

    assert done.returncode == 0


def test_a_page_that_is_out_of_date_is_noticed_and_written_anew(
    generator: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "docs" / "trace-format.md"
    page.parent.mkdir()
    page.write_text(PAGE.read_text().replace("`node_retry`", "`node_retired`"))
    monkeypatch.setattr(generator, "PAGE", page)

    monkeypatch.setattr(sys, "argv", ["generate_tables.py", "--check"])
    assert generator.main() == 1
    assert "docs/trace-format.md is out of date" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["generate_tables.py"])
    assert generator.main() == 0
    assert page.read_text() == PAGE.read_text()


def test_every_part_of_the_page_is_filled() -> None:
    page = PAGE.read_text()

    assert page.count("<!-- generated: ") == page.count("<!-- end -->") == 6
    assert "-->\n<!-- end -->" not in page


def run(vector: Vector, folder: Path, *scripts: str) -> tuple[int, str]:
    """Run *scripts* of the page in the vector's folder; return exit status and output."""
    vector.write(folder)
    done = subprocess.run(
        ["sh", "-c", "".join(scripts)],
        cwd=folder / vector.kind / vector.name,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def named(name: str) -> Vector:
    return next(vector for vector in vectors() if vector.name == name)


@pytest.mark.parametrize("name", ["minimal", "two_runs_in_one_file", "text_of_all_kinds"])
def test_the_shell_lines_find_the_lines_and_the_hash_that_the_registry_names(
    name: str, tmp_path: Path
) -> None:
    vector = named(name)
    registered = json.loads(vector.files["audit/registry.jsonl"].splitlines()[-1])["trace"]

    status, said = run(vector, tmp_path, *SHELL[:2])

    first, _, count = said.splitlines()
    assert status == 0
    assert first == f"{registered['lines']} lines, hash {registered['hash']}"
    assert count == "1"


@pytest.mark.parametrize(
    "name", ["flip_in_body", "flip_in_hash", "line_deleted", "whitespace_inserted"]
)
def test_the_shell_lines_name_the_first_line_that_is_wrong(name: str, tmp_path: Path) -> None:
    check, _, _ = SHELL[0].rpartition("check_trace audit/step")

    status, said = run(named(name), tmp_path, check, "check_trace trace_04.jsonl\n")

    assert (status, said) == (1, "line 4 is wrong\n")


def test_openssl_gives_the_same_digits(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    script = SHELL[0].replace("sha256sum", "openssl dgst -sha256 -r")

    status, said = run(named("minimal"), tmp_path, script)

    assert status == 0
    assert said.startswith("4 lines, hash ")


def test_each_word_of_the_glossary_has_one_sense() -> None:
    rows = (root() / "docs" / "glossary.md").read_text().splitlines()
    words = [row.split("|")[1].strip() for row in rows if row.startswith("|")]
    words = [word for word in words if word not in {"word", "---"}]

    assert len(words) == len(set(words))
    assert len(words) > 50
