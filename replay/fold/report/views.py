"""What a report, file or step looks like as JSON, version 2.

Every dump is made here: that of a live report, of a saved file and of a fold are one.  Back from
JSON: `replay.fold.report.loading`.  Fields: docs/reports.md, "JSON".
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from replay.fold.report.base import ReportBase
from replay.fold.report.file import FileReport
from replay.fold.report.pipeline import PipelineReport
from replay.fold.reviews import remark_view, review_view
from replay.fold.status import RUNNING


def unit_view(
    state: ReportBase, now_us: int | None = None, *, running_as: str = RUNNING
) -> dict[str, Any]:
    """Return a unit with all that stands in it.

    Args:
        state: A unit of any kind.
        now_us: Where the duration of what runs ends, CLOCK_MONOTONIC.
        running_as: The status of what runs: `interrupted` when nobody runs it any more.
    """
    # Not isinstance, which takes four times as long for a struct of another type.
    if type(state) is PipelineReport:
        view = state.head(running_as=running_as)
        view["steps"] = [unit_view(step, now_us, running_as=running_as) for step in state.steps]
        view["files"] = [unit_view(file, now_us, running_as=running_as) for file in state.files]
        return view
    view = state.head(now_us, running_as=running_as)
    view["review"] = _review(state)
    if state.reviewing is not None and state.reviewing.remarks:
        view["remarks"] = [remark_view(remark) for remark in state.reviewing.remarks]
    if isinstance(state, FileReport):
        view["requires_human_review"] = state.requires_human_review
        view["human_review_reason"] = state.human_review_reason
        view["steps"] = [unit_view(step, now_us, running_as=running_as) for step in state.steps]
    return view


def json_chunks(
    state: ReportBase,
    now_us: int | None = None,
    *,
    indent: bool = True,
    status: str | None = None,
) -> Iterator[bytes]:
    """Yield a unit's JSON, a batch step by step and file by file: memory for one of them.

    Args:
        state: A unit of any kind.
        now_us: Where the duration of what runs ends, CLOCK_MONOTONIC.
        indent: By two spaces.
        status: Of a batch, in the place of that of what stands in it.
    """
    option = orjson.OPT_INDENT_2 if indent else 0
    if not isinstance(state, PipelineReport):
        yield orjson.dumps(unit_view(state, now_us), option=option)
        return
    view = state.head()
    if status is not None:
        view["status"] = status
    head = orjson.dumps(view, option=option)
    empty = b"[]"
    # The two lists are the last two values of the head.
    before, _, rest = head.rpartition(empty)
    first, _, between = before.rpartition(empty)
    yield first
    yield from _array(state.steps, now_us, indent=indent)
    yield between
    yield from _array(state.files, now_us, indent=indent)
    yield rest


def _array(states: Iterable[ReportBase], now_us: int | None, *, indent: bool) -> Iterator[bytes]:
    separator, last = (b"\n    ", b"\n  ]") if indent else (b"", b"]")
    yield b"["
    comma = b""
    for state in states:
        text = orjson.dumps(unit_view(state, now_us), option=orjson.OPT_INDENT_2 if indent else 0)
        # A newline in JSON as orjson writes it stands between values, never in a text.
        yield comma + separator + (text.replace(b"\n", b"\n    ") if indent else text)
        comma = b","
    yield last if comma else b"]"


def _review(state: ReportBase) -> dict[str, Any]:
    found = review_view(state.review, state.reviewing, state.reviewed_digest)
    if state.is_review_taken_over and not state.awaits_review:
        found["open"] = False
    return found
