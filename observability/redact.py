"""Secrets: found by the name of their key or by their form, and replaced before anything is kept.

The marker is `[REDACTED:rule]`; it names the rule and holds nothing of the secret.  Only what a
caller gave comes here, before it is stamped and hashed.
"""

import functools
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

Redact = Sequence[tuple[str, str]] | Callable[[str, str], str | None] | bool | None

_REMEMBERED: Final = 10_000  # keys, so that hostile ones cannot fill memory
SHORTEST: Final = 8  # characters; shorter ones hold a password of three letters at most

# Whole words of a key, split at case and at anything that is no letter or digit.
_SECRET_WORDS: Final = frozenset(
    {
        "apikey",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pwd",
        "secret",
        "secrets",
        "token",
    }
)
_SECRET_PAIRS: Final = frozenset(
    {
        ("access", "key"),
        ("account", "key"),
        ("api", "key"),
        ("auth", "key"),
        ("db", "pass"),
        ("encryption", "key"),
        ("private", "key"),
        ("secret", "key"),
        ("ssh", "key"),
        ("user", "pass"),
    }
)
# Words after a secret word that say it is about the secret, not the secret.
_ABOUT: Final = frozenset(
    {
        "count",
        "counts",
        "digest",
        "expires",
        "expiry",
        "field",
        "file",
        "hash",
        "id",
        "ids",
        "index",
        "len",
        "length",
        "limit",
        "name",
        "path",
        "policy",
        "ttl",
        "type",
        "url",
        "usage",
        "used",
    }
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class Rule(NamedTuple):
    """One form of secrets.

    Attributes:
        name: What the marker says.
        needles: Every text with such a secret holds one of these in lower case; none: unknown.
        pattern: What is replaced; its group `keep` stays, which says what the secret is for.
    """

    name: str
    needles: tuple[str, ...]
    pattern: str


# What follows a name: `=`, `: `, `":"`, `\": \"`, `=>`, `:=`; not `==`, and no marker.
_IS: Final = r"\\*[\"']?\s*(?::=|=>|[:=](?![=>]))\s*+\\*+(?!\[REDACTED:)"
# A type or an empty value behind a name is code, not a secret; stars hide one already.
_NO_TYPE: Final = (
    r"(?!(?:str|bytes|None|null|nil|True|False|true|false|Optional|SecretStr)\b|\*{3})"
)
# Any text, in quotes or up to what ends a word.
_VALUE: Final = r"(?:\"[^\"]+\"|'[^']+'|[^\s,;&\"']+)"
_LONG_VALUE: Final = r"(?:\"[^\"]{6,}\"|'[^']{6,}'|[^\s,;&\"']{6,})"
# No secret begins inside a word: ids do.  The second form also keeps a scan of hostile text
# linear, where what follows may hold the same beginning again.
_START: Final = r"(?<![0-9A-Za-z])"
_ALONE: Final = r"(?<![0-9A-Za-z_-])"

# Sources: the providers' published token formats.
RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "private-key",
        ("private key",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:.*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|.*)",
    ),
    Rule("aws-access-key", ("akia", "asia"), _START + r"A(?:KIA|SIA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    Rule(
        "github-token",
        ("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_"),
        _START + r"(?:gh[pousr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{22,255})",
    ),
    Rule("gitlab-token", ("glpat-",), _ALONE + r"glpat-[0-9A-Za-z_-]{20,}"),
    Rule("slack-token", ("xox",), _ALONE + r"xox[abeoprs]-[0-9A-Za-z-]{10,}"),
    Rule(
        "slack-webhook",
        ("hooks.slack.com",),
        r"(?P<keep>://hooks\.slack\.com/services/)[0-9A-Za-z/]+",
    ),
    Rule(
        "api-key",
        ("sk-", "sk_live_", "sk_test_", "rk_live_", "rk_test_"),
        # Names such as sk-learn-pipelines have no long run of letters and digits.
        _ALONE + r"(?:sk-(?=[0-9A-Za-z_-]{0,200}[0-9A-Za-z]{16})[0-9A-Za-z_-]{20,}"
        r"|[rs]k_(?:live|test)_[0-9A-Za-z]{16,})",
    ),
    Rule("google-api-key", ("aiza",), _ALONE + r"AIza[0-9A-Za-z_-]{35}"),
    Rule("google-token", ("ya29.",), _ALONE + r"ya29\.[0-9A-Za-z_-]{20,}"),
    Rule("npm-token", ("npm_",), _START + r"npm_[0-9A-Za-z]{36}"),
    Rule("pypi-token", ("pypi-",), _ALONE + r"pypi-AgEI[0-9A-Za-z_-]{50,}"),
    Rule("hugging-face-token", ("hf_",), _START + r"hf_[0-9A-Za-z]{30,}"),
    Rule(
        "jwt",
        ("eyj",),
        _ALONE + r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*",
    ),
    Rule(
        "bearer",
        ("bearer ",),
        # A digit, or more letters than a word has: "Bearer authentication" is prose.
        r"(?i:bearer) +(?=[^\s\"',;]*[0-9]|[0-9A-Za-z._~+/-]{24})[0-9A-Za-z._~+/-]{12,}=*",
    ),
    Rule(
        "basic",
        ("basic ",),
        r"(?P<keep>(?i:authorization)[\"']?\s*[:=]\s*[\"']?)(?i:basic) +[0-9A-Za-z+/]{4,}=*",
    ),
    Rule(
        "authorization",
        ("authorization",),
        r"(?P<keep>(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:apikey|bearer|digest|token) +)"
        r"(?!\[REDACTED:)[^\s\"']{4,}",
    ),
    Rule(
        "cookie",
        ("cookie",),
        r"(?P<keep>(?i:cookie)[\"']?:\s*[\"']?)(?=[^\s;]{1,100}=)[^\r\n\"']{8,}",
    ),
    Rule(
        "url-password",
        ("://",),
        # A user name as long as a token is one.
        r"(?<=://)(?:[^\s/?#:@'\"\[]*:[^\s/?#'\"]+|[0-9A-Za-z_-]{20,})(?=@)",
    ),
    Rule(
        "url-signature",
        ("sig=", "signature="),
        r"(?P<keep>[?&](?:sig|X-Amz-Signature|X-Goog-Signature|Signature)=)[0-9A-Za-z%+/=_-]{16,}",
    ),
    Rule(
        "option",
        ("--",),
        r"(?P<keep>--(?i:password|passwd|passphrase|(?:access-?)?token|(?:client-?)?secret|"
        r"api-?key)(?:=|\s+|[\"'],\s*[\"']))(?!\[REDACTED:|-)[^\s\"',]+",
    ),
    Rule(
        "password",
        ("passw", "passphrase", "pwd"),
        # PWD is the working directory of every shell.
        r"(?P<keep>(?i:password|passwd|passphrase|(?<![0-9A-Za-z])(?:db_?)?pwd(?!"
        + _IS
        + r"[/~.]))"
        + _IS
        + r")"
        + _NO_TYPE
        + _VALUE,
    ),
    Rule(
        "secret",
        ("secret", "token", "key"),
        r"(?P<keep>(?i:client[_-]?secret|secret[_-]?key|secret[_-]?access[_-]?key|app[_-]?secret|"
        r"(?:access|account|api|encryption|private|storage)[_-]?key|"
        r"(?:access|auth|bot|csrf|id|refresh|session|xsrf)[_-]?token)"
        + _IS
        + r")"
        + _NO_TYPE
        + _LONG_VALUE,
    ),
    Rule(
        "secret",
        ("secret",),
        # In prose a colon follows the bare word: a digit tells a value from the next word.
        r"(?P<keep>(?i:secret)(?!\\*[\"']?\s*:\s+[^\s0-9\"']+(?:\s|$))"
        + _IS
        + r")"
        + _NO_TYPE
        + _LONG_VALUE,
    ),
    Rule(
        "token",
        ("token",),
        r"(?P<keep>(?i:token)(?:=|\\*[\"']\s*:\s*\\*[\"']))[0-9A-Za-z._~+/-]{16,}=*",
    ),
)

# The tokens that hold an underscore have so much behind it.
_UNDERSCORED: Final = re.compile("_[0-9a-z]{16}")
_TOKEN_IS: Final = re.compile(r"token\\*[\"']?\s*[:=]|--")
_KEY_IS: Final = re.compile(r"(?:access|account|api|encryption|private|secret|storage)[_-]?key")


def _may_hold_secret(low: str) -> bool:
    """Return False where none of `RULES` finds anything; *low* is the text in lower case.

    One character first, which prose seldom has: a search for it costs 0.03 us.
    """
    if "-" in low and (
        "sk-" in low or "xox" in low or "glpat-" in low or "pypi-" in low or "private key" in low
    ):
        return True
    if "_" in low and _UNDERSCORED.search(low):
        return True
    if (":" in low or "=" in low or "--" in low) and (
        "passw" in low
        or "secret" in low
        or "pwd" in low
        or "passphrase" in low
        or "authorization" in low
        or "cookie" in low
        or ("token" in low and _TOKEN_IS.search(low) is not None)
        or ("key" in low and _KEY_IS.search(low) is not None)
        or ("://" in low and ("@" in low or "sig" in low or "hooks.slack" in low))
        or "sig=" in low
        or "signature=" in low
    ):
        return True
    return (
        "eyj" in low
        or "akia" in low
        or "asia" in low
        or "aiza" in low
        or "ya29." in low
        or "bearer " in low
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
            for needles, pattern, marker in _COMPILED:
                if any(needle in low for needle in needles):
                    text = pattern.sub(marker, text)
        for name, pattern in self._own:
            text = pattern.sub(functools.partial(_mark, f"[REDACTED:{name}]"), text)
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

    def names_secret(self, key: str) -> bool:
        """Return whether what stands under *key* is a secret by the key's name; remembers."""
        if key in self._harmless:
            return False
        if is_secret_name(key):
            return True
        if len(self._harmless) < _REMEMBERED:
            self._harmless.add(key)
        return False


def is_secret_name(key: str) -> bool:
    """Return whether *key* is what people call a secret.

    >>> [is_secret_name(k) for k in ("apiKey", "db_password", "tokens_used", "token_count")]
    [True, True, False, False]
    """
    if "[REDACTED:" in key:
        return False
    words = [word.lower() for word in _WORD.findall(key)]
    if not words or words[-1] in _ABOUT:
        return False
    return not _SECRET_WORDS.isdisjoint(words) or not _SECRET_PAIRS.isdisjoint(pairwise(words))


def _compiled(rule: Rule) -> tuple[tuple[str, ...], re.Pattern[str], str]:
    pattern = re.compile(rule.pattern, re.DOTALL)
    kept = r"\g<keep>" if "keep" in pattern.groupindex else ""
    return rule.needles, pattern, f"{kept}[REDACTED:{rule.name}]"


_COMPILED: Final = tuple(map(_compiled, RULES))


def _mark(marker: str, found: re.Match[str]) -> str:
    """Return *marker*, or nothing where a pattern matched the empty text and hides nothing."""
    return marker if found[0] else ""


def _checked(rule: Any) -> tuple[str, re.Pattern[str]]:
    try:
        name, pattern = rule
        compiled = re.compile(pattern, re.DOTALL)
    except (TypeError, ValueError, re.error) as error:
        raise ValueError(f"redact: {rule!r}: want (name, regular expression): {error}") from None
    if not isinstance(name, str) or not re.fullmatch(r"[0-9A-Za-z_-]{1,40}", name):
        raise ValueError(f"redact: name {name!r}: want letters, digits, '-' and '_'")
    return name, compiled
