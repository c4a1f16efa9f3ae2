"""What the packages offer by name: nothing comes or goes without a line here."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

PUBLIC = {
    "observability": {
        "AuditHandler",
        "Check",
        "ExceptionRecordedWarning",
        "ExecutionObserver",
        "FileReport",
        "Journal",
        "JournalError",
        "Node",
        "PipelineReport",
        "ReportBase",
        "ReviewFlag",
        "SCHEMA_VERSION",
        "Status",
        "StepReport",
        "TqdmFileWrapper",
        "WatcherSettings",
        "__version__",
        "atomic_write_json",
        "bind_pipeline",
        "current_settings",
        "dump_report",
        "file_step",
        "now_central",
        "now_eastern",
        "now_mountain",
        "now_pacific",
        "now_utc",
        "pipeline_file",
        "pipeline_step",
        "set_global_settings",
        "structlog_processor",
        "use_settings",
        "with_overrides",
    },
    "observability.reporting": {
        "Check",
        "FileReport",
        "PipelineReport",
        "ReportBase",
        "ReviewFlag",
        "SCHEMA_VERSION",
        "Status",
        "StepReport",
        "atomic_write_json",
        "dump_report",
        "now_central",
        "now_eastern",
        "now_mountain",
        "now_pacific",
        "now_utc",
    },
    "replay": {"Finding", "TraceError", "Verdict", "__version__"},
    "replay.fold": {
        "NotYetError",
        "RunChoiceError",
        "fold_path",
        "from_snapshot",
        "proceed",
        "read_metadata",
        "read_report",
        "to_snapshot",
    },
    "replay.fold.report": {
        "Check",
        "FileReport",
        "PipelineReport",
        "ReportBase",
        "ReviewFlag",
        "StepReport",
        "apply",
    },
}


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_offers_these_names_and_no_other(package: str) -> None:
    module = import_module(package)

    assert set(module.__all__) == set(dir(module)) == PUBLIC[package]
    assert len(module.__all__) == len(PUBLIC[package])
    for name in PUBLIC[package]:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", PUBLIC)
def test_a_name_that_is_not_there_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = import_module(package).nothing


@pytest.mark.parametrize("package", PUBLIC)
def test_a_type_checker_sees_every_name_that_loads_late(package: str) -> None:
    """`from replay import TraceError` was Any to it."""
    module = import_module(package)
    syntax = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    seen = {
        name.name: node.module
        for guarded in syntax.body
        if isinstance(guarded, ast.If) and ast.unparse(guarded.test) == "TYPE_CHECKING"
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }

    assert seen == module._HOMES
