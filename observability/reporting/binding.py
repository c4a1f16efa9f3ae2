"""The report that is bound: blocks inside that are given None take it, and nodes are its steps."""

from types import TracebackType

from observability import context
from observability.reporting.block import NeverInstead
from observability.reporting.pipeline import PipelineReport


class bind_pipeline:  # noqa: N801 - the name that programs have
    """Binds a report: blocks inside that are given None take it, and nodes are steps of it.

    In an observer, a report that was made before is recorded from here on.  When the block ends
    the report is saved, if it has an `output_path`.

    Args:
        pr: The report.
    """

    def __init__(self, pr: PipelineReport) -> None:
        if not isinstance(pr, PipelineReport):
            raise TypeError(f"bind_pipeline: got {type(pr).__name__}, want a PipelineReport")
        self._report = pr
        self._binding: context.Binding | None = None

    def __enter__(self) -> PipelineReport:
        if self._binding is not None:
            raise RuntimeError("bind_pipeline: this block is open already; make another one")
        self._report.record_if_observed()
        self._binding = context.bind(self._report)
        self._report.auto_saves.enter(self)
        return self._report

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._binding is not None:
                context.unbind(self._binding)
                self._binding = None
        finally:
            with NeverInstead(error):
                self._report.auto_saves.leave(self, bound=True)

    async def __aenter__(self) -> PipelineReport:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def report_or_bound(call: str, report: PipelineReport | None) -> PipelineReport:
    """Return *report*, or the one that is bound.

    Args:
        call: Who asks, for messages.
        report: What the program gave.

    Raises:
        RuntimeError: It gave none, and none is bound.
        TypeError: It gave something else.
    """
    found = context.bound() if report is None else report
    if found is None:
        raise RuntimeError(
            f"{call} requires a PipelineReport: pass `pr=` or call within `with bind_pipeline(pr):`"
        )
    if not isinstance(found, PipelineReport):
        raise TypeError(f"{call}: got {type(found).__name__}, want a PipelineReport")
    return found
