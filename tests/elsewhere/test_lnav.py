"""The format file is one that the real lnav loads, and with which it understands traces.

lnav comes with Debian's package of that name; without it these tests are skipped.
"""

import csv
import io
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from replay.show.lnav import lnav_format
from replay.trace.events import EVENT_TYPES
from replay.trace.line import check, continues
from tests.command.running import auditfold
from tests.docs.pages import root
from tests.elsewhere.schemas import lines_of, valid_traces

LNAV = shutil.which("lnav")
needs_lnav = pytest.mark.skipif(LNAV is None, reason="needs lnav: apt-get install lnav")
SURVEY = root() / "sample_runs" / "survey" / "audit" / "step_01" / "trace_01.jsonl"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration folder of lnav that has the format, as the help says to put it there."""
    folder = tmp_path_factory.mktemp("lnav")
    formats = folder / "formats" / "auditfold"
    formats.mkdir(parents=True)
    (formats / "auditfold.json").write_bytes(auditfold("schema", "--lnav").stdout)
    (folder / "home").mkdir()
    return folder


def lnav(installed: Path, *arguments: str | Path) -> str:
    """Run lnav without its screen; return what it prints."""
    done = subprocess.run(
        ["lnav", "-I", installed, "-n", *map(str, arguments)],
        env={"HOME": str(installed / "home"), "PATH": os.environ["PATH"], "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def query(installed: Path, sql: str, *traces: Path) -> list[dict[str, str]]:
    printed = lnav(installed, "-c", f";{sql}", "-c", ":write-csv-to -", *traces)
    return list(csv.DictReader(io.StringIO(printed)))


@needs_lnav
def test_lnav_checks_the_format_and_finds_nothing_wrong(installed: Path) -> None:
    assert lnav(installed, "-W", "-C") == ""


@needs_lnav
def test_lnav_knows_every_line_of_every_valid_trace_by_this_format(installed: Path) -> None:
    # One at a time: of files with an equal beginning, as copies are, lnav shows one.
    for trace in valid_traces():
        data = trace.read_bytes()
        if b"\n" not in data:
            continue  # a fragment alone is no log
        counted = query(
            installed, "SELECT log_format, count(*) AS n FROM all_logs GROUP BY log_format", trace
        )

        # lnav shows a fragment as a line of its own.
        lines = len(data.split(b"\n")) - data.endswith(b"\n")
        assert [(row["log_format"], row["n"]) for row in counted] == [("auditfold", str(lines))]


@needs_lnav
def test_failures_are_errors_and_retries_warnings(installed: Path) -> None:
    workers = root() / "sample_runs" / "workers" / "audit" / "step_03"
    rows = query(
        installed,
        "SELECT log_level, event_type FROM auditfold",
        SURVEY,
        *workers.glob("trace_*.jsonl"),
    )

    levels = {row["event_type"]: row["log_level"] for row in rows}
    assert levels["node_failure"] == "error"
    assert levels["node_retry"] == "warning"
    assert levels["writer_opened"] == "debug"
    assert levels["node_success"] == levels["workflow_complete"] == "info"


@needs_lnav
def test_a_message_has_the_level_it_bears(installed: Path, tmp_path: Path) -> None:
    first = next(lines_of(SURVEY))
    trace = tmp_path / "trace_01.jsonl"
    levels = ["note", "warning", "error"]
    trace.write_text(
        "".join(
            json.dumps({**first, "event_type": "message", "level": level, "text": level}) + "\n"
            for level in levels
        )
    )

    rows = query(installed, "SELECT log_level, text FROM auditfold", trace)

    assert [row["log_level"] for row in rows] == ["info", "warning", "error"]
    assert [row["text"] for row in rows] == levels


@needs_lnav
def test_fields_are_columns_to_compute_with(installed: Path) -> None:
    rows = query(
        installed,
        "SELECT node_id, max(duration_seconds) AS slowest, run_id, seq FROM auditfold "
        "WHERE event_type = 'node_success'",
        SURVEY,
    )

    assert rows[0]["node_id"] == "argparse"
    assert float(rows[0]["slowest"]) > 0.02
    assert rows[0]["run_id"] == "20260302-070312-v9u4pl"


@needs_lnav
def test_a_compressed_trace_is_known_as_well(installed: Path, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "trace_01.jsonl.gz").write_bytes(gzip.compress(SURVEY.read_bytes()))

    rows = query(installed, "SELECT event_type FROM auditfold", tmp_path / "trace_01.jsonl.gz")

    assert Counter(row["event_type"] for row in rows)["node_failure"] == 2


@needs_lnav
def test_a_line_shows_time_type_node_and_error(installed: Path) -> None:
    shown = lnav(installed, SURVEY).splitlines()

    assert len(shown) == sum(1 for _ in lines_of(SURVEY))
    [failed] = [line for line in shown if "uft-8" in line]
    assert failed.startswith("2026-03-02 07:03:12.066 NODE_FAILURE      test/tokenizedata/bad_cod")
    assert "unknown encoding: uft-8 (bad_coding.py, line 0)" in failed


def test_the_samples_are_right_lines() -> None:
    previous: bytes | None = None
    for sample in lnav_format()["auditfold"]["sample"]:
        line = sample["line"].encode() + b"\n"
        assert check(line)["event_type"] in EVENT_TYPES
        assert continues(line, previous)
        previous = line


def test_every_field_of_every_event_is_a_column_and_says_of_what_kind() -> None:
    values: dict[str, Any] = lnav_format()["auditfold"]["value"]

    fields = {name for cls in EVENT_TYPES.values() for name in cls.__struct_encode_fields__}
    assert fields | {"event_type"} == set(values)
    assert {value["kind"] for value in values.values()} <= {
        *("string", "integer", "float", "boolean", "json")
    }
