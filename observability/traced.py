"""A traced function: each call of it is a node, whatever kind of function it is.

`ExecutionObserver.traced` is the decorator that programs use; here is what it puts around a
function, a coroutine function and a generator function.
"""

import functools
import inspect
import itertools
from typing import TYPE_CHECKING, Any

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
                return (yield from function(*args, **kwargs))

        return generator

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with observer.node(name, next(calls)):
            return function(*args, **kwargs)

    return call
