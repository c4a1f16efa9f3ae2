"""Which traces are under a PATH, asked again and again at little cost.

Listing hundreds of files takes milliseconds, and a folder says when it changed.
"""

import os
from pathlib import Path
from typing import Final

from replay.trace.folder import NoTraceError, Place, locate

# Folders are listed again when one of them changed, for a second after that (two changes may
# bear the same time stamp), and every two seconds in any case.
_SETTLE_S: Final = 1.0
_LIST_S: Final = 2.0


class Listing:
    """What `locate` says of a PATH, and when it must be asked again.

    Attributes:
        given: The PATH.
        out: OUT, once it is known.
    """

    def __init__(self, given: str) -> None:
        self.given = given
        self.out: str | None = None
        self._stamps: dict[Path, int | None] = {}
        self._settled_at = self._next_at = float("-inf")

    @property
    def folders(self) -> list[Path]:
        """The folders in which lines and traces may come; the PATH's own for a single file."""
        if self._stamps:
            return list(self._stamps)
        return [Path(self.given).absolute().parent]

    def list(self, now_s: float) -> Place:
        """Return what is under the PATH.

        Raises:
            NoTraceError: There is neither a trace nor a registry, perhaps not yet.
            OSError: A folder cannot be read.
        """
        self._next_at = now_s + _LIST_S
        # Taken before the folders are read: a change meanwhile is seen the next time.
        stamps = {folder: _stamp(folder) for folder in self._stamps}
        place = locate(self.given)
        self.out = None if place.out is None else str(place.out)
        folders = _folders(place)
        if stamps != self._stamps or folders != list(stamps):
            self._settled_at = now_s + _SETTLE_S
        self._stamps = {f: stamps[f] if f in stamps else _stamp(f) for f in folders}
        return place

    def changed(self, now_s: float) -> Place | None:
        """Return what is under the PATH if it may differ from the last answer, else None.

        None, too, while there is nothing, or a folder cannot be read.  Cost: 2 us a folder
        when nothing changed.
        """
        if (
            self._stamps
            and self._settled_at <= now_s < self._next_at
            and all(_stamp(folder) == stamp for folder, stamp in self._stamps.items())
        ):
            return None
        try:
            return self.list(now_s)
        except (NoTraceError, OSError):
            return None


def _folders(place: Place) -> list[Path]:
    """Return the folders in which a new trace of *place* could appear."""
    if place.registry is not None:
        audit = place.registry.path.parent
        with os.scandir(audit) as entries:
            steps = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
        return [audit, *sorted(steps)]
    return [Path(place.given)] if place.kind == "step" else []


def _stamp(folder: Path) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None
