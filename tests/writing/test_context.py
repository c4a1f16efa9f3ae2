"""What is current: in nested blocks, threads, tasks, generators and forks, in any order of ends."""

import asyncio
import contextvars
import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability import ExecutionObserver, context


def made(out: Path, name: str = "step_04_context") -> ExecutionObserver:
    return ExecutionObserver(name, out, use_tqdm=False)


@pytest.fixture
def observer(memory: Path) -> Iterator[ExecutionObserver]:
    opened = made(memory)
    yield opened
    opened.close()


def node() -> tuple[str | None, int | None] | None:
    """Return the current node, (None, None) at no node, None without an observer."""
    scope = context.current()
    return None if scope is None else (scope.node_id, scope.node_index)


def in_a_thread(work: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_without_an_observer_nothing_is_current() -> None:
    assert context.current() is None
    assert context.current_observer() is None


def test_blocks_nest_and_end_in_order(memory: Path) -> None:
    with made(memory) as observer:
        assert node() == (None, None)
        with observer.node("a", 0):
            with observer.node("b"):
                assert node() == ("b", None)
            assert node() == ("a", 0)
        assert node() == (None, None)
        assert context.current_observer() is observer
    assert context.current() is None


def test_a_second_observer_is_current_inside_its_block(memory: Path) -> None:
    with made(memory) as outer, outer.node("of the outer"):
        with made(memory, "step_05_inner") as inner:
            assert context.current_observer() is inner
            with inner.node("of the inner"):
                assert node() == ("of the inner", None)
                assert context.current_of(outer).node_id == "of the outer"
            assert context.current_of(inner).node_id is None
        assert (context.current_observer(), node()) == (outer, ("of the outer", None))


def test_the_calls_of_older_programs_set_the_node_too(observer: ExecutionObserver) -> None:
    observer.node_start("load", 0)
    assert node() == ("load", 0)
    observer.node_success("load", 0.1)
    assert node() == (None, None)
    observer.node_start("clean", 1)
    observer.node_failure("clean", "no such column", 0.1)
    observer.node_start("skip")
    observer.node_skipped("skip")
    assert node() == (None, None)


def test_a_node_that_begins_again_takes_the_place_of_its_first_attempt(
    observer: ExecutionObserver,
) -> None:
    for _ in range(3):
        observer.node_start("a", 0)
    observer.node_success("a", 0.1)

    assert node() == (None, None)


def test_a_closed_observer_is_current_no_more(memory: Path) -> None:
    observer = made(memory)
    observer.node_start("never ended")
    observer.close()

    assert context.current() is None


@given(order=st.permutations(range(6)))
def test_ends_may_come_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    """What is current is the node begun last of those that are open."""
    observer = made(tmp_path_factory.mktemp("order"))
    for n in range(6):
        observer.node_start(f"n{n}")
    left = set(range(6))
    for n in order:
        assert node() == (f"n{max(left)}", None)
        observer.node_success(f"n{n}", 0.1)
        left.remove(n)
    assert node() == (None, None)
    observer.close()


# --- Threads and tasks


def test_a_thread_begins_without_a_node_and_finds_the_only_observer(
    observer: ExecutionObserver,
) -> None:
    with observer.node("a"):
        assert in_a_thread(node) == (None, None)
        assert in_a_thread(context.current_observer) is observer
        copied = contextvars.copy_context()
        assert in_a_thread(lambda: copied.run(node)) == ("a", None)


def test_with_two_observers_a_thread_guesses_none(memory: Path) -> None:
    with made(memory) as one, made(memory, "step_05_other") as other, one.node("a"):
        assert in_a_thread(context.current) is None
        assert in_a_thread(lambda: context.current_of(other).node_id) is None


def test_a_node_of_one_thread_is_not_current_in_another(observer: ExecutionObserver) -> None:
    both = threading.Barrier(2, timeout=60)

    def work(name: str) -> list[Any]:
        seen = []
        for n in range(50):
            with observer.node(name, n):
                both.wait()
                seen.append(node())
                both.wait()
            seen.append(node())
        return seen

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, ["one", "two"]))

    for name, seen in zip(["one", "two"], found, strict=True):
        assert seen == [place for n in range(50) for place in ((name, n), (None, None))]


def test_a_node_may_end_in_another_thread(observer: ExecutionObserver) -> None:
    observer.node_start("a")
    in_a_thread(lambda: observer.node_success("a", 0.1))

    assert node() == (None, None)


def test_tasks_have_their_own_nodes_and_begin_in_that_of_their_maker(
    observer: ExecutionObserver,
) -> None:
    async def work(name: str) -> list[Any]:
        seen = [node()]
        with observer.node(name):
            await asyncio.sleep(0)
            seen.append(node())
        return [*seen, node()]

    @observer.traced
    async def outer() -> list[Any]:
        found = await asyncio.gather(work("one"), work("two"))
        return [*found, node(), await asyncio.to_thread(node)]

    one, two, here, in_thread = asyncio.run(outer())

    around = ("outer", 0)
    assert one == [around, ("one", None), around]
    assert two == [around, ("two", None), around]
    assert here == in_thread == around


def test_a_task_that_outlives_its_node_is_in_what_was_around_it(
    observer: ExecutionObserver,
) -> None:
    async def main() -> Any:
        ended = asyncio.Event()

        async def late() -> Any:
            await ended.wait()
            return node()

        with observer.node("around"):
            with observer.node("short"):
                task = asyncio.create_task(late())
            ended.set()
            return await task

    assert asyncio.run(main()) == ("around", None)


# --- Generators


def test_code_between_the_values_of_a_traced_generator_is_not_in_its_node(
    observer: ExecutionObserver,
) -> None:
    seen = []

    @observer.traced
    def numbers() -> Iterator[int]:
        for n in range(3):
            seen.append(node())
            with observer.node("inside", n):
                yield n

    for n in numbers():
        assert node() == (None, None)
        with observer.node("consumer", n):
            pass

    assert seen == [("numbers", 0)] * 3
    assert node() == (None, None)


def test_a_traced_generator_takes_values_exceptions_and_its_end(
    observer: ExecutionObserver,
) -> None:
    said: list[Any] = []

    @observer.traced
    def echo() -> Any:
        try:
            while True:
                try:
                    said.append((yield len(said)))
                except ValueError as error:
                    said.append(str(error))
        finally:
            said.append(node())

    talk = echo()
    next(talk)
    talk.send("a")
    talk.throw(ValueError("b"))
    assert node() == (None, None)
    talk.close()

    assert said == ["a", "b", ("echo", 0)]
    assert node() == (None, None)


@given(seed=st.integers(0, 10_000))
def test_generators_may_be_asked_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    observer = made(tmp_path_factory.mktemp("generators"))
    choose = random.Random(seed)

    @observer.traced(name="g")
    def generator(depth: int) -> Iterator[int]:
        mine = node()
        inner = generator(depth - 1) if depth else iter(())
        for n in range(choose.randrange(4)):
            assert node() == mine
            next(inner, None)
            assert node() == mine
            yield n

    waiting = [generator(2) for _ in range(3)]
    while waiting:
        one = choose.choice(waiting)
        if next(one, None) is None or choose.random() < 0.2:
            one.close()  # type: ignore[attr-defined]
            waiting.remove(one)
        assert node() == (None, None)
    observer.close()


# --- Forks


def test_a_fork_is_in_the_node_it_was_made_in(memory: Path) -> None:
    with made(memory) as observer, observer.node("a", 3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.write(writing, repr((node(), in_a_thread(node))).encode())
                observer.close()
                status = 0 if node() is None else 2
            finally:
                os._exit(status)
        os.close(writing)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert os.read(reading, 1_000) == b"(('a', 3), (None, None))"
        os.close(reading)
        assert node() == ("a", 3)


def test_many_nodes_leave_no_chain_behind(observer: ExecutionObserver) -> None:
    """The scope of a node that is over would keep that of the one before, and so on."""
    for n in range(200):
        with observer.node("a", n):
            scope = context.current()
            assert scope is not None
            assert scope.outer is None
