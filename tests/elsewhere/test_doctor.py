"""`auditfold doctor`: what is installed, who else is called so, what a folder can do."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from observability.cli.errors import _EXTRA_OF
from observability.doctor import installed, probe
from observability.doctor.installed import CORE, EXTRAS, PACKAGES, clashes, is_older
from tests.command.running import auditfold, environment, on_terminal
from tests.docs.pages import root

OURS = str(root())


def as_json(*words: str | Path, cwd: Path | None = None) -> Any:
    # As the installed command does, `-m` without it puts the current folder first.
    done = auditfold("doctor", "--json", *words, cwd=cwd, env={"PYTHONSAFEPATH": "1"})
    assert done.stderr == b""
    return json.loads(done.stdout)


def statuses(checks: list[dict[str, str]]) -> dict[str, str]:
    return {check["name"]: check["status"] for check in checks}


# --- What is installed


def test_a_whole_installation_is_said_to_be_fine(tmp_path: Path) -> None:
    done = auditfold("doctor", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, b"")
    for word in (b"auditfold", b"python", b"platform", *(name.encode() for name in CORE)):
        assert b" ok       " + word in done.stdout
    assert b"FAILED" not in done.stdout


def test_the_tables_are_those_of_pyproject() -> None:
    """A wheel does not hold pyproject.toml, so that is said twice."""
    project = tomllib.loads((root() / "pyproject.toml").read_text())["project"]
    optional = dict(project["optional-dependencies"])
    del optional["dev"]

    assert [f"{name}>={wanted}" for name, wanted in CORE.items()] == project["dependencies"]
    for name, (_, brings) in EXTRAS.items():
        assert optional[name] == [f"{each}>={wanted}" for each, wanted in brings.items()]
    assert set(EXTRAS) <= set(_EXTRA_OF.values()) == set(optional)


def test_each_extra_says_what_it_is_for_and_how_to_get_it(tmp_path: Path) -> None:
    text = auditfold("doctor", cwd=tmp_path).stdout.decode()

    for extra in installed.extras():
        assert extra.purpose in text
        assert (f"pip install 'auditfold[{extra.name}]'" in text) == (extra.status != "ok")


def test_an_extra_that_is_installed_is_there_with_its_version() -> None:
    found = {extra["name"]: extra for extra in as_json()["extras"]}

    assert found["watch"]["status"] == "ok"
    assert found["watch"]["versions"]["watchfiles"][0].isdigit()


def distribution(folder: Path, name: str, version: str, files: list[str]) -> None:
    """Write a distribution as an installer leaves it, with these *files*."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")


def run_there(*paths: Path | str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the doctor where Python finds distributions only in *paths*, in a bare interpreter."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; sys.argv = ['auditfold', 'doctor', '--json'];"
        "from observability.cli.main import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *map(str, paths)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


def click_alone(folder: Path) -> Path:
    """Return a folder that holds click and nothing else of what is installed."""
    import click

    shutil.copytree(Path(click.__file__).parent, folder / "click")
    return folder


def test_a_missing_or_old_dependency_is_named_and_exits_5(tmp_path: Path) -> None:
    """It works where nothing else does: msgspec and orjson are not even there."""
    site = click_alone(tmp_path / "site")
    distribution(site, "click", "8.0.4", [])
    distribution(site, "orjson", "3.10.1", [])

    done = run_there(site, OURS, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (5, b"")
    found = json.loads(done.stdout)
    checks = {check["name"]: check for check in found["program"]}
    assert found["status"] == "failed"
    assert statuses(found["program"])["orjson"] == "ok"
    assert checks["click"]["detail"] == "8.0.4, want 8.1 or newer"
    assert checks["msgspec"]["detail"] == "not installed, want 0.19 or newer"
    assert checks["msgspec"]["advice"] == "pip install 'msgspec>=0.19'"


def test_half_an_extra_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"sse-starlette": "2", "starlette": "0.41", "uvicorn": "0.32"}
    monkeypatch.setitem(EXTRAS, "serve", ("a page", wanted))
    distribution(tmp_path, "uvicorn", "0.40", [])
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    extras = {extra.name: extra for extra in installed.extras()}

    assert extras["serve"].status == "warning"
    assert extras["serve"].versions == {
        "sse-starlette": None,
        "starlette": None,
        "uvicorn": "0.40",
    }
    assert extras["watch"].status == "not_tried"


@pytest.mark.parametrize(
    ("found", "wanted", "older"),
    [
        ("1", "1.0", False),
        ("1.0.post1", "1", False),
        ("0.9", "0.10", True),
        ("2024.10.1", "2024.9", False),
        ("unknown", "1", True),
        ("2.0b1", "2", False),
    ],
)
def test_versions_compare_by_their_numbers(found: str, wanted: str, older: bool) -> None:
    assert is_older(found, wanted) is older


# --- Who else is called so


@pytest.mark.parametrize("file", ["replay/__init__.py", "observability/core.py", "replay.py"])
def test_another_distribution_of_that_name_is_named(file: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    distribution(site, "replay-lib", "2.1", [file])
    distribution(site, "harmless", "1.0", ["harmless/replay/__init__.py", "harmless/__init__.py"])

    found = clashes((), [OURS, str(site)])

    assert {check.name for check in found} == {file.partition("/")[0].removesuffix(".py")}
    assert "the distribution replay-lib 2.1 installs a package of that name" in found[0].detail
    assert "pip uninstall replay-lib" in found[0].advice
    assert not any("harmless" in check.detail for check in found)


def test_a_distribution_without_metadata_or_files_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "gone-1.0.dist-info").mkdir()
    distribution(tmp_path, "no-record", "1.0", [])
    (tmp_path / "no_record-1.0.dist-info" / "RECORD").unlink()

    assert [check.status for check in clashes((), [OURS, str(tmp_path)])] == ["ok"]


def test_one_that_was_installed_over_ours_failed(tmp_path: Path, monkeypatch: Any) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    distribution(tmp_path, "other", "1.0", ["observability/core.py"])
    monkeypatch.setattr(installed, "__file__", str(tmp_path / "observability" / "doctor" / "x.py"))

    [found] = clashes((), [str(tmp_path)])

    assert (found.name, found.status) == ("observability", "failed")
    assert "over the files of auditfold" in found.detail


@pytest.mark.parametrize("form", ["observability.py", "observability/__init__.py"])
def test_a_local_package_that_hides_ours_is_named(form: str, tmp_path: Path) -> None:
    """A program that is started beside a folder called `observability` imports that one."""
    (tmp_path / form).parent.mkdir(exist_ok=True)
    (tmp_path / form).write_text("")

    found = as_json(cwd=tmp_path)["packages"]

    assert statuses(found) == {"observability": "warning"}
    assert str(tmp_path / form) in found[0]["detail"]


def test_the_folder_in_question_is_looked_at_for_local_packages_too(tmp_path: Path) -> None:
    (tmp_path / "replay.py").write_text("")

    assert statuses(as_json("--dir", tmp_path)["packages"]) == {"replay": "warning"}


def test_a_folder_of_that_name_without_init_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "replay").mkdir()
    (tmp_path / "replay" / "data.txt").write_text("")

    assert statuses(as_json(cwd=tmp_path)["packages"]) == {"packages": "ok"}


def test_the_checkout_itself_is_no_clash() -> None:
    assert statuses(as_json(cwd=root())["packages"]) == {"packages": "ok"}


def test_a_package_that_is_found_before_ours_failed(tmp_path: Path) -> None:
    (tmp_path / "replay").mkdir()
    (tmp_path / "replay" / "__init__.py").write_text("")

    before = clashes((), [str(tmp_path), OURS])
    after = clashes((), [OURS, str(tmp_path)])

    assert [(check.name, check.status) for check in before] == [("replay", "failed")]
    assert [(check.name, check.status) for check in after] == [("replay", "warning")]


# --- What a folder can do

TRIED = {
    *("write", "append", "exclusive", "lock", "sync", "rename", "hard links", "symbolic links"),
    *("clock", "case"),
}


def test_every_operation_is_tried_in_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    found = statuses(as_json("--dir", tmp_path)["folder"])

    assert set(found) == {"file system", "space", *TRIED}
    assert "failed" not in found.values()
    assert list(tmp_path.iterdir()) == []


def test_by_default_it_is_the_folder_one_is_in(tmp_path: Path) -> None:
    found = as_json(cwd=tmp_path)

    assert found["path"] == "."
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_exits_5(tmp_path: Path) -> None:
    # Permissions do not keep root out; /proc does.
    sealed = Path("/proc") if os.geteuid() == 0 else tmp_path
    if not sealed.is_dir():
        pytest.skip("needs a folder in which root cannot make a file: /proc")
    if sealed == tmp_path:
        tmp_path.chmod(0o500)
    try:
        done = auditfold("doctor", "--json", "--dir", sealed)
    finally:
        tmp_path.chmod(0o700)

    found = statuses(json.loads(done.stdout)["folder"])
    assert done.returncode == 5
    assert found["write"] == "failed"
    assert {found[name] for name in TRIED - {"write"}} == {"not_tried"}


@pytest.mark.parametrize("what", ["missing", "file"])
def test_what_is_no_folder_is_wrong_usage(what: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = auditfold("doctor", "--dir", tmp_path / what)

    assert (done.returncode, done.stdout) == (2, b"")
    assert str(tmp_path / what).encode() in done.stderr


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with no room left."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs root, and a kernel that lets it mount a tmpfs")
    try:
        with (folder / "filled").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_failed_and_is_left_as_it_was(full_disk: Path) -> None:
    done = auditfold("doctor", "--json", "--dir", full_disk)

    found = {check["name"]: check for check in json.loads(done.stdout)["folder"]}
    assert done.returncode == 5
    assert found["file system"]["detail"] == "tmpfs"
    assert found["space"]["status"] == "failed"
    assert found["write"]["status"] == "failed"
    assert [path.name for path in full_disk.iterdir()] == ["filled"]


MOUNTS = """\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
30 21 0:40 / /data rw - nfs4 server:/export rw
31 30 0:41 / /data/local\\040disk rw shared:1 - xfs /dev/sdb1 rw
32 21 0:42 / /database rw - btrfs /dev/sdc1 rw
33 21 0:43 / /over rw - ext4 /dev/sdd1 rw
34 33 0:44 / /over rw - fuse.sshfs host:/ rw
damaged
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv", "ext4"),
        ("/", "ext4"),
        ("/data", "nfs4"),
        ("/data/out", "nfs4"),
        ("/data/local disk/out", "xfs"),
        ("/database", "btrfs"),
        ("/over", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(
    folder: str, kind: str, tmp_path: Path
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)

    assert probe.filesystem(folder, str(tmp_path / "mountinfo")) == kind


def test_where_nothing_says_which_file_system_it_is_it_is_unknown(tmp_path: Path) -> None:
    assert probe.filesystem("/", str(tmp_path / "none")) is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_files_of_another_machine_are_a_warning(kind: str) -> None:
    assert probe._filesystem_check(kind).status == "warning"
    assert probe._filesystem_check("ext4").status == "ok"


def test_a_lock_that_two_writers_get_at_once_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems answer so."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)

    found = {check.name: check for check in probe.probe(str(tmp_path))}

    assert found["lock"].status == "failed"
    assert found["lock"].detail == "flock was given to two writers at once"
    assert found["rename"].status == "ok"
    assert list(tmp_path.iterdir()) == []


# --- On a screen


@pytest.mark.parametrize("columns", [30, 40, 80, 200])
def test_nothing_is_wider_than_the_terminal(columns: int, tmp_path: Path) -> None:
    shown, code = on_terminal("doctor", cwd=tmp_path, columns=columns, env={"NO_COLOR": "1"})

    assert code == 0
    long = [line for line in shown.decode().splitlines() if len(line) > columns]
    # A path has no place at which it could be broken without being another one.
    assert all(" " not in line.strip() for line in long), long


def test_colour_only_on_a_terminal(tmp_path: Path) -> None:
    shown, _ = on_terminal("doctor", cwd=tmp_path)

    assert b"\x1b[32mok\x1b[0m" in shown
    assert b"\x1b" not in auditfold("doctor", cwd=tmp_path).stdout


def test_a_folder_with_a_hostile_name_does_a_terminal_no_harm(tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b[2Jb"
    hostile.mkdir()

    shown, code = on_terminal("doctor", "--dir", hostile, env={"NO_COLOR": "1"})

    assert code == 0
    assert b"\x1b" not in shown
    assert rb"a\x1b[2Jb" in shown
