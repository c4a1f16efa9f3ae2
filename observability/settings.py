"""Settings of the blocks that reports have: what is captured, what is raised, when is saved.

A setting given in the call comes first, then those of the innermost `use_settings`, then those of
`set_global_settings`.  `use_settings` holds for this thread or task and the tasks it makes.
"""

import dataclasses
import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import NoneType
from typing import Any, Final


def _types_of(name: str, value: Any) -> tuple[type[BaseException], ...] | None:
    """Return types of exceptions, of which one may stand alone, as a tuple."""
    if value is None and name == "suppressed_exceptions":
        return None
    types = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    for one in types:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(f"{name}: got {one!r:.100}, want types of exceptions")
    return tuple(types)


_SAME: Final[Any] = object()


@dataclasses.dataclass(frozen=True, init=False, slots=True)
class WatcherSettings:
    """What a block does.

    Attributes:
        raise_on_exception: Let an exception go on after it was recorded.
        store_traceback: Keep its traceback.
        traceback_limit: Frames of it, counted as `traceback.format_exception` does; all if None.
        capture_streams: Keep what the block writes to stdout and stderr.
        capture_warnings: Keep the warnings that are given in the block.
        suppressed_exceptions: Types that are recorded and never raised, whatever
            `raise_on_exception` says.
        fatal_exceptions: Types that are always raised, besides what Python ends programs, tasks
            and generators by.
        save_on_exception: Save the report at an exception.
        output_path_override: Where, instead of the report's `output_path`; its later name is
            `exception_save_path_override`.
        min_seconds_between_exception_saves: Leave a save out that comes sooner after another.
        refuse_reopening: A unit that has ended raises RuntimeError when it is ended again.

    Raises:
        TypeError: A value has another type; names the setting.
    """

    raise_on_exception: bool
    store_traceback: bool
    traceback_limit: int | None
    capture_streams: bool
    capture_warnings: bool
    suppressed_exceptions: tuple[type[BaseException], ...] | None
    fatal_exceptions: tuple[type[BaseException], ...]
    save_on_exception: bool
    output_path_override: str | os.PathLike[str] | None
    min_seconds_between_exception_saves: float
    refuse_reopening: bool

    def __init__(
        self,
        *,
        raise_on_exception: bool = False,
        store_traceback: bool = True,
        traceback_limit: int | None = None,
        capture_streams: bool = False,
        capture_warnings: bool = True,
        suppressed_exceptions: tuple[type[BaseException], ...] | None = None,
        fatal_exceptions: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit),
        save_on_exception: bool = True,
        output_path_override: str | os.PathLike[str] | None = None,
        exception_save_path_override: str | os.PathLike[str] | None = _SAME,
        min_seconds_between_exception_saves: float = 0.0,
        refuse_reopening: bool = False,
    ) -> None:
        given = dict(locals())
        # The later name comes first where both are given: `dataclasses.replace` of that one
        # gives the other as well, as it was.
        if exception_save_path_override is not _SAME:
            given["output_path_override"] = exception_save_path_override
        for name in ("suppressed_exceptions", "fatal_exceptions"):
            given[name] = _types_of(name, given[name])
        for name, (kinds, want) in _WANTED.items():
            value = given[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise TypeError(f"{name}: got {value!r:.100}, want {want}")
        for name in NAMES:
            object.__setattr__(self, name, given[name])

    @property
    def exception_save_path_override(self) -> str | os.PathLike[str] | None:
        """The later name of `output_path_override`."""
        return self.output_path_override

    def should_raise(self, error: BaseException) -> bool:
        """Return whether *error* goes on after it was recorded."""
        if not isinstance(error, Exception) or isinstance(error, tuple(self.fatal_exceptions)):
            return True
        return self.raise_on_exception and not isinstance(error, self.suppressed_exceptions or ())

    def suppression_breadcrumb(self, error: BaseException) -> str | None:
        """Return what is said where *error* would have been raised but for its type."""
        if not self.raise_on_exception or self.should_raise(error):
            return None
        name = type(error).__name__
        return f"suppressed raise_on_exception for {name} via suppressed_exceptions"


_FLAG: Final = ((bool,), "True or False")
_WANTED: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "raise_on_exception": _FLAG,
    "store_traceback": _FLAG,
    "traceback_limit": ((int, NoneType), "int or None"),
    "capture_streams": _FLAG,
    "capture_warnings": _FLAG,
    "save_on_exception": _FLAG,
    "output_path_override": ((str, os.PathLike, NoneType), "str, Path or None"),
    "min_seconds_between_exception_saves": ((int, float), "a number"),
    "refuse_reopening": _FLAG,
}
NAMES: Final = tuple(field.name for field in dataclasses.fields(WatcherSettings))
_LATER: Final = {"exception_save_path_override": "output_path_override"}

_chosen: Final[ContextVar[WatcherSettings | None]] = ContextVar("auditfold_settings", default=None)


class _Default:
    """The settings of the process."""

    settings = WatcherSettings()


def current_settings() -> WatcherSettings:
    """Return what holds here."""
    return _chosen.get() or _Default.settings


def set_global_settings(settings: WatcherSettings | None = None, **options: Any) -> None:
    """Make *settings* those of the process, in every thread without a `use_settings` of its own.

    Args:
        settings: What was there before if None.
        options: What differs from it.

    Raises:
        TypeError: An option is none; names the nearest.
    """
    _Default.settings = with_overrides(
        _Default.settings if settings is None else settings, **options
    )


@contextmanager
def use_settings(
    settings: WatcherSettings | None = None, **options: Any
) -> Iterator[WatcherSettings]:
    """Let *settings* hold in a `with` block.

    Args:
        settings: What holds around it if None.
        options: What differs from it.

    Raises:
        TypeError: An option is none; names the nearest.
    """
    chosen = with_overrides(settings, **options)
    before = _chosen.get()
    _chosen.set(chosen)
    try:
        yield chosen
    finally:
        # Not by token: a generator may end in another context than it began in.
        _chosen.set(before)


def with_overrides(settings: WatcherSettings | None = None, /, **options: Any) -> WatcherSettings:
    """Return *settings*, or what holds here, with *options* in their place.

    >>> with_overrides(raise_on_exeption=True)
    Traceback (most recent call last):
        ...
    TypeError: raise_on_exeption is no option of settings; do you mean raise_on_exception?

    Raises:
        TypeError: An option is none; names the nearest.
    """
    base = current_settings() if settings is None else settings
    if not isinstance(base, WatcherSettings):
        raise TypeError(f"settings: got {type(base).__name__}, want WatcherSettings")
    if not options:
        return base
    named: dict[str, Any] = {}
    for name, value in options.items():
        own = _LATER.get(name, name)
        if own not in NAMES:
            raise unknown_option("settings", name, [*NAMES, *_LATER])
        if own in named:
            raise TypeError(f"{own} and {name} are one option, given twice")
        named[own] = value
    return dataclasses.replace(base, **named)


def unknown_option(what: str, name: str, known: Iterable[str]) -> TypeError:
    """Return the error for an option that *what* does not have."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return TypeError(f"{name} is no option of {what}; do you mean {near[0]}?")
