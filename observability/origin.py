"""What all writers of one journal share: where they write, what every line says, and the clock."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from observability.registry import Registry
from observability.signing.keys import Credential
from replay.trace.line import utc_second

OnLine = Callable[[str, bytes, bytes], None]  # event type, line, payload


class Clock(Protocol):
    """Where stamps come from; the module `time` is one."""

    def time_ns(self) -> int:
        """Return nanoseconds since 1970, UTC."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds of a clock that never steps back."""


class Origin:
    """What all writers of one journal share.

    Args:
        out: Absolute; the folder that has `audit/`.
        workflow_id: On every line.
        step_number: On every line; names the step's folder.
        run_id: On every line, or None.
        durability: Stated in `writer_opened`.
        clock: Where stamps come from.
        random: Returns that many random bytes, for writer ids.
        on_line: Called with each event type, line and payload that was written; or None.
        credential: Gives writers their first keys; None: they do not sign.
        purpose: Stated in `writer_opened` and `writer_closed`, or None.
    """

    def __init__(
        self,
        out: Path,
        workflow_id: str,
        step_number: str,
        *,
        run_id: str | None,
        durability: str,
        clock: Clock,
        random: Callable[[int], bytes],
        on_line: OnLine | None,
        credential: Credential | None = None,
        purpose: str | None = None,
    ) -> None:
        self.out = out
        self.workflow_id = workflow_id
        self.step_number = step_number
        self.run_id = run_id
        self.durability = durability
        self.clock = clock
        self.random = random
        self.on_line = on_line
        self.credential = credential
        self.purpose = purpose
        self.step = out / "audit" / f"step_{step_number}"
        self.registry = Registry(self.step.parent)

    def new_writer_id(self) -> str:
        """Return `20261121t070312-9f3a1c2e5b`: UTC, and 40 random bits."""
        date = utc_second(self.clock.time_ns() // 1_000_000_000).decode()
        return date.replace("-", "").replace(":", "").lower() + "-" + self.random(5).hex()
