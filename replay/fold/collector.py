"""Python's garbage collector, which stands still while a fold makes its states.

States, and what is made of them, lead to each other in one direction, so that counting
references frees them.  The collector would only look at all of them again and again: a sixth of
what the fold of a report takes (docs/performance.md, "Folding").
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Collect no garbage inside, and go on behind it if that was so before.

    It counts for the whole process: circles that other threads leave meanwhile stay until then.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
