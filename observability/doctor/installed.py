"""What is installed: versions, extras, and other packages called `observability` or `replay`.

`auditfold doctor` prints it.  Nothing is imported to find out: distributions say in their
metadata which version they have and which files they brought.
"""

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from replay.version import __version__

Status = Literal["ok", "warning", "failed", "not_tried"]

PACKAGES: Final = ("observability", "replay")

# As in pyproject.toml, which a wheel does not hold; a test compares the two.
CORE: Final = {
    "click": "8.1",
    "msgspec": "0.19",
    "orjson": "3.10",
    "pydantic": "2.7",
    "tqdm": "4.66",
}
# Those that a part of this version uses.
EXTRAS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "report": ("reports as HTML", {"jinja2": "3.1"}),
    "resources": ("CPU, memory and IO of nodes, where the system does not say", {"psutil": "6"}),
    "sign": ("signed traces, and audit --vkey", {"cryptography": "43"}),
    "watch": ("tail -f without waiting for the next look", {"watchfiles": "1"}),
}


class Check(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: What.
        status: `failed` is something that auditfold needs, `warning` something to know.
        detail: What was found.
        advice: What to do about it; empty when it is fine.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


class Extra(NamedTuple):
    """An extra of the distribution.

    Attributes:
        name: As in `auditfold[name]`.
        purpose: What it is for.
        versions: Version of each distribution it brings, None for one that is not there.
        status: `not_tried` when nothing of it is there, `warning` when a part is missing or old.
    """

    name: str
    purpose: str
    versions: dict[str, str | None]
    status: Status


def program() -> list[Check]:
    """Return what runs: auditfold, Python, the platform, and the core dependencies."""
    python = f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})"
    checks = [
        Check("auditfold", "ok", f"{__version__}, {Path(__file__).parents[2]}"),
        Check("python", "ok", python),
        Check("platform", "ok", platform.platform()),
    ]
    for name, wanted in CORE.items():
        found = version_of(name)
        if found is None:
            advice = f"pip install '{name}>={wanted}'"
            checks.append(Check(name, "failed", f"not installed, want {wanted} or newer", advice))
        elif is_older(found, wanted):
            advice = f"pip install -U '{name}>={wanted}'"
            checks.append(Check(name, "failed", f"{found}, want {wanted} or newer", advice))
        else:
            checks.append(Check(name, "ok", found))
    return checks


def extras() -> list[Extra]:
    """Return every extra and what of it is installed."""
    found = []
    for name, (purpose, wanted) in EXTRAS.items():
        versions = {each: version_of(each) for each in wanted}
        there = [have for have in versions.values() if have is not None]
        whole = len(there) == len(wanted) and not any(
            is_older(have, wanted[each]) for each, have in versions.items() if have is not None
        )
        status: Status = "ok" if whole else "warning" if there else "not_tried"
        found.append(Extra(name, purpose, versions, status))
    return found


def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution, None if it is not installed."""
    try:
        # None, too, for what an interrupted removal left behind.
        return version(distribution) or None
    except (PackageNotFoundError, KeyError):
        return None


def is_older(found: str, wanted: str) -> bool:
    """Return whether version *found* comes before *wanted*, by their numbers.

    >>> is_older("8.0.4", "8.1"), is_older("8.1", "8.1"), is_older("10.0rc1", "9")
    (True, False, False)
    """

    def numbers(text: str) -> list[int]:
        digits = re.match(r"[0-9]+(\.[0-9]+)*", text)
        return [int(part) for part in digits[0].split(".")] if digits else []

    have, want = numbers(found), numbers(wanted)
    return have + [0] * (len(want) - len(have)) < want


# --- Who else is called so


def clashes(folders: tuple[str, ...] = (".",), path: list[str] | None = None) -> list[Check]:
    """Return what is called as our packages are, and is not ours.

    Args:
        folders: Where programs are started: a package there is found before ours.
        path: Where Python looks, by default `sys.path`.
    """
    ours = Path(__file__).resolve().parents[2]
    where = sys.path if path is None else path
    found = [*_distributions(ours, where), *_beside(ours, folders), *_on_path(ours, where)]
    if found:
        return found
    return [Check("packages", "ok", f"{' and '.join(PACKAGES)} are ours, and nobody else's")]


def _distributions(ours: Path, path: list[str]) -> Iterator[Check]:
    for found in distributions(path=path):
        name = _name(found)
        if name is None or re.sub(r"[-_.]+", "-", name).lower() == "auditfold":
            continue
        for package in sorted(_packages_of(found) & set(PACKAGES)):
            same = Path(str(found.locate_file(""))).resolve() == ours
            yield Check(
                package,
                "failed" if same else "warning",
                f"the distribution {name} {found.version} installs a package of that name, too"
                + (", over the files of auditfold" if same else ""),
                f"Keep {name} and auditfold in environments of their own; if you need only "
                f"auditfold: pip uninstall {name}, then pip install --force-reinstall auditfold",
            )


def _name(found: Distribution) -> str | None:
    metadata: Any = found.metadata  # None where METADATA is gone
    return None if metadata is None else metadata["Name"]


def _packages_of(found: Distribution) -> set[str]:
    """Return the top-level names that a distribution's list of files has."""
    names = set((found.read_text("top_level.txt") or "").split())
    for file in found.files or ():
        first, *rest = file.parts
        if rest:
            names.add(first)
        elif first.endswith(".py"):
            names.add(first.removesuffix(".py"))
    return names


def _beside(ours: Path, folders: tuple[str, ...]) -> Iterator[Check]:
    """Yield packages in the folders that programs are started in."""
    for folder in dict.fromkeys(os.path.abspath(folder) for folder in folders):
        for package in PACKAGES:
            found = _spec_origin(package, folder)
            if found is not None and Path(found).resolve().parents[1] != ours:
                yield Check(
                    package,
                    "warning",
                    f"{found} has that name, and programs that are started there get it",
                    "Rename it, or start programs in another folder",
                )


def _on_path(ours: Path, path: list[str]) -> Iterator[Check]:
    """Yield packages that Python finds before ours, or that ours hides."""
    here = os.path.abspath(".")
    for package in PACKAGES:
        first = True
        for entry in dict.fromkeys(os.path.abspath(entry) for entry in path):
            found = _spec_origin(package, entry)
            if found is None or (entry == here and not first):
                continue
            if Path(found).resolve().parent == ours / package:
                first = False
            elif entry != here:
                yield Check(
                    package,
                    "failed" if first else "warning",
                    f"{found} has that name, and is found {'before' if first else 'after'} ours",
                    "Take that folder from PYTHONPATH, or use environments of their own",
                )


def _spec_origin(package: str, folder: str) -> str | None:
    """Return the file that `import package` would run if only *folder* were looked in.

    A folder without `__init__.py` hides nothing: Python prefers any package that has one.
    """
    spec = PathFinder.find_spec(package, [folder])
    return None if spec is None or spec.origin is None else spec.origin
