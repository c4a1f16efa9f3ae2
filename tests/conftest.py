"""What holds for every test."""

import os
import signal
import threading
from typing import Final

import pytest
from hypothesis import settings

_SOAK: Final = "AUDITFOLD_SOAK"

# A time limit for one example fails when the disk or the other core is busy.  The
# parent is hypothesis's own choice: under CI the same examples every time.
settings.register_profile("auditfold", parent=settings(), deadline=None)
settings.load_profile("auditfold")

# A shell starts a job in the background with SIGINT ignored, nohup one without SIGHUP, and so
# would be every process that a test starts and signals.
if threading.current_thread() is threading.main_thread():
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            handler = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
            signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    """Name the tests that take minutes."""
    config.addinivalue_line("markers", f"soak: takes minutes; run where {_SOAK}=1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests out that take minutes, unless they were asked for."""
    if os.environ.get(_SOAK) == "1":
        return
    long = [item for item in items if item.get_closest_marker("soak") is not None]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item.get_closest_marker("soak") is None]
