"""The HTML page: what stands on it, what it may not hold, how long it may be."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.findings import Verdict
from replay.show.line import HARMFUL
from replay.show.page.rendering import MOST_BYTES, Rendered, folder, html
from replay.show.page.units import tree_of, units
from replay.show.page.view import page_of
from tests.pages import made

# Elements without an end.
VOID = {"meta", "input"}
TAGS = {
    *[
        "a",
        "article",
        "b",
        "bdi",
        "body",
        "caption",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "footer",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "li",
        "line",
        "main",
        "meta",
        "nav",
        "ol",
        "p",
        "pre",
        "rect",
        "script",
        "section",
        "small",
        "span",
        "style",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ]
}
ATTRIBUTES = {
    *[
        "aria-label",
        "aria-labelledby",
        "charset",
        "class",
        "content",
        "data-by",
        "height",
        "href",
        "http-equiv",
        "id",
        "lang",
        "name",
        "rel",
        "role",
        "rx",
        "scope",
        "tabindex",
        "text-anchor",
        "width",
        "x",
        "x1",
        "x2",
        "y",
        "y1",
        "y2",
    ]
}


class Page(HTMLParser):
    """A page, taken apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.headings_in: list[str] = []
        self.texts: list[str] = []
        self.style = self.script = ""
        self.policy = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.remove(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        assert len(fields) == len(attrs), self.get_starttag_text()
        self.tags.add(tag)
        self.attributes.update(fields)
        if tag not in VOID:
            self._open.append(tag)
        if "id" in fields:
            self.ids.append(fields["id"] or "")
        if "href" in fields:
            self.links.append(fields["href"] or "")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if fields.get("http-equiv") == "Content-Security-Policy":
            self.policy = fields["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        where = self._open[-1] if self._open else ""
        if where == "style":
            self.style += data
        elif where == "script":
            self.script += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def rendered(report: dict[str, Any], *, most_bytes: int = MOST_BYTES) -> Rendered:
    tree, audit = tree_of(report), made.audited()
    page = page_of(report, tree, audit)
    return html(report, tree, page, audited=audit, most_bytes=most_bytes)


def page(report: dict[str, Any]) -> Page:
    return Page(rendered(report).text.decode())


REPORTS = {"nested": made.nested(), "hostile": made.hostile(), "empty": made.head()}
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


# --- What stands on it


def test_what_failed_and_what_awaits_review_stand_first() -> None:
    text = page(made.nested()).text
    order = [
        "Batch 42",
        "1 file failed",
        "audit: complete",
        "What failed",
        "Feature extraction: NaN values found",
        "OSError: disk full",
        "What awaits review",
        "Minor skew detected",
        "Timeline",
        "Files",
        "Nodes",
        "Outputs",
        made.DIGEST,
        "Audit",
        "2026-11-21 07:03:09 UTC, in 250 ms",
        "Environment",
        "3.12.4",
    ]
    place = 0
    for one in order:
        place = text.find(one, place)
        assert place != -1, one


def test_a_file_shows_its_steps_with_checks_notes_warnings_and_reviews() -> None:
    text = page(made.nested()).text

    for said in (
        "Check class balance",
        "12 % positives",
        "17 in column 'price'",
        "ValueError: NaN",
        "awaits review",
        "review: approved by ada, 2026-11-21 07:03:01 UTC: odd size",
        "changed since, so open again",
        '"price"',
        "2 of 2 steps",
    ):
        assert said in text


def test_what_a_check_said_is_said_once() -> None:
    """The end of a step and of a file repeat the check: a page had the reason up to three times."""
    bare = made.step("Load", status="failed", errors=["Check 'rows' failed"])
    bare["checks"] = [{"name": "rows", "ok": False, "detail": None}]
    both = made.step("Sort", status="failed", errors=["bad order", "2 differ"])
    both["checks"] = [{"name": "order", "ok": False, "detail": "2 differ"}]
    errors = ["Check 'rows' failed", "bad order; 2 differ", "of its own"]
    file = made.file("a.csv", status="failed", errors=errors, steps=[bare, both])

    (unit,) = units("file", [file])

    assert unit.error.split("\n") == [
        "of its own",
        "Load: Check 'rows' failed",
        "Sort: bad order",
        "check order: 2 differ",
    ]


def stopped_file(error: str) -> dict[str, Any]:
    """Return a file that an exception stopped after one of its steps had failed."""
    check = made.step("Look", status="failed", errors=["disk", "1 of 2"])
    check["checks"] = [{"name": "rows", "ok": False, "detail": "1 of 2"}]
    kind = error.partition("(")[0]
    errors = ["noted before", "disk; 1 of 2", "disk on", f"{kind}: {error}"]
    file = made.file("a.csv", status="failed", errors=errors, steps=[check])
    file["metadata"] = {"traceback": f'Traceback:\n  File "a.py"\nmodule.{kind}: {error}\n'}
    return file


def test_the_exception_that_stopped_a_file_comes_first_and_its_steps_last() -> None:
    """Steps that failed came first, and a text that stands inside of theirs was left out."""
    (unit,) = units("file", [stopped_file("disk on fire")])

    assert unit.reasons == [
        "disk on fire: disk on fire",
        "noted before",
        "disk on",
        "Look: disk\ncheck rows: 1 of 2",
    ]


def test_a_long_reason_leaves_room_for_those_behind_it() -> None:
    """A long reason pushed the others out of what a page says first."""
    report = made.head(status="failed", files=[stopped_file("x" * 5000)])
    found = page(report)
    (problem,) = page_of(report, tree_of(report), None).problems

    begin, *rest = problem.error.split("\n")
    assert begin.startswith("x" * 200)
    assert begin.endswith("... (10,002 characters)")
    assert rest == ["noted before", "disk on", "Look: disk", "check rows: 1 of 2"]
    assert problem.error in found.text


def test_a_decided_request_does_not_await_review_and_a_stale_one_does() -> None:
    report = made.nested()
    found = page_of(report, tree_of(report), None)

    assert [(r.unit.name, r.step) for r in found.requests] == [
        ("inputs/data.csv", "Check class balance"),
        ("inputs/late.csv", ""),
    ]


def test_failures_that_differ_in_numbers_only_are_one_problem() -> None:
    nodes = [made.node(f"n{n}", status="failed", error=f"broken at {n}") for n in range(100)]
    report = made.head(status="failed", nodes=nodes)
    (problem,) = page_of(report, tree_of(report), None).problems

    assert (problem.error, problem.same, problem.more) == ("broken at 0", False, 92)
    assert [unit.name for unit in problem.units] == [f"n{n}" for n in range(8)]


def test_a_page_without_an_audit_says_so() -> None:
    report = made.nested()
    tree = tree_of(report)
    text = html(report, tree, page_of(report, tree, None), audited=None).text.decode()

    assert "not audited" in Page(text).text


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_shown(verdict: Verdict) -> None:
    report = made.head()
    tree, audit = tree_of(report), made.audited(verdict)
    text = html(report, tree, page_of(report, tree, audit), audited=audit).text.decode()

    assert f"audit: {verdict}" in Page(text).text


# --- What it may not hold


@every_report
def test_a_page_has_known_elements_and_attributes_only(report: dict[str, Any]) -> None:
    """Whatever a run says is text: no element, no attribute comes of it."""
    found = page(report)

    assert found.tags <= TAGS
    assert found.attributes <= ATTRIBUTES


@every_report
def test_a_page_needs_nothing_from_anywhere(report: dict[str, Any]) -> None:
    found = page(report)

    assert [link for link in found.links if not link.startswith("#")] == []
    assert "url(" not in found.style
    assert "@import" not in found.style
    assert {link[1:] for link in found.links} <= set(found.ids)


@every_report
def test_ids_are_unique(report: dict[str, Any]) -> None:
    ids = page(report).ids

    assert len(ids) == len(set(ids))


@every_report
def test_the_policy_allows_this_style_and_this_script_only(report: dict[str, Any]) -> None:
    found = page(report)

    def hashed(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert found.policy.split("; ") == [
        "default-src 'none'",
        f"style-src {hashed(found.style)}",
        f"script-src {hashed(found.script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]


@every_report
def test_no_control_character_and_no_direction_mark_reaches_a_page(report: dict[str, Any]) -> None:
    found = HARMFUL.findall(rendered(report).text.decode())

    assert set(found) <= {"\n"}


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_name_stands_on_the_page_as_it_is_or_escaped(name: str) -> None:
    report = made.head(status="failed", nodes=[made.node(name, status="failed", error=name)])
    found = page(report)

    assert found.tags <= TAGS
    assert found.attributes <= ATTRIBUTES


def test_a_long_name_is_cut_and_its_length_is_said() -> None:
    found = rendered(made.head(nodes=[made.node("x" * 10_000)])).text

    assert b"x" * 200 not in found
    assert b"(10,000 characters)" in found


# --- Reading it


@every_report
def test_headings_come_in_order(report: dict[str, Any]) -> None:
    levels = page(report).headings

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


INKS = ["text", "dim", "link", "good", "bad", "warn", "run", "look", "none"]
TINTS = ["good", "bad", "warn", "run", "look", "none"]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_has_a_contrast_of_4_5(scheme: int) -> None:
    style = page(made.head()).style
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    pairs = [(ink, paper) for ink in INKS for paper in ("ground", "panel")]
    pairs += [(tint, f"{tint}-tint") for tint in TINTS]
    # A row that a link leads to.
    pairs += [(ink, "look-tint") for ink in INKS]

    assert {pair for pair in pairs if contrast(colours[pair[0]], colours[pair[1]]) < 4.5} == set()


# --- How long it may be


def test_ten_thousand_nodes_fit_five_megabytes() -> None:
    found = rendered(made.many(10_000))

    assert len(found.text) <= MOST_BYTES
    assert found.text.count(b"<tr id=") == 10_000


def test_what_has_no_room_is_counted_and_what_failed_is_there() -> None:
    found = rendered(made.many(3_000), most_bytes=400_000)
    text = found.text.decode()
    rows, whole = text.count("<tr id="), text.count("<details><summary><bdi>")

    assert len(found.text) <= 400_000
    assert found.left_out == [f"{3_000 - rows} nodes and details of {rows - whole} nodes"]
    assert found.left_out[0] in text
    failed = [text.split(f'<tr id="n{n}">')[1].split("</tr>")[0] for n in range(51, 3_000, 100)]
    assert all("<details>" in row for row in failed)


def test_files_leave_room_for_nodes() -> None:
    report = made.many(1_000)
    report["files"] = [made.file(f"f{n}.csv", steps=[made.step("s")]) for n in range(2_000)]
    text = rendered(report, most_bytes=400_000).text

    assert len(text) <= 400_000
    assert text.count(b'<tr id="f') > 200
    assert text.count(b'<tr id="n') > 200


def test_a_row_that_the_page_leads_to_has_room() -> None:
    report = made.many(3_000)
    for node in report["nodes"][:2990]:
        node.update(status="failed", error="the same")
    report["nodes"][2995].update(status="failed", error="another one")
    found = Page(rendered(report, most_bytes=400_000).text.decode())

    assert "another one" in found.text
    assert {link[1:] for link in found.links} <= set(found.ids)


def test_texts_as_long_as_they_may_be_fit_five_megabytes() -> None:
    """Each character of these takes six on a page."""
    text = "\u202e" * 10_000
    nodes = [
        made.node(f"{n}{text}", n, status="failed", error=f"{chr(97 + n % 26)}{n}{text}",
                  error_type=text, traceback=text)
        for n in range(300)
    ]  # fmt: skip
    report = made.head(
        status="failed",
        error=text,
        traceback=text,
        nodes=nodes,
        messages=[{"timestamp": made.at(1), "level": text, "text": text}] * 300,
        outputs=[{**made.output(text), "node_id": text, "node_index": 1}] * 1000,
        environment={f"{n}": text for n in range(20)},
    )

    assert len(rendered(report).text) <= MOST_BYTES


def test_a_folder_leaves_nothing_out() -> None:
    report = made.many(2_500)
    report["outputs"] = [
        {**made.output(f"o{n}"), "node_id": None, "node_index": None} for n in range(1_200)
    ]
    tree = tree_of(report)
    files = dict(folder(report, tree, page_of(report, tree, None), audited=None))
    pages = {name: Page(text.decode()) for name, text in files.items()}

    assert list(files) == [
        *(f"nodes-{n:04d}.html" for n in (1, 2, 3)),
        *(f"outputs-{n:04d}.html" for n in (1, 2)),
        "index.html",
    ]
    names = [text for name in files if name.startswith("nodes") for text in pages[name].texts]
    assert {f"images/{n:06d}.png #{n}" for n in range(2_500)} <= set(names)
    outside = {link for found in pages.values() for link in found.links if link[:1] != "#"}
    assert outside == {*files, "report.json"}


def test_the_same_report_gives_the_same_bytes() -> None:
    assert rendered(made.nested()).text == rendered(made.nested()).text
