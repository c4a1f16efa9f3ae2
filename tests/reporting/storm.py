"""Reports whose calls are interrupted by a handler that raises: `storm.py OUT COUNT SEED MODE`.

A call is interrupted by a real signal, at a place that is drawn anew for each.  `OUT/differ.json`
then says how many signals came, and what was live behind a call and differs from a fold of the
trace.  MODE: the handler raises (`raise`), changes a report (`change`), or both (`both`), or
signals come again while what one has interrupted is made good (`often`).  `exits`: once at each
place of the end of a block.
"""

import contextlib
import dis
import json
import random
import signal
import sys
import warnings
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any, Final

import orjson

from observability import (
    ExecutionObserver,
    FileReport,
    PipelineReport,
    StepReport,
    bind_pipeline,
    file_step,
    pipeline_file,
    pipeline_step,
)
from replay.fold.report.units import Units
from replay.fold.report.views import unit_view
from replay.trace.schema import decode_event

# Behind these, and behind no other instruction, CPython looks whether a signal has come.
_LET_HANDLERS_RUN: Final = frozenset(
    {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"}
)


class StormError(BaseException):
    """Raised by the handler."""


class Storm:
    """A batch, and the calls that are made on it.

    Attributes:
        report: The batch.
        file: A file of it, changed again and again.
        step: A step of that.
        outside: What was made where no observer was, by the call to come.
        n: How many calls there were.
    """

    def __init__(self, chosen: random.Random) -> None:
        self.chosen = chosen
        self.n = 0
        self.fresh()

    def fresh(self) -> None:
        """Go on with another batch: a fold costs what there is."""
        self.report = PipelineReport(batch_id=self.n)
        self.file = FileReport.begin_within(self.report, "a.csv")
        self.step = StepReport.begin_within(self.file, "s", metadata={"rows": [1]})
        # Where no observer is current: as long as two are open, and none in this context.
        self.outside = Context().run(self.loose)

    def loose(self) -> PipelineReport:
        """Return a batch of which no trace is kept."""
        report = PipelineReport("outside")
        report.append_file(FileReport("x.csv").add_failed_step("x", "y"))
        report.add_completed_step("z", metadata={"rows": [1]})
        return report

    @property
    def reports(self) -> list[PipelineReport]:
        """The batches of which a trace is kept."""
        return [one for one in (self.report, self.outside) if one.observer is not None]

    def say(self) -> None:
        self.chosen.choice([self.step.note, self.file.warn])(str(self.n))

    def check(self) -> None:
        self.step.add_check(str(self.n), True)

    def end(self) -> None:
        self.chosen.choice([self.step.succeed, self.step.start, self.file.end, self.file.start])()

    def progress(self) -> None:
        self.report.set_progress("s", self.n % 100, str(self.n))

    def change(self) -> None:
        self.step.metadata[str(self.n % 5)] = {"n": self.n}

    def nested(self) -> None:
        self.step.metadata["rows"].append(self.n)
        self.step.note("rows")

    def add(self) -> None:
        self.file.add_review_step("look", "why")

    def attach(self) -> None:
        self.report.append_step(StepReport("lone"))
        self.report.append_file(FileReport("lone.csv").add_failed_step("x", "y"))

    def adopt(self) -> None:
        with bind_pipeline(self.outside):
            self.outside.set_progress("s", 1)
        self.outside = Context().run(self.loose)

    def move(self) -> None:
        step = Context().run(StepReport, "loose", metadata={"rows": [1]})
        self.file.append_step(step)

    def within(self) -> None:
        with pipeline_file(self.report, "b.csv", capture_streams=True) as file:
            sys.stdout.write("captured")
            with file_step(file, "in"):
                pass

    def bound(self) -> None:
        with (
            bind_pipeline(self.report),
            pipeline_step(None, "bound", raise_on_exception=True) as step,
        ):
            step.note("inside")

    def calls(self) -> list[Callable[[], None]]:
        return [
            self.say, self.check, self.end, self.progress, self.change, self.nested,
            self.add, self.attach, self.adopt, self.move, self.within, self.bound,
        ]  # fmt: skip


class Signals:
    """A real signal at one of the places of a call where the interpreter lets handlers run."""

    def __init__(self, storm: Storm, mode: str) -> None:
        self._storm, self._mode = storm, mode
        self.left = 0
        self.armed = False
        self.came = 0
        self._before: tuple[Any, str] = (None, "")
        self._codes: dict[Any, bytes] = {}

    def handle(self, *_: Any) -> None:
        """Raise where the program is, or change a report there, or both."""
        self.came += 1
        if self._mode != "raise":
            self._storm.step.note("of the handler")
            self._storm.report.append_step(StepReport("of the handler"))
        if self._mode != "change":
            raise StormError

    def trace(self, frame: Any, what: str, _: Any) -> Any:
        """Count the places, and send the signal at the last."""
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if what != "opcode":
            return self.trace
        code = frame.f_code
        if code not in self._codes:
            self._codes[code] = code.co_code
        name = dis.opname[self._codes[code][frame.f_lasti]]
        before, self._before = self._before, (frame, name)
        if before[0] is frame and before[1] in _LET_HANDLERS_RUN:
            self.left -= 1
            if not self.left:
                sys.settrace(None)
                signal.raise_signal(signal.SIGUSR1)
        return self.trace

    def strike(self, *_: Any) -> None:
        """Raise where the program is, if it is in a call."""
        if self.armed:
            self.came += 1
            raise StormError

    def often(self, call: Callable[[], None], first_s: float, then_s: float) -> None:
        """Make a call under a timer that goes on while what it has interrupted is made good."""
        try:
            self.armed = True
            signal.setitimer(signal.ITIMER_REAL, first_s, then_s)
            call()
            self.armed = False
        except StormError:
            self.armed = False  # no call before this, at which another one could come
        signal.setitimer(signal.ITIMER_REAL, 0)

    def during(self, call: Callable[[], Any], places: int) -> bool:
        """Make a call that is interrupted at such a place; return whether it was."""
        self.left, came = places, self.came
        sys.settrace(self.trace)
        try:
            call()
        except StormError:
            pass
        finally:
            sys.settrace(None)
            self._before = (None, "")
        return self.came > came


def folded(path: Path, begin: int) -> tuple[Units, int]:
    """Fold what stands in the trace behind *begin*."""
    units, mono_us = Units(), 0
    with path.open("rb") as file:
        file.seek(begin)
        for line in file:
            event = decode_event(line)
            mono_us = event.mono_us
            if getattr(event, "unit", None) is not None:
                units.apply(event)
    return units, mono_us


def difference(report: PipelineReport, units: Units, mono_us: int) -> Any:
    """Return what is live and what is folded, None where they are the same."""
    live = report.model_dump(mode="json")
    state = units.states.get(report.state.unit)
    fold = None if state is None else orjson.loads(orjson.dumps(unit_view(state, mono_us)))
    handles = [unit.state for unit in [*report.steps, *report.files]]
    kept = [*report.state.steps, *report.state.files]
    if live == fold and [*map(id, handles)] == [*map(id, kept)]:
        return None
    return {"live": live, "fold": fold}


def look(storm: Storm, path: Path, begin: int) -> list[Any]:
    """Return what differs."""
    for report in storm.reports:
        report.model_dump()  # records what was changed inside values
    units, mono_us = folded(path, begin)
    found = [difference(report, units, mono_us) for report in storm.reports]
    return [differs for differs in found if differs is not None]


def exits(out: str) -> list[Any]:
    """Interrupt the end of a block at each of its places; return where it was not made good."""
    bad: list[Any] = []
    before = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    with ExecutionObserver("storm", out, durability="none", quiet=True) as observer:
        path, place, again = observer.audit_trace_file, 1, True
        while again:
            begin, place = path.stat().st_size, place + 1  # the first one is the call itself
            storm = Storm(random.Random(place))
            signals = Signals(storm, "raise")
            signal.signal(signal.SIGUSR1, signals.handle)
            block = pipeline_file(
                storm.report, "b.csv", metadata={"rows": [1]}, capture_streams=True
            )
            unit = block.__enter__()
            unit.metadata["rows"].append(2)
            storm.step.metadata["rows"].append(2)  # of another unit, and not recorded yet
            again = signals.during(lambda: block.__exit__(None, None, None), place)  # noqa: B023
            given_back = (sys.stdout, sys.stderr) == before
            sys.stdout, sys.stderr = before
            rows = [one.model_dump()["metadata"].get("rows") for one in (unit, storm.step)]
            found = look(storm, path, begin)
            if found or not given_back or rows != [[1, 2]] * 2 or not unit.status.terminal:
                bad.append([place, given_back, rows, str(unit.status), found])
    return [place, bad]


def main(out: str, wanted: int, seed: int, mode: str) -> None:
    """Interrupt calls, and look at what is live behind each."""
    chosen = random.Random(seed)
    longest: dict[str, int] = {}
    differ: list[Any] = []
    before = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    shown = warnings.showwarning
    with (
        ExecutionObserver("storm", out, durability="none", quiet=True) as observer,
        contextlib.closing(ExecutionObserver("idle", f"{out}/idle", quiet=True)),
    ):
        path = observer.audit_trace_file
        begin, storm = path.stat().st_size, Storm(chosen)
        signals = Signals(storm, mode)
        signal.signal(signal.SIGUSR1, signals.handle)
        signal.signal(signal.SIGALRM, signals.strike)
        while signals.came < wanted:
            storm.n += 1
            if storm.n % 40 == 0:
                begin = path.stat().st_size
                storm.fresh()
            call = chosen.choice(storm.calls())
            name = call.__name__
            place = chosen.randrange(1, longest.get(name, 600))
            if mode == "often":
                signals.often(call, chosen.uniform(1e-6, 3e-4), chosen.uniform(1e-5, 3e-4))
            elif not signals.during(call, place):
                longest[name] = max(longest.get(name, 0), place - signals.left + 5)
            where = {"call": name, "place": place}
            if ((sys.stdout, sys.stderr), warnings.showwarning) != (before, shown):
                if mode != "often":  # there the next block gives them back
                    differ.append({**where, "kept": "not given back"})
                sys.stdout, sys.stderr = before
                warnings.showwarning = shown
            found = look(storm, path, begin)
            if found:
                differ.append({**where, **found[0]})
                begin = path.stat().st_size
                storm.fresh()
    Path(out, "differ.json").write_text(json.dumps([signals.came, differ, longest]))


if __name__ == "__main__":
    if sys.argv[4] == "exits":
        Path(sys.argv[1], "differ.json").write_text(json.dumps([*exits(sys.argv[1]), {}]))
    else:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
