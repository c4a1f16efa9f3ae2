"""Validators of the schemas, and the lines and reports that they have to accept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from tests.docs.pages import root


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return what checks against *schema*, which is checked itself."""
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def valid_traces() -> list[Path]:
    """Return every trace and registry of the valid vectors and of the sample runs."""
    top = root()
    found = [
        *(top / "tests" / "vectors" / "valid").rglob("*.jsonl"),
        *(top / "sample_runs").rglob("*.jsonl"),
    ]
    assert len(found) > 40
    return sorted(found)


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of *path* that are JSON, parsed; a fragment is none."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            yield json.loads(line)
        except ValueError:
            # The fragment that a registry's gap line names stands among its lines.
            assert path.name == "registry.jsonl"
