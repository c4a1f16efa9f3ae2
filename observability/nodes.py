"""A node while its block runs: the handle that a `with` gives.

What a node's events mean is in `replay.fold.nodes`.
"""

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from observability.payloads import LARGEST_VALUE, describe
from observability.values import encode
from replay.digest import directory_digest, file_digest, json_digest

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver


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
