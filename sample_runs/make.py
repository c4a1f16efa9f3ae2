"""Make the recorded runs of this folder anew: python sample_runs/make.py [NAME ...].

Nothing of the machine that records is to stand in them.  Each run is recorded in a fresh folder
below /tmp and then moved here.  The host is called `sample`: the script runs itself again in a UTS
namespace, which needs Linux and either root or user namespaces.  The clock begins at a fixed time,
long enough ago that no reader takes the killed run for one that still runs elsewhere.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from observability import ExecutionObserver
from observability.demo import Source, find_sources, survey

HERE = Path(__file__).resolve().parent
FRESH = Path("/tmp/sample_runs")  # noqa: S108 - made anew, refused if it is there
HOST = "sample"
BEGIN_NS = 1_772_434_992_000_000_000  # 2026-03-02T07:03:12Z
ATTEMPTS = 3
PAUSE_S = 0.2


class Shifted:
    """The clock of this machine, set back to `BEGIN_NS` when the script starts."""

    def __init__(self) -> None:
        self._offset = BEGIN_NS - time.time_ns()

    def time_ns(self) -> int:
        """Return nanoseconds since 1970."""
        return time.time_ns() + self._offset

    def monotonic_ns(self) -> int:
        """Return nanoseconds of a clock that never steps back."""
        return time.monotonic_ns()


CLOCK = Shifted()

# --- What is recorded


def record_survey(out: Path) -> None:
    """Record what `auditfold demo --limit 5` does: one module is skipped, two files fail."""
    survey(out, limit=5, redact=without_paths, clock=CLOCK)


def record_killed(out: Path) -> None:
    """Compress modules in a process that is killed while it writes the fourth file."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--child", str(out)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            if line == "half written\n":
                child.send_signal(signal.SIGKILL)


def compress(out: Path) -> None:
    """Compress six modules; before the end of the fourth, say so and wait to be killed."""
    names = ["abc", "bisect", "chunk", "keyword", "sched", "this"]
    library = Path(sysconfig.get_path("stdlib"))
    total = len(names)
    with ExecutionObserver("step_02_compress", out, total_nodes=total, clock=CLOCK) as obs:
        (out / "packed").mkdir()
        for name in names:
            with obs.node(f"{name}.py") as node:
                packed = out / "packed" / f"{name}.py.gz"
                with packed.open("xb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as target:
                    text = (library / f"{name}.py").read_bytes()
                    target.write(text[: len(text) // 2])
                    if name == "keyword":
                        target.flush()
                        print("half written", flush=True)
                        time.sleep(60)
                    target.write(text[len(text) // 2 :])
                node.output(packed)


def record_workers(out: Path) -> None:
    """Load modules' sizes into a database from three threads, then report from a fork."""
    by_letter: dict[str, list[Source]] = {letter: [] for letter in "bkwyz"}
    for source in find_sources():
        if source.files and source.name[0] in by_letter:
            by_letter[source.name[0]].append(source)

    database = out / "sizes.db"
    locked = threading.Event()
    total = len(by_letter) + 1
    with ExecutionObserver("step_03_load", out, total_nodes=total, clock=CLOCK) as obs:
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE size (module TEXT PRIMARY KEY, lines INTEGER)")

        def load(letter: str) -> None:
            sources = by_letter[letter]
            if not sources:
                obs.node_skipped(f"load {letter}", f"no module begins with {letter}")
                return
            with obs.node(f"load {letter}") as node:
                rows = [(source.name, lines_of(source)) for source in sources]
                for attempt in range(1, ATTEMPTS + 1):
                    try:
                        insert(database, rows)
                        break
                    except sqlite3.OperationalError as error:
                        if attempt == ATTEMPTS:
                            raise
                        locked.set()
                        node.retry(attempt, ATTEMPTS, PAUSE_S, error)
                        time.sleep(PAUSE_S)
                node.result({"rows": len(rows)})

        # Somebody else holds the database until one of the loads has met the lock.
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with ThreadPoolExecutor(max_workers=3) as pool:
            loads = [pool.submit(load, letter) for letter in by_letter]
            locked.wait(timeout=30)
            other.execute("ROLLBACK")
            other.close()
        for done in loads:
            done.result()
        fork = multiprocessing.get_context("fork").Process(target=report, args=(obs, out))
        fork.start()
        fork.join()


def lines_of(source: Source) -> int:
    """Return the number of lines in a module's files."""
    return sum(path.read_bytes().count(b"\n") for path in source.files)


def insert(database: Path, rows: list[tuple[str, int]]) -> None:
    """Insert *rows*, without waiting for a lock."""
    with sqlite3.connect(database, timeout=0) as connection:
        connection.executemany("INSERT INTO size VALUES (?, ?)", rows)


def report(obs: ExecutionObserver, out: Path) -> None:
    """Write the largest modules to a file; runs in a fork, so in a trace file of its own."""
    with obs.node("largest") as node:
        with sqlite3.connect(out / "sizes.db") as connection:
            query = "SELECT module, lines FROM size ORDER BY lines DESC LIMIT 3"
            largest = dict(connection.execute(query).fetchall())
        target = out / "largest.json"
        target.write_text(json.dumps(largest), encoding="utf-8")
        node.output(target)


SAMPLES = {"survey": record_survey, "killed": record_killed, "workers": record_workers}

# --- Making them neutral


def without_paths(key: str, text: str) -> str | None:
    """Shorten the paths of this machine in tracebacks."""
    if key != "traceback":
        return None
    text = text.replace(sysconfig.get_path("stdlib") + "/", "")
    return text.replace(f"{HERE.parent}/", "")


def enter_namespace() -> None:
    """Run this script again where the host's name is `sample`."""
    if socket.gethostname() == HOST:
        return
    again = f'hostname {HOST} && exec "$@"'
    wrap = ["unshare", "--uts", "--map-root-user", "sh", "-c", again, "sh"]
    os.execvp(wrap[0], [*wrap, sys.executable, *sys.argv])


def main() -> None:
    """Make the samples that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SAMPLES))
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        compress(arguments.child)
        return
    enter_namespace()
    FRESH.mkdir()
    try:
        for name in arguments.names or SAMPLES:
            SAMPLES[name](FRESH / name)
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.move(FRESH / name, HERE / name)
    finally:
        shutil.rmtree(FRESH)


if __name__ == "__main__":
    main()
