"""The timeline: every unit is in it, and every bar within it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.show.page.timeline import MOST_LANES, Chart, chart
from replay.show.page.units import tree_of
from replay.show.page.wording import instant
from tests.pages import made

TIMES = st.floats(0, 1e7)
DURATIONS = st.none() | st.floats(0, 1e6) | st.just("NaN") | st.floats(allow_nan=False, min_value=0)


def drawn(nodes: list[dict[str, Any]]) -> Chart | None:
    return chart(tree_of(made.head(nodes=nodes)))


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return nodes with attempts that began, ended and failed anywhere."""
    nodes = []
    for n in range(draw(st.integers(0, 8))):
        node = made.node(f"n{n}", n)
        node["attempts"] = [
            {
                "started_at": draw(st.none() | TIMES.map(made.at)),
                "ended_at": draw(st.none() | TIMES.map(made.at)),
                "duration_seconds": draw(DURATIONS),
                "status": draw(st.sampled_from(["succeeded", "failed", "running", "odd"])),
            }
            for _ in range(draw(st.integers(0, 3)))
        ]
        nodes.append(node)
    return nodes


@given(histories())
def test_every_bar_is_within_the_picture(nodes: list[dict[str, Any]]) -> None:
    found = drawn(nodes)

    for lane in () if found is None else found.lanes:
        for bar in lane.bars:
            assert 0 <= bar.x <= 100
            assert bar.width > 0
            assert bar.x + bar.width <= 100.2


@given(histories())
def test_ticks_begin_at_nothing_and_grow(nodes: list[dict[str, Any]]) -> None:
    found = drawn(nodes)
    places = [] if found is None else [place for place, _ in found.ticks]

    assert places == sorted(places)
    assert places[:1] in ([], [0])
    assert len(places) <= 21


@pytest.mark.parametrize("count", [1, MOST_LANES, MOST_LANES + 1, 3_000])
def test_many_units_share_lanes_and_none_is_left_out(count: int) -> None:
    nodes = [made.node(f"n{n}", n) for n in range(count)]
    found = drawn(nodes)

    assert found is not None
    assert found.units == count
    assert len(found.lanes) <= MOST_LANES
    assert (found.together == 1) == (count <= MOST_LANES)
    assert len(found.lanes) * found.together >= count


def test_what_failed_is_marked_in_a_shared_lane() -> None:
    nodes = [
        made.node(f"n{n}", n, status="failed" if n in {700, 701} else "succeeded")
        for n in range(1_000)
    ]
    found = drawn(nodes)

    assert found is not None
    marks = [bar for lane in found.lanes for bar in lane.bars if bar.status == "failed"]
    assert [mark.said for mark in marks] == ["n700 #700: failed", "n701 #701: failed"]
    assert [lane.time for lane in found.lanes if "bad" in lane.time] == ["17, 2 bad"]


def test_an_attempt_has_a_bar_of_its_own() -> None:
    node = made.node("n", 0)
    node["attempts"] = [{**node["attempts"][0], "status": "failed"}, node["attempts"][0]]
    found = drawn([node])

    assert found is not None
    assert [bar.status for bar in found.lanes[0].bars] == ["failed", "succeeded"]


def test_a_run_in_which_nothing_began_has_no_timeline() -> None:
    assert drawn([]) is None
    assert drawn([made.node("skipped", attempts=[], started_at=None)]) is None


@pytest.mark.parametrize(
    ("timestamp", "micros"),
    [
        ("1970-01-01T00:00:01.000002Z", 1_000_002),
        ("1970-01-01T01:00:00+01:00", 0),
        # The older layout has local times without a zone.
        ("1970-01-01T00:00:00.5", 500_000),
        ("yesterday", None),
        (None, None),
        (7, None),
    ],
)
def test_an_instant_is_read_from_any_layout(timestamp: object, micros: int | None) -> None:
    assert instant(timestamp) == micros
