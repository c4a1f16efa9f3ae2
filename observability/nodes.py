"""Nodes while they run: which are open and whose they are, and the handle a `with` gives.

What a node's events mean is in `replay.fold.nodes`; this is only known to the live program.
"""

import os
from traceback import format_exception
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from observability.context import Scope, enter, leave, owner
from observability.values import Gate, encode
from replay.digest import directory_digest, file_digest, json_digest

if TYPE_CHECKING:
    from pathlib import Path

    from observability.observer import ExecutionObserver

LARGEST_TEXT: Final = 64 * 1024  # characters of an error's text, and of its traceback
# Looked through for secrets before it is cut, so that none is cut in two and not known any more.
_LOOKED_AT: Final = 16 * LARGEST_TEXT
LARGEST_VALUE: Final = 64 * 1024  # bytes of JSON: a value, or the list of a directory


class OpenNodes:
    """The open nodes of one process, by node id in the order they began.

    Each is a scope of `observability.context` from its start to its end.  Callers hold the
    journal's lock.
    """

    def __init__(self, observer: "ExecutionObserver") -> None:
        self._observer = observer
        self._open: dict[str, list[tuple[int | None, object, Scope]]] = {}
        self._last: dict[str, int | None] = {}

    def begin(self, node_id: str, index: int | None) -> None:
        """Note that a node began, or began again while it was open."""
        if node_id in self._open:
            self.end(node_id, index)
        self._last[node_id] = index
        mine = (index, owner(), enter(self._observer, node_id, index))
        self._open.setdefault(node_id, []).append(mine)

    def ending(self, node_id: str) -> tuple[bool, int | None]:
        """Return whether a node of that id is open, and the index of the one that ends.

        It is the one begun last in this thread or task, otherwise the oldest; where none is
        open, the node of that id that began last.
        """
        others = self._open.get(node_id)
        if not others:
            return False, self._last.get(node_id)
        if len(others) == 1:
            return True, others[0][0]
        me = owner()
        mine = [index for index, whose, _ in others if whose == me]
        return True, mine[-1] if mine else others[0][0]

    def knows(self, node_id: str) -> bool:
        """Return whether a node of that id has ever begun."""
        return node_id in self._last

    def end(self, node_id: str, index: int | None) -> None:
        """Note that a node ended; one that is not open is none."""
        left = []
        for node in self._open.pop(node_id, ()):
            if node[0] == index:
                leave(node[2])
            else:
                left.append(node)
        if left:
            self._open[node_id] = left


class Node:
    """One node while its `with` block runs; made by `ExecutionObserver.node`."""

    def __init__(self, observer: "ExecutionObserver", node_id: str, index: int | None) -> None:
        self.node_id = node_id
        self.index = index
        self._observer = observer
        self._began_ns = 0

    def __enter__(self) -> Self:
        self._observer.node_start(self.node_id, self.index)
        self._began_ns = self._observer.clock.monotonic_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        seconds = (self._observer.clock.monotonic_ns() - self._began_ns) / 1e9
        if error is None:
            fields = {"duration_seconds": seconds, "output_hash": None, "output_summary": None}
            self._observer.end_node("node_success", self.node_id, self.index, fields)
            return
        fields = {"duration_seconds": seconds, **describe(error, self._observer.gate)}
        try:
            self._observer.end_node("node_failure", self.node_id, self.index, fields)
        except (OSError, RuntimeError) as late:
            # The exception of the program is the one that must be seen.
            error.add_note(f"auditfold: {late}")

    def output(self, path: "str | os.PathLike[str]") -> str:
        """Record a file or directory that this node made, with its digest.

        Args:
            path: It must be there, and be no symbolic link.

        Returns:
            The digest: `sha256:` and 64 hex digits.

        Raises:
            OSError: It is not there, or cannot be read.
            ValueError: It is neither a regular file nor a directory.
        """
        fields = self._described(path)
        self._record("artifact_written", {"role": "output", **fields})
        return str(fields["digest"])

    def input(self, path: "str | os.PathLike[str]") -> str:
        """Record a file or directory that this node is about to read, with its digest.

        Args and errors are those of `output`; an audit does not look at it again.
        """
        fields = self._described(path)
        self._record("artifact_read", {"role": "input", **fields})
        return str(fields["digest"])

    def _described(self, path: "str | os.PathLike[str]") -> dict[str, Any]:
        """Return what an event says of what is at *path*."""
        whole = os.path.abspath(path)
        fields: dict[str, Any] = {"path": self._observer.relative(whole)}
        if os.path.isdir(whole) and not os.path.islink(whole):
            found = directory_digest(whole)
            fields.update(size=found.size, digest=found.digest, kind="directory")
            if len(orjson.dumps(found.entries)) <= LARGEST_VALUE:
                fields["entries"] = found.entries
        else:
            size, digest = file_digest(whole)
            fields.update(size=size, digest=digest, kind="file")
        return fields

    def result(self, value: Any) -> str:
        """Record a JSON value that this node returned, with its digest.

        A value above 64 KiB of JSON is recorded by size and digest alone.

        Returns:
            The digest of its canonical form (RFC 8785), secrets redacted.

        Raises:
            TypeError: It has no JSON form.
            ValueError: A number in it is not finite or beyond 2^53 - 1.
        """
        clean = self._observer.gate.strict({"value": value})["value"]
        size = len(encode({"": clean})) - len(b'{"":}')
        fields = {"digest": json_digest(clean), "size": size}
        if size <= LARGEST_VALUE:
            fields["value"] = clean
        self._record("node_result", fields)
        return str(fields["digest"])

    def note(self, text: str) -> None:
        """Record something said about this node."""
        self._say("note", text)

    def warn(self, text: str) -> None:
        """Record a warning about this node."""
        self._say("warning", text)

    def error(self, text: str) -> None:
        """Record an error of this node, which goes on; whether it fails is another matter."""
        self._say("error", text)

    def _say(self, level: str, text: str) -> None:
        self._record("message", {"level": level, "text": _a_text("text", text)})

    def check(self, name: str, ok: bool, detail: str | None = None) -> None:  # noqa: FBT001 - as of a step
        """Record that something was checked.

        One that is not ok is shown, and fails nothing: a node ends by an exception or well.

        Args:
            name: What was checked.
            ok: Whether it held; its truth is recorded.
            detail: What was found.

        Raises:
            TypeError: A text is none.
        """
        said = None if detail is None else _a_text("detail", detail)
        self._record("check", {"name": _a_text("name", name), "ok": bool(ok), "detail": said})

    def request_review(self, reason: str | None = None) -> None:
        """Ask somebody to look at this node, and say why; the later reason holds."""
        said = None if reason is None else _a_text("reason", reason)
        self._record("review_requested", {"reason": said})

    def clear_review(self) -> None:
        """Ask nobody any more."""
        self._record("review_cleared", {})

    def _record(self, event_type: str, payload: dict[str, Any]) -> None:
        self._observer.record(event_type, payload, self.node_id, self.index)

    def retry(
        self,
        attempt: int,
        max_attempts: int | None = None,
        delay_seconds: float | None = None,
        error: object = None,
    ) -> None:
        """Record that an attempt failed and another one is to come."""
        self._observer.node_retry(
            self.node_id, attempt, max_attempts, delay_seconds, error, index=self.index
        )


def _a_text(name: str, text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name}: got {type(text).__name__}, want str")
    return text


def describe(error: BaseException, gate: Gate) -> dict[str, Any]:
    """Return an exception as payload fields: text, type and traceback, redacted and cut."""
    try:
        text = str(error)
    except Exception as own:  # noqa: BLE001 - anybody's __str__
        text = f"no text: its __str__ raised {type(own).__name__}"
    return {
        "error": first_part(gate, "error", text) or type(error).__name__,
        "error_type": type(error).__name__,
        "traceback": last_part(gate, "traceback", "".join(format_exception(error))),
    }


def first_part(gate: Gate, key: str, text: str) -> str:
    """Return the first 64 Ki characters of *text* as they may be kept."""
    return gate.text(key, text[:_LOOKED_AT])[:LARGEST_TEXT]


def last_part(gate: Gate, key: str, text: str) -> str:
    """Return the last 64 Ki characters of *text* as they may be kept."""
    return gate.text(key, text[-_LOOKED_AT:])[-LARGEST_TEXT:]


def relative_to(out: "Path", path: str) -> str:
    """Return *path* relative to *out* with `/` when it is below it, else as it is."""
    inside = os.path.relpath(path, out)
    return path if inside.startswith("..") else inside.replace(os.sep, "/")
