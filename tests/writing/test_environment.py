"""What a run met is recorded once, is true, holds no secret, and never holds the run up."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability import ExecutionObserver
from observability.environment import capture as environment
from observability.environment import git_state
from observability.environment.distributions import distributions
from observability.redaction.redact import Redactor
from observability.values import Gate
from replay.digest import json_digest
from replay.fold import read_metadata, read_report
from replay.trace.events import Environment

SAMPLES = Path(__file__).resolve().parents[2] / "sample_runs"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree with one commit, which is the working directory; git has a minute."""
    folder = tmp_path / "code"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.chdir(folder)
    git("init", "--quiet", "--initial-branch=trunk")
    (folder / "a.py").write_text("1\n")
    commit()
    monkeypatch.setattr(git_state, "ANSWER_S", 60.0)
    return folder


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit() -> None:
    git("add", "--all")
    git("-c", "user.name=n", "-c", "user.email=e@x.y", "commit", "--quiet", "--message=m")


def run(out: Path, **options: Any) -> dict[str, Any]:
    """Return the environment in the `workflow_start` of a run."""
    with ExecutionObserver("step_04_x", out, **options) as obs:
        trace = obs.audit_trace_file
    lines = [orjson.loads(line) for line in trace.read_bytes().splitlines()]
    [began] = [line for line in lines if line["event_type"] == "workflow_start"]
    assert not any("environment" in line for line in lines if line is not began)
    found: dict[str, Any] = began.get("environment")
    return found


def captured(*fields: str, variables: Sequence[str] = (), **options: Any) -> dict[str, Any]:
    gate = Gate(Redactor())
    wanted = fields or environment.FIELDS
    return environment.capture("/a/b/out", gate, fields=wanted, variables=variables, **options)


# --- What is recorded, and where it goes


@pytest.mark.usefixtures("repository")
def test_the_first_event_of_a_run_says_what_it_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LOGNAME", "anna")

    found = run(tmp_path / "out")

    assert tuple(found) == Environment.__struct_fields__
    assert found["argv"] == sys.orig_argv
    assert found["cwd"] == "code"
    assert found["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["python_implementation"].lower() == sys.implementation.name
    assert found["python_executable"] == Path(sys.executable).name
    assert found["platform"].startswith(os.uname().sysname)
    assert found["host"] == os.uname().nodename
    assert found["user"] == "anna"
    assert found["git"] == {"commit": git("rev-parse", "HEAD"), "branch": "trunk", "dirty": False}
    assert found["variables"]["LANG"] == "de_DE.UTF-8"


def test_the_report_has_it_and_metadata_keep_their_keys(tmp_path: Path) -> None:
    found = run(tmp_path)

    assert read_report(tmp_path)["environment"] == found
    assert "environment" not in read_metadata(tmp_path)
    written = json.loads((tmp_path / "audit" / "step_04" / "report_04.json").read_bytes())
    assert written["environment"] == found


def test_neither_log_nor_its_copy_is_filled_with_it(tmp_path: Path) -> None:
    run(tmp_path)

    for log in tmp_path.rglob("*.log"):
        assert "WORKFLOW_START: Workflow execution started" in log.read_text()
        assert "python_version" not in log.read_text()


def test_it_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert run(tmp_path, environment=False) is None
    assert "environment" not in read_report(tmp_path)


def test_single_fields_can_be_chosen(tmp_path: Path) -> None:
    found = run(tmp_path, environment=["platform", "python_version"])

    assert list(found) == ["python_version", "platform"]
    assert read_report(tmp_path)["environment"]["host"] is None


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"environment": ["gti"]}, ValueError, "environment: gti: want some of argv, cwd"),
        ({"environment": "git"}, TypeError, "environment: got str, want True, False or names"),
        ({"environment": [1]}, TypeError, "environment: want .* each a str"),
        ({"environment": None}, TypeError, "environment: got NoneType"),
        ({"environment_variables": "HOME"}, TypeError, "environment_variables: got str, want nam"),
    ],
)
def test_a_wrong_choice_is_refused_before_anything_is_made(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ExecutionObserver("w", tmp_path / "out", **options)

    assert not (tmp_path / "out").exists()


def test_a_trace_without_it_is_read_as_before() -> None:
    assert "environment" not in read_report(SAMPLES / "survey")


def test_a_fork_does_not_say_it_again(tmp_path: Path) -> None:
    with ExecutionObserver("w", tmp_path) as obs:
        child = os.fork()
        if child == 0:
            with obs.node("in the child"):
                pass
            obs.close()
            os._exit(0)
        os.waitpid(child, 0)

    texts = [path.read_text() for path in tmp_path.glob("audit/step_00/*.jsonl")]
    assert len(texts) == 2
    assert sum(text.count('"environment":') for text in texts) == 1


# --- Working directory


@pytest.mark.parametrize(
    ("cwd", "out", "said"),
    [
        ("/w/p", "/w/p/out", "."),
        ("/w/p/sub", "/w/p/out", "sub"),
        ("/w", "/w/p/q/out", "../.."),
        ("/w/p/out", "/w/p/out", "out"),
        ("/home/x", "/w/p/out", "/home/x"),
        ("/w/other", "/w/p/out", "/w/other"),
        ("/", "/w/p/out", "/"),
    ],
)
def test_the_working_directory_is_relative_where_it_can_be(cwd: str, out: str, said: str) -> None:
    assert environment.relative_to_parent(cwd, out) == said


def test_a_working_directory_that_is_gone_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    found = run(tmp_path / "out", environment=["cwd", "git"])

    assert found == {"cwd": None, "git": None}


# --- Git


def test_a_changed_file_makes_the_work_tree_dirty_and_a_new_one_does_not(repository: Path) -> None:
    (repository / "new.py").write_text("")
    before = captured("git")
    (repository / "a.py").write_text("2\n")

    assert before["git"]["dirty"] is False
    assert captured("git")["git"]["dirty"] is True


@pytest.mark.usefixtures("repository")
def test_a_commit_without_a_branch_and_a_branch_without_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("checkout", "--quiet", "--detach")
    detached = captured("git")["git"]
    (tmp_path / "unborn").mkdir()
    monkeypatch.chdir(tmp_path / "unborn")
    git("init", "--quiet", "--initial-branch=none_yet")

    assert (detached["branch"], detached["dirty"]) == (None, False)
    assert len(detached["commit"]) == 40
    assert captured("git")["git"] == {"commit": None, "branch": "none_yet", "dirty": False}


def test_a_program_that_runs_elsewhere_is_known_by_its_own_work_tree(
    repository: Path, tmp_path: Path
) -> None:
    """Jobs of cron run in a home directory, which is no work tree."""
    script = repository / "job.py"
    script.write_text(
        "import sys; from observability import ExecutionObserver\n"
        "from observability.environment import git_state\n"
        "git_state.ANSWER_S = 60\n"
        "ExecutionObserver('w', sys.argv[1]).workflow_complete()\n"
    )
    out = tmp_path / "out"

    subprocess.run([sys.executable, script, out], check=True, cwd=tmp_path, capture_output=True)

    assert read_report(out)["environment"]["git"]["commit"] == git("rev-parse", "HEAD")


def test_no_work_tree_is_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_git(tmp_path, f"touch {tmp_path}/asked", monkeypatch, work_tree=False)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)

    assert captured("git") == {"git": None}
    assert not (asked / "asked").exists()


def fake_git(
    folder: Path, script: str, monkeypatch: pytest.MonkeyPatch, *, work_tree: bool = True
) -> Path:
    """Put a `git` that does *script* first in PATH; *folder* becomes the working directory."""
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    if work_tree:
        (folder / ".git").mkdir()
    monkeypatch.chdir(folder)
    return folder


def processes_of(mark: str) -> list[str]:
    """Return the command lines that hold *mark*, of processes that run or are not waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            status = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if mark in line or (status[0] == "Z" and status[1] == str(os.getpid())):
            found.append(f"{path.name} {line}")
    return found


SLOW = [
    pytest.param("exec sleep 86413", id="sleeps"),
    pytest.param("sleep 86413 & sleep 86413", id="has_children"),
    pytest.param("sleep 86413 & exit 0", id="leaves_a_child_with_its_output"),
    pytest.param("exec >&-; exec sleep 86413", id="closes_its_output_and_stays"),
    pytest.param("trap '' TERM INT HUP; while :; do sleep 86413; done", id="ignores_signals"),
    pytest.param("while :; do echo rubbish; done; sleep 86413", id="never_stops_talking"),
    pytest.param("read password </dev/tty; read x; sleep 86413", id="asks_for_a_password"),
]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc for processes")
@pytest.mark.parametrize("script", SLOW)
def test_a_git_that_does_not_answer_is_unknown_and_nothing_of_it_is_left(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, script, monkeypatch)
    before = set(processes_of("86413"))  # what other tests of this process have left

    found = run(tmp_path / "out", environment=["git", "platform"])

    assert found["git"] is None
    assert found["platform"] is not None
    # What was killed may take a busy system a moment to remove.
    for _ in range(600):
        left = set(processes_of("86413")) - before
        if not left:
            break
        time.sleep(0.1)
    assert left == set()


def test_a_git_is_not_waited_for_longer_than_a_fifth_of_a_second() -> None:
    """By the limits themselves: a clock would say how busy this machine is."""
    assert git_state.ANSWER_S + git_state._END_S <= 0.2


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("exit 1", id="fails"),
        pytest.param("echo fatal: dubious ownership; exit 128", id="refuses"),
        pytest.param("head -c 300000 /dev/urandom", id="binary"),
        pytest.param("echo '# branch.oid'; echo '#'; echo; echo 1", id="half"),
        pytest.param("echo '# branch.oid ../../etc/passwd'; echo '# branch.head'", id="no_commit"),
        pytest.param("kill -9 $$", id="killed"),
    ],
)
def test_rubbish_is_unknown(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path, script, monkeypatch)
    monkeypatch.setattr(git_state, "ANSWER_S", 60.0)

    assert captured("git") == {"git": None}


def test_a_branch_named_to_deceive_is_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"# branch.oid {COMMIT}\\n# branch.head \\033]0;x\\007\\377\\n"
    fake_git(tmp_path, f"printf '{said}'", monkeypatch)
    monkeypatch.setattr(git_state, "ANSWER_S", 60.0)

    assert captured("git")["git"] == {
        "commit": COMMIT,
        "branch": "\x1b]0;x\x07\\xff",
        "dirty": False,
    }


def test_thousands_of_changed_files_are_dirty_and_the_rest_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"printf '# branch.oid {COMMIT}\\n# branch.head main\\n'; yes '1 .M N... a/file'"
    fake_git(tmp_path, said, monkeypatch)
    monkeypatch.setattr(git_state, "ANSWER_S", 60.0)

    assert captured("git")["git"] == {"commit": COMMIT, "branch": "main", "dirty": True}


def test_a_status_that_takes_too_long_still_leaves_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a work tree of a million files the status takes seconds."""
    (tmp_path / "ready").touch()
    fake_git(
        tmp_path,
        f'case "$*" in *rev-parse*) echo {COMMIT}; echo main;; '
        "*) exec >&-; while [ -e ready ]; do sleep 0.01; done;; esac",
        monkeypatch,
    )
    monkeypatch.setattr(git_state, "ANSWER_S", 60.0)

    found = captured("git")

    assert found["git"] == {"commit": COMMIT, "branch": "main", "dirty": None}


@pytest.mark.parametrize("kind", ["missing", "no program", "a folder", "not allowed"])
def test_a_git_that_cannot_be_started_is_unknown(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, "exit 0", monkeypatch)
    program = tmp_path / "programs" / "git"
    monkeypatch.setenv("PATH", str(program.parent))
    program.unlink()
    if kind == "no program":
        program.write_bytes(b"\x7fELF rubbish")
        program.chmod(0o755)
    elif kind == "a folder":
        program.mkdir()
    elif kind == "not allowed":
        program.write_text("#!/bin/sh\n")
        program.chmod(0o644)

    assert captured("git") == {"git": None}


def test_git_takes_no_lock_and_runs_no_monitor_hook_or_pager(
    repository: Path, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    program = tmp_path / "noticed"
    program.write_text(f"#!/bin/sh\necho $0 >> {witness}\n")
    program.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "core.askPass", "credential.helper"):
        git("config", key, str(program))
    shutil.copy(program, repository / ".git" / "hooks" / "post-index-change")
    # The index is out of date: git would write it anew.
    os.utime(repository / "a.py", ns=(1, 1))
    before = (repository / ".git" / "index").stat()

    assert captured("git")["git"]["dirty"] is False

    after = (repository / ".git" / "index").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not witness.exists()


def test_a_program_that_ignores_the_end_of_its_children_knows_it_as_well(
    repository: Path,
) -> None:
    (repository / "a.py").write_text("2\n")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = captured("git")
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert found["git"]["dirty"] is True


@pytest.mark.parametrize("started", [0, 1])
def test_a_question_that_cannot_be_asked_in_full_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: int
) -> None:
    """Descriptors may run out between the two programs that are asked."""
    fake_git(tmp_path, "exec sleep 86415", monkeypatch)
    begun: list[Any] = []
    whole = git_state._Asked

    def asked(*arguments: Any) -> object:
        if len(begun) == started:
            raise OSError(24, "too many open files")
        begun.append(whole(*arguments))
        return begun[-1]

    monkeypatch.setattr(git_state, "_Asked", asked)

    assert captured("git") == {"git": None}
    for asked_one in begun:
        assert asked_one._process.wait() != 0


def test_an_interrupted_question_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_git(tmp_path, "exec sleep 86414", monkeypatch)

    with pytest.raises(KeyboardInterrupt), git_state.GitQuestion(str(tmp_path)) as question:
        raise KeyboardInterrupt

    assert [asked._process.wait() for asked in question._asked] == [-signal.SIGKILL] * 2


# --- Distributions


def test_the_distributions_are_those_that_python_itself_finds() -> None:
    found = distributions()

    def name_of(distribution: metadata.Distribution) -> str:
        return distribution.name.lower().replace("_", "-").replace(".", "-")

    installed = {name_of(found): found.version for found in metadata.distributions()}
    assert dict(found["entries"]) == installed
    assert found["count"] == len(installed)
    assert found["digest"] == json_digest(found["entries"])
    assert found["entries"] == sorted(found["entries"])


def test_names_of_folders_say_it_and_otherwise_their_metadata(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (
        first / "Typing_Extensions-4.12.2.dist-info",
        first / "torch-2.3.0+cu121.dist-info",
        first / "~ip-23.dist-info",
        first / "zope.interface-6.0.egg-info",
        first / "PyYAML-6.0-py3.11.egg-info",
        first / "odd.egg-info",
        first / "silent.dist-info",
        first / "package",
        second / "torch-1.0.dist-info",
        second / "only_here-0.1.dev3.dist-info",
    ):
        folder.mkdir(parents=True)
    (first / "odd.egg-info" / "PKG-INFO").write_text("Name: odd\nVersion: 7\n\nVersion: 8\n")
    (first / "old-1.5.egg-info").write_text("Version: 1.5\n")

    found = distributions([str(first), str(tmp_path / "not there"), str(second)])

    assert found["entries"] == [
        ["odd", "7"],
        ["old", "1.5"],
        ["only-here", "0.1.dev3"],
        ["pyyaml", "6.0"],
        ["silent", None],
        ["torch", "2.3.0+cu121"],
        ["typing-extensions", "4.12.2"],
        ["zope-interface", "6.0"],
    ]


def test_a_distribution_that_comes_later_is_seen_by_the_next_run(tmp_path: Path) -> None:
    before = distributions([str(tmp_path)])
    (tmp_path / "late-1.0.dist-info").mkdir()
    os.utime(tmp_path, ns=(1, 1))

    assert before["entries"] == []
    assert distributions([str(tmp_path)])["entries"] == [["late", "1.0"]]


def test_what_is_known_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = distributions([str(tmp_path)])
    monkeypatch.setattr(os, "scandir", None)

    assert distributions([str(tmp_path)]) is first


def test_a_long_list_is_a_digest_alone(tmp_path: Path) -> None:
    names = [f"{'n' * 80}-{n}-1.0.dist-info" for n in range(1000)]
    for name in names:
        (tmp_path / name).mkdir()

    found = distributions([str(tmp_path)])

    assert (found["count"], found["entries"]) == (1000, None)


def test_a_folder_of_data_on_the_path_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observability.environment.distributions.MOST_NAMES", 10)
    for n in range(20):
        (tmp_path / f"a{n}-1.0.dist-info").mkdir()

    assert distributions([str(tmp_path)])["entries"] == []


def test_a_zip_archive_on_the_path_is_asked(tmp_path: Path) -> None:
    packed = tmp_path / "packed" / "inside-3.0.dist-info"
    packed.mkdir(parents=True)
    (packed / "METADATA").write_text("Metadata-Version: 2.1\nName: Inside\nVersion: 3.0\n")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", packed.parent)
    (tmp_path / "no.zip").write_bytes(b"no archive")

    found = distributions([archive, str(tmp_path / "no.zip")])

    assert found["entries"] == [["inside", "3.0"]]


# --- Secrets, and texts of any form


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--password", "hunter2"], ["--password", "[REDACTED:key]"]),
        (["--password", "-hunter2"], ["--password", "[REDACTED:key]"]),
        (["--db-password=hunter2", "x"], ["--db-password=[REDACTED:key]", "x"]),
        (["API_KEY=hunter2"], ["API_KEY=[REDACTED:key]"]),
        (["--api-key", "hunter2", "--fast"], ["--api-key", "[REDACTED:key]", "--fast"]),
        (["--token-file", "/run/x", "--max-tokens", "12"], None),
        (["--out=a=b", "k=v", "-", "--", "", "a b"], None),
    ],
)
def test_secrets_of_the_command_line_are_redacted(given: list[str], kept: list[str] | None) -> None:
    assert environment.arguments(given, Gate(Redactor())) == (given if kept is None else kept)


def test_an_argument_is_redacted_by_its_form_as_any_text_is() -> None:
    text = "Authorization: Bearer abcdefghijklmnop"
    redactor = Redactor()

    [_, kept] = environment.arguments(["-H", text], Gate(redactor))

    assert kept == redactor.text("argv", text) != text


def test_nothing_is_redacted_where_that_was_asked_for() -> None:
    assert environment.arguments(["--password", "hunter2"], Gate(None))[1] == "hunter2"


def test_a_callable_hides_what_it_likes(tmp_path: Path) -> None:
    def redact(key: str, text: str) -> str:
        return "someone" if key == "user" else text

    assert run(tmp_path, redact=redact, environment=["user"]) == {"user": "someone"}


def test_selected_variables_are_recorded_and_secret_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "C")
    monkeypatch.setenv("MY_TOKEN", "hunter2")
    monkeypatch.setenv("MY_MODE", "fast")
    monkeypatch.setenv("OTHER", "x")
    monkeypatch.delenv("TZ", raising=False)

    found = run(tmp_path, environment_variables=("MY_*", "NOT_SET"))["variables"]

    assert found["LANG"] == "C"
    assert (found["MY_TOKEN"], found["MY_MODE"]) == ("[REDACTED:key]", "fast")
    assert not {"OTHER", "TZ", "NOT_SET"} & set(found)
    assert list(found) == sorted(found)


@given(st.lists(st.text(max_size=40), max_size=6), st.text(st.characters(), max_size=20))
def test_any_text_of_the_system_can_be_written(argv: list[str], value: str) -> None:
    """File names on the command line need not be text: Python gives lone surrogates then."""
    gate = Gate(Redactor())
    broken = os.fsdecode(b"\xff\xfe") + value

    found = {
        "argv": environment.arguments([*argv, broken], gate),
        "variables": environment.selected({"LANG": broken}, ["LANG"], gate),
    }

    assert orjson.loads(orjson.dumps(found)) == found


def test_a_run_with_a_command_line_of_megabytes_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["x", "\x01" * 10_000, *["file name"] * 100_000])
    monkeypatch.setattr(os, "environ", {f"V{n}": "\x01" * 10_000 for n in range(100)})

    found = environment.capture(
        str(tmp_path), Gate(Redactor()), fields=["argv", "variables"], variables=["V*"],
        environ=dict(os.environ),
    )  # fmt: skip

    assert found["argv"][1].endswith("\x01...")
    assert len(found["argv"]) + int(found["argv"][-1].split()[0][1:]) - 1 == 100_002
    assert len(found["variables"]) + int(found["variables"]["..."].split()[0][1:]) - 1 == 100
    assert len(orjson.dumps(found)) < 900_000


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)

    assert captured("user", environ={}) == {"user": None}
    assert captured("user", environ={"USER": "b"}) == {"user": "b"}


# --- Shown


def shown(out: Path) -> str:
    command = [sys.executable, "-m", "observability", "show", str(out)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_show_says_it_in_a_few_lines(repository: Path, tmp_path: Path) -> None:
    (repository / "a.py").write_text("changed\n")
    out = tmp_path / "out"
    run(out)

    block = shown(out).partition("\nenvironment\n")[2]

    assert f"git       {git('rev-parse', 'HEAD')[:12]} trunk, files changed" in block
    assert "(in code)" in block
    assert f"{distributions()['count']} distributions, sha256:" in block
    assert len(block.splitlines()) <= 6


def test_what_the_machine_says_of_itself_cannot_move_the_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "\x1b[2J")
    monkeypatch.setenv("LOGNAME", "a\nb")
    run(tmp_path)

    said = shown(tmp_path)

    assert "LANG=\\x1b[2J" in said
    assert "a\\nb at " in said
