"""The vectors of damaged lines: design rows 1, 5 and 6, one file each.

All are mutations of `one_run`: 8 lines, of which 4 and 5 are messages.
"""

from collections.abc import Callable

from replay.trace.line import GENESIS, MAX_LINE, seal
from tests.vectors.making import (
    BOB,
    Out,
    Writer,
    body_of,
    chained,
    edited,
    lines_of,
    rewritten,
    small_run,
    with_long_line,
)
from tests.vectors.vector import Vector, vector


def replacing(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return an edit: the first *old* becomes *new*."""
    return lambda line: line.replace(old, new, 1)


def run() -> bytes:
    """Return the trace that is mutated."""
    return small_run().trace()


# --- Line 4 was changed after it was written.


def damaged(v: Vector, edit: Callable[[bytes], bytes], code: str, *, line: int = 4) -> None:
    """Take the run with *line* edited, and expect one finding there."""
    v.alone(edited(run(), line, edit))
    v.find(code, line)


@vector("invalid")
def flip_in_body(v: Vector) -> None:
    """One bit of a message is flipped: rows becomes sows."""
    damaged(v, replacing(b"rows", b"sows"), "bad_hash")


@vector("invalid")
def flip_in_key(v: Vector) -> None:
    """One bit of a quotation mark is flipped: the line is no JSON any more."""
    damaged(v, replacing(b'"level"', b'"level#'), "bad_hash")


@vector("invalid")
def flip_in_hash(v: Vector) -> None:
    """One bit of a hash is flipped, digit to digit; the next line proves the old one."""

    def flip(line: bytes) -> bytes:
        at = max(line.rfind(digit) for digit in b"0123456789")
        return line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]

    damaged(v, flip, "bad_hash")


@vector("invalid")
def hash_in_upper_case(v: Vector) -> None:
    """The hash stands there in upper case: the same number, other bytes."""
    damaged(v, lambda line: line[:-67] + line[-67:-3].upper() + line[-3:], "bad_frame")


@vector("invalid")
def flip_in_suffix(v: Vector) -> None:
    """One bit of the key hash is flipped: the line is not framed."""
    damaged(v, replacing(b',"hash":', b',"hasi":'), "bad_frame")


@vector("invalid")
def flip_in_newline(v: Vector) -> None:
    """One bit of a newline is flipped: two lines become one."""
    damaged(v, lambda line: line[:-1] + b"\x0b", "bad_hash")


@vector("invalid")
def flip_to_newline(v: Vector) -> None:
    """One bit of a `*` is flipped, a newline: of the two lines the first is told."""
    out = Out()
    w = Writer(out)
    w.opening()
    w.message("400 * 3 rows read")
    w.rest_of_run()
    v.alone(edited(out.trace(), 5, replacing(b"*", b"\n")))
    v.find("bad_frame", 5)


@vector("invalid")
def flip_in_first_line(v: Vector) -> None:
    """One bit of writer_opened is flipped."""
    damaged(v, replacing(b"interval", b"interwal"), "bad_hash", line=1)


@vector("invalid")
def flip_in_last_line(v: Vector) -> None:
    """One bit of the last line is flipped: no later line is needed to notice it."""
    damaged(v, replacing(b'"seq":7', b'"seq":6'), "bad_hash", line=8)


@vector("invalid")
def version_digit_flipped(v: Vector) -> None:
    """One bit of v is flipped, 1 becomes 3: damage, as no newer version has this hash."""
    damaged(v, replacing(b'"v":1', b'"v":3'), "bad_hash")


@vector("invalid")
def whitespace_inserted(v: Vector) -> None:
    """A space stands behind a comma: the same JSON, other bytes."""
    damaged(v, replacing(b',"level"', b', "level"'), "bad_hash")


@vector("invalid")
def number_respelled(v: Vector) -> None:
    """A number is spelled otherwise: the same JSON, other bytes."""
    damaged(v, replacing(b'"node_index":0', b'"node_index":-0'), "bad_hash")


@vector("invalid")
def keys_reordered(v: Vector) -> None:
    """Two keys change places: the same JSON, other bytes."""
    old, new = b'"node_id":"orders","node_index":0', b'"node_index":0,"node_id":"orders"'
    damaged(v, replacing(old, new), "bad_hash")


@vector("invalid")
def byte_order_mark(v: Vector) -> None:
    """An editor put a byte order mark before the first line."""
    damaged(v, lambda line: b"\xef\xbb\xbf" + line, "bad_hash", line=1)


@vector("invalid")
def hash_removed(v: Vector) -> None:
    """A line lost its hash: it is not framed, and the next one has nothing to follow."""
    v.alone(edited(run(), 4, lambda line: body_of(line) + b"}\n"))
    v.find("bad_frame", 4)
    v.find("bad_hash", 5)


# --- Lines were removed, added or moved.


def moved(v: Vector, order: list[int], *bad: int) -> None:
    """Take the run's lines in *order* (from 1), and expect bad hashes at the lines *bad*."""
    lines = lines_of(run())
    v.alone(b"".join(lines[number - 1] for number in order))
    for line in bad:
        v.find("bad_hash", line)


@vector("invalid")
def line_deleted(v: Vector) -> None:
    """Line 4 is deleted: the line that stands there now does not follow line 3."""
    moved(v, [1, 2, 3, 5, 6, 7, 8], 4)


@vector("invalid")
def line_duplicated(v: Vector) -> None:
    """Line 4 stands there twice."""
    moved(v, [1, 2, 3, 4, 4, 5, 6, 7, 8], 5)


@vector("invalid")
def lines_swapped(v: Vector) -> None:
    """Lines 4 and 5 change places."""
    moved(v, [1, 2, 3, 5, 4, 6, 7, 8], 4, 5, 6)


@vector("invalid")
def line_inserted(v: Vector) -> None:
    """A line of another trace stands between lines 3 and 4; both its neighbours notice."""
    lines = lines_of(run())
    strange = chained([body_of(lines[3])])
    v.alone(b"".join([*lines[:3], strange, *lines[3:]]))
    v.find("bad_hash", 4)
    v.find("bad_hash", 5)


@vector("invalid")
def empty_line_inserted(v: Vector) -> None:
    """An empty line stands between lines 3 and 4; line 5 follows line 3."""
    lines = lines_of(run())
    v.alone(b"".join([*lines[:3], b"\n", *lines[3:]]))
    v.find("bad_frame", 4)


@vector("invalid")
def suffix_alone(v: Vector) -> None:
    """A line with an empty body, its hash right, stands between lines 3 and 4."""
    lines = lines_of(run())
    alone, _ = seal(lines[2][-67:-3], b"")
    v.alone(b"".join([*lines[:3], alone, *lines[3:]]))
    v.find("bad_frame", 4)


@vector("invalid")
def crlf_once(v: Vector) -> None:
    """An editor wrote CR LF at the end of line 4; line 5 is tried and does not follow it."""
    v.alone(edited(run(), 4, lambda line: line[:-1] + b"\r\n"))
    v.find("bad_frame", 4)
    v.find("bad_hash", 5)


# --- The hashes are right, the content is not: a faulty writer, or one who chains lies.


def malformed(v: Vector, edit: Callable[[bytes], bytes], *, code: str = "malformed") -> None:
    """Take the run with line 4 edited and all hashes made anew, and expect *code* there."""
    v.alone(rewritten(run(), 4, edit))
    v.find(code, 4)


@vector("invalid")
def invalid_utf8(v: Vector) -> None:
    """A byte that no UTF-8 text has stands in a string."""
    malformed(v, replacing(b"rows", b"row\xff"))


@vector("invalid")
def overlong_utf8(v: Vector) -> None:
    """A slash is encoded in two bytes."""
    malformed(v, replacing(b"rows", b"row\xc0\xaf"))


@vector("invalid")
def surrogate_in_utf8(v: Vector) -> None:
    """A surrogate is encoded in three bytes (CESU-8)."""
    malformed(v, replacing(b"rows", b"row\xed\xa0\x80"))


@vector("invalid")
def lone_surrogate(v: Vector) -> None:
    """Half of a surrogate pair stands there as an escape."""
    malformed(v, replacing(b"rows", b"row\\ud83d"))


@vector("invalid")
def lone_surrogate_in_key(v: Vector) -> None:
    """Half of a surrogate pair stands in a key."""
    malformed(v, replacing(b'"level":', b'"\\udc00":0,"level":'))


@vector("invalid")
def control_character(v: Vector) -> None:
    """A tab stands unescaped in a string."""
    malformed(v, replacing(b"rows", b"ro\tws"))


@vector("invalid")
def duplicate_key(v: Vector) -> None:
    """A key stands twice: readers differ in which one they believe."""
    malformed(v, replacing(b'"level":', b'"text":"1,900 rows read","level":'))


@vector("invalid")
def duplicate_key_in_payload(v: Vector) -> None:
    """A key stands twice in an object inside the payload, once of them escaped."""
    malformed(v, replacing(b'"level":', b'"x":{"a":1,"\\u0061":2},"level":'))


@vector("invalid")
def nan(v: Vector) -> None:
    """NaN stands where a number may be."""
    malformed(v, replacing(b'"level":', b'"x":NaN,"level":'))


@vector("invalid")
def infinity(v: Vector) -> None:
    """A number is too large for a float."""
    malformed(v, replacing(b'"level":', b'"x":1e999,"level":'))


@vector("invalid")
def integer_too_large(v: Vector) -> None:
    """An integer is 2^53: not every reader has it exactly."""
    malformed(v, replacing(b'"level":', b'"x":9007199254740992,"level":'))


@vector("invalid")
def integer_too_small(v: Vector) -> None:
    """An integer is -2^53."""
    malformed(v, replacing(b'"level":', b'"x":-9007199254740992,"level":'))


@vector("invalid")
def integer_of_5000_digits(v: Vector) -> None:
    """An integer has 5,000 digits."""
    malformed(v, replacing(b'"level":', b'"x":%s,"level":' % (b"7" * 5000)))


@vector("invalid")
def leading_zero(v: Vector) -> None:
    """A number begins with 0."""
    malformed(v, replacing(b'"node_index":0', b'"node_index":00'))


@vector("invalid")
def nested_65(v: Vector) -> None:
    """Arrays stand 65 deep, the line itself counted."""
    malformed(v, replacing(b'"level":', b'"x":%s,"level":' % (b"[" * 64 + b"]" * 64)))


@vector("invalid", large=True)
def nested_10000(v: Vector) -> None:
    """Arrays stand 10,001 deep."""
    malformed(v, replacing(b'"level":', b'"x":%s,"level":' % (b"[" * 10_000 + b"]" * 10_000)))


@vector("invalid")
def two_objects(v: Vector) -> None:
    """Two objects stand in one line."""
    malformed(v, replacing(b',"level":', b'}{"level":'))


@vector("invalid")
def trailing_comma(v: Vector) -> None:
    """A comma stands behind the last key."""
    malformed(v, replacing(b'"level":"note"', b'"level":"note",'))


@vector("invalid")
def envelope_field_missing(v: Vector) -> None:
    """A line has no pid."""
    malformed(v, replacing(b'"pid":4711,', b""))


@vector("invalid")
def envelope_wrong_type(v: Vector) -> None:
    """The pid is text."""
    malformed(v, replacing(b'"pid":4711', b'"pid":"4711"'))


@vector("invalid")
def envelope_boolean(v: Vector) -> None:
    """The node index is a boolean, which some readers take for 1."""
    malformed(v, replacing(b'"node_index":0', b'"node_index":true'))


@vector("invalid")
def version_zero(v: Vector) -> None:
    """The version is 0."""
    malformed(v, replacing(b'"v":1', b'"v":0'))


@vector("invalid")
def version_missing(v: Vector) -> None:
    """A line has no v."""
    malformed(v, replacing(b'"v":1,', b""))


@vector("invalid")
def timestamp_local(v: Vector) -> None:
    """A timestamp has no Z."""
    malformed(v, replacing(b'Z","epoch', b'","epoch'))


@vector("invalid")
def timestamp_without_micros(v: Vector) -> None:
    """A timestamp has milliseconds."""
    malformed(v, replacing(b'793Z","epoch', b'Z","epoch'))


@vector("invalid", large=True)
def line_over_1_mib(v: Vector) -> None:
    """A line of 1,048,577 bytes with its newline, one more than there may be."""
    v.alone(with_long_line(MAX_LINE + 1).trace())
    v.find("malformed", 5)


def renumbered(v: Vector, *seqs: int) -> None:
    """Take the run with other `seq`, and all hashes made anew."""
    bodies = [body_of(line) for line in lines_of(run())]
    v.alone(
        chained(
            body.replace(b'"seq":%d' % n, b'"seq":%d' % seq, 1)
            for n, (body, seq) in enumerate(zip(bodies, seqs, strict=True))
        )
    )


@vector("invalid")
def seq_repeated(v: Vector) -> None:
    """A writer gave the seq 3 twice; all hashes are right."""
    renumbered(v, 0, 1, 2, 3, 3, 4, 5, 6)
    v.find("bad_seq", 5)


@vector("invalid")
def seq_skipped(v: Vector) -> None:
    """A writer left out the seq 4; all hashes are right."""
    renumbered(v, 0, 1, 2, 3, 5, 6, 7, 8)
    v.find("bad_seq", 5)


# --- Ends, and files that are something else.


@vector("invalid")
def tail_cut_alone(v: Vector) -> None:
    """The last two lines are gone; nothing at hand says how many there were."""
    v.alone(b"".join(lines_of(run())[:6]))
    v.find("not_closed", 6)


@vector("invalid")
def missing_final_newline(v: Vector) -> None:
    """The last newline is gone: writer_closed is no line without it."""
    v.alone(run()[:-1])
    v.find("torn", 8)
    v.find("not_closed", 7)


@vector("invalid")
def torn_tail(v: Vector) -> None:
    """A process was killed inside a write: bytes stand behind the last newline."""
    out = Out()
    w = Writer(out)
    w.opening()
    w.torn(180)
    v.alone(out.trace())
    v.find("torn", 5)
    v.find("not_closed", 4)


@vector("invalid")
def torn_first_line(v: Vector) -> None:
    """A process was killed inside its first write: the file is the beginning of a line."""
    v.alone(run()[:180])
    v.find("torn", 1)


@vector("invalid")
def garbage_behind(v: Vector) -> None:
    """Bytes that no writer wrote stand behind the last newline of a closed writer."""
    v.alone(run() + b"\x00" * 512)
    v.find("torn", 9)


@vector("invalid")
def empty(v: Vector) -> None:
    """A file of 0 bytes."""
    v.alone(b"", chained=False)
    v.find("empty")


@vector("invalid")
def binary_garbage(v: Vector) -> None:
    """Bytes of all values, newlines among them."""
    v.alone(bytes((i * i + 7 * i) % 256 for i in range(3000)), chained=False)
    v.find("not_a_trace")


@vector("invalid")
def plain_text(v: Vector) -> None:
    """A text file."""
    v.alone(b"[2026-03-14 09:26:53] WORKFLOW_START\n" * 3, chained=False)
    v.find("not_a_trace")


@vector("invalid")
def plain_json_lines(v: Vector) -> None:
    """JSON lines of something else: neither hash nor event_type."""
    v.alone(b'{"level":"info","msg":"started"}\n' * 3, chained=False)
    v.find("not_a_trace")


@vector("invalid")
def newer_version_wrong_hash(v: Vector) -> None:
    """A line says version 2 and its hash is wrong: damage, not a newer version."""
    damaged(v, replacing(b'"v":1', b'"v":2'), "bad_hash")


@vector("invalid")
def newer_version_inside(v: Vector) -> None:
    """A line of version 2, with fields that version 1 does not know, stands in the chain."""
    bodies = [body_of(line) for line in lines_of(run())]
    bodies[4:] = [b'{"v":2,"seq":4,"at":1773480415839793,"what":["note"]', *bodies[5:]]
    v.alone(chained(bodies, previous=GENESIS))
    v.find("newer_version", 5)


@vector("invalid")
def excerpt_flipped(v: Vector) -> None:
    """One bit of an excerpt is flipped."""
    out = small_run()
    Writer(out, BOB).small_run()
    tail = b"".join(lines_of(out.trace())[10:])
    v.alone(edited(tail, 3, replacing(b"price", b"pryce")))
    v.find("excerpt")
    v.find("bad_hash", 3)
