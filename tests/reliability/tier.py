"""How much of the reliability tests runs, and from which seed; the only place that reads it.

The quick tier is a part of `make test`.  `AUDITFOLD_SOAK=1`, which `make soak` sets, selects the
whole; `AUDITFOLD_SEED=N` another seed.
"""

import os
import random
from typing import Final

SOAK: Final = os.environ.get("AUDITFOLD_SOAK") == "1"
SEED: Final = int(os.environ.get("AUDITFOLD_SEED", "5"))
NAME: Final = "soak" if SOAK else "quick"
# What a test did, among the properties of its report.
PROPERTY: Final = "reliability"


def either(quick: int, soak: int) -> int:
    """Return how many of something this tier does."""
    return soak if SOAK else quick


def randomness(*names: object) -> random.Random:
    """Return a generator for what goes by *names*: the same one for the same seed."""
    return random.Random(":".join(map(str, (SEED, *names))))


def said(test: str, seconds: float, **counts: object) -> str:
    """Return what a test did, in one line."""
    told = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items())
    return f"{NAME} {test}: {told}; seed {SEED}, {seconds:.1f} s"
