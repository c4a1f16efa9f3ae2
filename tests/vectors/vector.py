"""A vector: files, what happened to them, and what an audit has to say about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from replay.findings import NOTES, VERDICT_OF, Verdict, verdict_of
from replay.findings import Finding as AuditFinding
from replay.trace.line import MAX_LINE
from tests.vectors.making import REGISTRY, Out, lines_of, offsets_of, seq_of

Kind = Literal["valid", "invalid", "sealed"]
ALONE: Final = "trace_04.jsonl"


@dataclass
class Vector:
    """One vector in the making; the modules of this package fill it.

    Attributes:
        name: What was done, in words joined by `_`.
        kind: `valid` exits 0, `invalid` does not; `sealed` is audited with a verifier key.
        about: What was done, in a sentence.
        large: It is made for each test run and not kept in the repository.
        files: Bytes by name, relative to the vector's folder.
        findings: (code, path, line) that an audit reports.
        vkey: The verifier key that the audit is given.
        anchor: A note that the files have to extend.
    """

    name: str
    kind: Kind
    about: str
    large: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    findings: list[tuple[str, str, int | None]] = field(default_factory=list)
    vkey: str = ""
    anchor: str = ""

    def folder(self, out: Out, **changed: bytes | None) -> None:
        """Take all files of *out*; *changed* has other bytes for `registry` or `trace`."""
        self.files = out.contents()
        for what, data in changed.items():
            name = REGISTRY if what == "registry" else "audit/step_04/trace_04.jsonl"
            self.files.pop(name)
            if data is not None:
                self.files[name] = data

    def alone(self, data: bytes, *, name: str = ALONE, chained: bool = True) -> None:
        """Take one trace without its registry; a chained one gets the note that says so."""
        self.files = {name: data}
        if chained:
            self.find("alone")

    def find(self, code: str, line: int | None = None, *, path: str = "") -> None:
        """Expect a finding; *path* is the only trace by default."""
        traces = [name for name in self.files if name != REGISTRY]
        self.findings.append((code, path or traces[0], line))

    def path(self) -> str:
        """Return the PATH to audit, relative to the vector's folder."""
        (first, *_) = self.files
        return "." if first.startswith("audit/") else first

    def expected(self) -> dict[str, Any]:
        """Return the content of `expected.json`."""
        files = {name: self._lines(name) for name in self.files if not name.endswith(".head")}
        files.update({path: 0 for _, path, _ in self.findings if path not in files})
        verdict = self._verdict(None)
        return {
            "about": self.about,
            **({"vkey": self.vkey} if self.vkey else {}),
            **({"anchor": self.anchor} if self.anchor else {}),
            "path": self.path(),
            "verdict": verdict,
            "exit": self._exit(),
            "files": [
                {
                    "path": self._shown(path),
                    "lines": files[path],
                    "verdict": self._verdict(path),
                }
                for path in sorted(files)
            ],
            "findings": [
                self._finding(*found)
                for found in sorted(self.findings, key=lambda f: (f[1], f[2] or 0, f[0]))
            ],
        }

    def write(self, root: Path) -> None:
        """Write the files and `expected.json` under *root*/kind/name."""
        folder = root / self.kind / self.name
        for name, data in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        text = orjson.dumps(self.expected(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (folder / "expected.json").write_bytes(text)

    def _shown(self, name: str) -> str:
        """Return *name* relative to the PATH that is audited, as findings have it."""
        return name if self.path() == "." else name.rpartition("/")[2]

    def _lines(self, name: str) -> int:
        return self.files[name].count(b"\n")

    def _verdict(self, path: str | None) -> Verdict:
        return verdict_of(
            AuditFinding(severity="error", code=code, path=where, message="")
            for code, where, _ in self.findings
            if path in {None, where}
        )

    def _exit(self) -> int:
        codes = {code for code, _, _ in self.findings}
        return 4 if "newer_version" in codes else 3 if codes - NOTES else 0

    def _finding(self, code: str, path: str, line: int | None) -> dict[str, Any]:
        assert code in VERDICT_OF
        data = self.files.get(path, b"")
        offset = None if line is None else list(offsets_of(data))[line - 1]
        whole = lines_of(data[: data.rfind(b"\n") + 1])
        stands = line is not None and line <= len(whole) and len(whole[line - 1]) <= MAX_LINE
        seq = seq_of(whole[line - 1]) if line is not None and stands else None
        severity = "note" if code in NOTES else "error"
        return {
            "severity": severity,
            "code": code,
            "path": self._shown(path),
            "line": line,
            "seq": seq,
            "offset": offset,
        }


_MAKERS: Final[list[tuple[Kind, bool, Callable[[Vector], None]]]] = []


def vector(kind: Kind, *, large: bool = False) -> Callable[[Callable[[Vector], None]], None]:
    """Return a decorator: the function fills the vector of its name."""

    def remember(fill: Callable[[Vector], None]) -> None:
        _MAKERS.append((kind, large, fill))

    return remember


def made() -> Iterator[Vector]:
    """Yield every vector of the modules that were imported."""
    for kind, large, fill in _MAKERS:
        about = " ".join((fill.__doc__ or "").split())
        one = Vector(fill.__name__, kind, about, large)
        fill(one)
        assert kind == "sealed" or (one.expected()["exit"] == 0) == (kind == "valid"), one.name
        yield one
