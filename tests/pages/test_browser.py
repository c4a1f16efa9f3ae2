"""The page in a real browser: what runs on it, and what it can do."""

import base64
import hashlib
import re
from functools import partial
from pathlib import Path

import pytest

from replay.show.page.rendering import html
from replay.show.page.units import tree_of
from replay.show.page.view import page_of
from tests.pages import made
from tests.pages.chromium import dom, look, program


@pytest.fixture(scope="module", autouse=True)
def browser() -> str:
    return program()


def written(folder: Path, name: str, probe: str = "") -> Path:
    """Write a page; a *probe* is a script of the test, which the policy is told to allow."""
    report = {"nested": made.nested, "hostile": made.hostile}.get(name, partial(made.many, 40))()
    tree, audit = tree_of(report), made.audited(text=made.HOSTILE[0])
    text = html(report, tree, page_of(report, tree, audit), audited=audit).text.decode()
    if probe:
        digest = base64.b64encode(hashlib.sha256(probe.encode()).digest()).decode()
        text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
        text = text.replace("</body>", f"<script>{probe}</script></body>")
    path = folder / f"{name}.html"
    path.write_text(text, encoding="utf-8")
    return path


def title(document: str) -> str:
    found = re.search("<title>(.*?)</title>", document)
    assert found is not None
    return found[1]


def rows(document: str, table: str = "units") -> list[str]:
    """Return the ids of the rows that are shown, in their order."""
    tables = re.findall(rf'<table class="{table} .*?</table>', document, re.DOTALL)
    return re.findall(r'<tr id="(\w+)">', tables[-1])


def test_hostile_names_do_not_run(tmp_path: Path) -> None:
    document = dom(written(tmp_path, "hostile"))

    assert "OWNED" in title(document)
    assert title(document).startswith("failed: &lt;script&gt;")
    assert document.count("<script>") == 1
    assert "<img" not in document
    assert "svg" not in "".join(re.findall('class="pill([^"]*)"', document))


def test_a_script_that_got_onto_the_page_would_not_run(tmp_path: Path) -> None:
    """The second line: escaping fails, and the policy refuses what nobody hashed."""
    page = written(tmp_path, "nested")
    text = page.read_text(encoding="utf-8")
    hole = "<script>document.title='OWNED'</script><img src=x onerror=\"document.title='OWNED'\">"
    page.write_text(text.replace("</main>", f"{hole}</main>"), encoding="utf-8")

    assert title(dom(page)) == "failed: step_04_convert"


def test_a_page_is_whole_without_javascript(tmp_path: Path) -> None:
    page = written(tmp_path, "nested")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"""<!doctype html><title>no</title>
        <iframe width=1200 height=900 sandbox="allow-same-origin" src="{page.name}"></iframe>
        <script>onload = () => {{
          const root = frames[0].document.documentElement;
          const made = root.querySelectorAll("input, button").length;
          const bars = root.querySelectorAll("svg rect").length;
          for (const one of root.querySelectorAll("details")) one.open = true;
          const said = ["NaN values found", "Minor skew detected", "OSError: disk full", "3.12.4"];
          const found = said.filter((one) => root.innerText.includes(one)).length;
          document.title = `${{made}} ${{bars}} ${{found}}`;
        }}</script>""",
        encoding="utf-8",
    )

    assert title(dom(frame, "--allow-file-access-from-files")) == "0 6 4"


def test_rows_are_sorted_by_a_click_and_come_back(tmp_path: Path) -> None:
    probe = """
    const heads = document.querySelectorAll("table.units thead button");
    const order = () => [...document.querySelectorAll("table.units tbody tr")].map((r) => r.id);
    const found = [];
    heads[0].click(); found.push(order()[0]);
    heads[1].click(); found.push(order()[0]);
    heads[1].click(); found.push(order()[0]);
    found.push(heads[1].parentElement.getAttribute("aria-sort"));
    heads[1].click(); found.push(order().join() === [...order()].map((_, n) => `n${n + 1}`).join());
    document.title = found.join(" ");
    """
    document = dom(written(tmp_path, "many", probe))

    # By status; by name up; by name down; as they came.
    assert title(document).split() == ["n1", "n1", "n40", "descending", "true"]


def test_rows_are_filtered_by_text_and_by_status(tmp_path: Path) -> None:
    probe = """
    const words = document.querySelector("input[type=search]");
    const status = document.querySelector("select");
    const shown = () => document.querySelectorAll("table.units tbody tr:not([hidden])").length;
    const said = () => document.querySelector("output").textContent;
    const found = [];
    words.value = "00003"; words.dispatchEvent(new Event("input")); found.push(shown(), said());
    words.value = ""; words.dispatchEvent(new Event("input"));
    status.value = "succeeded"; status.dispatchEvent(new Event("change")); found.push(shown());
    document.title = found.join("; ");
    """
    document = dom(written(tmp_path, "many", probe))

    assert title(document) == "11; 11 of 40 shown; 40"


def test_a_link_opens_the_details_of_its_row(tmp_path: Path) -> None:
    page = written(tmp_path, "nested")

    assert "<details open=" not in dom(page)
    document = dom(page, fragment="#f1")
    row = document[document.index('<tr id="f1"') :]
    assert row.index("<details open=") < row.index("</tr>")


def test_everything_that_can_be_used_can_be_reached_by_the_keyboard(tmp_path: Path) -> None:
    probe = """
    const used = document.querySelectorAll("a, button, input, select, summary, pre, .chart");
    const lost = [...used].filter((e) => e.tabIndex !== 0).map((e) => e.outerHTML);
    const names = [...document.querySelectorAll("button, input, select")]
      .filter((e) => !(e.textContent || e.getAttribute("aria-label")));
    document.title = `${used.length > 20} ${lost.length} ${names.length} ${lost.join()}`;
    """

    assert title(dom(written(tmp_path, "nested", probe))) == "true 0 0 "


@pytest.mark.parametrize("width", [320, 400, 800, 1400])
@pytest.mark.parametrize("name", ["nested", "hostile"])
def test_no_page_is_wider_than_the_window(tmp_path: Path, name: str, width: int) -> None:
    """A window of Chromium is at least 500 wide: narrower ones are frames."""
    page = written(tmp_path, name)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"""<!doctype html><title>no</title>
        <iframe width={width} height=600 src="{page.name}"></iframe>
        <script>onload = () => {{
          const root = frames[0].document.documentElement;
          for (const one of root.querySelectorAll("details")) one.open = true;
          const wide = [...root.querySelectorAll("main *, header *, footer *")]
            .filter((one) => one.getBoundingClientRect().right > root.clientWidth)
            .filter((one) => !one.closest("pre, svg, .hidden, .lanes"));
          document.title = root.scrollWidth <= root.clientWidth ? "fits"
            : `wide ${{root.scrollWidth}} ${{wide.at(-1)?.outerHTML.slice(0, 200)}}`;
        }}</script>""",
        encoding="utf-8",
    )

    assert title(dom(frame, "--allow-file-access-from-files")) == "fits"


def contrasts(scheme: str) -> str:
    return (
        """
    const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    const light = (rgb) => {
      const [r, g, b] = rgb.map((c) => c / 255)
        .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = (element) => {
      for (let one = element; one; one = one.parentElement) {
        const found = parse(getComputedStyle(one).backgroundColor);
        if (found.length === 3 || found[3] > 0) return found.slice(0, 3);
      }
      return [255, 255, 255];
    };
    for (const one of document.querySelectorAll("details")) one.open = true;
    let worst = 99, count = 0, who = "";
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || element.closest("script, svg")) continue;
      const ink = light(parse(getComputedStyle(element).color).slice(0, 3));
      const ground = light(paper(element));
      const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
      count += 1;
      if (ratio < worst) [worst, who] = [ratio, element.outerHTML.slice(0, 80)];
    }
    const scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    document.title = `${scheme === "SCHEME"} ${count > 100} ${worst >= 4.5} ${worst} ${who}`;
    """
    ).replace("SCHEME", scheme)


@pytest.mark.parametrize(("scheme", "setting"), [("light", 1), ("dark", 0)])
def test_texts_as_drawn_have_a_contrast_of_4_5(tmp_path: Path, scheme: str, setting: int) -> None:
    page = written(tmp_path, "nested", contrasts(scheme))
    document = dom(page, f"--blink-settings=preferredColorScheme={setting}")

    assert title(document).startswith("true true true"), title(document)


def test_a_page_can_be_printed(tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    look(written(tmp_path, "nested"), "--no-pdf-header-footer", f"--print-to-pdf={printed}")

    assert printed.read_bytes().startswith(b"%PDF")


def n_printed_pages(page: Path) -> int:
    printed = page.with_suffix(".pdf")
    look(page, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    return len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))


@pytest.mark.parametrize("scripts", [True, False])
def test_what_stands_behind_more_is_printed(tmp_path: Path, *, scripts: bool) -> None:
    """On paper nobody could open "35 more that differ from these": they were not told."""
    report = made.head(status="failed")
    report["nodes"] = [
        made.node(chr(ord("a") + n % 26) * (n // 26 + 1), status="failed", error="x" * (n + 1))
        for n in range(40)
    ]
    tree, audit = tree_of(report), made.audited()
    text = html(report, tree, page_of(report, tree, audit), audited=audit).text.decode()
    if not scripts:
        text = re.sub("<script>.*?</script>", "", text, flags=re.DOTALL)
    closed, opened = tmp_path / "closed.html", tmp_path / "opened.html"
    closed.write_text(text, encoding="utf-8")
    opened.write_text(text.replace('class="rest"', 'class="rest" open'), encoding="utf-8")
    without = tmp_path / "without.html"
    without.write_text(
        re.sub(
            '<details class="rest">.*?</details>\\s*</section>', "</section>", text, flags=re.DOTALL
        ),
        encoding="utf-8",
    )

    assert n_printed_pages(closed) == n_printed_pages(opened) > n_printed_pages(without)
