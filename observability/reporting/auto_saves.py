"""When the file that shows a batch is written: while it works, at exceptions, at ends."""

import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from observability.reporting.saving import UNSAVED

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
        "_open_blocks",
        "_report",
        "_saved_ns",
        "_spent_ns",
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

    def enter(self, block: object) -> None:
        """Note that a block of this report begins."""
        with self._report.lock:
            self._open_blocks.add(block)

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
            if self._report.state.output_path is None or self._open_blocks:
                return
            if bound and self._report.observer is None:
                self._save_now()
            elif self._unsaved and self._may_save(self._report.observer is None):
                self._save_or_warn()

    def make_good(self) -> None:
        """Save what was left out."""
        if self._unsaved:
            self._save_or_warn()

    def refresh(self) -> None:
        """Show a file's end where the report is saved, at most once a second."""
        if self._report.state.output_path is None:
            return
        self._unsaved = True
        UNSAVED.add(self._report)
        if self._may_save(burst=False):
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
            self._spent_ns = BURST_NS  # one warning a second is enough
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
            self._unsaved = False
            UNSAVED.discard(self._report)
        finally:
            self._saved_ns = time.monotonic_ns()
            took = self._saved_ns - begin
            self._spent_ns += took
            self._wait_ns = max(REFRESH_NS, SHARE * took)
