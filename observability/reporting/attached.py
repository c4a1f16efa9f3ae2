"""The units that stand in a live one, as a list, with the ids that are taken.

A unit gets its final id here.  What attaching means is the owner's affair.
"""

from collections.abc import Iterable
from typing import Any, Final, Self

_MOST_SLUG: Final = 200  # characters


def slug(label: str) -> str:
    """Return an id for *label*: lower case, words joined by `-`, letters of every script kept.

    >>> slug("  Render PDF! "), slug("Größe prüfen"), slug("!?")
    ('render-pdf', 'größe-prüfen', '')
    """
    words = "-".join(label.lower().split())
    return "".join(c for c in words if c == "-" or c.isalnum())[:_MOST_SLUG]


class Attached(list[Any]):
    """The units that stand in one, in the order in which they began.

    Args:
        owner: What they stand in.
        call: Its method that attaches one.
    """

    __slots__ = ("_call", "_next", "_owner", "_taken")

    def __init__(self, owner: Any, call: str) -> None:
        super().__init__()
        self._owner, self._call = owner, call
        self._taken: set[str] = set()
        self._next: dict[tuple[str, int], int] = {}

    def add(self, unit: Any) -> None:
        """Take in a unit that stands in the state."""
        super().append(unit)
        if unit.state.id is not None:
            self._taken.add(unit.state.id)

    def refill(self, units: Iterable[Any]) -> None:
        """Hold other units; ids that were taken stay so."""
        super().clear()
        for unit in units:
            self.add(unit)

    def free(self, wanted: str, *, first: int) -> str:
        """Return *wanted*, or it with the first number from *first* that nobody has."""
        if wanted not in self._taken:
            return wanted
        n = self._next.get((wanted, first), first)
        while f"{wanted}-{n}" in self._taken:
            n += 1
        self._next[wanted, first] = n + 1
        return f"{wanted}-{n}"

    def drop(self, unit: Any) -> None:
        """Let go of a unit that has ended."""
        for n, kept in enumerate(self):
            if kept is unit:
                super().__delitem__(n)
                break

    def append(self, unit: Any, /) -> None:
        """Attach a unit, and end it."""
        getattr(self._owner, self._call)(unit)

    def extend(self, units: Iterable[Any], /) -> None:
        """Attach units, and end them."""
        for unit in list(units):
            self.append(unit)

    def __iadd__(self, units: Iterable[Any], /) -> Self:  # type: ignore[misc]
        self.extend(units)
        return self

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("units are attached by append, and stay: a trace takes nothing back")

    insert = pop = remove = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __imul__ = _refuse

    def __reduce_ex__(self, _: Any, /) -> Any:
        return list, (list(self),)
