"""What holds for every test."""

import signal
import threading

import pytest
from hypothesis import settings

from tests.reliability.tier import PROPERTY, SOAK

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
    config.addinivalue_line("markers", "soak: takes minutes; run where AUDITFOLD_SOAK=1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests out that take minutes, unless they were asked for."""
    if SOAK:
        return
    long = [item for item in items if item.get_closest_marker("soak") is not None]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item.get_closest_marker("soak") is None]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests of reliability did: tier, seed, counts, seconds."""
    told = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY and report.when == "call"
    ]
    if told:
        terminalreporter.section("reliability")
        for line in sorted(told):
            terminalreporter.write_line(line)
