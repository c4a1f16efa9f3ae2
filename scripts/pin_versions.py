"""Write constraints.txt: one exact version of everything that is ever installed.

The resolver of pip decides, for the core, every extra, the tools and the build
backend together.  Without `--upgrade` it keeps the versions that stand there, so
that a new requirement adds lines and changes none.  Run it with the oldest Python
that is supported: newer ones need the same packages or fewer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib

from make_venv import CONSTRAINTS, ROOT, requirements

HEADER = """\
# The exact version of everything that is installed: the core, every extra, the
# tools, what these need in turn, and the build backend.  Resolved for Python 3.11;
# newer versions need the same or fewer.  Written by scripts/pin_versions.py.
"""


def resolve(wanted: list[str], *, upgrade: bool) -> dict[str, str]:
    """Return the version of each package that installing *wanted* would bring."""
    kept = [] if upgrade else ["--constraint", str(CONSTRAINTS)]
    report = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--dry-run"),
            *("--ignore-installed", "--only-binary", ":all:", "--report", "-"),
            *kept,
            *wanted,
        ],
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    found = [entry["metadata"] for entry in json.loads(report)["install"]]
    return {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in found}


def main() -> int:
    """Write constraints.txt; return the exit status."""
    parser = argparse.ArgumentParser(description="Write constraints.txt.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    arguments = parser.parse_args()
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    extras = list(pyproject["project"]["optional-dependencies"])
    try:
        pins = resolve(requirements(pyproject, extras), upgrade=arguments.upgrade)
    except subprocess.CalledProcessError as error:
        print("pin_versions: pip found no answer; constraints.txt is as before", file=sys.stderr)
        return error.returncode
    lines = [f"{name}=={pins[name]}\n" for name in sorted(pins)]
    CONSTRAINTS.write_text(HEADER + "".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
