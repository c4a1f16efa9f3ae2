"""Any program as a node: what `auditfold exec` records of it, from its start to its end.

How it runs is `observability.command.process`, what it prints `observability.command.output`.
Once it has been started it goes on whatever happens to the record: what could not be recorded is
said at the end.
docs/exec.md.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from observability.command.output import Captured
from observability.command.process import NOT_FOUND, Ended, NotStartedError, run
from observability.command.streams import STDERR, STDOUT
from observability.command.streams import terminal_streams as terminals
from observability.environment.capture import arguments
from observability.environment.readings import of_child
from observability.joining import writers_of
from observability.nodes import Node
from observability.observer import ExecutionObserver
from observability.redaction.redact import Redactor

BAD: Final = 1  # the exit code of a program that exits 0 and leaves an output out
_INTERRUPTED: Final = 130  # what a shell returns of a program that SIGINT has ended
_LONGEST_SAYING: Final = 200  # characters of the last line that a failed program printed


class Outcome(NamedTuple):
    """What became of a program.

    Attributes:
        exit_code: That of the program, as a shell gives it; 1 if it is 0 and an output is missing.
        problems: What is to be said of it, a line each; most have none.
        fields: All that is known, as JSON has it.
    """

    exit_code: int
    problems: list[str]
    fields: dict[str, Any]


def run_program(
    observer: ExecutionObserver,
    argv: Sequence[str],
    *,
    name: str,
    is_one_of_many: bool = False,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    variables: Sequence[str] = (),
) -> Outcome:
    """Run *argv* as a node of *observer*, and end its run.

    Args:
        observer: Has just been made.
        argv: The program and its arguments.
        name: The node.
        is_one_of_many: There may be others of that name in the run, which are other nodes: the
            node gets an index, how many processes of the run began before this one.
        inputs: Files and folders to digest before.
        outputs: Files and folders to digest afterwards; the node fails if one is not there.
        variables: Names of environment variables to record.

    Raises:
        JournalError: The start of the node cannot be recorded; nothing was run.
    """
    try:
        index = _place(observer) if is_one_of_many else None
        program = _Program(observer, observer.node(name, index), argv)
        outcome = program.run(inputs, outputs, variables)
    except BaseException:
        with suppress(OSError):  # what was raised first says more
            observer.close()
        raise
    program.close()
    return outcome


def _place(observer: ExecutionObserver) -> int:
    """Return how many processes of the run began before this one."""
    writers = [one.writer for one in writers_of(observer.audit_dir.parent, observer.run_id)]
    own = observer.writer_id
    return writers.index(own) if own in writers else len(writers)


class _Program:
    """One program while it is a node."""

    def __init__(self, observer: ExecutionObserver, node: Node, argv: Sequence[str]) -> None:
        self._observer = observer
        self._node = node
        self._argv = argv
        self._problems: list[str] = []
        self._fields: dict[str, Any] = {
            "run_id": observer.run_id,
            "node_id": node.node_id,
            "node_index": node.index,
        }

    def run(
        self, inputs: Sequence[str], outputs: Sequence[str], variables: Sequence[str]
    ) -> Outcome:
        self._begin(inputs, variables)
        captured = self._captured()
        feeds = {stream: one.feed for stream, one in captured.items()}
        try:
            ended = run(self._argv, feeds, env=os.environ)
        except NotStartedError as error:
            why = "command not found"
            if error.exit_code != NOT_FOUND:
                why = f"cannot be run: {_said(error)}"
            self._problems.append(f"{self._argv[0]}: {why}")
            self._end(0.0, {}, error=self._problems[-1])
            return self._outcome(error.exit_code)
        last_words = [self._trying(self._put_captured, one) for one in captured.values()]
        if ended.left_open:
            text = "a process that it left behind still has its output; the rest is not recorded"
            self._trying(self._record, "message", {"level": "note", "text": text})
        return self._ended(ended, outputs, next(filter(None, reversed(last_words)), ""))

    def close(self) -> None:
        """Close the record; what keeps from it is a problem as well."""
        self._trying(self._observer.close)

    def _begin(self, inputs: Sequence[str], variables: Sequence[str]) -> None:
        gate = self._observer.gate
        fields: dict[str, Any] = {"command": arguments(self._argv, gate)}
        if variables:
            given = {name: os.environ.get(name) for name in variables}
            fields["variables"] = gate.lenient(given)[0]
        self._record("node_start", fields)
        for path in inputs:
            self._trying(self._node.input, path, what=f"--in {path}")

    def _captured(self) -> dict[int, Captured]:
        both = len(terminals()) == len((STDOUT, STDERR))
        streams = {STDOUT: "terminal"} if both else {STDOUT: "stdout", STDERR: "stderr"}
        folder, writer = self._observer.audit_dir, self._observer.writer_id
        redactor = Redactor()
        return {
            stream: Captured(name, str(folder / f"exec_{writer}_{n}.log"), redactor)
            for n, (stream, name) in enumerate(streams.items())
        }

    def _put_captured(self, one: Captured) -> str:
        """Record what a stream had, and return its last line if that may say why it failed."""
        fields = one.finish()
        if one.error is not None:
            self._problems.append(f"{one.path}: {_said(one.error)}; it has a part of the output")
        if fields is None:
            return ""
        if "path" in fields:
            fields["path"] = self._observer.relative(fields["path"])
        text = fields.get("text") or ""
        self._fields.setdefault("captured", []).append(
            {name: value for name, value in fields.items() if name != "text"}
        )
        self._record("captured", fields)
        return "" if one.stream == "stdout" else text.rstrip().rpartition("\n")[2].strip()

    # --- The end

    def _ended(self, ended: Ended, outputs: Sequence[str], last_words: str) -> Outcome:
        more = {
            "exit_status": ended.status,
            "signal": ended.signal,
            "resource": usage_of(ended.usage),
        }
        n_before = len(self._problems)
        for stream, failure in ended.not_shown:
            name = "stdout" if stream == STDOUT else "stderr"
            self._problems.append(f"{name}: {_said(failure)}; not all of it was passed on")
        was_interrupted = _was_interrupted(ended)
        if ended.exit_code:
            how = f"killed by {ended.signal}" if ended.signal else f"exit status {ended.status}"
            if was_interrupted:
                how = f"interrupted, {how}"
            said = f": {last_words[:_LONGEST_SAYING]}" if last_words else ""
            self._end(ended.seconds, more, error=how + said, ends_run=not was_interrupted)
            return self._outcome(ended.exit_code)
        for path in outputs:
            self._trying(self._node.output, path, what=f"--out {path}")
        missing = self._problems[n_before:]
        error = f"exit status 0, but {'; '.join(missing)}" if missing else None
        self._end(ended.seconds, more, error=error)
        return self._outcome(BAD if missing else 0)

    def _end(
        self, seconds: float, more: dict[str, Any], *, error: str | None, ends_run: bool = True
    ) -> None:
        """End the node, and the run unless it was interrupted."""
        payload: dict[str, Any] = {"duration_seconds": seconds}
        if error is None:
            payload.update(output_hash=None, output_summary=None)
        else:
            payload["error"] = self._observer.gate.text("error", error)
        self._fields.update(payload, **more)
        event_type = "node_success" if error is None else "node_failure"
        node = self._node
        self._trying(
            self._observer.end_node, event_type, node.node_id, node.index, {**payload, **more}
        )
        self._trying(self._observer.workflow_complete if ends_run else self._observer.close)

    def _outcome(self, exit_code: int) -> Outcome:
        return Outcome(exit_code, self._problems, {**self._fields, "exit_code": exit_code})

    def _record(self, event_type: str, fields: dict[str, Any]) -> None:
        self._observer.record(event_type, fields, self._node.node_id, self._node.index)

    def _trying(self, call: Callable[..., Any], *given: Any, what: str = "") -> Any:
        """Call *call*; what keeps it from its work is a problem, and the program is not concerned.

        Args:
            call: Records something.
            *given: Its arguments.
            what: Which of the things that were asked for it is about.
        """
        try:
            return call(*given)
        except (OSError, ValueError, RuntimeError) as error:
            said = f"{what}: {_said(error)}" if what else str(error)
            if said not in self._problems:
                self._problems.append(said)
            return None


def _was_interrupted(ended: Ended) -> bool:
    """Return whether a Ctrl-C ended it: a program that makes a good end of one was not."""
    by_itself = ended.signal == "SIGINT" or ended.exit_code == _INTERRUPTED
    return by_itself or (ended.interrupted and ended.exit_code != 0)


def usage_of(usage: Any) -> dict[str, Any]:
    """Return what `wait4` says as an event has it: of a program and all that it waited for."""
    read = of_child(usage)
    return {
        "scope": "children",
        "cpu_user_seconds": read.cpu_user_seconds,
        "cpu_system_seconds": read.cpu_system_seconds,
        "max_rss_bytes": read.max_rss_bytes,
        "read_bytes": read.read_bytes,
        "write_bytes": read.write_bytes,
    }


def _said(error: BaseException) -> str:
    """Return what the system says of *error*, without the path, which stands before it."""
    if isinstance(error, OSError) and error.strerror and type(error).__str__ is OSError.__str__:
        return f"{error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)
