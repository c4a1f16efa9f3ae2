#!/usr/bin/env python3
"""Check the signatures of traces (docs/trace-format.md, "Checkpoints") without the package.

verify_seals.py [--vkey KEY]... [--expect NOTE]... FILE_OR_OUT... prints `VERDICT FILE[:LINE] WHY`
for each trace, head and anchor, and exits 3 if something is wrong, else 0.  With --vkey one of the
keys has to have certified every writer.  It looks at no chain: that is verify_trace.py.
"""

# ruff: noqa: ANN001, ANN201, ANN204, PLR2004
import argparse
import base64
import gzip
import json
import re
import sys
from functools import reduce
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

EVERY = 256  # events between checkpoints
PLACES = {}  # of each writer and of each first key: there is one
FILES = r"(.*audit/step_[0-9]+/trace_[0-9]+(\.[0-9A-Za-z-]+)?)\.(jsonl|jsonl\.gz|head)"
SIGNATURE = re.compile(r"\u2014 ([^\s+]+) ((?:[\w+/]{4})+(?:[\w+/]{2}==|[\w+/]{3}=)?)")
RUN = ("run_id", "workflow_id", "step_number")


def node(left, right):
    """Return the hash of a node (RFC 6962, section 2.1)."""
    return sha256(b"\1" + left + right).digest()


class Tree:
    """Roots of full subtrees, largest first, as (leaves, hash)."""

    def __init__(self, hashes=()):
        self.full, self.size = [], 0
        for digits in hashes:
            self.add(digits)

    def add(self, digits):
        """Add a leaf, given by the hash of a line."""
        self.full.append((1, bytes.fromhex(digits)))
        self.size += 1
        while len(self.full) > 1 and self.full[-1][0] == self.full[-2][0]:
            (n, left), (_, right) = self.full[-2:]
            self.full[-2:] = [(2 * n, node(left, right))]

    def root(self):
        """Return the root, in base64 as notes have it."""
        peaks = [peak for _, peak in self.full[::-1]]
        return base64.b64encode(reduce(lambda right, left: node(left, right), peaks)).decode()


def key_of(text):
    """Return ((name, id), public key) of NAME+ID+BASE64."""
    name, id_, data = str(text).split("+", 2)
    raw = base64.b64decode(data, validate=True)
    if raw[0] != 1 or sha256(name.encode() + b"\n" + raw).digest()[:4].hex() != id_:
        raise ValueError(f"no key, or not the one of its id: {str(text)[:60]}")
    return (name, id_), Ed25519PublicKey.from_public_bytes(raw[1:])


def note_of(text, keys):
    """Return what a note says, and which of *keys* have signed it; a wrong signature raises."""
    said, found, lines = str(text).rpartition("\n\n")
    signed, parts = set(), lines.removesuffix("\n").split("\n")
    odd = re.search(r"[\0-\x09\x0b-\x1f]", str(text)) or not lines.endswith("\n")
    for line in parts:
        match = SIGNATURE.fullmatch(line)
        raw = base64.b64decode(match[2], validate=True) if match and found else b""
        if len(raw) < 5 or len(parts) > 100 or odd:
            raise ValueError("no signed note")
        whose = match[1], raw[:4].hex()
        if whose in keys and whose not in signed:  # a second one is passed over
            keys[whose].verify(raw[4:], f"{said}\n".encode())
            signed.add(whose)
    return said.split("\n"), signed


class Writer:
    """One writer that signs, line by line."""

    def __init__(self, opened, vkeys):
        self.name, self.tree, self.since, self.next = opened["writer"], Tree(), 0, {}
        self.sealed, self.roots, signing = -1, {}, opened.get("signing") or {}
        self.first, self.vkeys = signing.get("key"), vkeys
        self.ends_signed, self.ends, self.runs = signing.get("end_signed", False), False, []
        self.key = dict([key_of(self.first)])
        said, signed = note_of(signing.get("certificate"), vkeys)
        want = ["auditfold/certificate", self.first]
        declared = isinstance(self.ends_signed, bool) and said in (want, [*want, self.name])
        if not declared or (vkeys and not signed):
            raise ValueError("not certified, this key of this writer, by one of the keys")

    def take(self, event, digits):
        """Take the next line of this writer."""
        kind, n = event["event_type"], self.tree.size
        self.runs = [*self.runs[-2:], [event.get(key) for key in RUN]]
        self.since += kind not in {"key_rotated", "checkpoint"}
        if kind == "key_rotated":
            self.next = dict([key_of(event.get("key"))])
        elif kind == "checkpoint":
            said, signed = note_of(event.get("note"), self.vkeys | self.next | self.key)
            root, by_current = self.tree.root(), self.key.keys() <= signed
            if said != [f"auditfold/{self.name}", str(n), root] or not by_current or not self.next:
                raise ValueError(f"want {n} lines, root {root}, the current key, and a next one")
            self.roots[str(n)] = root
            self.ends = not self.ends_signed or self.next.keys() <= signed
            self.key, self.next, self.since, self.sealed = self.next, {}, 0, n
        elif self.since > EVERY or (
            kind == "writer_closed"
            and not (self.ends and self.sealed == n - 1 and self.runs == self.runs[:1] * 3)
        ):
            raise ValueError("no checkpoint, where one was due, or none that is signed as an end")
        self.tree.add(digits)


def writers_of(path, vkeys):
    """Return the writers of a trace that sign; raise ValueError with the number of a wrong line."""
    writer, found, hashes = None, {}, []
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for n, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            event = json.loads(line)
            if event["event_type"] == "writer_opened" and path.name != "registry.jsonl":
                signs = vkeys or event.get("signing") is not None
                writer = found[event["writer"]] = Writer(event, vkeys) if signs else None
                names = [event["writer"], writer.first] if writer else [event["writer"]]
                if any(PLACES.setdefault(name, (path, n)) != (path, n) for name in names):
                    raise ValueError("its writer or its first key stands elsewhere too")
            if writer is not None:
                writer.take(event, event["hash"])
            hashes.append(event["hash"])
        except (InvalidSignature, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}:{n} {str(error) or repr(error)}") from None
    return found, hashes


def check_trace(path, vkeys):
    """Raise ValueError unless a trace and its head are sealed; return who signs, in words."""
    writers = writers_of(path, vkeys)[0]
    head = path.with_name(path.name.split(".jsonl")[0] + ".head")
    if head.exists():
        origin, size, root = note_of(head.read_bytes().decode(), {})[0]
        if getattr(writers.get(origin.removeprefix("auditfold/")), "roots", {}).get(size) != root:
            raise ValueError(f"{head} names a checkpoint that is not in the trace")
    return f"{sum(writer is not None for writer in writers.values())} of {len(writers)} writers"


def check_anchor(path, out, vkeys):
    """Raise ValueError unless the files below *out* extend an anchor."""
    text = Path(path).read_bytes().decode()
    said = note_of(text, vkeys)[0] if "\n\n" in text.rstrip() else text.rstrip().split("\n")
    _, hashes = writers_of(out / "audit/registry.jsonl", {})
    tree = Tree(hashes[: int(said[1])])
    if said[:3] != [f"auditfold/registry/{hashes[0]}", str(tree.size), tree.root()]:
        raise ValueError(f"{path} is not of this registry, or it was cut")
    for line in said[3:]:
        name, lines, digits = line.split(" ")
        there = out / name if (out / name).exists() else out / f"{name}.gz"
        if not there.exists() or writers_of(there, {})[1][int(lines) - 1 :][:1] != [digits]:
            raise ValueError(f"{there} does not reach as {path} says")


def traces_of(out):
    """Return the traces of a folder, and where those should be that have a head."""
    found = [re.fullmatch(FILES, str(path)) for path in out.glob("audit/step_*/*")]
    plain = {Path(f"{match[1]}.jsonl") for match in found if match}
    found = [path if path.exists() else path.with_suffix(".jsonl.gz") for path in sorted(plain)]
    return found or [out / "audit/step_NN/trace_NN.jsonl"]


def main():
    """Check what the command line names and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vkey", action="append", default=[], type=key_of, metavar="KEY")
    parser.add_argument("--expect", action="append", default=[], metavar="NOTE")
    parser.add_argument("path", nargs="+", type=Path, metavar="FILE_OR_OUT")
    given = parser.parse_args()
    vkeys, wrong = dict(given.vkey), 0
    for place in given.path:
        inside = traces_of(place) if place.is_dir() else [place]
        for path in [*inside, *(given.expect if place.is_dir() else [])]:
            try:
                if path in inside:
                    print(f"sealed {path} {check_trace(path, vkeys)}")
                else:
                    check_anchor(path, place, vkeys)
                    print(f"anchored {place} extends {path}")
            except Exception as error:  # noqa: BLE001 - what anybody wrote may raise anything
                wrong += 1
                print(f"broken {str(error) or f'{path} {error!r}'}")
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
