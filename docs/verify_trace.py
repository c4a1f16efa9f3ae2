#!/usr/bin/env python3
"""Check traces of version 1 (docs/trace-format.md) without the package that wrote them.

verify_trace.py FILE... prints `VERDICT FILE[:LINE] WHY` for each trace, registry, or file of OUT.
Exit: 4 a newer version, 3 an error, 0.  Not at hand is what is not given, nor named by a registry.
"""

# ruff: noqa: ANN001, ANN201, ANN204, PLR2004
import json
import re
import sys
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

ROWS = """bad_frame bad_hash bad_seq malformed, bad_session, cut diverged missing, not_a_trace,
    empty torn not_closed unregistered, newer_version, alone excerpt, unchained, whole"""
ROW = {code: row for row, codes in enumerate(ROWS.split(",")) for code in codes.split()}
VERDICTS = ["tampered"] * 4 + ["intact-prefix"] * 3 + ["unchained", "complete"]
FIELDS = {"epoch_seconds": {int, float}, "node_index": {int, type(None)}}
FIELDS |= {k: {int} for k in ("v", "seq", "mono_us", "pid")}
FIELDS |= {k: {str} for k in ("timestamp", "event_type", "writer", "workflow_id", "step_number")}
FIELDS |= {k: {str, type(None)} for k in ("run_id", "node_id", "message")}
STAMP = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)\.\d{6}Z"
REGISTRY, NAMES = "audit/registry.jsonl", {"follows", "settled", "trace", "registry"}


def parse(line):
    """Return the object in *line*, and the rules of "Limits" and "Envelope" that it breaks."""
    bare, bad = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", line), []
    if len(line) >= 2**20 or max(accumulate((c in b"[{") - (c in b"]}") for c in b" " + bare)) > 64:
        return {}, ["too long or too deep"]
    hooks = {
        "object_pairs_hook": lambda p: dict(p) if len(dict(p)) == len(p) else bad.append("key"),
        "parse_int": lambda n: int(n) if abs(int(n[:20])) < 2**53 else bad.append("integer"),
        "parse_float": lambda n: float(n) if abs(float(n)) < float("inf") else bad.append("number"),
        "parse_constant": bad.append,
    }
    try:
        found = json.loads(line.decode(), **hooks)
        json.dumps(found, ensure_ascii=False).encode()  # refuses a lone surrogate
        bad += [name for name, kinds in FIELDS.items() if type(found.get(name)) not in kinds]
    except (ValueError, AttributeError) as error:
        return {}, bad or [str(error)]
    bad += ["timestamp"] * (not re.fullmatch(STAMP, str(found.get("timestamp")), re.ASCII))
    return found, bad


class File:
    """A file: findings as (code, line), hashes by line, writers, and what its lines name."""

    def __init__(self, place):
        self.findings, self.hashes, self.names, self.writers = [], [], [], {}
        inside = re.fullmatch(r"(/.*/)audit/(registry.jsonl|step_\d+/[^/]+)", place)
        self.out, self.registry = inside and inside[1], place.endswith("/registry.jsonl")
        self.chained = self.older = self.open = self.last = False
        self.before, self.seq, self.exists = {b"0" * 64}, 0, Path(place).exists()
        self.data = Path(place).read_bytes() if self.exists else b""
        *lines, self.rest = self.data.split(b"\n")
        self.n, self.excerpt, skip = len(lines) + 1, not self.out and "/traces/trace_" in place, 0
        for n, line in enumerate(lines, 1):
            for m in range(n, min(n + 30, len(lines)) * self.registry):
                part = b"\n".join(lines[n - 1 : m]) * (b'"gap"' in lines[m])
                skip = m if sha256(part).hexdigest().encode() in lines[m] else skip
            if n > skip:  # a gap line names cut-off ones before it, which are none
                self.take(n, line, *parse(line))
        self.chained |= self.data > b"" and (self.registry or b'{"v":'.startswith(self.data[:5]))

    def take(self, n, line, found, bad):
        """Judge line *n* by itself and behind the line before it, and note what it names."""
        framed = re.fullmatch(rb',"hash":"([0-9a-f]{64})"\}', line[1:][-75:])
        self.chained |= framed is not None
        self.older |= {"event_type", "timestamp"} <= found.keys() and "v" not in found
        self.excerpt |= n == 1 and not self.out and found.get("seq") not in {None, 0}
        if self.excerpt and (n == 1 or found.get("writer", self.last) != self.last):
            self.before = self.seq = None  # taken as given
        right = [sha256(b"\0" + hash_ + line[:-75]) for hash_ in self.before or ()]
        right = {one.hexdigest().encode() for one in right}
        stored, version = {framed[1]} if framed else self.before or set(), found.get("v")
        fits = framed and (self.before is None or stored & right)
        self.before = stored if fits else stored | right
        self.hashes.append(framed[1] if fits and not bad and version == 1 else None)
        if not self.hashes[-1]:
            code = "newer_version" if type(version) is int and version > 1 else f"malformed: {bad}"
            self.findings.append((code if fits else "bad_hash" if framed else "bad_frame", n))
            self.seq, self.open = None, ""  # whatever comes next is believed
            return
        event, writer = found["event_type"], found["writer"]
        named = {k: v for k, v in found.items() if k in NAMES and isinstance(v, dict)}
        follows = str(named.get("follows", {}).get("writer"))
        before = {"", False, follows} if event == "writer_opened" else {"", writer}
        self.findings += [("bad_seq", n)] * (self.seq not in {None, found["seq"]})
        if self.open not in before and not self.registry and not self.excerpt:
            self.findings.append(("bad_session", n))
        self.seq, self.last = found["seq"] + 1, writer
        self.open = False if event == "writer_closed" or self.registry else writer
        self.writers.setdefault(writer, n)
        self.names += [(k, n > 1 and k == "follows" and not self.registry, named[k]) for k in named]

    def compare(self, proves, lines, hash_, writer, fragment):
        """Compare what another line says of this file with what it has."""
        self.chained |= writer is not None
        if lines > len(self.hashes):
            self.findings.append(("cut", self.n))
        elif lines and self.hashes[lines - 1] not in {None, hash_.encode()}:
            self.findings.append(("diverged", lines))
        elif proves and lines == len(self.hashes) and writer == self.open:
            self.open = None
        if fragment:
            end = fragment["offset"] + fragment["length"]
            if sha256(self.data[fragment["offset"] : end]).hexdigest() != fragment["sha256"]:
                code = "cut" if len(self.data) < end else "diverged"
                self.findings.append((code, self.data.count(b"\n", 0, fragment["offset"]) + 1))
            self.rest = b"" if end == len(self.data) else self.rest


def main(given):
    """Check the files of the command line and return the exit status."""
    files, rows = {}, set()
    for place in map(Path.absolute, map(Path, given)):
        inside = [place / REGISTRY, *sorted(place.glob("audit/step_*/trace_*.jsonl"))]
        files |= {str(path): File(str(path)) for path in (inside if place.is_dir() else [place])}
    for f in list(files.values()):
        for key, own, extent in () if f.excerpt else f.names:
            with suppress(AttributeError, LookupError, TypeError):  # what does not fit says nothing
                place = f"{f.out}{REGISTRY if key == 'registry' else extent['path']}"
                if f"{f.out}{REGISTRY}" in files and place not in files:
                    files[place] = File(place)
                what = map(extent.get, ("lines", "hash", "writer", "fragment"))
                (f if own else files.get(place)).compare(key in {"follows", "settled"}, *what)
    files = {p: f for p, f in files.items() if f.exists or any(g.chained for g in files.values())}
    for place, f in files.items():
        kind = "whole" if f.chained or not f.data else "unchained" if f.older else "not_a_trace"
        found = [(kind, 0)] + [one for one in f.findings if f.chained or ROW[one[0]] == 2]
        found += [("empty" if f.exists else "missing", 0)] * (not f.data)
        found += [("torn", f.n)] * bool(f.chained and f.rest) + [("excerpt", 0)] * f.excerpt
        found += [("not_closed", f.n - 1)] * bool(f.open)
        found += [("alone", 0)] * (f.chained and f"{f.out}{REGISTRY}" not in files)
        if (registry := files.get(f"{f.out}{REGISTRY}")) and registry.exists and not f.registry:
            known = [named.get("writer") for g in files.values() for *_, named in g.names]
            found += [("unregistered", n) for writer, n in f.writers.items() if writer not in known]
        row, n, code = min((ROW[code.split(":")[0]], n, code) for code, n in found)
        rows |= {ROW[code.split(":")[0]] for code, _ in found}
        print(VERDICTS[row], place.removeprefix(f"{Path.cwd()}/") + f":{n}" * (n > 0), code)
    return 4 if 5 in rows else 3 if rows - {6, 8} else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
