"""Lists and dicts of a unit that record how they are changed.

They are a list and a dict in every other respect.  What a change means is decided by their owner,
a live report; `append` becomes one event, any other change of a list gives the list whole.  Values
nested in them are plain: `observability.reporting` compares those at the unit's next event.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, Self, SupportsIndex

_ABSENT: Final = object()


class Owner(Protocol):
    """What records the changes of a container."""

    def record_append(self, name: str, item: Any) -> None:
        """Record that a list got one more item, and append it."""

    def record_list(self, name: str, change: Callable[[list[Any]], Any]) -> Any:
        """Record what *change* makes of a copy of a list; return what it returns."""

    def record_metadata(self, deleted: list[str], patch: Mapping[str, Any]) -> None:
        """Record that keys go and keys are set, and do it."""


class RecordedList(list[Any]):
    """A list of messages or checks.

    Args:
        items: What is in it.
        owner: Whose it is; when that is gone nothing is recorded any more.
        name: What the owner calls it.
    """

    __slots__ = ("_name", "_owner")

    def __init__(self, items: Iterable[Any], owner: Owner, name: str) -> None:
        super().__init__(items)
        self._owner = weakref.ref(owner)
        self._name = name

    def append(self, item: Any, /) -> None:
        """Add one item."""
        owner = self._owner()
        if owner is None:
            super().append(item)
        else:
            owner.record_append(self._name, item)

    def extend(self, items: Iterable[Any], /) -> None:
        """Add items, one event each."""
        for item in list(items):
            self.append(item)

    def __iadd__(self, items: Iterable[Any], /) -> Self:  # type: ignore[misc]
        self.extend(items)
        return self

    def insert(self, index: SupportsIndex, item: Any, /) -> None:
        """Add one item before *index*."""
        self._change(lambda items: items.insert(index, item))

    def pop(self, index: SupportsIndex = -1, /) -> Any:
        """Take one item away and return it."""
        return self._change(lambda items: items.pop(index))

    def remove(self, item: Any, /) -> None:
        """Take the first item away that equals *item*."""
        self._change(lambda items: items.remove(item))

    def clear(self) -> None:
        """Take all items away."""
        self._change(lambda items: items.clear())

    def sort(self, **how: Any) -> None:
        """Sort in place."""
        self._change(lambda items: items.sort(**how))

    def reverse(self) -> None:
        """Reverse in place."""
        self._change(lambda items: items.reverse())

    def __setitem__(self, index: Any, item: Any, /) -> None:
        self._change(lambda items: items.__setitem__(index, item))

    def __delitem__(self, index: Any, /) -> None:
        self._change(lambda items: items.__delitem__(index))

    def __imul__(self, times: SupportsIndex, /) -> Self:
        self._change(lambda items: items.__imul__(times))
        return self

    def __reduce_ex__(self, _: SupportsIndex, /) -> Any:
        # A copy is nobody's.
        return list, (list(self),)

    def _change(self, change: Callable[[list[Any]], Any]) -> Any:
        owner = self._owner()
        if owner is not None:
            return owner.record_list(self._name, change)
        items = list(self)
        result = change(items)
        super().__setitem__(slice(None), items)
        return result


class RecordedDict(dict[str, Any]):
    """The metadata of a unit.

    Args:
        items: What is in it.
        owner: Whose it is; when that is gone nothing is recorded any more.
    """

    __slots__ = ("_owner",)

    def __init__(self, items: Mapping[str, Any], owner: Owner) -> None:
        super().__init__(items)
        self._owner = weakref.ref(owner)

    def __setitem__(self, key: str, value: Any, /) -> None:
        self._change([], {key: value})

    def __delitem__(self, key: str, /) -> None:
        if key not in self:
            raise KeyError(key)
        self._change([key], {})

    def update(self, *others: Any, **items: Any) -> None:
        """Set keys, one event for all."""
        patch = dict(*others, **items)
        if patch:
            self._change([], patch)

    def __ior__(self, other: Any, /) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        """Return the value of *key*, set to *default* if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, default: Any = _ABSENT, /) -> Any:
        """Take a key away and return its value."""
        if key not in self:
            if default is _ABSENT:
                raise KeyError(key)
            return default
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last key away and return it with its value."""
        if not self:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all keys away."""
        if self:
            self._change(list(self), {})

    def __reduce_ex__(self, _: SupportsIndex, /) -> Any:
        # A copy is nobody's.
        return dict, (dict(self),)

    def _change(self, deleted: list[str], patch: Mapping[str, Any]) -> None:
        owner = self._owner()
        if owner is not None:
            owner.record_metadata(deleted, patch)
            return
        for key in deleted:
            super().__delitem__(key)
        super().update(patch)
