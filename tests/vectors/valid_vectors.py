"""The vectors that an audit accepts: exit 0."""

from orjson import loads

from replay.digest import json_digest
from replay.trace.line import MAX_INT, MAX_LINE
from tests.vectors.making import (
    ALICE,
    BOB,
    CAROL,
    TRACE,
    Out,
    Writer,
    lines_of,
    small_run,
    with_long_line,
)
from tests.vectors.vector import Vector, vector

OF_BOB = f"audit/step_04/trace_04.{BOB}.jsonl"


@vector("valid")
def minimal(v: Vector) -> None:
    """One writer, a run without nodes, closed and registered."""
    out = Out()
    w = Writer(out)
    w.open()
    w.start(total_nodes=0)
    w.complete(completed=0)
    w.close()
    v.folder(out)


@vector("valid")
def one_run(v: Vector) -> None:
    """One run of one node; most invalid vectors are mutations of this one."""
    v.folder(small_run())


@vector("valid")
def alone(v: Vector) -> None:
    """The trace of a finished run without its registry: whole, as far as one file can show."""
    v.alone(small_run().trace())


@vector("valid")
def failed_run(v: Vector) -> None:
    """A run whose node fails and that ends by workflow_error: the evidence is complete."""
    out = Out()
    w = Writer(out)
    w.open()
    w.start()
    w.node("orders", 0)
    w.fail("orders", 0, "ValueError: no column 'price'")
    w.put(
        "workflow_error",
        error="ValueError: no column 'price'",
        error_type="ValueError",
        total_time_seconds=0.75,
        nodes_completed=0,
        nodes_failed=1,
        nodes_skipped=0,
    )
    w.close()
    v.folder(out)


@vector("valid")
def environment(v: Vector) -> None:
    """A run says what it met, and its nodes what they used; null is unknown."""
    out = Out()
    w = Writer(out)
    w.open()
    w.start(
        environment={
            "argv": ["python", "tables.py", "--password", "[REDACTED:key]"],
            "cwd": ".",
            "python_version": "3.12.4",
            "python_implementation": "CPython",
            "python_executable": "python3.12",
            "platform": "Linux-6.1.0-x86_64",
            "host": "build7",
            "user": None,
            "git": {"commit": "f" * 40, "branch": None, "dirty": None},
            "distributions": {
                "count": 2,
                "digest": json_digest([["numpy", "2.1.0"], ["odd", None]]),
                "entries": [["numpy", "2.1.0"], ["odd", None]],
            },
            "variables": {"LANG": "C.UTF-8"},
        },
    )
    w.node("orders", 0)
    w.put(
        "node_success",
        node_id="orders",
        node_index=0,
        duration_seconds=0.25,
        resource={
            "scope": "process",
            "cpu_user_seconds": 0.125,
            "cpu_system_seconds": 0.0,
            "max_rss_bytes": 50_000_000,
            "max_rss_growth_bytes": 0,
            "read_bytes": None,
        },
    )
    w.complete(completed=1)
    w.close()
    v.folder(out)


@vector("valid")
def retry(v: Vector) -> None:
    """A node fails once, is retried and succeeds."""
    out = Out()
    w = Writer(out)
    w.open()
    w.start()
    w.node("orders", 0)
    w.put(
        "node_retry",
        node_id="orders",
        node_index=0,
        attempt=1,
        max_attempts=3,
        delay_seconds=0.25,
        error="TimeoutError: no answer within 5 s",
    )
    w.succeed("orders", 0)
    w.complete(orders=0.5)
    w.close()
    v.folder(out)


@vector("valid")
def two_runs_in_one_file(v: Vector) -> None:
    """A second writer continues a closed file and names what it stands behind."""
    out = small_run()
    Writer(out, BOB).small_run()
    v.folder(out)


@vector("valid")
def reviewed(v: Vector) -> None:
    """A person approves a file of a run that has ended; the digest is that of the file's JSON."""
    out = Out()
    w = Writer(out)
    w.open()
    w.start(total_nodes=0)
    w.put("unit_begin", unit="9f3a1c2e5b-1", kind="file", path="in/b.csv", size_bytes=12)
    w.put("review_requested", unit="9f3a1c2e5b-1", reason="two rows only")
    w.put("unit_status", unit="9f3a1c2e5b-1", status="succeeded")
    began, asked, ended = (loads(line)["timestamp"] for line in lines_of(w.file.data)[2:5])
    looked_at = {
        "label": "b.csv",
        "status": "succeeded",
        "percent": 100,
        "started_at": began,
        "finished_at": ended,
        "review": {"flagged": True, "reason": "two rows only", "requested_at": asked},
        "path": "in/b.csv",
        "name": "b.csv",
        "size_bytes": 12,
        "n_steps": 0,
    }
    w.complete(completed=0)
    w.close()
    reviewer = Writer(out, BOB, run_of=ALICE)
    reviewer.open(follows=out.file().extent(ALICE), purpose="review")
    reviewer.put(
        "review_resolved",
        unit="9f3a1c2e5b-1",
        decision="approved",
        reviewer="anna",
        note="two rows are right",
        digest=json_digest(looked_at),
    )
    reviewer.put("message", level="note", text="sent", author="anna")
    reviewer.put("writer_closed", purpose="review")
    reviewer.register("writer_closed")
    v.folder(out)


@vector("valid")
def unclosed_writer_followed(v: Vector) -> None:
    """The first writer was killed between two lines; the second continues its file, naming it."""
    out = Out()
    Writer(out, ALICE).opening()
    Writer(out, BOB).small_run()
    v.folder(out)


@vector("valid")
def torn_file_followed(v: Vector) -> None:
    """The first writer was killed inside a line; the second leaves its file alone and names it."""
    out = Out()
    killed = Writer(out, ALICE)
    killed.opening()
    killed.torn(180)
    w = Writer(out, BOB, file=OF_BOB)
    w.open(follows=out.file().extent(ALICE))
    w.start(total_nodes=0)
    w.complete(completed=0)
    w.close()
    v.folder(out)


@vector("valid")
def torn_first_line_followed(v: Vector) -> None:
    """The first file holds nothing but a part of its first line; the next writer names it."""
    out = Out()
    Writer(out, ALICE).torn(180)
    w = Writer(out, BOB, file=OF_BOB)
    w.open(follows=out.file().extent(None))
    w.close()
    v.folder(out)


@vector("valid")
def two_writers_at_once(v: Vector) -> None:
    """Two processes write to one step at the same time, each to its own file."""
    out = Out()
    first, second = Writer(out, ALICE), Writer(out, BOB, file=OF_BOB)
    first.opening()
    second.opening()
    first.rest_of_run()
    second.rest_of_run()
    v.folder(out)


@vector("valid")
def fork_with_parent(v: Vector) -> None:
    """A fork writes to its own file and says where it left its parent."""
    out = Out()
    parent, child = Writer(out, ALICE), Writer(out, BOB, file=OF_BOB, run_of=ALICE)
    parent.opening()
    extent = out.file().extent(ALICE)
    child.open(parent={key: extent[key] for key in ("writer", "lines", "hash")})
    child.node("prices", 1)
    child.succeed("prices", 1)
    child.close()
    parent.rest_of_run()
    v.folder(out)


@vector("valid")
def settled(v: Vector) -> None:
    """A fork was killed between two lines; its parent proves its end by writer_settled."""
    out = Out()
    parent, child = Writer(out, ALICE), Writer(out, BOB, file=OF_BOB, run_of=ALICE)
    parent.opening()
    child.open()
    child.node("prices", 1)
    parent.put("writer_settled", settled=out.file(OF_BOB).extent(BOB))
    parent.rest_of_run()
    v.folder(out)


@vector("valid")
def settled_torn(v: Vector) -> None:
    """A fork was killed inside a line; its parent names the lines and the fragment."""
    out = Out()
    parent, child = Writer(out, ALICE), Writer(out, BOB, file=OF_BOB, run_of=ALICE)
    parent.opening()
    child.open()
    child.node("prices", 1)
    child.torn(99)
    parent.put("writer_settled", settled=out.file(OF_BOB).extent(BOB))
    parent.rest_of_run()
    v.folder(out)


@vector("valid")
def registry_gap(v: Vector) -> None:
    """The registry had a cut-off line: the next writer put a newline and a gap line behind it."""
    out = Out()
    Writer(out, ALICE).small_run()
    out.registry.data += b'{"v":1,"seq":2,"timestamp":"2026-03-14T'
    w = Writer(out, BOB, file=OF_BOB)
    w.open(registered=False)
    w.note_gap()
    w.register("writer_opened")
    w.close()
    Writer(out, CAROL).small_run()
    v.folder(out)


@vector("valid")
def registry_gap_cut(v: Vector) -> None:
    """A process was killed inside the gap line of the registry: the next gap names that as well."""
    out = Out()
    Writer(out, ALICE).small_run()
    torn = b'{"v":1,"seq":2,"timestamp":"2026-03-14T'
    out.registry.data += torn + b"\n" + torn[:17]
    w = Writer(out, BOB, file=OF_BOB)
    w.open(registered=False)
    w.note_gap(at=len(out.registry.data) - len(torn) - 18)
    w.register("writer_opened")
    w.close()
    Writer(out, CAROL).small_run()
    v.folder(out)


@vector("valid")
def no_run_id(v: Vector) -> None:
    """A writer outside any run: run_id is absent."""
    out = Out()
    w = Writer(out, run=False)
    w.open()
    w.put("message", message="reviewed", level="note", text="reviewed")
    w.close()
    v.folder(out)


@vector("valid")
def text_of_all_kinds(v: Vector) -> None:
    """U+2028, U+0085, escapes, emoji, right-to-left text and NUL in strings split no line."""
    out = Out()
    w = Writer(out)
    w.opening()
    w.message("a\u2028b\u2029c\u0085d\x1c e\x00f\x7f \U0001f4a5 \u05d0\u202e")
    w.message('\\u0041 "\\/ \ud7ff\uffff')
    w.message("escapes: \b\f\n\r\t")
    w.rest_of_run()
    v.folder(out)


@vector("valid")
def numbers_at_the_limits(v: Vector) -> None:
    """The largest integers of either sign, floats at their limits, negative zero."""
    out = Out()
    w = Writer(out)
    w.opening()
    limits = [MAX_INT, -MAX_INT, 0, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 0.1]
    w.put("message", node_index=MAX_INT, level="note", text="limits", limits=limits)
    w.rest_of_run()
    v.folder(out)


@vector("valid")
def nested_64(v: Vector) -> None:
    """Objects and arrays stand 64 deep, the line itself counted; brackets in strings are text."""
    out = Out()
    w = Writer(out)
    w.opening()
    deep = b"[" * 31 + b'{"a":' * 32 + b'"]}[{"' + b"}" * 32 + b"]" * 31
    w.put_raw("message", b'{"level":"note","text":"deep","deep":%s}' % deep)
    w.rest_of_run()
    v.folder(out)


@vector("valid", large=True)
def line_of_1_mib(v: Vector) -> None:
    """A line of 1,048,576 bytes with its newline: the longest there is."""
    v.folder(with_long_line(MAX_LINE))


@vector("valid")
def unknown_event_type(v: Vector) -> None:
    """An event type that this version does not declare is kept."""
    out = Out()
    w = Writer(out)
    w.opening()
    w.put("tea_made", message="Earl Grey", temperature=96.5)
    w.rest_of_run()
    v.folder(out)


@vector("valid")
def unknown_keys(v: Vector) -> None:
    """Keys that this version does not declare are kept, in envelope and payload."""
    out = Out()
    w = Writer(out)
    w.opening()
    w.put("message", level="note", text="12 W", power={"watts": 12.0}, occurred_at=None)
    w.rest_of_run()
    v.folder(out)


@vector("valid")
def other_encoder(v: Vector) -> None:
    """Another encoder: spaces, escaped non-ASCII, exponents; the bytes stored are hashed."""
    out = Out()
    w = Writer(out)
    w.opening()
    text = b'"caf\\u00e9 \\ud83d\\ude00"'
    w.put_raw("message", b'{ "level" : "note",\t"text": %s, "n": 1.50E+1 }' % text)
    w.rest_of_run()
    v.folder(out)


@vector("valid")
def clock_steps_back(v: Vector) -> None:
    """The wall clock steps back by 25 s inside a writer: timestamps need not rise."""
    out = Out()
    w = Writer(out)
    w.opening()
    w.put("message", ticks=-100, level="note", text="after the step")
    w.rest_of_run()
    v.folder(out)


@vector("valid")
def excerpt(v: Vector) -> None:
    """A copy of a file's second run, outside audit/: its first hash and seq are given."""
    out = small_run()
    Writer(out, BOB).small_run()
    v.alone(b"".join(lines_of(out.trace())[8:]))
    v.find("excerpt")


@vector("valid")
def excerpt_of_two_writers(v: Vector) -> None:
    """A copy of a run that has lines of a fork between its own: each change is taken as given."""
    out = small_run()
    parent, child = Writer(out, BOB), Writer(out, CAROL, file=OF_BOB, run_of=BOB)
    parent.opening()
    child.open()
    child.node("prices", 1)
    child.succeed("prices", 1)
    child.close()
    parent.rest_of_run()
    own, other = lines_of(out.trace())[8:], lines_of(out.file(OF_BOB).data)
    v.alone(b"".join([*own[:4], *other, *own[4:]]))
    v.find("excerpt")


@vector("valid")
def copy_of_first_run(v: Vector) -> None:
    """A copy under traces/ of a file's first run, with lines of a fork: `seq` begins at 0."""
    out = Out()
    parent, child = Writer(out, ALICE), Writer(out, BOB, file=OF_BOB, run_of=ALICE)
    parent.opening()
    child.open()
    child.close()
    parent.rest_of_run()
    own, other = lines_of(out.trace()), lines_of(out.file(OF_BOB).data)
    name = "traces/trace_step_04_20260314_092653.jsonl"
    v.alone(b"".join([*own[:4], *other, *own[4:]]), name=name)
    v.find("excerpt")


@vector("valid")
def succession_continued(v: Vector) -> None:
    """A torn file, the file that follows it, and a third writer that continues the latter."""
    out = Out()
    killed = Writer(out, ALICE)
    killed.opening()
    killed.torn(50)
    w = Writer(out, BOB, file=OF_BOB)
    w.open(follows=out.file(TRACE).extent(ALICE))
    w.close()
    Writer(out, CAROL, file=OF_BOB).small_run()
    v.folder(out)
