"""What an enemy does to a folder that a program has left: one function an attack.

Each is pure: files in, other files out.  What an audit has to say is declared with it, and is
the table in docs/auditing.md (`docs/generate_attacks.py`); `test_attacks` checks both.
"""

import dataclasses
import random
import re
from collections.abc import Callable, Collection
from typing import Final, Literal

from replay.trace.line import GENESIS, SUFFIX_LENGTH, seal, stored_hash

REGISTRY: Final = "audit/registry.jsonl"
_HASH: Final = re.compile(rb"[0-9a-f]{64}")
_MONO: Final = re.compile(rb'"mono_us":(\d+)')
_WRITER: Final = re.compile(rb'"writer":"([^"]+)"')

Found = Literal["tampered", "intact-prefix", "complete"]


@dataclasses.dataclass(frozen=True)
class Link:
    """A symbolic link in the place of a file."""

    target: str


@dataclasses.dataclass(frozen=True)
class Aged:
    """A file whose times were changed."""

    data: bytes


Files = dict[str, "bytes | Link | Aged"]
Folder = dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Case:
    """A folder to attack.

    Attributes:
        files: As its writers left it.
        earlier: As it stood after each run before the last.
        other: Another folder, of another program run.
        rng: Where choices come from.
    """

    files: Folder
    earlier: list[Folder]
    other: Folder
    rng: random.Random

    def traces(self) -> list[str]:
        """Return the traces, in the order of their names."""
        return sorted(set(self.files) - {REGISTRY})

    def trace(self, *, at_least: int = 1) -> str:
        """Return a trace that has so many lines."""
        found = [name for name in self.traces() if len(lines_of(self.files[name])) >= at_least]
        return self.rng.choice(found)

    def first(self) -> str:
        """Return the trace of the first writer, which others follow."""
        return next(name for name in self.traces() if name.count(".") == 1)

    def last(self) -> str:
        """Return the trace that the last writer wrote."""
        found: list[bytes] = re.findall(rb'"path":"([^"]+)"', self.files[REGISTRY])
        return found[-1].decode()


@dataclasses.dataclass(frozen=True)
class Attack:
    """An attack, and what an audit of the folder has to say.

    Attributes:
        name: Of the function.
        says: What the enemy does.
        found: The verdict that is right without a key.
        by: Codes of findings, one of which is there; empty where nothing is found.
        kept: Whether the registry's end, kept elsewhere, shows it.
        do: The attack.
        with_vkey: The verdict where every writer signs and must be certified.
        signed: It is an attack on signatures: the folder is signed in any case.
    """

    name: str
    says: str
    found: Found
    by: tuple[str, ...]
    kept: bool
    do: Callable[[Case], Files]
    with_vkey: Found
    signed: bool = False


ATTACKS: Final[list[Attack]] = []
Do = Callable[[Case], Files]


def attack(
    *by: str,
    found: Found = "tampered",
    kept: bool = False,
    with_vkey: Found = "tampered",
    signed: bool = False,
) -> Callable[[Do], Do]:
    """Register an attack whose docstring is what the enemy does."""

    def register(do: Do) -> Do:
        says = " ".join((do.__doc__ or "").split())
        ATTACKS.append(Attack(do.__name__, says, found, by, kept, do, with_vkey, signed))
        return do

    return register


# --- Lines


def lines_of(data: bytes) -> list[bytes]:
    """Return the whole lines of *data*."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def rest_of(data: bytes) -> bytes:
    """Return what stands behind the last newline."""
    return data[data.rfind(b"\n") + 1 :]


def with_lines(case: Case, name: str, lines: list[bytes]) -> Files:
    return {**case.files, name: b"".join(lines) + rest_of(case.files[name])}


def rechained(lines: list[bytes], begin: int = 0) -> list[bytes]:
    """Return *lines* with the hashes from *begin* on made anew."""
    previous = stored_hash(lines[begin - 1]) if begin else GENESIS
    assert previous is not None
    fresh = lines[:begin]
    for line in lines[begin:]:
        sealed, previous = seal(previous, line[:-SUFFIX_LENGTH])
        fresh.append(sealed)
    return fresh


def edited(line: bytes, rng: random.Random) -> bytes:
    """Return *line* with another digit or letter in its payload: as long, still JSON."""
    begin = line.find(b'"text":"') + 8
    if begin < 8:
        begin = line.index(b'"pid":') + 6
    end = begin + 1 if line[begin - 1 : begin] == b":" else line.index(b'"', begin)
    at = rng.randrange(begin, end)
    other = rng.choice([c for c in b"123456789" if c != line[at]])
    return line[:at] + bytes([other]) + line[at + 1 :]


def rewritten(case: Case, name: str, number: int, *, also: Collection[str]) -> Files:
    """Edit line *number* of a trace, and make anew every hash that follows, in *also* as well.

    Lines are taken in the order in which they were written, so that what names a hash comes
    behind what has it.
    """
    mine = {name, *also}
    written = [
        (int(found[1]) if (found := _MONO.search(line)) else 0, file != name, file, n, line)
        for file in mine
        for n, line in enumerate(lines_of(case.files[file]))
    ]
    fresh: dict[bytes, bytes] = {}
    previous = dict.fromkeys(mine, GENESIS)
    lines: dict[str, list[bytes]] = {file: [] for file in mine}
    for _, _, file, n, line in sorted(written):
        body = edited(line, case.rng) if (file, n) == (name, number) else line
        body = _HASH.sub(lambda found: fresh.get(found[0], found[0]), body[:-SUFFIX_LENGTH])
        sealed, previous[file] = seal(previous[file], body)
        fresh[stored_hash(line) or b""] = previous[file]
        lines[file].append(sealed)
    return {
        **case.files,
        **{file: b"".join(lines[file]) + rest_of(case.files[file]) for file in mine},
    }


def some_event(case: Case, name: str) -> int:
    """Return the number of a line of *name* that is an event of the program."""
    lines = lines_of(case.files[name])
    return case.rng.choice([n for n, line in enumerate(lines) if b'"event_type":"tick"' in line])


@attack("bad_hash", "bad_frame")
def change_a_byte(case: Case) -> Files:
    """Change one byte of a line."""
    name = case.trace()
    data = case.files[name]
    at = case.rng.randrange(data.rfind(b"\n"))
    changed = bytes([data[at] ^ case.rng.randrange(1, 256)])
    return {**case.files, name: data[:at] + changed + data[at + 1 :]}


@attack("bad_hash", "diverged")
def change_a_line_and_its_hash(case: Case) -> Files:
    """Change a line, and make its own hash anew."""
    name = case.trace()
    lines = lines_of(case.files[name])
    n = case.rng.randrange(len(lines))
    lines[n] = edited(lines[n], case.rng)
    lines[n] = rechained(lines[: n + 1], n)[n]
    return with_lines(case, name, lines)


@attack("bad_hash", "cut")
def delete_a_line(case: Case) -> Files:
    """Delete a line of a trace."""
    name = case.trace()
    lines = lines_of(case.files[name])
    del lines[case.rng.randrange(len(lines))]
    return with_lines(case, name, lines)


@attack("diverged", "cut")
def delete_a_line_and_number_anew(case: Case) -> Files:
    """Delete a line, and make `seq` and hash of all behind it anew."""
    name = case.trace(at_least=3)
    lines = lines_of(case.files[name])
    n = case.rng.randrange(1, len(lines) - 1)
    del lines[n]
    for i in range(n, len(lines)):
        lines[i] = lines[i].replace(b'"seq":%d,' % (i + 1), b'"seq":%d,' % i, 1)
    return with_lines(case, name, rechained(lines, n))


@attack("bad_hash")
def duplicate_a_line(case: Case) -> Files:
    """Write a line twice."""
    name = case.trace()
    lines = lines_of(case.files[name])
    n = case.rng.randrange(len(lines))
    return with_lines(case, name, [*lines[: n + 1], *lines[n:]])


@attack("bad_hash")
def swap_two_lines(case: Case) -> Files:
    """Swap two lines of a trace."""
    name = case.trace(at_least=2)
    lines = lines_of(case.files[name])
    a, b = case.rng.sample(range(len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return with_lines(case, name, lines)


@attack("bad_hash")
def move_a_line(case: Case) -> Files:
    """Move a line to another place."""
    name = case.trace(at_least=3)
    lines = lines_of(case.files[name])
    n = case.rng.randrange(len(lines))
    line = lines.pop(n)
    lines.insert(case.rng.choice([i for i in range(len(lines) + 1) if i != n]), line)
    return with_lines(case, name, lines)


@attack("bad_hash", "bad_session", "bad_seq")
def insert_a_line(case: Case) -> Files:
    """Put in a line with the hash that its place demands."""
    name = case.trace()
    lines = lines_of(case.files[name])
    n = case.rng.randrange(1, len(lines) + 1)
    lines.insert(n, edited(lines[n - 1], case.rng))
    fresh = rechained(lines[: n + 1], n)
    return with_lines(case, name, [*fresh, *lines[n + 1 :]])


@attack("bad_session")
def append_after_closing(case: Case) -> Files:
    """Append an event with right `seq` and hash behind `writer_closed`."""
    closed = [n for n in case.traces() if case.files[n].endswith(b"\n")]
    closed = [n for n in closed if b'"writer_closed"' in lines_of(case.files[n])[-1]]
    name = case.rng.choice(closed)
    lines = lines_of(case.files[name])
    event = lines[some_event(case, name)]
    event = re.sub(rb'"seq":\d+', b'"seq":%d' % len(lines), event, count=1)
    owner = _WRITER.search(lines[-1])
    assert owner is not None
    event = _WRITER.sub(owner[0], event, count=1)
    return with_lines(case, name, rechained([*lines, event], len(lines)))


@attack("cut")
def cut_at_a_line_end(case: Case) -> Files:
    """Take away whole lines, or a torn tail, at the end of a trace."""
    name = case.trace(at_least=2)
    lines = lines_of(case.files[name])
    return {**case.files, name: b"".join(lines[: case.rng.randrange(1, len(lines))])}


@attack("cut")
def cut_inside_a_line(case: Case) -> Files:
    """Take away the end of a trace, from somewhere inside a line."""
    name = case.trace()
    data = case.files[name]
    cuts = [n for n in range(1, data.rfind(b"\n")) if data[n - 1 : n] != b"\n"]
    return {**case.files, name: data[: case.rng.choice(cuts)]}


# --- What a kill left


def _torn(case: Case) -> str:
    return next(name for name in case.traces() if rest_of(case.files[name]))


@attack("diverged")
def change_a_torn_tail(case: Case) -> Files:
    """Change a byte of what a killed process left of a line."""
    name = _torn(case)
    data = case.files[name]
    at = case.rng.randrange(len(data) - len(rest_of(data)), len(data))
    # No newline: that is the next attack.
    other = case.rng.choice([c for c in range(256) if c not in (data[at], 10)])
    return {**case.files, name: data[:at] + bytes([other]) + data[at + 1 :]}


@attack("bad_frame", "bad_hash", "diverged")
def end_a_torn_tail(case: Case) -> Files:
    """Put a newline behind a torn tail."""
    name = _torn(case)
    return {**case.files, name: case.files[name] + b"\n"}


# --- Files


@attack("missing")
def delete_a_trace(case: Case) -> Files:
    """Delete a trace."""
    name = case.trace()
    return {file: data for file, data in case.files.items() if file != name}


@attack("cut", "diverged")
def empty_a_trace(case: Case) -> Files:
    """Leave an empty file in the place of a trace."""
    return {**case.files, case.trace(): b""}


@attack("missing")
def rename_a_trace(case: Case) -> Files:
    """Give a trace another name."""
    name = case.trace()
    files: Files = dict(case.files)
    fresh = f"audit/step_04/trace_04.20270101t000000-{case.rng.randbytes(5).hex()}.jsonl"
    files[fresh] = files.pop(name)
    return files


@attack("missing")
def move_a_trace_to_another_step(case: Case) -> Files:
    """Move a trace into the folder of another step."""
    name = case.trace()
    files: Files = dict(case.files)
    files[name.replace("step_04/trace_04", "step_05/trace_05")] = files.pop(name)
    return files


@attack("diverged", "cut")
def swap_two_traces(case: Case) -> Files:
    """Swap the contents of two traces."""
    a, b = case.rng.sample(case.traces(), 2)
    return {**case.files, a: case.files[b], b: case.files[a]}


@attack("diverged", "cut")
def copy_over_a_trace(case: Case) -> Files:
    """Copy a trace over another one."""
    a, b = case.rng.sample(case.traces(), 2)
    return {**case.files, a: case.files[b]}


@attack("bad_session")
def copy_a_trace_beside(case: Case) -> Files:
    """Copy a trace to another name: every event of it would count twice."""
    fresh = f"audit/step_04/trace_04.20270101t000000-{case.rng.randbytes(5).hex()}.jsonl"
    return {**case.files, fresh: case.files[case.trace()]}


@attack("not_a_trace")
def put_a_link(case: Case) -> Files:
    """Put a symbolic link to a copy in the place of a trace."""
    name = case.trace()
    return {**case.files, name: Link("copy"), "audit/step_04/copy": case.files[name]}


@attack(found="complete", with_vkey="complete")
def change_the_times(case: Case) -> Files:
    """Change the times of a file. They are no evidence, and nothing is read from them."""
    name = case.rng.choice([REGISTRY, *case.traces()])
    return {**case.files, name: Aged(case.files[name])}


# --- From elsewhere


@attack("bad_hash", "diverged", "cut", "bad_session")
def splice_from_another_folder(case: Case) -> Files:
    """Let a trace go on, from some line on, with the lines of another folder."""
    name = case.trace(at_least=2)
    lines, other = lines_of(case.files[name]), lines_of(case.rng.choice(list(case.other.values())))
    n = case.rng.randrange(1, min(len(lines), len(other)))
    return {**case.files, name: b"".join([*lines[:n], *other[n:]])}


@attack("diverged", "cut")
def splice_with_new_hashes(case: Case) -> Files:
    """Replace an event by one of another folder, and make all hashes of that file anew."""
    name = case.trace()
    lines, n = lines_of(case.files[name]), some_event(case, name)
    theirs = [line for data in case.other.values() for line in lines_of(data)]
    events = [_foreign(lines[n], line) for line in theirs if b'"event_type":"tick"' in line]
    lines[n] = case.rng.choice([line for line in events if not line.startswith(lines[n][:-80])])
    return with_lines(case, name, rechained(lines, n))


def _foreign(line: bytes, event: bytes) -> bytes:
    """Return *line* with the payload of *event*."""
    return line[: line.index(b'"n":')] + event[event.index(b'"n":') :]


@attack("diverged", "cut")
def add_a_trace_of_another_folder(case: Case) -> Files:
    """Put a trace of another folder beside the others."""
    theirs = [name for name in case.other if name != REGISTRY and name not in case.files]
    name = case.rng.choice(theirs)
    return {**case.files, name: case.other[name]}


# --- New hashes


@attack("diverged")
def rewrite_a_trace(case: Case) -> Files:
    """Change an event, and make all hashes of that file anew."""
    name = case.trace()
    return rewritten(case, name, some_event(case, name), also=[])


@attack("diverged", "cut")
def rewrite_a_trace_and_the_registry(case: Case) -> Files:
    """The same with the registry's hashes; later writers in other files name it as it was."""
    name = case.first()
    return rewritten(case, name, some_event(case, name), also=[REGISTRY])


@attack(found="complete", kept=True)
def rewrite_the_last_trace_and_the_registry(case: Case) -> Files:
    """Change an event of the last run, whose lines only its own file and the registry name."""
    name = case.last()
    lines = lines_of(case.files[name])
    owner = _WRITER.search(lines[-1])
    assert owner is not None
    ticks = [
        n for n, line in enumerate(lines) if b'"event_type":"tick"' in line and owner[0] in line
    ]
    return rewritten(case, name, case.rng.choice(ticks), also=[REGISTRY])


@attack(found="complete", kept=True)
def rewrite_everything(case: Case) -> Files:
    """Change an event, and make every hash in the folder anew."""
    name = case.trace()
    return rewritten(case, name, some_event(case, name), also=case.files)


# --- The registry


@attack("missing")
def delete_the_registry(case: Case) -> Files:
    """Delete the registry."""
    return {name: data for name, data in case.files.items() if name != REGISTRY}


@attack("cut")
def empty_the_registry(case: Case) -> Files:
    """Leave an empty registry."""
    return {**case.files, REGISTRY: b""}


@attack("bad_hash", "cut")
def delete_a_line_of_the_registry(case: Case) -> Files:
    """Delete a line of the registry that others stand behind."""
    lines = lines_of(case.files[REGISTRY])
    del lines[case.rng.randrange(len(lines) - 1)]
    return {**case.files, REGISTRY: b"".join(lines)}


@attack("bad_hash")
def swap_two_lines_of_the_registry(case: Case) -> Files:
    """Swap two lines of the registry."""
    lines = lines_of(case.files[REGISTRY])
    a, b = case.rng.sample(range(len(lines)), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return {**case.files, REGISTRY: b"".join(lines)}


@attack("diverged")
def rewrite_the_registry(case: Case) -> Files:
    """Change a line of the registry that a trace names, and make its hashes anew."""
    lines = lines_of(case.files[REGISTRY])
    # The last writer names the registry as it stood when it opened.
    n = case.rng.randrange(len(lines) - 2)
    lines[n] = edited(lines[n], case.rng)
    return {**case.files, REGISTRY: b"".join(rechained(lines, n))}


# --- Back to earlier states


@attack("cut", "missing")
def roll_back_the_traces(case: Case) -> Files:
    """Put all traces back to what they were after an earlier run."""
    return {**case.rng.choice(case.earlier), REGISTRY: case.files[REGISTRY]}


@attack("cut")
def roll_back_the_registry(case: Case) -> Files:
    """Put the registry back to what it was some writers before."""
    lines = lines_of(case.files[REGISTRY])
    # The two last lines are those of the last writer, who named all lines before them.
    n = case.rng.randrange(1, len(lines) - 2)
    return {**case.files, REGISTRY: b"".join(lines[:n])}


@attack(found="complete", kept=True, with_vkey="complete")
def cut_off_the_last_line_of_the_registry(case: Case) -> Files:
    """Take away the last line of the registry, which is as a kill would leave it."""
    return {**case.files, REGISTRY: b"".join(lines_of(case.files[REGISTRY])[:-1])}


@attack(found="complete", kept=True, with_vkey="complete")
def roll_back_everything(case: Case) -> Files:
    """Put the whole folder back to what it was after an earlier run."""
    return dict(case.rng.choice(case.earlier))


@attack("unregistered", found="intact-prefix")
def append_a_forged_writer(case: Case) -> Files:
    """Append a writer of one's own to a trace, with right hashes and names."""
    return {**case.files, case.last(): _forged(case)[0]}


@attack(found="complete")
def append_a_forged_writer_to_the_registry_too(case: Case) -> Files:
    """The same with its lines in the registry: whoever may write may write more."""
    trace, opened, closed = _forged(case)
    lines = lines_of(case.files[REGISTRY])
    owner = _WRITER.search(lines_of(trace)[-1])
    assert owner is not None
    more: list[bytes] = []
    for line, event in zip(lines[-2:], (opened, closed), strict=True):
        fresh = _WRITER.sub(owner[0], line)
        fresh = re.sub(rb'"seq":\d+', b'"seq":%d' % (len(lines) + len(more)), fresh, count=1)
        fresh = re.sub(rb'"lines":\d+,"hash":"[0-9a-f]{64}"', event, fresh, count=1)
        more.append(re.sub(rb'"follows":\{[^}]*\}', b'"follows":null', fresh))
    return {
        **case.files,
        case.last(): trace,
        REGISTRY: b"".join(rechained([*lines, *more], len(lines))),
    }


def _forged(case: Case) -> tuple[bytes, bytes, bytes]:
    """Return the last trace with a forged writer, and how its two ends are named."""
    lines = lines_of(case.files[case.last()])
    owner = _WRITER.search(lines[-1])
    end = stored_hash(lines[-1])
    assert owner is not None
    assert end is not None
    begin = max(n for n, line in enumerate(lines) if b'"event_type":"writer_opened"' in line)
    copy = [
        re.sub(rb'"seq":\d+', b'"seq":%d' % (len(lines) + n), line, count=1)
        for n, line in enumerate(lines[begin:])
    ]
    named = b'"follows":{"path":"%s","writer":"%s","lines":%d,"hash":"%s","fragment":null}' % (
        case.last().encode(),
        owner[1],
        len(lines),
        end,
    )
    copy[0] = re.sub(rb'"follows":\{[^}]*\}', named, copy[0])
    forged = b'"writer":"20270101t000000-%s"' % case.rng.randbytes(5).hex().encode()
    n = len(copy)
    copy = [_WRITER.sub(forged, line, count=1) for line in copy]
    fresh = rechained([*lines, *copy], len(lines))
    opened, closed = (
        b'"lines":%d,"hash":"%s"' % (at + 1, stored_hash(fresh[at]) or b"")
        for at in (len(lines), len(lines) + n - 1)
    )
    return b"".join(fresh), opened, closed
