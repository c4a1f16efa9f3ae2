"""What people call a secret: names of keys, headers, variables and options, word by word."""

import re
from itertools import pairwise
from typing import Final

# Whole words of a name, split at case and at anything that is no letter or digit.
_SECRET_WORDS: Final = frozenset(
    {
        "apikey",
        "authorization",
        "authtoken",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "jwt",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "passwort",
        "pgpassword",
        "pwd",
        "secret",
        "secrets",
        "token",
    }
)
_SECRET_PAIRS: Final = frozenset(
    {
        *[
            (word, "key")
            for word in (
                *("access", "account", "api", "app", "application", "auth", "decryption"),
                *("encryption", "functions", "master", "private", "secret", "shared", "signing"),
                *("ssh", "subscription", "webhook"),
            )
        ],
        *[
            (word, "pass")
            for word in (
                *("admin", "auth", "db", "database", "email", "ftp", "git", "http", "imap"),
                *("key", "ldap", "login", "mail", "mysql", "proxy", "redis", "root", "sftp"),
                *("smtp", "ssh", "store", "sudo", "user", "vault"),
            )
        ],
        ("api", "keys"),
        ("secret", "keys"),
        ("private", "keys"),
        ("access", "keys"),
        ("auth", "tokens"),
        ("access", "tokens"),
        ("refresh", "tokens"),
        ("api", "tokens"),
        ("pass", "phrase"),
        ("pass", "word"),
    }
)
# Words after a secret word that say it is about the secret, not the secret.
_ABOUT: Final = frozenset(
    {
        "algorithm",
        "age",
        "arn",
        "attempts",
        "budget",
        "changed",
        "class",
        "cost",
        "count",
        "counts",
        "created",
        "digest",
        "enabled",
        "endpoint",
        "expired",
        "expires",
        "expiry",
        "field",
        "file",
        "format",
        "hash",
        "header",
        "id",
        "ids",
        "index",
        "issuer",
        "jar",
        "kind",
        "len",
        "length",
        "lifetime",
        "limit",
        "limits",
        "manager",
        "max",
        "min",
        "name",
        "names",
        "path",
        "policy",
        "position",
        "prefix",
        "present",
        "protected",
        "provider",
        "rate",
        "ref",
        "required",
        "reset",
        "rotation",
        "set",
        "size",
        "source",
        "status",
        "store",
        "strength",
        "ttl",
        "type",
        "updated",
        "uri",
        "url",
        "usage",
        "used",
        "valid",
        "version",
    }
)
# Words before `token` that say what else a token is: of a text, a language model, a listing.
_OTHER_TOKENS: Final = frozenset(
    {
        *("begin", "bos", "class", "cls", "continuation", "current", "each", "end", "eof", "eos"),
        *("first", "image", "last", "mask", "max", "min", "next", "num", "n", "pad", "page"),
        *("per", "prev", "previous", "sep", "special", "start", "stop", "sync", "text", "unk"),
    }
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MARKER: Final = "[REDACTED:"


def is_secret_name(name: str) -> bool:
    """Return whether *name* is what people call a secret.

    >>> [is_secret_name(k) for k in ("apiKey", "db_password", "tokens_used", "eos_token")]
    [True, True, False, False]
    """
    if _MARKER in name:
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if words and words[-1].isdigit():  # password2
        words.pop()
    if not words or words[-1] in _ABOUT:
        return False
    found = _SECRET_WORDS.intersection(words)
    if found == {"token"} and _is_other_token(words):
        return False
    return bool(found) or not _SECRET_PAIRS.isdisjoint(pairwise(words))


def _is_other_token(words: list[str]) -> bool:
    place = words.index("token")
    return place > 0 and words[place - 1] in _OTHER_TOKENS
