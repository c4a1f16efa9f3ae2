"""The JSON Schemas accept what is written, refuse what is no event, and say what things mean."""

import json
from pathlib import Path
from typing import Any

import pytest

from observability import (
    ExecutionObserver,
    PipelineReport,
    StepReport,
    file_step,
    pipeline_file,
    pipeline_step,
)
from replay.fold import fold_path, read_report
from replay.show.json_schema import event_schema, event_type_schema, report_schema
from replay.trace.events import EVENT_TYPES
from replay.trace.evidence import TraceError
from replay.trace.schema import NewerVersionError
from tests.command.running import auditfold
from tests.docs.pages import root
from tests.elsewhere.schemas import lines_of, valid_traces, validator

EVENTS = validator(event_schema())
REPORT = validator(report_schema())
LINE = next(lines_of(root() / "sample_runs" / "survey" / "audit" / "step_01" / "trace_01.jsonl"))


def named(path: Path) -> str:
    return str(path.relative_to(root()))


@pytest.mark.parametrize("path", valid_traces(), ids=named)
def test_every_line_of_a_valid_trace_is_valid(path: Path) -> None:
    for line in lines_of(path):
        EVENTS.validate(line)


def test_the_schema_of_one_type_accepts_its_lines_and_no_others() -> None:
    one_type = {name: validator(event_type_schema(name)) for name in EVENT_TYPES}
    for path in valid_traces():
        for line in lines_of(path):
            accepting = {name for name, schema in one_type.items() if schema.is_valid(line)}
            assert accepting == {line["event_type"]} & set(EVENT_TYPES)


@pytest.mark.parametrize("key", ["v", "seq", "timestamp", "event_type", "writer", "hash"])
def test_a_line_without_a_required_field_is_not_valid(key: str) -> None:
    assert EVENTS.is_valid(LINE)
    assert not EVENTS.is_valid({name: value for name, value in LINE.items() if name != key})


@pytest.mark.parametrize(
    "changed",
    [
        {"v": 2},
        {"v": "1"},
        {"seq": 1 << 53},
        {"seq": 1.5},
        {"seq": None},
        {"timestamp": "2026-03-02 07:03:12"},
        {"timestamp": "2026-03-02T07:03:12Z"},
        {"hash": "0" * 63},
        {"hash": "G" * 64},
        {"event_type": 4},
        {"process": {"pid": 4}},
        {"event_type": "message"},
        {"event_type": "message", "level": "note", "text": ["no text"]},
    ],
    ids=json.dumps,
)
def test_a_changed_line_is_not_valid(changed: dict[str, Any]) -> None:
    assert not EVENTS.is_valid({**LINE, **changed})


def test_unknown_keys_and_event_types_are_valid() -> None:
    """Readers keep what a later version added."""
    assert EVENTS.is_valid({**LINE, "added_later": {"a": [1]}})
    assert EVENTS.is_valid({**LINE, "event_type": "added_later"})


def test_every_event_type_has_an_alternative_that_says_what_it_is() -> None:
    schema = event_schema()

    for name, cls in EVENT_TYPES.items():
        one = schema["$defs"][cls.__name__]
        assert one["properties"]["event_type"] == {"const": name}
        assert one["description"]
        assert "Attributes:" not in one["description"]
        assert (
            one["properties"]["seq"]["description"] == "Place in its file, from 0, without a gap."
        )
        assert {"$ref": f"#/$defs/{cls.__name__}"} in schema["oneOf"]


def test_every_key_of_a_report_says_what_it_means() -> None:
    schema = report_schema()

    for one in [schema, *schema["$defs"].values()]:
        assert [key for key, value in one["properties"].items() if "description" not in value] == []


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return *schema* with no key allowed that it does not name."""
    for name, one in {"": schema, **schema["$defs"]}.items():
        # A unit of another kind has whatever the program gave it.
        one["additionalProperties"] = name == "OtherUnitView"
    return schema


def places() -> list[Path]:
    """Return every PATH of the vectors and the sample runs."""
    top = root()
    vectors = top.glob("tests/vectors/*/*/expected.json")
    found = [path.parent / json.loads(path.read_text())["path"] for path in vectors]
    return sorted([*found, *(path.parent for path in top.glob("sample_runs/*/audit"))])


def test_a_report_has_the_keys_of_its_declaration_and_no_others() -> None:
    """A key that is added to a report has to be added to `replay.show.report_shape`."""
    strict = validator(closed(report_schema()))
    count = 0
    for place in places():
        try:
            runs = [state.run_id for state in fold_path(str(place)).runs()]
        except (TraceError, NewerVersionError):
            assert "invalid" in str(place)
            continue
        for run_id in filter(None, runs):
            strict.validate(read_report(str(place), run_id))
            count += 1
    assert count > 50


def test_a_report_with_files_steps_checks_and_resources_is_valid(tmp_path: Path) -> None:
    with ExecutionObserver("step_04_units", tmp_path, 1, use_tqdm=False) as observer:
        with observer.node("only"):
            pass
        report = PipelineReport("load", batch_id=4)
        with pipeline_file(report, "a.csv") as file, file_step(file, "parse") as step:
            step.add_check("rows", True, detail="3")
            step.metadata["rows"] = 3
        with pipeline_step(report, "index") as index:
            index.request_review("look")
        StepReport("alone")

    found = read_report(tmp_path)
    assert {len(found[key]) for key in ("reports", "files")} == {1}
    assert len(found["steps"]) >= 1
    validator(closed(report_schema())).validate(found)


def test_a_report_without_a_key_is_not_valid() -> None:
    found = read_report(str(root() / "sample_runs" / "survey"))

    REPORT.validate(found)
    assert not REPORT.is_valid({key: found[key] for key in found if key != "nodes"})
    assert not REPORT.is_valid({**found, "status": "fine"})


# --- The command


def test_the_command_writes_what_the_modules_make() -> None:
    assert json.loads(auditfold("schema").stdout) == event_schema()
    assert json.loads(auditfold("schema", "events", "--json").stdout) == event_schema()
    assert json.loads(auditfold("schema", "report").stdout) == report_schema()
    assert json.loads(auditfold("schema", "gap").stdout) == event_type_schema("gap")


def test_with_json_the_schema_is_one_line() -> None:
    assert auditfold("schema", "--json").stdout.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["schema", "node_sucess"], b"no schema of 'node_sucess'. Did you mean 'node_success'?"),
        (["schema", "xyz"], b"no schema of 'xyz'. Want one of: events, report, writer_opened, "),
        (["schema", "report", "--lnav"], b"--lnav is about traces, not about 'report'"),
        (["schema", "events", "more"], b"unexpected extra argument"),
    ],
)
def test_what_has_no_schema_is_wrong_usage(words: list[str], said: bytes) -> None:
    done = auditfold(*words)

    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1
