"""A file is there as a whole or not at all."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from observability.files import holds, write_beside


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_there(tmp_path: Path) -> None:
    path = tmp_path / "report_04.json"
    for chunks in ([b"a", b"", b"b" * 100_000], []):
        write_beside(path, chunks)

        assert path.read_bytes() == b"".join(chunks)
        assert names(tmp_path) == ["report_04.json"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_everybody_may_read_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_beside(tmp_path / "x", [b"x"])
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644


def test_when_its_bytes_cannot_be_made_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        write_beside(path, chunks())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to(target)

    assert not holds(link, [b"precious"])
    write_beside(link, [b"new"])
    assert not link.is_symlink()
    assert (link.read_bytes(), target.read_bytes()) == (b"new", b"precious")


def test_a_folder_in_its_place_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.mkdir()

    with pytest.raises(IsADirectoryError) as raised:
        write_beside(path, [b"new"])
    assert raised.value.filename == str(path)
    assert names(tmp_path) == ["x"]
    assert not holds(path, [])


def test_an_error_is_about_the_file_and_not_about_the_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "x"

    with pytest.raises(FileNotFoundError) as raised:
        write_beside(path, [b"new"])

    assert (raised.value.filename, raised.value.filename2) == (str(path), None)


def test_a_link_to_a_folder_is_replaced_as_any_link_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "x").symlink_to(tmp_path / "folder")

    write_beside(tmp_path / "x", [b"new"])
    assert (tmp_path / "folder").is_dir()
    assert holds(tmp_path / "x", [b"new"])


def make_fifo(path: Path) -> str:
    os.mkfifo(path)
    return "a FIFO"


def make_socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return "a socket"


def make_device(path: Path) -> str:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    return "a device"


@pytest.mark.parametrize("make", [make_fifo, make_socket, make_device])
@pytest.mark.parametrize("through", ["itself", "a link"])
def test_what_is_no_regular_file_is_refused_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], str], through: str
) -> None:
    """A report that root saved as /dev/null made a file of the device, for all programs."""
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    path = Path("x")
    said = make(path)
    before = path.lstat()
    if through == "a link":
        path = Path("link")
        path.symlink_to("x")

    with pytest.raises(OSError, match=f"{said} stands there, want a regular file") as raised:
        write_beside(path, [b"new"])
    assert (raised.value.errno, raised.value.filename) == (errno.EINVAL, str(path))
    after = Path("x").lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert path.is_symlink() == (through == "a link")
    assert len(names(tmp_path)) == 1 + (through == "a link")


def test_a_name_may_be_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_beside(path, [b"x"])

    assert holds(path, [b"x"])


@pytest.mark.parametrize(
    ("chunks", "same"),
    [
        ([b"abc"], True),
        ([b"a", b"bc"], True),
        ([b"ab"], False),
        ([b"abcd"], False),
        ([b"abx"], False),
        ([], False),
    ],
)
def test_holds_compares_every_byte(tmp_path: Path, chunks: list[bytes], *, same: bool) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")

    assert holds(path, chunks) is same


def test_what_is_not_there_or_no_file_holds_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert not holds(tmp_path / "fifo", [])
    assert not holds(tmp_path / "absent", [])


def test_it_is_there_where_the_file_system_syncs_no_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written, and said to be a failure nevertheless."""
    fsync = os.fsync

    def refuse_folders(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", refuse_folders)

    write_beside(tmp_path / "x", [b"x"])

    assert (tmp_path / "x").read_bytes() == b"x"
