"""A traced function: each call of it is a node, whatever kind of function it is.

`ExecutionObserver.traced` is the decorator that programs use; here is what it puts around a
function, a coroutine function and a generator function.
"""

import functools
import inspect
import itertools
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from observability.context import Scope, current_of, exchange

if TYPE_CHECKING:
    from observability.observer import ExecutionObserver


def traced(observer: "ExecutionObserver", function: Any, name: str) -> Any:
    """Return *function* with a node around each call, whose index counts the calls from 0.

    Raises:
        TypeError: It is an asynchronous generator, which cannot be followed to its end.
    """
    if inspect.isasyncgenfunction(function):
        raise TypeError(f"{name}: an asynchronous generator cannot be traced; use obs.node in it")
    calls = itertools.count()
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with observer.node(name, next(calls)):
                return await function(*args, **kwargs)

        return coroutine
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            with observer.node(name, next(calls)):
                scope = current_of(observer)
                return (yield from InScope(function(*args, **kwargs), scope))

        return generator

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with observer.node(name, next(calls)):
            return function(*args, **kwargs)

    return call


class InScope(Generator[Any, Any, Any]):
    """A generator whose scope is current while it runs, and not while it waits.

    Context variables are those of whoever asks for the next value: without this, the code
    between two values would be in the generator's node.
    """

    def __init__(self, generator: Any, scope: Scope) -> None:
        self._generator = generator
        self._inside = exchange(scope.outer)

    def send(self, value: Any, /) -> Any:
        """Run to the next value."""
        return self._step(self._generator.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception where it waits, and run to the next value."""
        return self._step(self._generator.throw, *error)

    def close(self) -> None:
        """End it where it waits."""
        self._step(self._generator.close)

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        outside = exchange(self._inside)
        try:
            return step(*arguments)
        finally:
            self._inside = exchange(outside)
