"""A page as Markdown, for an issue, a pull request, or a chat: what matters, in short.

Every text that somebody else wrote stands in a code span, where neither Markdown nor HTML, nor
a name of a person or a number of an issue, means anything.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from replay.show.page.units import TITLES, Tree, Unit, View, decision_text
from replay.show.page.view import Audited, Page, Problem, outputs_of
from replay.show.page.wording import short
from replay.show.text import count_text, second_text, seconds_text, size_text
from replay.version import __version__

_MOST_ROWS: Final = 200
_MOST_OF_AN_ERROR: Final = 400
_MOST_LISTED: Final = 20
_TICKS: Final = re.compile("`+")


def code(text: str) -> str:
    r"""Return *text*, of one line, as a code span that a table may hold.

    >>> code("a.txt"), code("`x` | y"), code("")
    ('`a.txt`', '`` `x` \\| y ``', '')
    """
    if not text:
        return ""
    longest = max((len(found) for found in _TICKS.findall(text)), default=0)
    fence = "`" * (longest + 1)
    room = " " if text[0] in "` " or text[-1] in "` " else ""
    # A bar in a table ends a cell even inside a code span.
    return f"{fence}{room}{text.replace('|', chr(92) + '|')}{room}{fence}"


def markdown(head: View, tree: Tree, page: Page, *, audited: Audited | None) -> Iterator[str]:
    """Yield the lines, without newlines.

    Args:
        head: The report of the run.
        tree: Its units.
        page: What stands on the page.
        audited: The audit of its evidence, None if there was none.
    """
    assumed = " (assumed)" if page.assumed else ""
    yield f"# {code(page.title)}: {page.status}{assumed}"
    yield ""
    yield ", ".join(text for _, text in page.tallies) or "no node"
    yield ""
    yield from (f"- {name}: {code(text)}" for name, text in page.facts)
    yield from (f"- {status}: {code(name)} {code(said)}" for status, name, said in page.batches)
    yield f"- audit: {'not done' if page.verdict is None else page.verdict[0]}"
    yield from _failed(page)
    yield from _reviews(page)
    for kind, title in TITLES.items():
        yield from _units(title, kind, tree.of(kind), page.counts[kind])
    yield from _outputs(head, page, audited)
    yield from _environment(page)
    yield from _audit(page)
    yield ""
    yield f"Folded by auditfold {__version__}; times are UTC."


def _failed(page: Page) -> Iterator[str]:
    yield from ("", "## What failed", "")
    if page.error:
        yield f"- the run: {_error(page.error)}"
    yield from map(_problem, page.problems)
    if page.more_problems:
        yield f"- and {count_text(page.more_problems, 'more unit')}"
    if not page.problems and not page.error:
        yield "Nothing failed." if page.status != "interrupted" else "It ended without saying how."


def _problem(problem: Problem) -> str:
    names = ", ".join(code(unit.name) for unit in problem.units)
    more = f" and {problem.more:,} more" if problem.more else ""
    said = f": {_error(problem.error)}" if problem.error else ""
    said += "" if problem.same else " (the first of them; others differ in numbers)"
    return f"- {problem.status}: {names}{more}{said}"


def _error(text: str) -> str:
    return code(short(text, _MOST_OF_AN_ERROR))


def _reviews(page: Page) -> Iterator[str]:
    yield from ("", "## What awaits review", "")
    for unit, step, review in page.requests:
        of = f" / {code(step)}" if step else ""
        reason = f": {_error(review.reason)}" if review.reason else ""
        before = f" ({code(decision_text(review))})" if review.decision else ""
        yield f"- {code(unit.name)}{of}{reason}{before}"
    if page.more_requests:
        yield f"- and {page.more_requests:,} more"
    if not page.requests:
        yield "Nothing."


def _units(title: str, kind: str, every: Iterable[Unit], count: int) -> Iterator[str]:
    if not count:
        return
    yield from ("", f"## {title} ({count:,})", "")
    yield from _table(("status", kind, "time", "started", "what happened"))
    for unit in islice(every, _MOST_ROWS):
        started = unit.view.get("started_at")
        decided = (decision_text(review) for _, review in unit.reviews if review.decision)
        texts = (unit.error, unit.facts, *decided)
        what = [code(short(text, _MOST_OF_AN_ERROR)) for text in texts if text]
        yield _row(
            unit.status,
            code(unit.name),
            seconds_text(unit.seconds),
            "" if not started else second_text(started),
            " ".join(what),
        )
    yield from _left_out(count - _MOST_ROWS, kind)


def _outputs(head: View, page: Page, audited: Audited | None) -> Iterator[str]:
    if not page.n_outputs:
        return
    yield from ("", f"## Outputs ({page.n_outputs:,})", "")
    yield from _table(("path", "size", "as of the audit", "digest"))
    for one in islice(outputs_of(head, audited), _MOST_ROWS):
        yield _row(code(one.path), size_text(one.size), one.state, code(one.digest))
    yield from _left_out(page.n_outputs - _MOST_ROWS, "output")


def _environment(page: Page) -> Iterator[str]:
    if not page.environment:
        return
    yield from ("", "## Environment", "")
    for name, text in page.environment:
        lines = text.count("\n") + 1
        yield f"- {code(name)}: {f'{lines} lines' if lines > 1 else code(text)}"


def _audit(page: Page) -> Iterator[str]:
    yield from ("", "## Audit", "")
    if page.verdict is None:
        yield "The evidence was not audited when this was made."
        return
    yield f"{page.verdict[0]}: {page.verdict[1]}"
    yield ""
    yield from (f"- {name}: {code(text)}" for name, text in page.audit_facts)
    for finding in page.findings[:_MOST_LISTED]:
        yield f"- {finding.severity} {code(finding.code)}: {_error(finding.message)}"
    more = len(page.findings) - _MOST_LISTED + page.more_findings
    if more > 0:
        yield f"- and {count_text(more, 'more finding')}"


def _table(headings: Sequence[str]) -> Iterator[str]:
    yield _row(*headings)
    yield "|" + "---|" * len(headings)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _left_out(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield ""
        yield f"And {count_text(count, 'more ' + what)}: `auditfold report --format json`."
