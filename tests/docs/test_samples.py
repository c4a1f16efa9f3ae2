"""The recorded runs are still what they were, and still mean what their README says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.command.running import auditfold
from tests.docs.pages import root

SAMPLES = root() / "sample_runs"
LARGEST = 60_000

# What each one is: verdict and exit of audit, status and exit of show, nodes by status.
EXPECTED: dict[str, tuple[str, int, str, int, dict[str, int]]] = {
    "survey": ("complete", 0, "failed", 1, {"succeeded": 6, "failed": 2, "skipped": 1}),
    "killed": ("intact-prefix", 3, "interrupted", 1, {"succeeded": 3, "interrupted": 1}),
    "workers": ("complete", 0, "succeeded", 0, {"succeeded": 5, "skipped": 1}),
}


def files(sample: str) -> list[Path]:
    return [path for path in (SAMPLES / sample).rglob("*") if path.is_file()]


def as_json(*arguments: str | Path) -> tuple[Any, int]:
    done = auditfold(*arguments, "--json")
    return json.loads(done.stdout), done.returncode


def test_every_sample_is_expected() -> None:
    assert {path.name for path in SAMPLES.iterdir() if path.is_dir()} == set(EXPECTED)


@pytest.mark.parametrize("sample", EXPECTED)
def test_audit_says_what_the_readme_says(sample: str) -> None:
    verdict, code, _, _, _ = EXPECTED[sample]

    found, exit_code = as_json("audit", SAMPLES / sample)

    assert (found["verdict"], exit_code) == (verdict, code)
    assert found["outputs"]["ok"] == len(found["outputs"]["items"]) >= 1
    files = [item for item in found["outputs"]["items"] if item["path"] is not None]
    assert files


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_fold_says_what_the_readme_says(sample: str) -> None:
    _, _, status, code, nodes = EXPECTED[sample]

    report, exit_code = as_json("show", SAMPLES / sample)

    assert (report["status"], exit_code) == (status, code)
    statuses = [node["status"] for node in report["nodes"]]
    assert {name: statuses.count(name) for name in set(statuses)} == nodes


@pytest.mark.parametrize("sample", ["survey", "workers"])
def test_derived_files_are_those_of_the_trace(sample: str) -> None:
    done = auditfold("replay", "--check", SAMPLES / sample)

    assert done.returncode == 0, done.stdout + done.stderr


def test_workers_has_what_its_readme_names() -> None:
    text = "".join(path.read_text() for path in SAMPLES.glob("workers/audit/step_03/*.jsonl"))

    assert '"event_type":"node_retry"' in text
    assert '"parent":' in text
    assert len(list(SAMPLES.glob("workers/audit/step_03/trace_03.*-*.jsonl"))) == 1


@pytest.mark.parametrize("sample", EXPECTED)
def test_samples_are_small_and_name_no_machine(sample: str) -> None:
    assert sum(path.stat().st_size for path in files(sample)) < LARGEST
    for path in files(sample):
        data = path.read_bytes()
        assert not re.search(rb"/(home|root|Users|work)/", data), path
        assert b"site-packages" not in data, path
        for host in re.findall(rb'"host":"([^"]*)"', data):
            assert host == b"sample", path


def test_the_tree_says_how_often_a_node_was_tried_again() -> None:
    """The retries of the loads were in the report, and on no screen."""
    shown = auditfold("show", SAMPLES / "workers")

    assert re.search(rb"load b +\S+ ms  1 retry\n", shown.stdout)
    assert re.search(rb"load k +\S+ ms  2 retries\n", shown.stdout)
