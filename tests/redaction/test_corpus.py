"""Every secret of the corpus goes, wherever it stands; no harmless text is touched."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.redaction.redact import RULES, Redactor
from observability.values import Gate
from tests.redaction.corpus import Case, harmless, secrets

SECRETS = secrets()
HARMLESS = harmless()


def test_the_corpus_is_large_enough_and_every_rule_is_in_it() -> None:
    assert len(HARMLESS) >= 300
    assert len(set(HARMLESS)) == len(HARMLESS)
    assert {case.rule for case in SECRETS} == {rule.name for rule in RULES}


@pytest.mark.parametrize("case", SECRETS, ids=[f"{n}-{c.rule}" for n, c in enumerate(SECRETS)])
def test_a_secret_goes_and_nothing_else(case: Case) -> None:
    redactor = Redactor()

    assert redactor.suspects(case.text)
    assert redactor.scrub(case.text) == case.kept


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_a_harmless_text_stays(text: str) -> None:
    assert Redactor().scrub(text) == text


def test_all_harmless_texts_stay_when_they_are_one_text() -> None:
    """What is harmless alone gets no meaning from the line before it."""
    text = "\n".join(HARMLESS)

    assert Redactor().scrub(text) == text


# A private key that is cut off goes on to the end of the text, whatever stands there.
WHOLE = [case for case in SECRETS if "cut" not in case.text]


@given(
    case=st.sampled_from(WHOLE),
    before=st.lists(st.sampled_from(HARMLESS), max_size=4),
    after=st.lists(st.sampled_from(HARMLESS), max_size=4),
)
def test_a_secret_goes_wherever_it_stands(case: Case, before: list[str], after: list[str]) -> None:
    text = "\n".join([*before, case.text, *after])

    assert Redactor().scrub(text) == "\n".join([*before, case.kept, *after])


@given(
    cases=st.lists(st.sampled_from(WHOLE), min_size=2, max_size=6),
    joined=st.sampled_from(["\n", "\r\n", "\n\t", "\n\n"]),
)
def test_many_secrets_go_together_and_stay_gone(cases: list[Case], joined: str) -> None:
    redactor = Redactor()

    kept = redactor.scrub(joined.join(case.text for case in cases))

    assert kept == joined.join(case.kept for case in cases)
    assert redactor.scrub(kept) == kept


@pytest.mark.parametrize("case", SECRETS, ids=[f"{n}-{c.rule}" for n, c in enumerate(SECRETS)])
def test_a_secret_goes_from_every_place_of_a_payload(case: Case) -> None:
    payloads: list[Any] = [
        {"text": case.text},
        {"a": {"b": [{"c": [case.text, 1]}]}},
        {"pair": ["note", case.text]},
        {case.text: 1},
    ]
    gate = Gate(Redactor())
    for payload in payloads:
        kept = gate.strict(payload)
        assert str(kept).count("[REDACTED:")
        for secret in case.secrets:
            assert secret not in repr(kept)
            assert secret not in repr(gate.lenient(payload))
    for secret in case.secrets:
        assert secret not in gate.text("traceback", f"ValueError: {case.text}\n")
        assert secret not in gate.name("node_id", case.text)


# What follows these is what tells them: an `@`, an end tag, a bracket.
TOLD_BY_WHAT_FOLLOWS = {"url-password", "data-source", "element", "pair", "session-cookie"}


def test_a_cut_text_shows_no_whole_secret() -> None:
    """A text that was cut inside a secret may show its beginning, never all of it."""
    redactor = Redactor()
    chosen = random.Random(17)
    for case in (case for case in SECRETS if case.rule not in TOLD_BY_WHAT_FOLLOWS):
        for _ in range(5):
            kept = redactor.scrub(case.text[: chosen.randrange(len(case.text) + 1)])
            assert not any(secret in kept for secret in case.secrets if len(secret) > 3)
