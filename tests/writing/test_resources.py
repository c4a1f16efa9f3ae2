"""What nodes used is measured as it was, never guessed, and costs short nodes next to nothing."""

import json
import os
import resource
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability import ExecutionObserver
from observability.environment import readings, resources
from observability.environment.readings import Quirks, Reading, cgroup_peak_file, of_rusage
from observability.environment.resources import Meter, meter
from replay.fold import read_report
from replay.show.line import log_line
from replay.trace.events import ResourceUsage

SAMPLES = Path(__file__).resolve().parents[2] / "sample_runs"
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


class Readings:
    """A meter's clock and what it reads, as a test sets them."""

    def __init__(self, shortest_ns: int = 0) -> None:
        self.now_ns = 10_000_000_000
        self.used = Reading(max_rss_bytes=9)
        self.reads = 0
        self.meter = Meter(
            "process",
            self._read,
            lambda used: used,
            monotonic_ns=self._now,
            shortest_ns=shortest_ns,
        )

    def _read(self) -> Reading:
        self.reads += 1
        return self.used

    def _now(self) -> int:
        return self.now_ns


def ends(out: Path) -> list[dict[str, Any]]:
    """Return the ends of nodes in the traces below *out*, in their order."""
    lines = [
        orjson.loads(line)
        for path in sorted(out.glob("audit/step_*/trace_*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    return [line for line in lines if line["event_type"] in {"node_success", "node_failure"}]


def program(out: Path, text: str, *, resources: str = "True") -> list[dict[str, Any]]:
    """Run *text* with an observer `obs` in a process of its own; return the ends of its nodes."""
    whole = (
        "import os, subprocess, sys, time\nfrom observability import ExecutionObserver\n"
        f"with ExecutionObserver('step_01_x', {str(out)!r}, resources={resources},\n"
        "                       environment=False) as obs:\n"
        + textwrap.indent(textwrap.dedent(text), "    ")
    )
    # By way of a small program: what a large one starts does not know its growth.
    command = ["sh", "-c", '"$0" -c "$1" && true', sys.executable, whole]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return ends(out)


def cpu(end: dict[str, Any]) -> float:
    used = end["resource"]
    return float(used["cpu_user_seconds"] + used["cpu_system_seconds"])


BURN = "began = time.process_time()\nwhile time.process_time() < began + 0.05: pass\n"


# --- What is measured


def test_a_node_says_its_cpu_time_and_how_it_raised_the_peak(tmp_path: Path) -> None:
    idle, busy, large, after = program(
        tmp_path,
        """
        with obs.node("idle"):
            time.sleep(0.01)
        with obs.node("busy"):
            began = time.process_time()
            while time.process_time() < began + 0.2: pass
        with obs.node("large"):
            held = b"x" * 100_000_000
            time.sleep(0.01)
        with obs.node("after"):
            time.sleep(0.01)
        """,
    )

    assert cpu(idle) < 0.15 < cpu(busy)
    assert large["resource"]["max_rss_growth_bytes"] > 90_000_000
    assert large["resource"]["max_rss_bytes"] > 100_000_000
    assert after["resource"]["max_rss_bytes"] >= large["resource"]["max_rss_bytes"]
    assert after["resource"]["max_rss_growth_bytes"] < 10_000_000
    assert {end["resource"]["scope"] for end in (idle, busy, large, after)} == {"process"}


def test_a_failed_node_says_it_as_well(tmp_path: Path) -> None:
    [end] = program(
        tmp_path,
        """
        try:
            with obs.node("bad"):
                time.sleep(0.01)
                raise ValueError
        except ValueError:
            pass
        """,
    )

    assert end["event_type"] == "node_failure"
    assert end["resource"]["max_rss_bytes"] > 0


def test_a_node_of_two_calls_says_it_as_well(tmp_path: Path) -> None:
    [end] = program(
        tmp_path, "obs.node_start('a', 0)\ntime.sleep(0.01)\nobs.node_success('a', 0.01)\n"
    )

    assert end["resource"]["max_rss_bytes"] > 0


@linux
def test_a_program_that_a_large_one_started_does_not_have_its_peak(tmp_path: Path) -> None:
    """Linux keeps the peak of the program before `exec`: every job of a large runner had that."""
    starter = (
        "import subprocess, sys\nheld = b'x' * 300_000_000\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)\n"
    )
    job = (
        "import time\nfrom observability import ExecutionObserver\n"
        f"with ExecutionObserver('step_01_x', {str(tmp_path)!r}, environment=False) as obs:\n"
        "    with obs.node('small'): time.sleep(0.01)\n"
    )

    subprocess.run([sys.executable, "-c", starter, job], check=True, stdout=subprocess.DEVNULL)

    [end] = ends(tmp_path)
    assert 1_000_000 < end["resource"]["max_rss_bytes"] < 200_000_000
    assert "max_rss_growth_bytes" not in end["resource"]


@linux
def test_full_counts_what_calls_moved_in_nodes_of_any_length(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"x" * 3_000_000)

    read, wrote = program(
        tmp_path / "out",
        f"""
        with obs.node("read"):
            open({str(data)!r}, "rb").read()
        with obs.node("wrote"):
            with open({str(data)!r}, "wb") as stream:
                stream.write(b"y" * 2_000_000)
        """,
        resources="'full'",
    )

    assert 3_000_000 <= read["resource"]["read_call_bytes"] < 3_200_000
    assert read["resource"]["write_call_bytes"] < 100_000
    assert 2_000_000 <= wrote["resource"]["write_call_bytes"] < 2_200_000


@linux
def test_tree_counts_children_that_run_and_those_that_were_waited_for(tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    burn = "import time\n" + BURN.replace("0.05", "0.3")

    own, waited, running = program(
        tmp_path,
        f"""
        with obs.node("own"):
            time.sleep(0.01)
        with obs.node("waited"):
            subprocess.run([sys.executable, "-c", {burn!r}])
        with obs.node("running"):
            child = subprocess.Popen(
                [sys.executable, "-c", {burn!r} + "print(flush=True); input()"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            child.stdout.readline()
        child.communicate(b"\\n")
        """,
        resources="'tree'",
    )

    assert cpu(own) < 0.25
    assert cpu(waited) >= 0.25
    assert cpu(running) >= 0.25
    assert running["resource"]["scope"] == "tree"
    assert running["resource"]["tree_rss_bytes"] > own["resource"]["tree_rss_bytes"]


@linux
def test_asking_about_children_never_makes_a_count_go_back() -> None:
    """What is not counted as the node's was once more than the process had used meanwhile."""
    pytest.importorskip("psutil")
    found = meter("tree", monotonic_ns=time.monotonic_ns)
    assert found is not None

    for _ in range(50):
        found.begin("a", None)
        used = found.end("a", None)
        assert used is not None
        assert {"cpu_user_seconds", "cpu_system_seconds"} <= set(used)


def test_nodes_at_the_same_time_share_what_the_process_used(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as obs:
        both = threading.Barrier(2)

        def work(n: int) -> None:
            with obs.node("n", n):
                both.wait()
                began = time.process_time()
                while time.process_time() < began + 0.05:
                    pass
                both.wait()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert all(cpu(end) >= 0.04 for end in ends(tmp_path))


# --- When it is measured


def test_short_nodes_have_none_and_a_longer_one_has() -> None:
    readings = Readings(shortest_ns=1_000_000)

    readings.meter.begin("short", None)
    readings.now_ns += 999_999
    short = readings.meter.end("short", None)
    readings.meter.begin("long", None)
    readings.now_ns += 1_000_000

    assert short is None
    assert readings.meter.end("long", None) == {
        "scope": "process",
        "max_rss_bytes": 9,
        "max_rss_growth_bytes": 0,
    }


def test_nodes_behind_each_other_share_readings() -> None:
    readings = Readings(shortest_ns=1_000_000)

    for n in range(100):
        readings.meter.begin("n", n)
        readings.now_ns += 1_000
        readings.meter.end("n", n)

    assert readings.reads == 1


def test_a_reading_is_not_shared_where_all_nodes_are_measured() -> None:
    readings = Readings()

    readings.meter.begin("a", None)
    readings.used = Reading(max_rss_bytes=12, cpu_user_seconds=1.0)
    readings.meter.begin("b", None)

    assert readings.meter.end("b", None) == {
        "scope": "process",
        "cpu_user_seconds": 0.0,
        "max_rss_bytes": 12,
        "max_rss_growth_bytes": 0,
    }


def test_what_was_not_asked_for_is_not_there(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path, resources=False) as obs, obs.node("a"):
        time.sleep(0.002)

    assert "resource" not in ends(tmp_path)[0]
    assert "resource" not in read_report(tmp_path)["nodes"][0]


def test_a_node_that_never_began_has_none(tmp_path: Path) -> None:
    obs = ExecutionObserver("w", tmp_path, resources="full")
    with pytest.warns(RuntimeWarning, match="never started"):
        obs.node_success("a", 0.5)
    obs.workflow_complete()

    assert "resource" not in ends(tmp_path)[0]


def test_an_end_that_brings_its_own_use_keeps_it(tmp_path: Path) -> None:
    own = {"scope": "children", "max_rss_bytes": 7}
    with ExecutionObserver("w", tmp_path, resources="full") as obs:
        obs.node_start("cmd")
        obs.end_node("node_success", "cmd", None, {"duration_seconds": 1.0, "resource": own})

    assert ends(tmp_path)[0]["resource"] == own


def test_a_node_that_was_skipped_is_forgotten(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path, resources="full") as obs:
        obs.node_start("a")
        obs.node_skipped("a")
        assert obs._attempts._meter is not None
        assert obs._attempts._meter._begun == {}


def test_a_fork_that_ends_its_parents_node_knows_no_counts(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path, resources="full") as obs:
        obs.node_start("a")
        child = os.fork()
        if child == 0:
            obs.node_success("a", 1.0)
            with obs.node("own"):
                pass
            obs.close()
            os._exit(0)
        os.waitpid(child, 0)
        obs.node_success("a", 1.0)

    by_pid = {(end["pid"] == child, end["node_id"]): end["resource"] for end in ends(tmp_path)}
    assert "cpu_user_seconds" not in by_pid[True, "a"]
    assert by_pid[True, "own"]["cpu_user_seconds"] >= 0
    assert by_pid[False, "a"]["cpu_user_seconds"] >= 0


@pytest.mark.parametrize("level", ["cheep", 1, None])
def test_a_level_that_is_none_is_refused_before_anything_is_made(
    tmp_path: Path, level: Any
) -> None:
    with pytest.raises(ValueError, match="want True, False, 'cheap', 'full' or 'tree'"):
        ExecutionObserver("w", tmp_path / "out", resources=level)

    assert not (tmp_path / "out").exists()


def test_tree_without_psutil_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)

    with pytest.raises(ModuleNotFoundError, match=r"needs: pip install 'auditfold\[resources\]'"):
        meter("tree", monotonic_ns=time.monotonic_ns)


# --- Unknown is null, never 0

READINGS = st.builds(
    Reading,
    *[st.none() | st.floats(0, 1e6)] * 2,
    *[st.none() | st.integers(0, 1 << 50)] * 7,
)


@given(before=st.none() | READINGS, after=READINGS)
def test_what_was_unknown_before_or_after_is_unknown(
    before: Reading | None, after: Reading
) -> None:
    found = resources.usage("process", before, after)

    began = before or Reading()
    for name in ("cpu_user_seconds", "cpu_system_seconds", "read_bytes", "write_call_bytes"):
        then, now = getattr(began, name), getattr(after, name)
        known = then is not None and now is not None and now >= then
        assert (name in found) == known
    for name in ("max_rss_bytes", "tree_rss_bytes", "cgroup_peak_bytes"):
        assert found.get(name) == getattr(after, name)
    assert None not in found.values()
    assert set(found) <= set(ResourceUsage.__struct_fields__)


def zeros() -> resource.struct_rusage:
    return resource.struct_rusage([0] * 16)


def test_a_system_that_counts_nothing_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_PROC", tmp_path)

    assert of_rusage(zeros(), quirks=Quirks()) == Reading()


def test_a_process_that_read_nothing_is_known_to_have() -> None:
    assert of_rusage(zeros(), quirks=Quirks(counts_blocks=True)).read_bytes == 0


def test_without_proc_there_are_no_quirks_and_no_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_PROC", tmp_path)

    assert Quirks.here() == Quirks()
    assert readings.calls_of(tmp_path) == {}
    found = meter("full", monotonic_ns=time.monotonic_ns)
    assert found is not None
    found.begin("a", None)
    assert "read_call_bytes" not in (found.end("a", None) or {})


@pytest.mark.parametrize(
    ("said", "files", "found"),
    [
        ("0::/user/a\n", {"user/a/memory.peak": "42\n"}, "user/a/memory.peak"),
        ("0::/docker/x\n", {"memory.peak": "42\n"}, "memory.peak"),
        ("0::/a:b\n", {"a:b/memory.peak": "42\n"}, "a:b/memory.peak"),
        (
            "9:cpu:/c\n4:memory:/m\n0::/\n",
            {"memory/m/memory.max_usage_in_bytes": "7\n", "memory/m/memory.peak": "max\n"},
            "memory/m/memory.max_usage_in_bytes",
        ),
        (
            "4:cpu,memory:/docker/x\n",
            {"memory/memory.max_usage_in_bytes": "7\n"},
            "memory/memory.max_usage_in_bytes",
        ),
        ("0::/old/kernel\n", {"old/kernel/memory.current": "42\n"}, None),
        ("", {}, None),
    ],
)
def test_the_peak_of_the_control_group_is_found_in_both_versions(
    tmp_path: Path, said: str, files: dict[str, str], found: str | None
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cgroup").write_text(said)
    mount = tmp_path / "mount"
    for name, text in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(text)

    peak = cgroup_peak_file(tmp_path / "proc", mount)

    assert peak == (None if found is None else mount / found)


# --- Read and shown

NESTED = {"a": 1, "resource": {"scope": "process", "max_rss_bytes": 1}}


@pytest.mark.parametrize("summary", [None, NESTED, [NESTED], {"deep": NESTED}, "}}"])
@pytest.mark.parametrize("used", [None, {"scope": "process", "max_rss_bytes": 1}])
def test_the_log_leaves_the_use_of_a_node_out_and_nothing_else(
    summary: Any, used: dict[str, Any] | None
) -> None:
    plain = {"duration_seconds": 0.5, "output_summary": summary}
    whole = plain if used is None else {**plain, "resource": used}

    shown = log_line("T", "node_success", "n", None, orjson.dumps(whole).decode())

    assert json.loads(shown.partition(" | ")[2]) == plain


def recorded(out: Path, uses: list[dict[str, Any] | None]) -> None:
    with ExecutionObserver("w", out, resources=False) as obs:
        for n, used in enumerate(uses):
            obs.node_start("node", n)
            payload = {"duration_seconds": float(n % 7), "output_hash": None}
            more = {} if used is None else {"resource": used}
            obs.end_node("node_success", "node", n, {**payload, **more})


def test_the_report_has_the_use_of_each_attempt_and_of_the_node(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path, resources=False) as obs:
        for peak in (5, 6):
            obs.node_start("a")
            used = {"scope": "process", "max_rss_bytes": peak}
            obs.end_node(
                "node_success", "a", None, {"duration_seconds": 1.0, "resource": used}
            )  # fmt: skip

    [node] = read_report(tmp_path)["nodes"]

    assert [attempt["resource"]["max_rss_bytes"] for attempt in node["attempts"]] == [5, 6]
    assert node["resource"] == node["attempts"][1]["resource"]
    assert node["resource"]["read_bytes"] is None


def test_a_trace_without_it_has_the_report_that_it_had() -> None:
    text = (SAMPLES / "survey" / "audit" / "step_01" / "report_01.json").read_text()

    assert read_report(SAMPLES / "survey") == json.loads(text)


def shown(out: Path, *options: str, columns: int | None = None) -> str:
    command = [sys.executable, "-m", "observability", "show", *options, str(out)]
    environ = os.environ | ({} if columns is None else {"COLUMNS": str(columns)})
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environ
    ).stdout  # fmt: skip


@pytest.mark.parametrize(
    ("key", "first"),
    [("cpu", "node #2"), ("memory", "node #3"), ("io", "node #4")],
)
def test_the_nodes_that_used_most_come_first(tmp_path: Path, key: str, first: str) -> None:
    uses: list[dict[str, Any] | None] = [{"scope": "process"} for _ in range(30)]
    uses[2] = {"scope": "process", "cpu_user_seconds": 5.0, "cpu_system_seconds": 1.0}
    uses[3] = {"scope": "process", "max_rss_bytes": 10**9, "max_rss_growth_bytes": 10**8}
    uses[4] = {"scope": "process", "read_bytes": 10**6, "write_bytes": 5}
    uses[5] = {"scope": "process", "max_rss_bytes": 10**10, "max_rss_growth_bytes": 0}
    uses[20] = None
    recorded(tmp_path, uses)

    lines = shown(tmp_path, "--by", key).splitlines()

    assert lines[0].split() == ["NODE", *lines[0].split()[1:]]
    assert lines[1].startswith(first + " ")
    assert len(lines) == 22
    assert lines[-1] == "and 10 more nodes"


def test_a_run_without_nodes_has_an_empty_table(tmp_path: Path) -> None:
    recorded(tmp_path, [])

    assert len(shown(tmp_path, "--by", "memory").splitlines()) == 1


def test_the_table_is_no_report(tmp_path: Path) -> None:
    recorded(tmp_path, [])
    command = [sys.executable, "-m", "observability", "show", "--by", "cpu", "--json"]

    done = subprocess.run([*command, str(tmp_path)], check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert "leave --failed, --slowest, --json out" in done.stderr
