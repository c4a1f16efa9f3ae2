"""Programs as users write them, for the type checker: `make check` reads it, nothing runs it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, Literal, assert_type

import structlog
from tqdm import tqdm

from observability import (
    AuditHandler,
    ExecutionObserver,
    Journal,
    JournalError,
    Node,
    TqdmFileWrapper,
    structlog_processor,
)
from replay import Finding, TraceError, Verdict
from replay.audit.checkpoint import Checkpoint, open_note
from replay.audit.merkle import consistency_ok, inclusion_ok, root
from replay.digest import canonical_json
from replay.fold import read_metadata, read_report


def an_observer_is_its_own_context(out: Path) -> None:
    with ExecutionObserver("step_04_typed", out, total_nodes=2) as obs:
        assert_type(obs, ExecutionObserver)
        with obs.node("a", index=0) as node:
            assert_type(node, Node)
            assert_type(node.output(out / "file"), str)
            assert_type(node.result({"rows": [1, 2.5, None]}), str)
            node.check("rows", ok=True, detail="1,200")
            node.request_review("odd")
            node.clear_review()
        assert_type(obs.nodes_completed, int)
        assert_type(obs.node_times, dict[str, float | str])
        assert_type(obs.audit_trace_file, Path)
    assert_type(ExecutionObserver.hash_output({"a": 1}), str)


def a_traced_function_keeps_its_signature(obs: ExecutionObserver) -> None:
    @obs.traced
    def plain(number: int, *, factor: float = 2.0) -> float:
        return number * factor

    @obs.traced(name="named")
    def numbers(upto: int) -> Iterator[int]:
        yield from range(upto)

    @obs.traced
    async def later(text: str) -> bytes:
        return text.encode()

    assert_type(plain(3, factor=1.5), float)
    assert_type(numbers(3), Iterator[int])
    coroutine: Callable[[str], object] = later
    assert_type(coroutine("x"), object)
    plain("3")  # type: ignore[arg-type]


def arguments_are_checked(out: Path) -> None:
    ExecutionObserver("step_04_typed", out, on_error="ignore")  # type: ignore[arg-type]
    ExecutionObserver("step_04_typed", out, durability="often")  # type: ignore[arg-type]
    ExecutionObserver(4, out)  # type: ignore[arg-type]


def a_journal_returns_lines(out: Path) -> None:
    journal = Journal(out, "step_04_typed", on_error="warn")
    assert_type(journal.append("tick", {"n": 1}, node_id="a"), bytes | None)
    assert_type(journal.closed, bool)


def errors_are_of_the_system(error: JournalError) -> None:
    assert_type(error.errno, int | None)
    as_os_error: OSError = error
    del as_os_error


def streams_and_handlers_fit_where_they_go(path: Path) -> None:
    logging.getLogger().addHandler(AuditHandler())
    print("x", file=TqdmFileWrapper(None, path))
    structlog.configure(processors=[structlog_processor])


def warnings_are_a_block(obs: ExecutionObserver) -> None:
    with obs.capture_warnings(), obs.node("a"):
        pass


def prints_and_bars_are_a_block(obs: ExecutionObserver, out: Path) -> None:
    with obs.capture_progress() as wrapper, redirect_stderr(wrapper):
        assert_type(wrapper, TqdmFileWrapper)
        for n in tqdm(range(3), file=wrapper):
            assert_type(n, int)
    ExecutionObserver("step_04_typed", out, 3, "always", verbose=True)
    ExecutionObserver("step_04_typed", out, 3, "never")  # type: ignore[arg-type]


def what_is_read_has_types(out: Path, finding: Finding, error: TraceError) -> None:
    assert_type(read_report(out), dict[str, Any])
    assert_type(read_metadata(out), dict[str, Any])
    assert_type(finding.code, str)
    assert_type(Verdict.COMPLETE.value, Literal["complete"])
    assert_type(str(error), str)


def a_name_that_is_not_there_is_an_error() -> None:
    from observability import ExecutionObsever  # type: ignore[attr-defined]  # noqa: F401
    from replay import Verdit  # type: ignore[attr-defined]  # noqa: F401


def notes_trees_and_digests_are_pure_functions(out: Path, note: str, vkey: str) -> None:
    found = open_note(note, [vkey])
    assert_type(found.text, str)
    assert_type(Checkpoint.parse(found.text).size, int)
    assert_type(root([b"\0" * 32]), bytes)
    assert_type(inclusion_ok(0, 1, "00" * 32, [], b"\0" * 32), bool)
    assert_type(consistency_ok(1, 1, [], b"\0" * 32, b"\0" * 32), bool)
    assert_type(canonical_json({"a": 1}), bytes)
    with ExecutionObserver("step_04_typed", out, signing_key=out / "operator.key"):
        pass
