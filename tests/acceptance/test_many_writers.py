"""Processes, threads and forks that write to one step at once lose and mix nothing."""

import os
import threading
from collections import Counter
from pathlib import Path

from observability import ExecutionObserver
from replay.audit.audit import audit
from replay.findings import Verdict
from replay.trace.line import check

PROCESSES = 8
THREADS = 4
NODES = 60
FORKS = 3


def program(out: Path, process: int) -> None:
    """Run one process: four threads of nodes, and forks in between."""
    observer = ExecutionObserver("step_04_many", out, use_tqdm=True)

    def thread(number: int) -> None:
        for n in range(NODES):
            with observer.node(f"p{process}.t{number}", index=n):
                pass

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(THREADS)]
    for started in threads:
        started.start()
    children = [fork(observer, process, number) for number in range(FORKS)]
    for started in threads:
        started.join()
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    observer.workflow_complete()


def fork(observer: ExecutionObserver, process: int, number: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for n in range(NODES):
            with observer.node(f"p{process}.f{number}", index=n):
                pass
        if number:  # the first one ends without closing, and is settled by its parent
            observer.close()
        status = 0
    finally:
        os._exit(status)


def in_process(out: Path, process: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        program(out, process)
        status = 0
    finally:
        os._exit(status)


def test_nothing_is_lost_or_mixed(tmp_path: Path) -> None:
    children = [in_process(tmp_path, process) for process in range(PROCESSES)]
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    seen: Counter[tuple[str, str, int]] = Counter()
    writers: set[str] = set()
    for path in (tmp_path / "audit" / "step_04").glob("trace_04*.jsonl"):
        lines = [check(line + b"\n") for line in path.read_bytes().split(b"\n")[:-1]]
        assert [line["seq"] for line in lines] == list(range(len(lines)))
        writers.update(line["writer"] for line in lines)
        seen.update(
            (line["event_type"], line["node_id"], line["node_index"])
            for line in lines
            if "node_id" in line
        )
    ids = [f"p{p}.t{t}" for p in range(PROCESSES) for t in range(THREADS)]
    ids += [f"p{p}.f{f}" for p in range(PROCESSES) for f in range(FORKS)]
    assert seen == Counter(
        {
            (kind, node_id, n): 1
            for kind in ("node_start", "node_success")
            for node_id in ids
            for n in range(NODES)
        }
    )
    report = audit(str(tmp_path))
    assert report.verdict is Verdict.COMPLETE, report.findings
    # Fewer files than writers where a process begins after one that has closed its file.
    assert len(writers) == PROCESSES * (1 + FORKS)
