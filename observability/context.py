"""What is current in this thread or task: an observer, the node that it is in, a bound report.

Scopes stand in a `contextvars` variable, each knowing the one around it: the `with` block of an
observer, and a node from its start to its end.  A task begins with the scopes of the code that
made it; a thread begins with none.  Nothing is reset by token, so an end may come in another
thread or task, or in another order: a scope that has ended is passed over by whoever finds it.
"""

import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver
    from observability.reporting.pipeline import PipelineReport


class Scope:
    """An observer, or one node of it, while it lasts.

    Attributes:
        observer: Whose it is.
        node_id: The node; None for the observer's own block.
        node_index: That node's index.
        outer: The scope it began in, or None.
        ended: Whether it is over, wherever that was said.
    """

    __slots__ = ("ended", "node_id", "node_index", "observer", "outer")

    def __init__(
        self,
        observer: "ExecutionObserver",
        node_id: str | None = None,
        node_index: int | None = None,
        *,
        outer: "Scope | None" = None,
    ) -> None:
        self.observer = observer
        self.node_id = node_id
        self.node_index = node_index
        self.outer = outer
        self.ended = False


_innermost: Final[ContextVar[Scope | None]] = ContextVar("auditfold_scope", default=None)
_open: Final[set["ExecutionObserver"]] = set()


# --- What is current


def current() -> Scope | None:
    """Return the innermost scope of this thread or task.

    A thread begins without scopes.  There the observer is current that is the only open one of
    the process, at no node; with several, none is: nothing is guessed.
    """
    scope = _lasting(_innermost.get())
    if scope is not None:
        return scope
    observers = [observer for observer in [*_open] if observer.is_open]
    return Scope(observers[0]) if len(observers) == 1 else None


def current_of(observer: "ExecutionObserver") -> Scope:
    """Return the innermost scope of *observer* in this thread or task; at no node if none."""
    scope = _lasting(_innermost.get())
    while scope is not None and scope.observer is not observer:
        scope = _lasting(scope.outer)
    return scope or Scope(observer)


def current_observer() -> "ExecutionObserver | None":
    """Return the observer that is current, or None."""
    scope = current()
    return None if scope is None else scope.observer


# --- What makes it so


def begin(observer: "ExecutionObserver") -> None:
    """Note that *observer* is open in this process."""
    _open.add(observer)


def end(observer: "ExecutionObserver") -> None:
    """Note that *observer* is closed; its scopes are over."""
    _open.discard(observer)


def enter(
    observer: "ExecutionObserver", node_id: str | None = None, node_index: int | None = None
) -> Scope:
    """Make a scope current in this thread or task, and return it.  Cost, with `leave`: 0.6 us."""
    scope = Scope(observer, node_id, node_index, outer=_lasting(_innermost.get()))
    _innermost.set(scope)
    return scope


def leave(scope: Scope) -> None:
    """End *scope*, in whatever thread or task; the one around it is current again."""
    scope.ended = True
    if _innermost.get() is scope:
        # It may be over itself: who asks next passes it over.
        _innermost.set(scope.outer)


def exchange(scope: Scope | None) -> Scope | None:
    """Make *scope* current as it stands, and return what was: what a generator does as it waits."""
    before = _innermost.get()
    _innermost.set(scope)
    return before


def _lasting(scope: Scope | None) -> Scope | None:
    """Return *scope*, or the innermost around it that is not over."""
    while scope is not None and (scope.ended or not scope.observer.is_open):
        scope = scope.outer
    return scope


def owner() -> object:
    """Return what runs now: the task where there is one, else the thread."""
    events = sys.modules.get("asyncio.events")
    # The only question about the loop that raises nothing where there is none.
    if events is not None and events._get_running_loop() is not None:  # noqa: SLF001
        return sys.modules["asyncio.tasks"].current_task()
    return threading.get_ident()


# --- The report that is bound


class Binding:
    """What the blocks of this thread or task take when they are given none, and nodes stand in.

    Attributes:
        report: The report.
        outer: The binding it began in, or None.
        ended: Whether it is over, wherever that was said.
    """

    __slots__ = ("ended", "outer", "report")

    def __init__(self, report: "PipelineReport", outer: "Binding | None") -> None:
        self.report = report
        self.outer = outer
        self.ended = False


_binding: Final[ContextVar[Binding | None]] = ContextVar("auditfold_binding", default=None)
# Those of the whole process; empty where nothing has to be asked.
bindings: Final[set[Binding]] = set()


def bind(report: "PipelineReport") -> Binding:
    """Bind *report* in this thread or task, and return what `unbind` takes."""
    binding = Binding(report, _binding.get())
    bindings.add(binding)
    _binding.set(binding)
    return binding


def unbind(binding: Binding) -> None:
    """End *binding*, in whatever thread or task; the one around it holds again."""
    binding.ended = True
    bindings.discard(binding)
    if _binding.get() is binding:
        _binding.set(binding.outer)


def bound() -> "PipelineReport | None":
    """Return the report that is bound here.

    A thread begins without bindings.  There it is the only report that is bound anywhere in the
    process; with several, none is: nothing is guessed.
    """
    binding = _binding.get()
    while binding is not None and binding.ended:
        binding = binding.outer
    if binding is not None:
        return binding.report
    reports = {id(binding.report): binding.report for binding in [*bindings] if not binding.ended}
    return next(iter(reports.values())) if len(reports) == 1 else None
