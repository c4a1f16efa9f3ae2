"""When the file that shows a batch is written: while it works, at exceptions, at ends.

While a block of the batch is open that file does not say that the batch has ended, so that it does
not when the process is killed.
"""

import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observability.reporting.saving import UNSAVED
from replay.fold.status import FAILED, RUNNING, TERMINAL

if TYPE_CHECKING:
    from observability.reporting.pipeline import PipelineReport

REFRESH_NS: Final = 1_000_000_000
SHARE: Final = 10  # of the time at most a tenth goes into refreshing a file
BURST_NS: Final = 250_000_000


class AutoSaves:
    """The saves of one batch to its `output_path`; nothing where it has none.

    Args:
        report: The batch.
    """

    __slots__ = (
        "_at_exception_ns",
        "_left_out",
        "_open_blocks",
        "_report",
        "_saved_ns",
        "_spent_ns",
        "_told",
        "_unsaved",
        "_wait_ns",
    )

    def __init__(self, report: "PipelineReport") -> None:
        self._report = report
        self._saved_ns: int | None = None
        self._at_exception_ns: int | None = None
        self._wait_ns = REFRESH_NS
        self._spent_ns = 0
        self._open_blocks: set[object] = set()
        self._unsaved = False
        self._left_out = False  # a refresh, because the last one was just now
        self._told: str | None = None  # the status that the file has

    def enter(self, block: object) -> None:
        """Note that a block of this report begins; a file that says that it has ended is wrong."""
        with self._report.lock:
            self._open_blocks.add(block)
            if self._told in TERMINAL and self.status() == RUNNING:
                self._save_or_warn()
                self._wait_ns *= 2  # for the end of such a block is saved too
            else:
                self.save_if_due()

    def ends(self, block: object) -> None:
        """Note that a block is about to end what it began: what is saved then is the end of it."""
        with self._report.lock:
            self._open_blocks.discard(block)

    def leave(self, block: object, *, bound: bool = False) -> None:
        """Note that one ends, however often that is said, and save behind the outermost.

        A binding always saves.  Of other blocks, which may follow each other by thousands, all
        do until that has taken `BURST_NS`, and then as many as take a tenth of the time; what is
        left out is saved with the next, by the end of the observer, or of the program.

        Raises:
            OSError: It could not be written (by a binding).
        """
        with self._report.lock:
            self._open_blocks.discard(block)
            if self._report.state.output_path is None:
                return
            if self._open_blocks:
                self.save_if_due()
            elif bound and self._report.observer is None:
                self._save_now()
            elif bound or (self._unsaved and self._may_save(burst=True)):
                self._save_or_warn()

    def status(self) -> str:
        """Return the status of the batch for its file: while a block is open it has not ended."""
        status: str = self._report.state.rollup()
        return RUNNING if self._open_blocks and status != FAILED else status

    def saved(self, status: str) -> None:
        """Note that the file was written, with that status."""
        self._told, self._left_out = status, False
        self._unsaved = bool(self._open_blocks)
        (UNSAVED.add if self._unsaved else UNSAVED.discard)(self._report)

    def make_good(self) -> None:
        """Save what was left out."""
        if self._unsaved:
            self._save_or_warn()

    def refresh(self) -> None:
        """Show a file's beginning or end where the report is saved, at most once a second."""
        self.changed()
        self._left_out = self._unsaved
        self.save_if_due()

    def changed(self) -> None:
        """Note that something is to be saved, when that is due."""
        if self._report.state.output_path is not None:
            self._unsaved = True
            UNSAVED.add(self._report)

    def save_if_due(self) -> None:
        """Make up for a refresh that was left out, once that is due."""
        if self._left_out and self._may_save(burst=False):
            self._save_or_warn()

    def _may_save(self, burst: bool) -> bool:  # noqa: FBT001 - of this class alone
        now = time.monotonic_ns()
        if self._saved_ns is None or now - self._saved_ns >= self._wait_ns:
            return True
        return burst and self._spent_ns < BURST_NS

    def _save_or_warn(self) -> None:
        try:
            self._save_now()
        except (OSError, ValueError) as error:  # ValueError: no file system has such a name
            self._spent_ns, self._told = BURST_NS, None  # one warning a second is enough
            warnings.warn(f"pipeline autosave failed: {error!r}", RuntimeWarning, stacklevel=4)

    def at_exception(self, override: str | os.PathLike[str] | None, *, wait_s: float = 0.0) -> None:
        """Save to `output_path`, and to *override* where that is another one.

        Args:
            override: Another place, or None.
            wait_s: Leave it out that many seconds after the last one.

        Raises:
            OSError: It could not be written.
        """
        with self._report.lock:
            now = time.monotonic_ns()
            last = self._at_exception_ns
            if last is not None and now - last < wait_s * 1e9:
                return
            self._at_exception_ns = now
            if override is not None and self._report.output_path != Path(override):
                self._report.save(override)
            self._save_now()

    def _save_now(self) -> None:
        """Save to `output_path`, if there is one, and wait with the next refresh.

        Raises:
            OSError: It could not be written.
        """
        if self._report.state.output_path is None:
            return
        begin = time.monotonic_ns()
        try:
            self._report.save()
        finally:
            self._saved_ns = time.monotonic_ns()
            took = self._saved_ns - begin
            self._spent_ns += took
            self._wait_ns = max(REFRESH_NS, SHARE * took)
