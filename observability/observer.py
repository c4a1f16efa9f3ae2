"""The execution observer: a program says what happens, the trace, the log and the bar follow.

`ExecutionObserver` turns calls into events for `observability.journal`, and keeps the state that
a fold of the same lines would have (`replay.fold.run`).  It never changes what it observes:
exceptions of the user's code always propagate.
"""

import atexit
import contextlib
import functools
import operator
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, Self, TypeVar, overload

import orjson

from observability import context, payloads
from observability.attempts import Attempts
from observability.derived import write_run
from observability.environment.capture import capture, chosen_fields, chosen_variables
from observability.environment.resources import Resources, meter
from observability.files import make_folders
from observability.forks import close_at_exit
from observability.joining import check_run_id, check_step, new_run_id
from observability.journal import Clock, Durability, OnError
from observability.live import LiveRun
from observability.messages.captured_warnings import CapturedWarnings
from observability.nodes import Node
from observability.redaction.redact import Redact, Redactor
from observability.terminal.capture import Capture, TqdmFileWrapper
from observability.trace_file import JournalError
from observability.traced import traced
from observability.values import Gate
from replay.digest import hash_output
from replay.fold.nodes import node_times
from replay.show.summary import error_block, header, summary
from replay.trace.events import Event
from replay.trace.folder import check_workflow_id, step_number
from replay.trace.line import MAX_INT, utc_second
from replay.trace.schema import decode_event

if TYPE_CHECKING:
    from observability.reporting.recorder import Recorder

P = ParamSpec("P")
R = TypeVar("R")


class ExecutionObserver:
    """Observes one run of a workflow.

    Args:
        workflow_id: What runs: 1 to 200 bytes, no `/`, no control character.  The first
            `step_NN` in it names the step, otherwise it is step `00`.
        output_dir: Gets `audit/step_NN/`, `logs/` and `traces/`.
        total_nodes: How many nodes there will be, or None.
        use_tqdm: True: a bar on stderr when that is a terminal, and its state in the log.
            `"always"`: a bar also where stderr is none.  False: a line a node on stdout.
        verbose: Print each event to stderr, as it stands in the log.
        durability: `none`, `interval` (about once a second) or `always` (before a call returns).
        on_error: `raise` a JournalError when the trace cannot be written, or `warn` and go on.
        redact: Further (name, pattern) pairs, a callable `(key, text) -> text | None`, or False
            for no redaction at all.
        environment: Record what the run meets (docs/environment.md): all, nothing, or the
            fields named.
        environment_variables: Further variables to record, by name; `*` for any characters.
        resources: What nodes used, at their end: `cheap` (True) for those of a millisecond or
            more, `full`, `tree` (with children; needs psutil), or False.
        clock: Where stamps and durations come from; the module `time` is one.
        random: Returns that many random bytes, for the ids of run and writer.
        run_id: The run that this process joins: the processes of a step that give the same one
            are one run, also at the same time.  A new one by default.
        only_node: The one node that this process runs, where the run has several processes: a
            later one of the same node takes its place.
        quiet: Header and summary go to the log alone; there is no bar.
        signing_key: The key file that the trace is signed with (docs/signing.md); that of
            AUDITFOLD_SIGNING_KEY if None.

    Raises:
        ValueError: An argument is out of range.
        TypeError: An argument has the wrong type.
        JournalError: The trace cannot be opened (under `raise`).
        OSError: The key file cannot be read, or is none.
        ModuleNotFoundError: There is a key, and the extra `sign` is not installed.

    Threads and tasks may share an observer.  After a fork the child goes on in a trace file of
    its own, in the same run.  Cost: about 7 us an event, bar and log included.
    """

    def __init__(
        self,
        workflow_id: str,
        output_dir: str | os.PathLike[str],
        total_nodes: int | None = None,
        use_tqdm: bool | Literal["always"] = True,  # noqa: FBT001, FBT002 - programs have it
        *,
        verbose: bool = False,
        durability: Durability = "interval",
        on_error: OnError = "raise",
        redact: Redact = None,
        environment: bool | Collection[str] = True,
        environment_variables: Collection[str] = (),
        resources: Resources = True,
        clock: Clock = time,
        random: Callable[[int], bytes] = os.urandom,
        run_id: str | None = None,
        only_node: str | None = None,
        quiet: bool = False,
        signing_key: str | os.PathLike[str] | None = None,
    ) -> None:
        check_workflow_id(workflow_id)
        fields = chosen_fields(environment)
        variables = chosen_variables(environment_variables)
        node_meter = meter(resources, monotonic_ns=clock.monotonic_ns)
        self.gate = Gate(None if redact is False else Redactor(redact))
        self.clock = clock
        self.on_error = on_error
        self.workflow_id = self.gate.text("workflow_id", workflow_id)
        self.output_dir = Path(output_dir)
        self.total_nodes = None if total_nodes is None else operator.index(total_nodes)
        if self.total_nodes is not None and not 0 <= self.total_nodes <= MAX_INT:
            raise ValueError(f"total_nodes {total_nodes}: want 0 to {MAX_INT}, or None")
        if isinstance(use_tqdm, str) and use_tqdm != "always":
            raise ValueError(f"use_tqdm {use_tqdm!r}: want True, False or 'always'")
        self.use_tqdm = use_tqdm
        self.pid = os.getpid()
        began_ns = clock.time_ns()
        self.workflow_start_epoch = began_ns / 1e9
        # Naive and local, because programs compare it with datetime.now().
        self.start_time = datetime.fromtimestamp(self.workflow_start_epoch)  # noqa: DTZ006
        self.current_node_id: str | None = None
        self.node_start_time: float | None = None
        self._out = Path(os.path.abspath(output_dir))
        self._ended = self._closed = False
        # Live units that stand in no other one.
        self.reports: weakref.WeakSet[Recorder] = weakref.WeakSet()
        # Of live units: a change is between its event and its end; two came into each other.
        self.changing = self.doubtful = False
        self._scope: context.Scope | None = None
        self._only_node = None if only_node is None else self.gate.name("only_node", only_node)
        self._joins = run_id is not None
        if run_id is not None:
            check_step(self._out / "audit", check_run_id(run_id), step_number(workflow_id))
        # Before there is a file: a `redact` of the caller may raise.
        met = capture(str(self._out), self.gate, fields=fields, variables=variables)
        self._lay_out()
        self._live = LiveRun(
            self._out,
            self.workflow_id,
            run_id=run_id or new_run_id(began_ns, random),
            total_nodes=self.total_nodes,
            use_tqdm=use_tqdm,
            quiet=quiet,
            verbose=verbose,
            log_path=self.audit_log_file,
            clock=clock,
            durability=durability,
            on_error=on_error,
            random=random,
            signing_key=signing_key,
        )
        self.tqdm_wrapper = TqdmFileWrapper.before(
            self._live.log, functools.partial(self.gate.text, "text")
        )
        self._capture = Capture(self.tqdm_wrapper)
        self._append = self._live.journal.append_clean
        self._attempts = Attempts(self, self._append, node_meter)
        self._at_exit = functools.partial(close_at_exit, self.close)
        atexit.register(self._at_exit)
        # The last thing before the stamp: an audit compares the time with the stamps of both ends.
        self._began_mono_ns = clock.monotonic_ns()
        self._append(
            "workflow_start",
            {
                "total_nodes": self.total_nodes,
                "output_dir": self.gate.text("output_dir", str(self._out)),
                **({"environment": met} if met else {}),
            },
            self._only_node,
            None,
            f"Workflow execution started: {self.workflow_id}",
        )
        self._live.block(header(self._live.state, self._out))
        context.begin(self)

    def _lay_out(self) -> None:
        """Name the files, and make the folders."""
        number = step_number(self.workflow_id)
        self.step_num = number
        self.logs_dir = self._out / "logs"
        self.traces_dir = self._out / "traces"
        self.audit_dir = self._out / "audit" / f"step_{number}"
        second = utc_second(int(self.workflow_start_epoch)).decode()
        date = second.replace("-", "").replace(":", "").replace("T", "_")
        self.log_file = self.logs_dir / f"execution_{self.workflow_id}_{date}.log"
        self.trace_file = self.traces_dir / f"trace_step_{number}_{date}.jsonl"
        self.audit_log_file = self.audit_dir / f"log_{number}.log"
        for folder in (self.audit_dir, self.logs_dir, self.traces_dir):
            try:
                make_folders(folder)
            except OSError as error:
                self._answer(JournalError(folder, error, "nothing was written"))

    # --- What programs call

    def node_start(self, node_id: str, node_index: int | None = None) -> None:
        """Record that a node begins, or its next attempt when it has ended before.

        While a report of this observer is bound, the node is a step of that batch.

        Raises:
            RuntimeError: The run has ended.
            JournalError: The event could not be written (under `raise`).
        """
        self._check_open("node_start")
        node_id = self.gate.name("node_id", node_id)
        index = None if node_index is None else operator.index(node_index)
        live, attempts = self._live, self._attempts
        if live.bar is not None:
            live.bar.say(node_id)
        with live.journal.lock:
            # Nearly all programs bind no report: they pay for two comparisons.
            if (attempts.steps is None and not context.bindings) or not attempts.begin_step(
                "node_start", {}, node_id, index
            ):
                self._append("node_start", {}, node_id, index)
            attempts.begin(node_id, index)
            self.current_node_id = node_id
            self.node_start_time = self.clock.time_ns() / 1e9
        if live.console:
            live.say_start(node_id, index, self.total_nodes)

    def node_success(
        self,
        node_id: str,
        duration_seconds: float,
        output_hash: str | None = None,
        output_summary: Any = None,
    ) -> None:
        """Record that a node ended well.

        Args:
            node_id: A node that was started.
            duration_seconds: How long it took.
            output_hash: The program's own digest of what it made.
            output_summary: A JSON value; what JSON cannot hold is written as text, and the
                event's `coerced` says where.

        Raises:
            RuntimeError: The run has ended.
            TypeError: A value has no JSON form.
            JournalError: The event could not be written (under `raise`).
        """
        payload = payloads.succeeded(self.gate, duration_seconds, output_hash, output_summary)
        self._end_open_node("node_success", node_id, payload)

    def node_failure(self, node_id: str, error_msg: object, duration_seconds: float) -> None:
        """Record that a node failed; *error_msg* is a text or an exception.

        Raises:
            RuntimeError: The run has ended.
            JournalError: The event could not be written (under `raise`).
        """
        payload = payloads.failed(self.gate, error_msg, duration_seconds)
        self._end_open_node("node_failure", node_id, payload)

    def node_skipped(self, node_id: str, reason: str | None = None) -> None:
        """Record that a node is not run, and why."""
        payload = {"reason": None if reason is None else self.gate.text("reason", reason)}
        node_id = self.gate.name("node_id", node_id)
        self._check_open("node_skipped")
        with self._live.journal.lock:
            _, index = self._attempts.ending(node_id)
            if not self._attempts.begin_step("node_skipped", payload, node_id, index):
                self._append("node_skipped", payload, node_id, index)
            self._attempts.skip(node_id, index)

    def node_retry(
        self,
        node_id: str,
        attempt: int,
        max_attempts: int | None = None,
        delay_seconds: float | None = None,
        error: object = None,
        *,
        index: int | None = None,
    ) -> None:
        """Record that an attempt of a node failed and another one is to come.

        Args:
            node_id: A node that was started.
            attempt: The attempt that failed, from 1.
            max_attempts: How many there will be at most.
            delay_seconds: How long the program waits before the next one.
            error: A text or an exception.
            index: The node's index, where several of that id are open.
        """
        payload = payloads.retried(self.gate, attempt, max_attempts, delay_seconds, error)
        node_id = self.gate.name("node_id", node_id)
        self._check_open("node_retry")
        with self._live.journal.lock:
            if index is None:
                _, index = self._attempts.ending(node_id)
            self._append("node_retry", payload, node_id, index)

    def workflow_complete(self, cumulative_cost_usd: float = 0.0) -> None:
        """End the run: terminal event, summary, metadata, report and copies.

        Raises:
            JournalError: Something could not be written (under `raise`).
        """
        if self._is_over("workflow_complete"):
            return
        cost = payloads.cost(self.gate, cumulative_cost_usd)
        files = {
            "trace_file": self.relative(self.audit_trace_file),
            "log_file": self.relative(self.audit_log_file),
        }
        self._end_run("workflow_complete", {}, {**cost, **files}, with_times=True)

    def workflow_error(self, error_msg: object) -> None:
        """End the run by an error, a text or an exception.

        Raises:
            JournalError: Something could not be written (under `raise`).
        """
        if self._is_over("workflow_error"):
            return
        said = payloads.error_fields(self.gate, error_msg)
        self._end_run("workflow_error", said, {}, with_times=False)

    hash_output = staticmethod(hash_output)

    def __enter__(self) -> Self:
        self._scope = context.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._scope is not None:
            context.leave(self._scope)
        try:
            if self._ended or os.getpid() != self.pid:
                self.close()
            elif error is None:
                self.workflow_complete()
            elif isinstance(error, Exception):
                self.workflow_error(error)
            else:
                self.close()
        except Exception as late:
            if error is None:
                raise
            # The exception of the program is the one that must be seen.
            error.add_note(f"auditfold: {late}")

    def node(self, node_id: str, index: int | None = None) -> Node:
        """Return a context manager that records a node: its start, end, duration and exception.

        >>> import tempfile
        >>> with ExecutionObserver("demo", tempfile.mkdtemp(), use_tqdm=True) as obs:
        ...     with obs.node("a.csv", index=0) as node:
        ...         digest = node.result({"rows": 3})  # doctest: +ELLIPSIS
        <BLANKLINE>
        ...
        """
        return Node(self, node_id, index)

    @overload
    def traced(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def traced(self, *, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def traced(self, function: Any = None, *, name: str | None = None) -> Any:
        """Decorate a function, sync or async, so that each call is a node.

        The node's id is *name*, or the function's; its index counts the calls from 0.

        Raises:
            TypeError: It is an asynchronous generator, which cannot be followed to its end.
        """
        if function is None:
            return functools.partial(self.traced, name=name)
        return traced(self, function, name or function.__name__)

    def capture_warnings(self) -> CapturedWarnings:
        """Return a context manager that records Python's warnings as messages of their node.

        They are shown as before.  Recorded are those raised where this observer is current.
        """
        return CapturedWarnings(self)

    def capture_progress(self) -> Capture:
        """Return a context manager that sends the program's prints and bars past this one's bar.

        Within it the bar stays whole and every line of stdout and stderr stands in the log.
        What other processes write, and what is written as bytes, goes by.
        """
        return self._capture

    def close(self) -> None:
        """Close the writer without ending the run, which is then interrupted; once is enough.

        Raises:
            JournalError: Something could not be written (under `raise`).
        """
        if self._closed:
            return
        with self._reports_settled():
            live = self._live
            if live.bar is not None:
                live.bar.close()
            live.journal.close()
            self._closed = True
            context.end(self)
            atexit.unregister(self._at_exit)
            self.tqdm_wrapper.close()
            failures = [] if live.log.error is None else [(live.log.path, live.log.error)]
            if os.getpid() == self.pid and live.journal.written:
                failures += self._write_derived()
            live.log.close()
            for path, error in failures[:1]:
                self._answer(
                    JournalError(path, error, "the trace does not need it. Run: auditfold replay")
                )

    # --- What programs read

    @property
    def is_open(self) -> bool:
        """Whether the run takes events: neither ended nor closed."""
        return not (self._ended or self._closed)

    @property
    def run_id(self) -> str:
        """Id of this run, `20261121-070312-k3f9x2`."""
        return self._live.run_id

    @property
    def writer_id(self) -> str | None:
        """Id of the writer of this process; None while its trace cannot be written."""
        return self._live.journal.writer_id

    @property
    def audit_trace_file(self) -> Path:
        """The trace file that this process writes; another one after a failure or a fork."""
        return self._live.journal.trace_path

    @property
    def nodes_completed(self) -> int:
        """Nodes of this process whose last attempt succeeded."""
        return self._live.state.nodes_completed

    @property
    def nodes_failed(self) -> int:
        """Nodes of this process whose last attempt failed."""
        return self._live.state.nodes_failed

    @property
    def node_times(self) -> dict[str, float | str]:
        """Seconds of each node's last attempt, by node id."""
        return node_times(self._live.state)

    @property
    def node_outputs(self) -> dict[str, Any]:
        """The output summaries that were not empty, by node id, as they were recorded."""
        return {name: orjson.loads(raw) for name, raw in self._live.summaries.items()}

    @property
    def progress_bar(self) -> Any:
        """The tqdm bar where one is drawn, else None."""
        return None if self._live.bar is None else self._live.bar.drawn

    def relative(self, path: str | os.PathLike[str]) -> str:
        """Return *path* as events name it: relative to the output folder when it is below it."""
        whole = os.path.abspath(path)
        inside = os.path.relpath(whole, self._out)
        return whole if inside.startswith("..") else inside.replace(os.sep, "/")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an ExecutionObserver cannot be pickled: it holds an open trace. Give another "
            "process the output folder, and make an observer there"
        )

    # --- Inside

    @contextlib.contextmanager
    def _reports_settled(self) -> Iterator[None]:
        """Let reports record what was changed inside their values, and then let the run end.

        What one of them raises keeps no run from ending, and is raised or told behind that.
        """
        failed: list[Exception] = []
        for report in list(self.reports) if self.is_open and os.getpid() == self.pid else ():
            try:
                report.settle()
            except Exception as error:  # noqa: BLE001 - a report may be of a user's own kind
                failed.append(error)
        yield
        for late in failed[:1]:
            self._answer(late)

    @property
    def lock(self) -> threading.RLock:
        """What makes an event and its application one; a fork has another one."""
        return self._live.journal.lock

    @property
    def last_us(self) -> int:
        """CLOCK_MONOTONIC of the last event of this process, in microseconds."""
        return int(self._live.state.last.mono_us)

    def tell(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        node_id: str | None = None,
        index: int | None = None,
    ) -> Event | None:
        """Append an event whose values have passed the gate, and return it as it was written.

        The lock is held: what is returned is applied before another event is written.

        Returns:
            None where it was not: it is queued, or was dropped (under `warn`).
        """
        line = self._append(event_type, payload, node_id, index)
        if line is None:
            return None
        latest = self._live.latest
        # Another line may be behind it already: of a signal handler.
        return latest[1] if latest is not None and latest[0] is line else decode_event(line)

    @property
    def latest(self) -> object:
        """The last line of this process, as far as is known: what is compared by identity."""
        return self._live.latest

    def latest_settled(self) -> object:
        """Return the last line of this process, once what was interrupted or queued is written."""
        if not self._live.journal.closed:
            self._live.journal.write_queued()
            _ = self._live.state
        return self._live.latest

    def events(self) -> Iterator[Event]:
        """Yield the events of this process from its trace; the lock is held."""
        return (decode_event(raw.data) for _, raw in self._live.lines())

    @property
    def dropped(self) -> int:
        """How many events were not written (under `warn`)."""
        return self._live.journal.dropped

    @property
    def queued(self) -> int:
        """How many events of signal handlers and finalisers are still to be written."""
        return self._live.journal.queued

    def record(
        self, event_type: str, payload: Mapping[str, Any], node_id: str | None, index: int | None
    ) -> None:
        """Append an event about a node, or the run, after a strict check of its values."""
        self._check_open(event_type)
        clean = self.gate.strict(payload)
        name = None if node_id is None else self.gate.name("node_id", node_id)
        steps = self._attempts.steps
        if steps is None or not steps.tell(event_type, clean, (name, index)):
            self._append(event_type, clean, name, index)

    def record_clean(
        self, event_type: str, payload: Mapping[str, Any], node_id: str | None, index: int | None
    ) -> None:
        """Append an event whose values and node id have passed the gate."""
        self._check_open(event_type)
        self._append(event_type, payload, node_id, index)

    def end_node(
        self, event_type: str, node_id: str, index: int | None, payload: Mapping[str, Any]
    ) -> None:
        """Append the end of a node that is known by id and index."""
        self._check_open(event_type)
        node_id = self.gate.name("node_id", node_id)
        with self._live.journal.lock:
            self._attempts.end(event_type, payload, node_id, index)
        if self._live.console:
            self._live.say_end(payload)

    def _end_open_node(self, event_type: str, node_id: str, payload: Mapping[str, Any]) -> None:
        """Append the end of the open node of that id; warn when there is none."""
        self._check_open(event_type)
        node_id = self.gate.name("node_id", node_id)
        with self._live.journal.lock:
            is_open, index = self._attempts.ending(node_id)
            if not is_open:
                what = "ended already" if self._attempts.knows(node_id) else "never started"
                text = f"{event_type} for a node that {what}: {node_id}"
                self._append("message", {"level": "warning", "text": text}, node_id, index)
            self._attempts.end(event_type, payload, node_id, index)
        if self._live.console:
            self._live.say_end(payload)
        if not is_open:
            warnings.warn(text, RuntimeWarning, stacklevel=3)

    def _end_run(
        self,
        event_type: str,
        before: Mapping[str, Any],
        behind: Mapping[str, Any],
        *,
        with_times: bool,
    ) -> None:
        """Append the terminal event with the counts of its moment, and close."""
        with self._reports_settled():
            live = self._live
            if live.bar is not None:
                live.bar.close()
            # Under the lock no other thread ends a node, or syncs, between count and stamp.
            with live.journal.lock:
                state = live.state
                counts = {
                    "nodes_completed": state.nodes_completed,
                    "nodes_failed": state.nodes_failed,
                    "nodes_skipped": state.nodes_skipped,
                }
                times = {"node_times": payloads.that_fit(node_times(state))} if with_times else {}
                seconds = {"total_time_seconds": self._seconds()}
                self._append(
                    event_type, {**before, **counts, **seconds, **behind, **times}, self._only_node
                )
                self._ended = True
            block = summary if event_type == "workflow_complete" else error_block
            live.block(block(live.state, unsaid=live.journal.unsaid))
            self.close()
            live.say_registry()

    def _write_derived(self) -> list[tuple[Path, OSError]]:
        """Write metadata, report and copies; set where the copies are."""
        done = write_run(self._out, self.run_id, self._live.journal.written, joined=self._joins)
        self.log_file = done.log or self.log_file
        self.trace_file = done.trace or self.trace_file
        return done.failures

    def _check_open(self, what: str) -> None:
        if self._ended or self._closed:
            raise RuntimeError(f"{what}: the run {self.run_id} of {self.workflow_id} has ended")

    def _is_over(self, what: str) -> bool:
        """Return whether the run has ended, with a warning: a second end is ignored."""
        if not self._ended and not self._closed:
            return False
        warnings.warn(
            f"{what}: the run {self.run_id} has ended already, this call is ignored",
            RuntimeWarning,
            stacklevel=3,
        )
        return True

    def _seconds(self) -> float:
        return (self.clock.monotonic_ns() - self._began_mono_ns) / 1e9

    def _answer(self, error: Exception) -> None:
        """Raise *error*, or warn, as `on_error` says."""
        if self.on_error == "raise":
            raise error
        warnings.warn(str(error), RuntimeWarning, stacklevel=4)
