"""What does a look for secrets cost, and does it grow as the text does?"""

import itertools

from benchmarks.measure import Row, in_turn, ratio
from observability.redaction.redact import Redactor
from tests.writing.test_redact import HOSTILE

PROSE = "The quick brown fox jumps over the lazy dog and runs through the grey wood. " * 4
LOG = (
    "2026-11-21 07:03:12,345 INFO app.worker-3: step_04 read /data/in/part-00017.csv "
    "(rows=1234, sha256:9f86d081884c7d65) in 0.12 s; next: https://example.org/items?page=2 "
)
DSN = "could not connect: postgresql://me:made-up@db.example.org:5432/app?connect_timeout=5 "
SMALL = 250_000
LARGE = 1_000_000
LINEAR = LARGE / SMALL


def run() -> list[Row]:
    """Return microseconds for 100 characters, and how the time of the worst text grows."""
    redactor = Redactor()

    def scrub(text: str, times: int) -> None:
        for _ in range(times):
            redactor.scrub(text)

    texts = {"prose": PROSE, "a line of a log": LOG, "a text with a secret": DSN}
    times = in_turn(
        {what: lambda n, text=text: scrub(text, n) for what, text in texts.items()},  # type: ignore[misc]
        n=2_000,
        rounds=15,
    )
    rows = []
    for what, figures in times.items():
        middle = sorted(figures)[len(figures) // 2] * 100 / len(texts[what])
        goal = "" if what == "a text with a secret" else "at most 2 us"
        met = middle <= 2.0 if goal else None
        rows.append(Row(f"100 characters: {what}", middle, "us", None, goal, met))
    return [*rows, *_growth(redactor)]


def _growth(redactor: Redactor) -> list[Row]:
    slowest, steepest = 0.0, 0.0
    for make in HOSTILE:
        size = len(make(2)) - len(make(1)) or 1
        small, large = make(SMALL // size), make(LARGE // size)
        times = in_turn(
            {
                "small": lambda n, text=small: _repeat(redactor, text, n),  # type: ignore[misc]
                "large": lambda n, text=large: _repeat(redactor, text, n),  # type: ignore[misc]
            },
            n=1,
            rounds=3,
        )
        slowest = max(slowest, min(times["large"]) / 1e6)
        steepest = max(steepest, ratio(times["large"], times["small"]))
    return [
        Row(f"slowest of {len(HOSTILE)} hostile texts of 1 MB", slowest, "s"),
        Row(
            "time of 1 MB to that of 250 kB, the worst",
            steepest,
            "x",
            None,
            f"linear: {LINEAR:g} x, at most twice that",
            steepest <= 2 * LINEAR,
        ),
    ]


def _repeat(redactor: Redactor, text: str, times: int) -> None:
    for _ in itertools.repeat(None, times):
        redactor.scrub(text)
