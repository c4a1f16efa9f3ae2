"""Runs the benchmarks and prints their ratios: `python -m benchmarks.run [NAME ...] [--json]`."""

import importlib
import json
import platform
import sys

from benchmarks.measure import Row

NAMES = (
    "append",
    "emit",
    "bar",
    "records",
    "redact",
    "audit",
    "sealing",
    "fold",
    "reports",
    "memory",
    "page",
    "tail_latency",
    "startup",
)


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all; return 2 for a name that is none."""
    names = [name for name in arguments if not name.startswith("-")] or list(NAMES)
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    as_json = "--json" in arguments
    if not as_json:
        print(platform.python_implementation(), platform.python_version(), platform.machine())
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        rows: list[Row] = module.run()
        if as_json:
            print(json.dumps({"benchmark": name, "rows": [row._asdict() for row in rows]}))
        else:
            question = (module.__doc__ or "").splitlines()[0]
            print(f"\n{name}: {question}")
            for row in rows:
                print(_line(row))
    return 0


def _line(row: Row) -> str:
    share = "" if row.ratio is None else f"{row.ratio:8.2f} x"
    goal = "" if row.met is None else f"   {'met   ' if row.met else 'MISSED'} {row.goal}"
    return f"  {row.what:<48} {row.value:10.2f} {row.unit:<6}{share:>10}{goal}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
