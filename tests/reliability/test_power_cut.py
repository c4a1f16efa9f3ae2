"""Power cuts on a real file system: ext4 on a loop device, shut down in the middle of writing.

EXT4_IOC_SHUTDOWN stops a mounted ext4 as a power cut would: nothing that is not on the medium gets
there any more.  It needs root, and loop devices.
"""

import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from observability.journal import Durability
from tests.reliability.conftest import Tell
from tests.reliability.tier import either, randomness
from tests.reliability.writing import (
    POLICIES,
    How,
    assert_kept,
    assert_only_appended,
    assert_torn_is_told,
    audited,
    emit,
    files_of,
    go_on,
    names_in,
    some_size,
)

# _IOR('X', 125, __u32), and its flags (fs/ext4/ext4.h).
SHUTDOWN: Final = 0x8004587D
FLUSH_LOG, NO_FLUSH = 1, 2
IMAGE_MB: Final = 48
CUTS_A_FOLDER: Final = 10
# Time goes faster for the writers, so that `interval` syncs many times before a cut.
SPEED: Final = 60
SECOND_NS: Final = 1_000_000_000


class FastClock:
    """The clocks of this machine, `SPEED` times as fast."""

    def time_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() * SPEED


class Device:
    """A file system that can be cut off."""

    def __init__(self, image: Path, point: Path) -> None:
        self._image = image
        self.point = point
        point.mkdir()
        with image.open("wb") as stream:
            stream.truncate(IMAGE_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self._image, self.point], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.point], check=True)

    @contextmanager
    def root(self) -> Iterator[int]:
        fd = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)


@pytest.fixture
def device(memory: Path) -> Iterator[Device]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("power cuts need root on Linux")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    made = Device(memory / "image", memory / "mounted")
    try:
        made.mount()
    except subprocess.CalledProcessError:
        pytest.skip("no loop device can be mounted here")
    try:
        with made.root() as fd:
            try:
                fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_FLUSH))
            except OSError as error:
                pytest.skip(f"this ext4 cannot be shut down: {error}")
        made.unmount()
        made.mount()
        yield made
    finally:
        subprocess.run(["umount", "-l", made.point], check=False, capture_output=True)


def write_on(out: Path, how: How, pipe: int, name: str, rng: random.Random) -> None:
    """Write until the disk is gone, each return of a call told with its time."""
    clock = FastClock()
    life, parent = 0, os.getppid()
    while os.getppid() == parent:
        life += 1
        journal = how.journal(out, clock=clock)
        for n in range(rng.randrange(400)):
            event = f"{name}.{life}.{n}"
            emit(journal, event, some_size(rng, largest=20_000))
            at = 0 if journal._writer is None else journal._writer.mono_ns
            os.write(pipe, f"{event} {at} {time.monotonic_ns()}\n".encode())
        journal.close()


def cut_off(
    device: Device, out: Path, how: How, cut: int, rng: random.Random
) -> dict[str, list[tuple[str, int]]]:
    """Let 1 to 3 writers write, cut, and mount again; return what each acknowledged, and when."""
    tells, told = os.pipe()
    pids = []
    for n in range(rng.choice([1, 1, 2, 3])):
        seed = rng.random()
        pid = os.fork()
        if pid == 0:
            try:
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, 2)
                write_on(out, how, told, f"{cut}-{n}", random.Random(seed))
            finally:
                os._exit(1)
        pids.append(pid)
    os.close(told)
    with device.root() as fd:
        time.sleep(0.01 + 0.12 * rng.random())
        how_hard = rng.choice([NO_FLUSH, NO_FLUSH, FLUSH_LOG])
        # What is acknowledged behind this moment is no matter of the cut: a call that the shutdown
        # meets in the middle may return, which on a machine without power it could not.
        moment = time.monotonic_ns()
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", how_hard))
    # The disk is gone, so each of them meets an error at its next line, if it is not killed first.
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with os.fdopen(tells, "rb") as stream:
        lines = stream.read().decode().split("\n")[:-1]
    device.unmount()
    device.mount()
    acknowledged: dict[str, list[tuple[str, int]]] = {}
    for line in lines:
        event, at, returned = line.split(" ")
        if int(returned) >= moment:
            continue
        acknowledged.setdefault(event.rpartition(".")[0], []).append((event, int(at)))
    return acknowledged


def promised(acknowledged: dict[str, list[tuple[str, int]]], durability: Durability) -> list[str]:
    """Return the events that a cut may not take, life by life of each writer."""
    found = []
    for life, events in acknowledged.items():
        name, _, number = life.rpartition(".")
        if durability == "always" or f"{name}.{int(number) + 1}" in acknowledged:
            last = events[-1][1]  # closing syncs, and the next life began behind it
        elif durability == "interval":
            last = events[-1][1] - SECOND_NS
        else:
            continue
        found += [event for event, at in events if at <= last]
    return found


@pytest.mark.parametrize("durability", POLICIES)
def test_a_power_cut_takes_nothing_that_was_promised(
    device: Device, durability: Durability, signing_key: Path | None, tell: Tell
) -> None:
    how = How(durability=durability, signing_key=signing_key)
    rng = randomness("power", durability)
    n_cuts = either(8, 500)
    n_promised = n_acknowledged = n_torn = 0
    kept: list[str] = []
    for cut in range(n_cuts):
        out = device.point / str(cut // CUTS_A_FOLDER)
        before = files_of(out)
        acknowledged = cut_off(device, out, how, cut, rng)
        mine = promised(acknowledged, durability)
        kept += mine
        n_promised += len(mine)
        n_acknowledged += sum(map(len, acknowledged.values()))
        files = files_of(out)
        assert_only_appended(before, files)
        assert_kept(kept, files)
        if files:
            n_torn += assert_torn_is_told(files, audited(out))
        go_on(out, how)
        audited(out)
        kept += names_in(files_of(out))  # what outlived one cut is synced, and outlives the next
        if cut % CUTS_A_FOLDER == CUTS_A_FOLDER - 1:
            shutil.rmtree(out)
            kept = []
    tell(cuts=n_cuts, acknowledged=n_acknowledged, promised=n_promised, torn_tails=n_torn)
    assert n_acknowledged > n_cuts
    assert durability == "none" or n_promised > 0
