"""A page in a real browser: Chromium without a window, one process a look.

Where there is none the tests that need it are skipped; with AUDITFOLD_TEST_CHROMIUM=1 it is
installed from Debian's packages, which takes a minute, and its absence is a failure.
"""

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


@functools.cache
def program() -> str:
    """Return the browser; skip the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None and os.environ.get("AUDITFOLD_TEST_CHROMIUM") == "1":
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *command], env=environment, check=True, timeout=900)
        found = shutil.which("chromium")
        assert found is not None, "AUDITFOLD_TEST_CHROMIUM=1, and no chromium was installed"
    if found is None:
        pytest.skip("no Chromium: install it, or set AUDITFOLD_TEST_CHROMIUM=1 on Debian")
    return found


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
