"""A page in a real browser: Chromium without a window, one process a look.

Where there is none it is installed from Debian's packages, which takes a minute, if that is
possible: as root, with apt-get.  Otherwise the tests that need it are skipped with a message.
AUDITFOLD_TEST_CHROMIUM=0 installs nothing, and with =1 its absence is a failure.
"""

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_PATIENCE_S = 300
_INSTALL = "apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium"
_INSTALL_S = 240  # two processes behind each other stay below the time limit of one test


@functools.cache
def program() -> str:
    """Return the browser; skip the test where there is none."""
    wish = os.environ.get("AUDITFOLD_TEST_CHROMIUM")
    found, why = _found(), "AUDITFOLD_TEST_CHROMIUM=0"
    if found is None and wish != "0":
        why = _install()
        found = _found()
    if found is None:
        assert wish != "1", f"AUDITFOLD_TEST_CHROMIUM=1, and no Chromium was installed: {why}"
        pytest.skip(f"no Chromium, and none was installed: {why}")
    return found


def _found() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


def _install() -> str:
    """Install Chromium where this process may, one process at a time; return why it may not be."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "that takes root and apt-get"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    folder = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if _found() is not None:  # another process of these tests was first
            return ""
        done = subprocess.run(
            ["sh", "-c", _INSTALL],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"apt-get took more than {_INSTALL_S} s"
    finally:
        os.close(folder)
    return done.stderr[-500:] or f"apt-get exited with {done.returncode}"


def look(page: Path, *options: str, fragment: str = "", query: str = "") -> str:
    """Open *page* in a browser that has never been used; return what it prints."""
    profile = page.parent / f"profile-{os.urandom(4).hex()}"
    done = subprocess.run(
        [
            program(),
            *_OPTIONS,
            f"--user-data-dir={profile}",
            *options,
            f"{page.absolute().as_uri()}{query}{fragment}",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    shutil.rmtree(profile, ignore_errors=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()


def dom(page: Path, *options: str, fragment: str = "") -> str:
    """Return the document as it stands when the page has loaded."""
    return look(page, "--dump-dom", *options, fragment=fragment)
