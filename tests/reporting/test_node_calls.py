"""Any calls of nodes and reports, in any order: live and folded batches are the same."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observability import ExecutionObserver
from observability.context import Binding, bind, unbind
from observability.reporting import PipelineReport
from replay.fold.report.views import unit_view
from replay.fold.run import apply, beginning
from replay.fold.run_report import RunReport
from tests.reporting.calls import TEXTS, Calls
from tests.reporting.plain import Plain
from tests.reporting.test_live_equals_fold import dumped, events_behind
from tests.reporting.test_nodes_as_steps import folded

NUMBERS = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def observer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecutionObserver]:
    opened = ExecutionObserver(
        "nodes", tmp_path_factory.mktemp("nodes"), durability="none", resources=False
    )
    with opened:
        yield opened


_PREFIXES: Final = itertools.count()


class Twins(dict[Any, Plain]):
    """What each unit should say, as far as a node's step has it; nobody compares it here."""

    def __missing__(self, unit: Any) -> Plain:
        self[unit] = Plain("step", unit.label)
        return self[unit]


class NodeCalls(Calls):
    """Calls on a batch, among them those of nodes while it, another one or none is bound."""

    def __init__(self, observer: ExecutionObserver) -> None:
        super().__init__()
        self.twins = Twins(self.twins)
        self.observer = observer
        self.other = PipelineReport("other")
        self.bound: list[Binding] = []
        self.prefix = next(_PREFIXES)

    def name(self, n: int) -> str:
        """Return a node that no other calls name: its observer remembers nodes."""
        return f"{self.prefix}{'abc'[n % 3]}"

    def make(self, numbers: Sequence[int]) -> None:
        try:
            for number in numbers:
                which, rest = number % (2 * len(_CALLS)), number // (2 * len(_CALLS))
                if which < len(_CALLS):
                    _CALLS[which](self, rest)
                else:
                    super().make([rest])
        finally:
            while self.bound:
                unbind(self.bound.pop())

    def bind(self, n: int) -> None:
        if n % 4 and self.bound:
            unbind(self.bound.pop())
        else:
            self.bound.append(bind(self.other if n % 3 == 0 else self.reports[0]))

    def start(self, n: int) -> None:
        self.observer.node_start(self.name(n), n // 3 % 2 or None)

    def succeed(self, n: int) -> None:
        self.observer.node_success(self.name(n), 0.5, output_summary={"n": n})

    def fail(self, n: int) -> None:
        error = ValueError("no") if n % 2 else "a text"
        self.observer.node_failure(self.name(n), error, 0.5)

    def skip(self, n: int) -> None:
        self.observer.node_skipped(self.name(n), "why" if n % 2 else None)

    def retry(self, n: int) -> None:
        self.observer.node_retry(self.name(n), 1 + n % 3, error="again")

    def tell(self, n: int) -> None:
        node = self.observer.node(self.name(n), n // 3 % 2 or None)
        text = TEXTS[n % len(TEXTS)]
        calls: tuple[Callable[[], Any], ...] = (
            lambda: node.note(text),
            lambda: node.warn(text),
            lambda: node.error(text),
            lambda: node.check("c", n % 2 == 0, text),
            lambda: node.request_review(text or None),
            node.clear_review,
            lambda: node.result({"n": n}),
        )
        calls[n % len(calls)]()

    def inside(self, n: int) -> None:
        with suppress(KeyError), self.observer.node(self.name(n)) as node:
            node.note("inside")
            if n % 2:
                raise KeyError(n)


_CALLS: Final = (
    NodeCalls.bind,
    NodeCalls.bind,
    NodeCalls.start,
    NodeCalls.start,
    NodeCalls.succeed,
    NodeCalls.fail,
    NodeCalls.skip,
    NodeCalls.retry,
    NodeCalls.tell,
    NodeCalls.tell,
    NodeCalls.inside,
)


@given(numbers=st.lists(NUMBERS, max_size=40))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:node_:RuntimeWarning")
def test_a_fold_holds_what_is_live_and_every_prefix_folds(
    numbers: list[int], observer: ExecutionObserver
) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size
    calls = NodeCalls(observer)
    calls.make(numbers)
    reports = (*calls.reports, calls.other)
    for report in reports:
        report.model_dump()
    live = [report.model_dump(mode="json") for report in reports]

    events = events_behind(path, before)
    state: RunReport = beginning(events[0], RunReport)
    for event in events:
        apply(state, event)
        for unit in state.units.roots():
            unit_view(unit, event.mono_us)
    states: Any = [state.units.states[report.state.unit] for report in reports]

    assert [dumped(unit_view(unit, event.mono_us)) for unit in states] == live
    assert [unit.tally for unit in states] == [report.state.tally for report in reports]


@given(numbers=st.lists(NUMBERS, max_size=30), seed=st.integers(0, 2**32))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:node_:RuntimeWarning")
def test_events_may_be_missing_and_in_any_order(
    numbers: list[int], seed: int, observer: ExecutionObserver
) -> None:
    path = observer.audit_trace_file
    before = path.stat().st_size
    NodeCalls(observer).make(numbers)

    events = events_behind(path, before)
    chosen = random.Random(seed)
    chosen.shuffle(events)

    state = folded(events[: chosen.randint(1, len(events))])
    for unit in state.units.roots():
        unit_view(unit, events[0].mono_us)
