"""Secrets: found by the name of their key or by their form, and replaced before anything is kept.

The marker is `[REDACTED:rule]`; it names the rule and holds nothing of the secret.  Only what a
caller gave comes here, before it is stamped and hashed.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from observability.redaction.provider_keys import PROVIDER_KEYS, Rule
from observability.redaction.secret_forms import FORMS, LONE_OPTION, PRIVATE_KEY
from observability.redaction.secret_names import is_secret_name

Redact = Sequence[tuple[str, str]] | Callable[[str, str], str | None] | bool | None

_REMEMBERED: Final = 10_000  # keys, so that hostile ones cannot fill memory
SHORTEST: Final = 8  # characters; shorter ones hold a password of three letters at most
_SHORTEST_KEY: Final = 15  # characters of the shortest key that a provider hands out

RULES: Final[tuple[Rule, ...]] = (PRIVATE_KEY, *PROVIDER_KEYS, *FORMS)

# What stands behind these characters in the keys of providers.
_UNDERSCORED: Final = re.compile("_[0-9a-z+/_-]{16}")
_HYPHENATED: Final = re.compile("-[0-9a-z+/_.-]{10}")
_DOTTED: Final = re.compile(r"\.[0-9a-z_.-]{16}")
_HYPHENATED_NEEDLES: Final = (
    *(needle for rule in PROVIDER_KEYS for needle in rule.needles if "-" in needle),
    *("sq0", "xox"),
)
_DOTTED_NEEDLES: Final = (
    *(needle for rule in PROVIDER_KEYS for needle in rule.needles if needle.endswith(".")),
    *("pat", "xox"),
)
_DISCORD: Final = re.compile(r"\.[0-9a-z_-]{6}\.[0-9a-z_-]{27}")
_TELEGRAM: Final = re.compile(":aa[0-9a-z_-]{33}")
_TWILIO: Final = re.compile("sk[0-9a-f]{32}")

_PASS_IS: Final = re.compile(r"pass(?:w|ph|code|[\W_\d]|in\b|out\b|s[\W_])")
_TOKEN_IS: Final = re.compile(r"token(?:\\*[\"'`]|\]|%3|[ \t]*[:=>,]|\s+value)|--")
_AUTH_IS: Final = re.compile(r"authorization|_auth|auth\\*\"")
_KEY_IS: Final = re.compile(
    r"(?:access|account|api|app|application|auth|decryption|encryption|functions|master|private|"
    r"secret|shared|signing|subscription)[_. -]?keys?"
)


def _may_hold_key(low: str) -> bool:
    """Return False where no key of a provider is in *low*, a text in lower case.

    One character first, which prose seldom has: a search for it costs 0.03 us.
    """
    if "_" in low and _UNDERSCORED.search(low) is not None:
        return True
    if "-" in low and (
        "private key" in low
        or "-us" in low
        or (
            _HYPHENATED.search(low) is not None
            and any(needle in low for needle in _HYPHENATED_NEEDLES)
        )
    ):
        return True
    if (
        "." in low
        and _DOTTED.search(low) is not None
        and (any(needle in low for needle in _DOTTED_NEEDLES) or _DISCORD.search(low) is not None)
    ):
        return True
    return (
        "akia" in low
        or "asia" in low
        or "aiza" in low
        or "eyj" in low
        or "ltai" in low
        or "oy2" in low
        or "dapi" in low
        or "atatt3" in low
        or "gr1348941" in low
        or "1//0" in low
        or "+ast" in low
        or "q~" in low
        or (":aa" in low and _TELEGRAM.search(low) is not None)
        or ("sk" in low and _TWILIO.search(low) is not None)
    )


def _may_hold_named(low: str) -> bool:
    """Return False where nothing in *low* stands behind the name of a secret."""
    return (
        ("pass" in low and _PASS_IS.search(low) is not None)
        or ("key" in low and _KEY_IS.search(low) is not None)
        or ("token" in low and _TOKEN_IS.search(low) is not None)
        or ("://" in low and "@" in low)
        or "secret" in low
        or "pwd" in low
        or "credential" in low
        or "cookie" in low
        or ("auth" in low and _AUTH_IS.search(low) is not None)
        or ("sess" in low and ("sessid" in low or "sessionid" in low))
        or "connect.sid" in low
        or "sig=" in low
        or "signature=" in low
        or "hooks.slack" in low
        or "/api/webhooks/" in low
        or "identified" in low
        or "@tcp(" in low
        or "@unix(" in low
        or ("curl" in low and "-u" in low)
    )


def _may_hold_secret(low: str) -> bool:
    """Return False where none of `RULES` finds anything; *low* is the text in lower case."""
    if len(low) >= _SHORTEST_KEY and _may_hold_key(low):
        return True
    # What stands between a name and its value.
    if (
        ":" in low
        or "=" in low
        or "--" in low
        or "'" in low
        or '"' in low
        or "%3d" in low
        or "hooks.slack" in low
        or "<" in low
    ) and _may_hold_named(low):
        return True
    return (
        "bearer" in low
        or "basic " in low
        or ("-p" in low and ("pass" in low or "mysql" in low or "mariadb" in low))
        or ("-" in low and ("-storepass" in low or "-keypass" in low))
        or ("machine" in low and "login" in low)
    )


class Redactor:
    """Replaces secrets in text.

    Args:
        redact: Further (name, regular expression) pairs; or a callable `(key, text) -> text or
            None` that is asked about every text after the built-in rules (None keeps it); or
            None for the built-in rules alone.

    Raises:
        ValueError: A pattern is no regular expression, or its name cannot stand in the marker.
        TypeError: *redact* is none of these.

    Cost: 1 us for 100 characters in which no rule finds a hint.
    """

    def __init__(self, redact: Redact = None) -> None:
        self._own: list[tuple[str, re.Pattern[str]]] = []
        self.ask: Callable[[str, str], str | None] | None = None
        if callable(redact):
            self.ask = redact
        elif isinstance(redact, (list, tuple)):
            self._own = [_checked(rule) for rule in redact]
        elif redact is not None and redact is not True:
            raise TypeError(
                f"redact: got {type(redact).__name__}, want (name, pattern) pairs, a callable, "
                "False or None"
            )
        self.shortest = 1 if self._own else SHORTEST
        self._harmless: set[str] = set()

    def suspects(self, text: str) -> bool:
        """Return whether *text* is worth a scan by every rule."""
        if _may_hold_secret(text.lower()):
            return True
        return any(pattern.search(text) is not None for _, pattern in self._own)

    def scrub(self, text: str) -> str:
        """Return *text* without what any rule finds."""
        if len(text) < self.shortest:
            return text
        low = text.lower()
        if _may_hold_secret(low):
            for rule in _hinted(low):
                pattern, marker = _compiled(rule)
                text = pattern.sub(marker, text)
        for name, pattern in self._own:
            text = pattern.sub(functools.partial(_mark, f"[REDACTED:{name}]"), text)
        return text

    def scrub_lines(self, text: str) -> str:
        """Return `scrub(text)` with as many lines as *text* has."""
        low = text.lower()
        for pattern, marker in [
            *map(_compiled, _hinted(low) if _may_hold_secret(low) else ()),
            *((pattern, f"[REDACTED:{name}]") for name, pattern in self._own),
        ]:
            text = pattern.sub(functools.partial(_mark_lines, marker), text)
        return text

    def text(self, key: str, text: str) -> str:
        """Return *text* without secrets; *key* is where it stands (the last name of its path).

        Raises:
            TypeError: The callable that was asked returned neither a text nor None.
        """
        text = self.scrub(text)
        if self.ask is None:
            return text
        answer = self.ask(key, text)
        if answer is None:
            return text
        if not isinstance(answer, str):
            raise TypeError(f"redact: returned {type(answer).__name__} for {key}, want str or None")
        return answer

    def hides_next(self, item: str) -> bool:
        """Return whether the item behind *item* in a list is a secret: `["--token", "x"]`."""
        return item.startswith("--") and LONE_OPTION.fullmatch(item) is not None

    def names_secret(self, key: str) -> bool:
        """Return whether what stands under *key* is a secret by the key's name; remembers."""
        if key in self._harmless:
            return False
        if is_secret_name(key):
            return True
        if len(self._harmless) < _REMEMBERED:
            self._harmless.add(key)
        return False


def _hinted(low: str) -> list[Rule]:
    """Return the rules for which there is a needle in *low*, a text in lower case."""
    found = []
    for rule in RULES:
        for needle in rule.needles:
            if needle in low:
                found.append(rule)
                break
    return found


@functools.cache
def _compiled(rule: Rule) -> tuple[re.Pattern[str], str]:
    """Return the pattern of *rule*, made when it is first needed, and what replaces it."""
    pattern = re.compile(rule.pattern, re.DOTALL)
    kept = r"\g<keep>" if "keep" in pattern.groupindex else ""
    return pattern, f"{kept}[REDACTED:{rule.name}]"


def _mark(marker: str, found: re.Match[str]) -> str:
    """Return *marker*, or nothing where a pattern matched the empty text and hides nothing."""
    return marker if found[0] else ""


def _mark_lines(marker: str, found: re.Match[str]) -> str:
    """Return what replaces *found*, and the ends of lines that would go with it."""
    if not found[0]:
        return ""
    marked = found.expand(marker)
    return marked + "\n" * (found[0].count("\n") - marked.count("\n"))


def _checked(rule: Any) -> tuple[str, re.Pattern[str]]:
    try:
        name, pattern = rule
        compiled = re.compile(pattern, re.DOTALL)
    except (TypeError, ValueError, re.error) as error:
        raise ValueError(f"redact: {rule!r}: want (name, regular expression): {error}") from None
    if not isinstance(name, str) or not re.fullmatch(r"[0-9A-Za-z_-]{1,40}", name):
        raise ValueError(f"redact: name {name!r}: want letters, digits, '-' and '_'")
    return name, compiled
