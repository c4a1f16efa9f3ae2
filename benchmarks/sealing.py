"""What does signing cost: an event with checkpoints beside one without, and an audit of them?"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.audit import bare_chain
from benchmarks.measure import Row, in_turn, ratio
from benchmarks.peers import payload
from observability.journal import Durability, Journal
from observability.signing.keys import SigningKey, write_key
from replay.audit.audit import audit

EVENTS = 200_000
ROUNDS = 5


def run() -> list[Row]:
    """Return microseconds an event, and shares of the bare chain's speed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = folder / "operator.key"
        operator = SigningKey.new("ops.example")
        write_key(key, operator)
        return [*_append(folder, key), *_always(folder, key), *_audit(folder, key, operator)]


def _journal(folder: Path, durability: Durability, key: Path | None) -> Journal:
    return Journal(
        folder / f"{durability}-{'plain' if key is None else 'signed'}",
        "step_04_survey",
        run_id="20261121-070312-k3f9x2",
        durability=durability,
        signing_key=key,
    )


def _fill(journal: Journal, times: int) -> None:
    for n in range(times):
        journal.append("node_success", payload(n), node_id="module.py", node_index=n)


def _append(folder: Path, key: Path) -> list[Row]:
    plain, signed = _journal(folder, "interval", None), _journal(folder, "interval", key)
    cases = {
        "append, interval": lambda n: _fill(plain, n),
        "append, interval, signed": lambda n: _fill(signed, n),
    }
    times = in_turn(cases, n=4_096, rounds=25)
    plain.close()
    signed.close()
    share = ratio(times["append, interval, signed"], times["append, interval"])
    words = "at most 1.3 x of without"
    return [
        Row("append, interval", statistics.median(times["append, interval"]), "us", 1.0),
        Row(
            "append, interval, signed",
            statistics.median(times["append, interval, signed"]),
            "us",
            share,
            words,
            share <= 1.3,
        ),
    ]


def _always(folder: Path, key: Path) -> list[Row]:
    """Return what `always` adds to a line's write and fdatasync."""
    path = folder / "bare"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    line = b"x" * 440 + b"\n"

    def bare(times: int) -> None:
        for _ in range(times):
            os.write(fd, line)
            os.fdatasync(fd)

    journals = {what: _journal(folder, "always", k) for what, k in (("", None), (", signed", key))}
    cases = {
        "write and fdatasync": bare,
        **{
            f"append, always{what}": lambda n, journal=journal: _fill(journal, n)  # type: ignore[misc]
            for what, journal in journals.items()
        },
    }
    times = in_turn(cases, n=256, rounds=15)
    for journal in journals.values():
        journal.close()
    os.close(fd)
    least = times["write and fdatasync"]
    rows = [Row("write and fdatasync", statistics.median(least), "us")]
    for what in journals:
        case = f"append, always{what}"
        more = statistics.median(a - b for a, b in zip(times[case], least, strict=True))
        rows.append(Row(f"{case}, more than that", more, "us", None, "at most 10 us", more <= 10))
    return rows


def _audit(folder: Path, key: Path, operator: SigningKey) -> list[Row]:
    journal = _journal(folder / "audited", "none", key)
    _fill(journal, EVENTS)
    path = journal.trace_path
    journal.close()
    size, vkeys = path.stat().st_size / 1e6, [str(operator.verifier)]
    out = str(path.parents[2])
    seconds: dict[str, list[float]] = {"bare chain": [], "audit --vkey, one core": []}
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        bare_chain(path)
        seconds["bare chain"].append(time.perf_counter() - begin)
        begin = time.perf_counter()
        assert audit(out, vkeys=vkeys, jobs=1).verdict == "complete"
        seconds["audit --vkey, one core"].append(time.perf_counter() - begin)
    share = ratio(seconds["bare chain"], seconds["audit --vkey, one core"])
    words = "at least 0.35 x of the bare chain"
    bare, ours = (size / statistics.median(times) for times in seconds.values())
    return [
        Row("bare chain", bare, "MB/s", 1.0),
        Row("audit --vkey, one core", ours, "MB/s", share, words, share >= 0.35),
    ]
