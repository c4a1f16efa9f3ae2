"""The vectors of writers, files and registries that do not fit each other: rows 2, 3, 5 to 8."""

import orjson

from tests.vectors.making import (
    ALICE,
    BOB,
    REGISTRY,
    TRACE,
    WORKFLOW,
    Out,
    Writer,
    body_of,
    chained,
    edited,
    lines_of,
    rewritten,
    small_run,
)
from tests.vectors.valid_vectors import OF_BOB
from tests.vectors.vector import Vector, vector

# --- Row 2: the writers of one file.


@vector("invalid")
def first_not_opened(v: Vector) -> None:
    """The file begins with workflow_start instead of writer_opened."""
    out = Out()
    w = Writer(out)
    w.start()
    w.close(registered=False)
    v.alone(out.trace())
    v.find("bad_session", 1)


@vector("invalid")
def another_writer_inside(v: Vector) -> None:
    """Between the lines of a writer stands one of another, in the chain."""
    out = Out()
    w = Writer(out, ALICE)
    w.opening()
    Writer(out, BOB).message("me too")
    w.rest_of_run()
    v.alone(out.trace())
    v.find("bad_session", 5)


@vector("invalid")
def event_after_closed(v: Vector) -> None:
    """A writer goes on behind its writer_closed."""
    out = Out()
    w = Writer(out)
    w.small_run()
    w.message("one more")
    w.close()
    v.alone(out.trace())
    v.find("bad_session", 9)


@vector("invalid")
def unclosed_not_followed(v: Vector) -> None:
    """A writer continues the file of an unclosed one without naming it."""
    out = Out()
    Writer(out, ALICE).opening()
    w = Writer(out, BOB)
    w.open()
    w.close()
    v.alone(out.trace())
    v.find("bad_session", 5)


@vector("invalid")
def unclosed_other_followed(v: Vector) -> None:
    """A writer continues the file of an unclosed one and names a third one."""
    out = Out()
    Writer(out, ALICE).opening()
    w = Writer(out, BOB)
    w.open(follows={**out.file().extent(ALICE), "writer": "20260101t000000-0000000000"})
    w.close()
    v.alone(out.trace())
    v.find("bad_session", 5)


# --- Row 3: something at hand names other lines.


@vector("invalid")
def tail_cut_closed_writer(v: Vector) -> None:
    """The last two lines are gone; the registry knows that there were 8."""
    out = small_run()
    v.folder(out, trace=b"".join(lines_of(out.trace())[:6]))
    v.find("cut", 7)
    v.find("not_closed", 6)


@vector("invalid")
def registry_names_more(v: Vector) -> None:
    """A whole second run is gone from the end; the registry names it."""
    out = small_run()
    first = out.trace()
    Writer(out, BOB).small_run()
    v.folder(out, trace=first)
    v.find("cut", 9)


@vector("invalid")
def trace_emptied(v: Vector) -> None:
    """The trace has 0 bytes; the registry knows that there were 8 lines."""
    v.folder(small_run(), trace=b"")
    v.find("cut", 1, path=TRACE)
    v.find("empty", path=TRACE)


@vector("invalid")
def chain_rewritten(v: Vector) -> None:
    """Line 4 is edited and every later hash made anew; the registry knows the old ones."""
    out = small_run()
    v.folder(out, trace=rewritten(out.trace(), 4, lambda line: line.replace(b"1,200", b"1,900")))
    v.find("diverged", 8)


@vector("invalid")
def hashes_stripped(v: Vector) -> None:
    """Every line lost its hash; the registry names the file as a trace of version 1."""
    out = small_run()
    v.folder(out, trace=b"".join(body_of(line) + b"}\n" for line in lines_of(out.trace())))
    for line in range(1, 9):
        v.find("bad_frame", line, path=TRACE)


@vector("invalid")
def crlf(v: Vector) -> None:
    """A tool wrote CR LF at every line's end."""
    out = small_run()
    v.folder(out, trace=out.trace().replace(b"\n", b"\r\n"))
    for line in range(1, 9):
        v.find("bad_frame", line, path=TRACE)


@vector("invalid")
def first_line_deleted(v: Vector) -> None:
    """The first line is gone, inside audit/: no excerpt."""
    out = small_run()
    v.folder(out, trace=b"".join(lines_of(out.trace())[1:]))
    v.find("bad_hash", 1)


@vector("invalid")
def registry_missing(v: Vector) -> None:
    """The registry is gone."""
    v.folder(small_run(), registry=None)
    v.find("missing", path=REGISTRY)


@vector("invalid")
def registry_cut(v: Vector) -> None:
    """The registry's second line is gone; a later writer's trace knows that there were 2."""
    out = small_run()
    Writer(out, BOB, file=OF_BOB).small_run()
    v.folder(out, registry=lines_of(out.registry.data)[0])
    v.find("cut", 2, path=REGISTRY)
    v.find("unregistered", 1, path=OF_BOB)


@vector("invalid")
def registry_rewritten(v: Vector) -> None:
    """A registry line is edited and every later hash made anew; a later trace knows the old one."""
    out = small_run()
    Writer(out, BOB).small_run()
    pid = b'"pid":4711', b'"pid":4712'
    changed = rewritten(out.registry.data, 2, lambda line: line.replace(*pid))
    v.folder(out, registry=changed)
    v.find("diverged", 2, path=REGISTRY)


@vector("invalid")
def registry_flip(v: Vector) -> None:
    """One bit of the registry is flipped."""
    out = small_run()
    changed = edited(out.registry.data, 2, lambda line: line.replace(b'"pid":4711', b'"pid":4710'))
    v.folder(out, registry=changed)
    v.find("bad_hash", 2, path=REGISTRY)


@vector("invalid")
def registry_fragment_changed(v: Vector) -> None:
    """A cut-off registry line is not the one that the gap line behind it names."""
    out = small_run()
    out.registry.data += b'{"v":1,"seq":2,"timestamp":"2026-03-14T'
    w = Writer(out, BOB, file=OF_BOB)
    w.open(registered=False)
    w.note_gap()
    w.register("writer_opened")
    w.close()
    changed = edited(out.registry.data, 3, lambda line: line.replace(b"T", b"U"))
    v.folder(out, registry=changed)
    v.find("bad_frame", 3, path=REGISTRY)


@vector("invalid")
def trace_file_missing(v: Vector) -> None:
    """A trace is gone that the registry and the file behind it name."""
    out = Out()
    killed = Writer(out, ALICE)
    killed.opening()
    killed.torn(180)
    w = Writer(out, BOB, file=OF_BOB)
    w.open(follows=out.file().extent(ALICE))
    w.close()
    v.folder(out, trace=None)
    v.find("missing", path=TRACE)


@vector("invalid")
def followed_fragment_changed(v: Vector) -> None:
    """The bytes behind a torn file's last newline are not those that the next file names."""
    out = torn_and_followed()
    data = out.trace()
    v.folder(out, trace=data[:-1] + bytes([data[-1] ^ 1]))
    v.find("diverged", 5, path=TRACE)
    v.find("torn", 5, path=TRACE)
    v.find("not_closed", 4, path=TRACE)


@vector("invalid")
def followed_fragment_removed(v: Vector) -> None:
    """The bytes behind a torn file's last newline are gone."""
    out = torn_and_followed()
    v.folder(out, trace=b"".join(lines_of(out.trace())[:4]))
    v.find("cut", 5, path=TRACE)
    v.find("not_closed", 4, path=TRACE)


def torn_and_followed() -> Out:
    """Return an OUT with a torn file of 4 lines, and one that follows it."""
    out = Out()
    killed = Writer(out, ALICE)
    killed.opening()
    killed.torn(180)
    w = Writer(out, BOB, file=OF_BOB)
    w.open(follows=out.file().extent(ALICE))
    w.close()
    return out


@vector("invalid")
def followed_file_cut(v: Vector) -> None:
    """The file that another follows lost its last line; only the later file names it."""
    out = torn_and_followed()
    v.folder(out, trace=b"".join(lines_of(out.trace())[:3]))
    v.find("cut", 4, path=TRACE)
    v.find("not_closed", 3, path=TRACE)


@vector("invalid")
def settled_file_cut(v: Vector) -> None:
    """A fork's file lost the line that its parent settled."""
    out = Out()
    parent, child = Writer(out, ALICE), Writer(out, BOB, file=OF_BOB, run_of=ALICE)
    parent.opening()
    child.open()
    child.node("prices", 1)
    parent.put("writer_settled", settled=out.file(OF_BOB).extent(BOB))
    parent.rest_of_run()
    v.folder(out)
    v.files[OF_BOB] = lines_of(v.files[OF_BOB])[0]
    v.find("cut", 2, path=OF_BOB)
    v.find("not_closed", 1, path=OF_BOB)


@vector("invalid")
def settled_other_hash(v: Vector) -> None:
    """A fork's last line was rewritten after its parent settled it."""
    out = Out()
    parent, child = Writer(out, ALICE), Writer(out, BOB, file=OF_BOB, run_of=ALICE)
    parent.opening()
    child.open()
    child.node("prices", 1)
    parent.put("writer_settled", settled=out.file(OF_BOB).extent(BOB))
    parent.rest_of_run()
    v.folder(out)
    v.files[OF_BOB] = rewritten(v.files[OF_BOB], 2, lambda line: line.replace(b"prices", b"prizes"))
    v.find("diverged", 2, path=OF_BOB)
    v.find("not_closed", 2, path=OF_BOB)


# --- Row 5: no end, or nobody knows the writer.


@vector("invalid")
def not_closed(v: Vector) -> None:
    """A process was killed between two lines, and nothing came after it."""
    out = Out()
    Writer(out).opening()
    v.folder(out)
    v.find("not_closed", 4)


@vector("invalid")
def torn(v: Vector) -> None:
    """A process was killed inside a line, and nothing came after it."""
    out = Out()
    w = Writer(out)
    w.opening()
    w.torn(180)
    v.folder(out)
    v.find("torn", 5)
    v.find("not_closed", 4)


@vector("invalid")
def killed_while_opening(v: Vector) -> None:
    """A process was killed after its first line and before the registry had its own."""
    out = Out()
    Writer(out).open(registered=False)
    v.folder(out)
    v.find("empty", path=REGISTRY)
    v.find("not_closed", 1, path=TRACE)
    v.find("unregistered", 1, path=TRACE)


@vector("invalid")
def killed_after_opening(v: Vector) -> None:
    """A process was killed behind its first line: that the registry names it proves no end."""
    out = Out()
    Writer(out).open()
    v.folder(out)
    v.find("not_closed", 1, path=TRACE)


@vector("invalid")
def unregistered(v: Vector) -> None:
    """A closed writer of which the registry knows nothing, behind one that it knows."""
    out = small_run()
    w = Writer(out, BOB)
    w.open(registered=False, follows=out.file().extent(ALICE))
    w.close(registered=False)
    v.folder(out)
    v.find("unregistered", 9)


@vector("invalid")
def registry_torn(v: Vector) -> None:
    """The registry ends in a part of a line."""
    out = small_run()
    out.registry.data += b'{"v":1,"seq":2,"timestamp":"2026-03-14T'
    v.folder(out)
    v.find("torn", 3, path=REGISTRY)


# --- Rows 6 and 8: newer and older.


@vector("invalid")
def newer_version(v: Vector) -> None:
    """A second writer, and its registry lines, are of version 2."""
    out = small_run()
    Writer(out, BOB).small_run()
    v.folder(out, trace=newer(out.trace(), 9), registry=newer(out.registry.data, 3))
    v.find("newer_version", 9, path=TRACE)
    v.find("newer_version", 3, path=REGISTRY)


def newer(data: bytes, number: int) -> bytes:
    """Return *data* with the lines from *number* on as version 2, in the chain."""
    bodies = [body_of(line) for line in lines_of(data)]
    return chained(
        body if n < number else body.replace(b'{"v":1', b'{"v":2', 1)
        for n, body in enumerate(bodies, 1)
    )


def older() -> bytes:
    """Return a trace of the older layout: two runs, neither `v` nor `hash`."""
    data = b""
    for run, minute in enumerate((10, 20)):
        envelope = {"event_type": "", "pid": 900 + run, "workflow_id": WORKFLOW}
        begin = 1_773_479_400.5 + 600 * run

        def line(at: float, event_type: str, **rest: object) -> bytes:
            fields = {
                "timestamp": f"2026-03-14T09:{minute:02d}:{0.5 + at:09.6f}",  # noqa: B023
                "epoch_seconds": begin + at,  # noqa: B023
                **envelope,  # noqa: B023
                "event_type": event_type,
                **rest,
            }
            return orjson.dumps(fields) + b"\n"

        data += line(0.0, "workflow_start", message="Workflow execution started", total_nodes=1)
        data += line(0.25, "node_start", node_id="orders", node_index=1)
        data += line(
            1.75,
            "node_success",
            node_id="orders",
            duration_seconds=1.5,
            output_hash=None,
            output_summary=None,
        )
        data += line(
            2.0,
            "workflow_complete",
            nodes_completed=1,
            nodes_failed=0,
            total_time_seconds=2.0,
            cumulative_cost_usd=0.0,
            trace_file=TRACE,
            log_file="audit/step_04/log_04.log",
            node_times={"orders": 1.5},
        )
    return data


@vector("invalid")
def older_layout(v: Vector) -> None:
    """Two runs of the older layout: read, but nothing proves that they are unchanged."""
    v.alone(older(), chained=False)
    v.find("unchained")


@vector("invalid")
def older_layout_folder(v: Vector) -> None:
    """A folder of the older layout: without chained traces no registry is missed."""
    out = Out()
    out.file().data = older()
    v.folder(out, registry=None)
    v.find("unchained")


@vector("invalid")
def older_layout_followed(v: Vector) -> None:
    """A trace of the older layout, and a file of version 1 that follows it."""
    v.folder(behind_older())
    v.find("unchained", path=TRACE)


@vector("invalid")
def older_layout_changed(v: Vector) -> None:
    """A trace of the older layout was changed after a file of version 1 had named its bytes."""
    v.folder(behind_older())
    v.files[TRACE] = v.files[TRACE].replace(b'"nodes_failed":0', b'"nodes_failed":1', 1)
    v.find("diverged", 1, path=TRACE)
    v.find("unchained", path=TRACE)


def behind_older() -> Out:
    """Return an OUT whose main trace is of the older layout and followed."""
    out = Out()
    out.file().data = older()
    w = Writer(out, BOB, file=OF_BOB)
    w.open(follows=out.file().extent(None))
    w.start(total_nodes=0)
    w.complete(completed=0)
    w.close()
    return out


@vector("invalid")
def version_1_behind_older(v: Vector) -> None:
    """Lines of version 1 stand behind an older one in one file: the older one is damage."""
    out = Out()
    w = Writer(out)
    w.open()
    w.close()
    v.alone(lines_of(older())[0] + out.trace())
    v.find("bad_frame", 1)
