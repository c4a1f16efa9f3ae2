"""The demo: a survey of the Python standard library that it runs on.

It is also the example of an instrumented program, so it uses nothing that the README does not
teach: `find_sources`, `measure` and the two writers know no observer, `survey` runs them under
one.  A module that does not parse fails its node, and the survey goes on.
"""

import ast
import csv
import json
import os
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final, NamedTuple

from observability.observer import ExecutionObserver

WORKFLOW_ID: Final = "step_01_survey"

# CPython's own tests keep files that no parser accepts; some distributions leave them out.
_BROKEN: Final = ("test/tokenizedata/bad_coding.py", "test/tokenizedata/badsyntax_3131.py")
_OWN_BROKEN: Final = "broken_on_purpose.py"
_OWN_BROKEN_TEXT: Final = """\
# Written by `auditfold demo`, because this Python came without the broken files of its tests.
# It does not parse, so that one node of the demo fails.
def survey(:
"""
_TESTS: Final = frozenset({"test", "tests", "idle_test", "__pycache__"})

Row = dict[str, Any]


class Source(NamedTuple):
    """A module and the files that its source is in.

    Attributes:
        name: As it is imported; of a file outside the library, its path.
        files: One file, or all files of a package but its tests; none if there is no source.
        why_none: Why there is none.
    """

    name: str
    files: tuple[Path, ...]
    why_none: str = ""


def survey(out: str | os.PathLike[str], *, limit: int | None = None, **options: Any) -> str:
    """Survey the standard library, recorded under *out*; return the id of the run.

    The table and the summary are written to `out/survey/<run id>/`.

    Args:
        out: Gets `audit/`, `logs/`, `traces/` and `survey/`; may have those of earlier runs.
        limit: How many modules at most, by name, besides the broken files; all if None.
        **options: More arguments for `ExecutionObserver`.
    """
    sources = [*find_sources()[:limit], *find_broken(Path(out))]

    with ExecutionObserver(WORKFLOW_ID, out, total_nodes=len(sources) + 2, **options) as obs:
        rows = []
        for source in sources:
            if not source.files:
                obs.node_skipped(source.name, source.why_none)
                continue
            # A module that does not parse fails its node; the run goes on.
            with suppress(SyntaxError, ValueError), obs.node(source.name) as node:
                row = measure(source)
                node.result(row)
                rows.append(row)

        folder = Path(out, "survey", obs.run_id)
        folder.mkdir(parents=True)
        with obs.node("modules.csv") as node:
            node.output(write_table(folder / "modules.csv", rows))
        with obs.node("dependencies.json") as node:
            node.output(write_dependencies(folder / "dependencies.json", rows))
    return obs.run_id


# --- What is surveyed


def find_sources() -> list[Source]:
    """Return the public modules of the standard library, in the order of their names."""
    library = Path(sysconfig.get_path("stdlib"))
    public = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
    return [_source(name, library) for name in public]


def _source(name: str, library: Path) -> Source:
    module, package = library / f"{name}.py", library / name
    if module.is_file():
        return Source(name, (module,))
    if (package / "__init__.py").is_file():
        files = (path for path in package.rglob("*.py") if _TESTS.isdisjoint(path.parts))
        return Source(name, tuple(sorted(files)))
    if name in sys.builtin_module_names:
        return Source(name, (), "no source: built into the interpreter")
    if PathFinder.find_spec(name) is not None:
        return Source(name, (), "no source: compiled")
    return Source(name, (), "not part of this installation")


def find_broken(out: Path) -> list[Source]:
    """Return two files that CPython's tests keep broken on purpose.

    Where the installation has neither, one is written to `out/input/`, unless a file of that
    name is there: that is then surveyed as it is.
    """
    library = Path(sysconfig.get_path("stdlib"))
    found = [Source(name, (library / name,)) for name in _BROKEN if (library / name).is_file()]
    if found:
        return found
    path = out / "input" / _OWN_BROKEN
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
        file.write(_OWN_BROKEN_TEXT)
    return [Source(f"input/{_OWN_BROKEN}", (path,))]


# --- What is measured


def measure(source: Source) -> Row:
    """Return the size of a module's source, and what it defines and imports.

    Raises:
        SyntaxError, ValueError: A file of it does not parse.
    """
    texts = [path.read_bytes() for path in source.files]
    kinds: Counter[type[ast.AST]] = Counter()
    imported: set[str] = set()
    for path, text in zip(source.files, texts, strict=True):
        for node in ast.walk(ast.parse(text, filename=path.name)):
            kinds[type(node)] += 1
            imported.update(_imports(node))
    return {
        "module": source.name,
        "files": len(texts),
        "bytes": sum(map(len, texts)),
        "lines": sum(text.count(b"\n") for text in texts),
        "functions": kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef],
        "classes": kinds[ast.ClassDef],
        "imports": sorted(imported - {source.name}),
    }


def _imports(node: ast.AST) -> Iterable[str]:
    """Return the top-level names that *node* imports."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


def write_table(path: Path, rows: Sequence[Row]) -> Path:
    """Write a CSV table to *path*, a row a module; return *path*."""
    columns = ["module", "files", "bytes", "lines", "functions", "classes", "imports"]
    with path.open("x", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows({**row, "imports": len(row["imports"])} for row in rows)
    return path


def write_dependencies(path: Path, rows: Sequence[Row]) -> Path:
    """Write which module imports which, and which is imported most; return *path*."""
    imported_by = Counter(name for row in rows for name in row["imports"])
    summary = {
        "modules": len(rows),
        "imported_by": dict(imported_by.most_common()),
        "imports": {row["module"]: row["imports"] for row in rows},
    }
    with path.open("x", encoding="utf-8") as file:
        json.dump(summary, file, indent=1)
    return path
