"""`auditfold report`, run as a process on real files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from observability.cli.errors import ExitCode
from tests.command.running import auditfold, environment, on_terminal
from tests.reading.traces import Clock, TraceBuilder

HOSTILE = "<script>document.title='OWNED'</script>\x1b[2J\u202e"


def build(out: Path, *, nodes: int = 3, failed: int = 0, end: bool = True) -> Path:
    """Write a folder of one run whose first nodes failed."""
    trace = TraceBuilder(
        "audit/step_04/trace_04.jsonl",
        run_id="20261121-070312-aaaaaa",
        workflow_id="step_04_survey",
        clock=Clock(),
    )
    trace.open()
    trace.start(nodes)
    for n in range(nodes):
        trace.node(f"n{n}", n, error="disk full" if n < failed else None)
    if end:
        trace.complete(nodes - failed, failed)
        trace.close()
    trace.save(out)
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return build(tmp_path / "out", failed=1)


def test_a_page_is_written_and_its_size_is_said(out: Path, tmp_path: Path) -> None:
    done = auditfold("report", "out", "-o", "made/page.html", cwd=tmp_path)
    page = tmp_path / "made" / "page.html"

    assert done.returncode == ExitCode.BAD
    assert done.stderr == b""
    assert done.stdout.decode() == f"made/page.html  {page.stat().st_size / 1000:.1f} kB\n"
    assert b"disk full" in page.read_bytes()
    assert page.stat().st_mode & 0o777 == 0o644
    assert out.exists()


@pytest.mark.parametrize(
    ("failed", "end", "code"),
    [(0, True, ExitCode.DONE), (1, True, ExitCode.BAD), (0, False, ExitCode.BAD)],
    ids=["succeeded", "failed", "interrupted"],
)
@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_it_judges_the_work(
    tmp_path: Path, form: str, failed: int, end: bool, code: ExitCode
) -> None:
    build(tmp_path / "out", failed=failed, end=end)

    assert auditfold("report", "out", "--format", form, cwd=tmp_path).returncode == code


def test_json_is_the_report_as_show_has_it(out: Path) -> None:
    shown = auditfold("show", "--json", out)

    assert auditfold("report", out, "--format", "json").stdout == shown.stdout


def test_standard_output_carries_the_page_and_standard_error_its_size(out: Path) -> None:
    done = auditfold("report", out)

    assert done.stdout.startswith(b"<!doctype html>")
    assert done.stderr.decode() == f"{len(done.stdout) / 1000:.1f} kB\n"


def test_standard_input_is_a_trace(out: Path) -> None:
    trace = (out / "audit/step_04/trace_04.jsonl").read_bytes()
    done = auditfold("report", "-", "--format", "md", stdin=trace)

    assert done.returncode == ExitCode.BAD
    assert b"- failed: `n0 #0`: `disk full`" in done.stdout
    assert b"auditfold audit -" in done.stdout


def test_the_verdict_is_that_of_the_audit(out: Path) -> None:
    trace = out / "audit/step_04/trace_04.jsonl"
    trace.write_bytes(trace.read_bytes().replace(b"disk full", b"disk fine"))
    done = auditfold("report", out, "--format", "md")

    assert b"- audit: tampered" in done.stdout
    assert b"`bad_hash`" in done.stdout


def test_without_an_audit_that_is_said(out: Path) -> None:
    assert b"- audit: not done" in auditfold("report", out, "--format", "md", "--no-audit").stdout


def test_a_folder_holds_all_of_it_and_is_replaced(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    first = auditfold("report", out, "-o", folder, "--format", "dir")
    (folder / "nodes-0002.html").write_text("of an earlier, larger run", encoding="utf-8")
    second = auditfold("report", out, "-o", folder, "--format", "dir", "--json")

    assert first.returncode == second.returncode == ExitCode.BAD
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.html",
        "nodes-0001.html",
        "report.json",
    ]
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert orjson.loads(second.stdout) == {
        "path": str(folder),
        "size": size,
        "status": "failed",
        "left_out": [],
    }
    shown = auditfold("show", "--json", out).stdout
    assert (folder / "report.json").read_bytes() == shown


def test_a_folder_with_something_else_in_it_is_left_alone(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("mine", encoding="utf-8")
    done = auditfold("report", out, "-o", folder, "--format", "dir")

    assert done.returncode == ExitCode.USAGE
    assert b"there is something else, 'chapter.txt'" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize(
    "name",
    ["audit/step_04/trace_04.jsonl", "audit/registry.jsonl", "audit/page.html", "audit/step_04/x"],
)
@pytest.mark.parametrize("form", ["html", "json", "dir"])
def test_evidence_is_never_written_over(out: Path, name: str, form: str) -> None:
    (out / "audit/registry.jsonl").touch()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = auditfold("report", out, "-o", out / name, "--format", form)

    assert done.returncode == ExitCode.USAGE
    assert b"evidence is there" in done.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_trace_given_by_itself_is_not_written_over(out: Path, tmp_path: Path) -> None:
    trace = shutil.copy(out / "audit/step_04/trace_04.jsonl", tmp_path / "mine.jsonl")
    done = auditfold("report", trace, "-o", trace)

    assert done.returncode == ExitCode.USAGE
    assert b"evidence is there" in done.stderr


def test_a_device_is_written_to_and_not_replaced(out: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "null"
    pipe.symlink_to("/dev/null")

    assert auditfold("report", out, "-o", pipe).returncode == ExitCode.BAD
    assert pipe.is_symlink()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "dir"], b"want a folder to write"),
        (["--open"], b"want a file to show"),
        (["--json"], b"want a file to write"),
        (["-o", ""], b"want the name of a file"),
        (["--format", "pdf"], b"'pdf' is not one of"),
        (["--template", "nowhere.j2"], b"nowhere.j2: no such file"),
        (["--template", "x.j2", "--format", "md"], b"instead of --format md"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(
    out: Path, arguments: list[str], said: bytes
) -> None:
    done = auditfold("report", out, *arguments)

    assert done.returncode == ExitCode.USAGE
    assert said in done.stderr
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("form", [["--format", form] for form in ("html", "md", "json")])
@pytest.mark.parametrize("name", ["made", "made/", "new/"])
def test_a_directory_in_place_of_the_file_is_wrong_usage(
    out: Path, tmp_path: Path, name: str, form: list[str]
) -> None:
    """It was said of a temporary file beside it, which was none: `.made.d5f1.tmp`."""
    (tmp_path / "made").mkdir()
    done = auditfold("report", out, "-o", name, *form, cwd=tmp_path)

    assert done.returncode == ExitCode.USAGE
    said = (
        f"auditfold report: -o {name}: a directory, want a file; a folder of pages is --format dir"
    )
    assert done.stderr.decode() == f"{said}. See: auditfold report --help\n"
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/dev/null/x.html", "not a directory"),
        ("/dev/null/a/x.html", "not a directory"),
        ("/proc/auditfold.html", "no such file or directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_said_of_the_file_that_was_wanted(
    out: Path, name: str, said: str
) -> None:
    if not Path("/proc").is_dir() and name.startswith("/proc"):
        pytest.skip("no /proc")
    done = auditfold("report", out, "-o", name)

    assert done.returncode == ExitCode.ENVIRONMENT
    assert done.stderr.decode() == f"auditfold report: {name}: {said}\n"


def test_a_terminal_is_not_filled_with_a_page(out: Path) -> None:
    shown, code = on_terminal("report", out)

    assert code == ExitCode.USAGE
    assert b"want a file to write: -o report.html" in shown


def test_a_browser_is_started_with_the_file(out: Path, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n', encoding="utf-8")
    browser.chmod(0o755)
    page = tmp_path / "a page.html"
    done = auditfold("report", out, "-o", page, "--open", env={"BROWSER": str(browser)})

    assert done.stderr == b""
    assert opened.read_text(encoding="utf-8").strip() == page.as_uri()


def test_where_no_browser_is_found_the_file_is_there_nevertheless(
    out: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    done = auditfold("report", out, "-o", page, "--open", env={"BROWSER": "false", "PATH": ""})

    assert b"no browser was found" in done.stderr
    assert page.exists()


# --- Files and steps


BATCH = """
import os, signal, sys
from observability import ExecutionObserver, FileReport, PipelineReport, StepReport
with ExecutionObserver("step_06_batch", "out", use_tqdm=False):
    report = PipelineReport(batch_id=42, kind="process")
    report.set_progress("load", 5, "Loading input files")
    report.append_step(StepReport.begin("load", label="Load inputs").succeed())
    file = FileReport.begin(file_id="f1", path="inputs/data.csv", name="data.csv")
    file.add_completed_step("Verified file exists")
    file.add_review_step("Check class balance", reason="Minor skew detected")
    file.add_failed_step("Feature extraction", reason="NaN values found")
    report.append_file(file)
    second = FileReport.begin(path="inputs/more/data.csv")
    step = StepReport.begin("Parse")
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    second.append_step(step.succeed())
    report.append_file(second)
"""


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A run of two files, recorded by the calls of the older guide."""
    record(tmp_path)
    return tmp_path / "out"


def record(folder: Path, *arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", BATCH, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode


def test_files_and_steps_that_were_recorded_are_shown(batch: Path) -> None:
    shown = auditfold("report", batch, "--format", "md").stdout.decode()

    assert "- failed: `Batch 42 (process)` `load 5 %: Loading input files`" in shown
    assert "- failed: `inputs/data.csv`: `Feature extraction: NaN values found`" in shown
    assert "- `inputs/data.csv` / `Check class balance`: `Minor skew detected`" in shown
    assert shown.partition("## Files")[0].count("Minor skew detected") == 1
    page = auditfold("report", batch).stdout.decode()
    assert page.count("<li>" + '<span class="pill succeeded">succeeded</span> ') >= 2
    assert "<bdi>Load inputs</bdi>" in page


def test_a_run_that_was_killed_in_its_second_file_never_looks_whole(tmp_path: Path) -> None:
    record(tmp_path, "kill")
    done = auditfold("report", "out", "--format", "md", cwd=tmp_path)
    shown = done.stdout.decode()

    assert done.returncode == ExitCode.BAD
    assert shown.startswith("# `step_06_batch`: interrupted\n")
    assert "- failed: `inputs/data.csv`" in shown
    assert "- interrupted: `inputs/more/data.csv`" in shown


# --- Templates of one's own


GUIDE = """
<h1>Batch {{ report.batch_id }} — {{ report.stage }}</h1>
<p>Status: {{ report.percent }}% — {{ report.message }}</p>
<ul>
{% for f in report.files %}
  <li>File {{ f.name or f.file_id }}: {{ f.status }}<ul>
      {% for s in f.steps %}
        <li>{{ s.label }} — {{ s.status }}
        {% if s.review and s.review.flagged %}
          Requires review: {{ s.review.reason }}
        {% endif %}</li>
      {% endfor %}
  </ul></li>
{% endfor %}
</ul>
"""


def templated(out: Path, template: str, *, name: str = "mine.html.j2") -> tuple[bytes, bytes, int]:
    path = out.parent / name
    path.write_text(template, encoding="utf-8")
    done = auditfold("report", out, "--template", path)
    return done.stdout, done.stderr, done.returncode


def test_a_template_gets_the_report(out: Path) -> None:
    shown, _, code = templated(
        out,
        "{% for node in report.nodes %}{{ node.node_id }}={{ node.status }} {% endfor %}"
        "{{ report.status }} {{ audit.report.verdict }} {{ 0.25|seconds }} {{ 1500|size }}",
    )

    assert shown == b"n0=failed n1=succeeded n2=succeeded failed tampered 250 ms 1.5 kB"
    assert code == ExitCode.BAD


def test_the_template_of_the_older_guide_renders(batch: Path) -> None:
    shown, _, _ = templated(batch, GUIDE)
    lines = [line.strip() for line in shown.decode().split("\n") if line.strip()]

    assert lines[:2] == [
        "<h1>Batch 42 — load</h1>",
        "<p>Status: 5% — Loading input files</p>",
    ]
    for line in (
        "<li>File data.csv: failed<ul>",
        "<li>Check class balance — succeeded",
        "Requires review: Minor skew detected",
        "<li>Feature extraction — failed",
    ):
        assert line in lines


def test_the_template_of_the_older_guide_renders_a_run_without_files(out: Path) -> None:
    shown, _, code = templated(out, GUIDE)

    assert b"<h1>Batch " in shown
    assert code == ExitCode.BAD


@pytest.mark.parametrize("name", ["mine.html", "mine.txt", "mine"])
def test_a_template_is_escaped_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    trace = TraceBuilder("audit/step_04/trace_04.jsonl", run_id="r", workflow_id="step_04")
    trace.open()
    trace.start(1)
    trace.node(HOSTILE, 0)
    trace.complete(1)
    trace.close()
    trace.save(out)
    shown, _, _ = templated(out, "{{ report.nodes[0].node_id }}", name=name)

    assert b"<script>" not in shown
    assert b"&lt;script&gt;" in shown


def test_a_template_may_extend_one_beside_it(out: Path) -> None:
    (out.parent / "base.j2").write_text("<{% block b %}{% endblock %}>", encoding="utf-8")
    shown, _, _ = templated(out, "{% extends 'base.j2' %}{% block b %}x{% endblock %}")

    assert shown == b"<x>"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("\n{% for %}", b"mine.html.j2:2: "),
        ("\n\n{{ 1 / 0 }}", b"mine.html.j2:3: ZeroDivisionError: division by zero"),
        ("{% include 'gone.j2' %}", b"it asks for gone.j2, which is not beside it"),
        ("{% include '../secret' %}", b"it asks for ../secret"),
    ],
)
def test_what_is_wrong_with_a_template_is_one_message(
    out: Path, template: str, said: bytes
) -> None:
    (out.parent.parent / "secret").write_text("secret", encoding="utf-8")
    shown, errors, code = templated(out, template)

    assert code == ExitCode.USAGE
    assert said in errors
    assert b"Nothing was written" in errors
    assert errors.count(b"\n") == 1
    assert shown == b""


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ report.__class__.__init__.__globals__ }}",
        "{{ audit.report.__class__.__subclasses__() }}",
    ],
)
def test_a_template_from_elsewhere_reaches_nothing_but_the_report(out: Path, template: str) -> None:
    shown, _, code = templated(out, f"a{template}b")

    assert shown in {b"ab", b""}
    assert code in {ExitCode.BAD, ExitCode.USAGE}


def test_without_the_extra_it_is_said_how_to_get_it(out: Path, tmp_path: Path) -> None:
    """jinja2 is no part of a plain installation; Markdown and JSON need none."""
    (tmp_path / "jinja2.py").write_text("raise ModuleNotFoundError(name='jinja2')")
    root = Path(__file__).resolve().parents[2]
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    page = auditfold("report", out, "-o", tmp_path / "x.html", env=env)

    assert page.returncode == ExitCode.ENVIRONMENT
    assert page.stderr == b"'report' needs: pip install 'auditfold[report]'\n"
    assert auditfold("report", out, "--format", "md", env=env).returncode == ExitCode.BAD
