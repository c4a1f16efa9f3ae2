"""Secrets are gone before anything is written; what only looks a little like one stays."""

import base64
import re
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from observability.journal import Journal
from observability.redact import RULES, Redactor, is_secret_name
from observability.values import Gate
from tests.writing.oracle import lines, traces

ALNUM = string.ascii_letters + string.digits
WORD = ALNUM + "_-"
BASE64 = ALNUM + "+/"


def chars(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least)


def around(before: str, secret: st.SearchStrategy[str], after: str = "") -> Any:
    """Generate (text, secret) with the secret between *before* and *after*."""
    return secret.map(lambda s: (f"{before}{s}{after}", s))


def whole(before: str, secret: st.SearchStrategy[str]) -> Any:
    """Generate (text, secret) where *before* is a part of the secret."""
    return secret.map(lambda s: (before + s, before + s))


passwords = chars(ALNUM + "!#$%*+./?^_~", 8, 40).filter(
    lambda s: s[0] not in "/~.*" and "://" not in s
)
values = chars(ALNUM, 12, 40)
pem = chars(BASE64 + "\n", 40, 200)

# By rule: forms in which its secrets come.
FORMS: dict[str, list[Any]] = {
    "private-key": [
        around(f"-----BEGIN {kind}PRIVATE KEY-----\n", pem, f"\n-----END {kind}PRIVATE KEY-----")
        for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")
    ]
    + [
        around("-----BEGIN PRIVATE KEY-----\\n", pem),  # cut off
        around("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", pem),
    ],
    "aws-access-key": [
        whole("AKIA", chars(string.ascii_uppercase + string.digits, 16)),
        whole("ASIA", chars(string.ascii_uppercase + string.digits, 16)),
    ],
    "github-token": [
        *[whole(f"gh{kind}_", chars(ALNUM, 36)) for kind in "pousr"],
        chars(ALNUM, 22).flatmap(lambda a: whole(f"github_pat_{a}_", chars(ALNUM, 59))),
    ],
    "gitlab-token": [whole("glpat-", chars(WORD, 20))],
    "slack-token": [whole("xoxb-", chars(string.digits + "-", 12, 40))],
    "slack-webhook": [around("https://hooks.slack.com/services/", chars(ALNUM + "/", 30))],
    "api-key": [
        whole("sk-", chars(ALNUM, 20, 48)),
        whole("sk-proj-", chars(ALNUM, 40, 80)),
        whole("sk-ant-api03-", chars(ALNUM, 40, 80)),
        whole("sk_live_", chars(ALNUM, 24)),
        whole("rk_test_", chars(ALNUM, 24)),
    ],
    "google-api-key": [whole("AIza", chars(WORD, 35))],
    "google-token": [whole("ya29.", chars(WORD, 40))],
    "npm-token": [whole("npm_", chars(ALNUM, 36))],
    "pypi-token": [whole("pypi-AgEI", chars(WORD, 60))],
    "hugging-face-token": [whole("hf_", chars(ALNUM, 34))],
    "jwt": [
        st.tuples(chars(WORD, 12, 30), chars(WORD, 12, 60), chars(WORD, 20, 43)).map(
            lambda parts: (f"eyJ{parts[0]}.eyJ{parts[1]}.{parts[2]}", parts[1])
        )
    ],
    "bearer": [
        around("Authorization: Bearer ", chars(BASE64, 24, 60)),
        around("authorization: bearer ", chars(ALNUM, 12).map(lambda s: s + "7")),
        around("-H 'Authorization: Bearer ", chars(ALNUM, 30), "'"),
    ],
    "basic": [
        around("Authorization: Basic ", chars(BASE64, 8, 40), "=="),
        around('{"Authorization": "Basic ', chars(BASE64, 8, 40), '="}'),
        around("'Authorization': 'Basic ", chars(BASE64, 8, 40), "'"),
    ],
    "authorization": [around("Authorization: Token ", chars(ALNUM, 8, 12))],
    "cookie": [
        around("Cookie: sessionid=", values, "; theme=dark"),
        around("Set-Cookie: id=", values),
    ],
    "url-password": [
        around("postgresql://user:", passwords.filter(lambda s: not set("/?#") & set(s)), "@db/x"),
        around("redis://:", chars(ALNUM + "@", 8, 20), "@cache:6379/0"),
        around("https://", chars(ALNUM, 30), "@github.com/a/b.git"),
    ],
    "url-signature": [
        around("https://a.blob.core.windows.net/b?sv=1&sig=", chars(ALNUM + "%", 30)),
        around("https://s3.amazonaws.com/b?X-Amz-Signature=", chars("0123456789abcdef", 64)),
    ],
    "option": [
        around("mysql --password ", values, " db"),
        around("['mysql', '--password', '", values, "', 'db']"),
        around("tool --token=", values),
        around("tool --api-key ", values),
    ],
    "password": [
        around(before, passwords, after)
        for before, after in [
            ("password=", ""),
            ("Password: ", ""),
            ("PASSWORD=", " rest"),
            ("DB_PASSWORD=", ""),
            ("dbPassword = ", ""),
            ("rootpassword=", ""),
            ('"password": "', '"'),
            ("{'password': '", "', 'user': 'x'}"),
            ('{\\"password\\": \\"', '\\"}'),
            ("connect(password='", "')"),
            (":password => '", "'"),
            ("password := '", "'"),
            ("passwd=", ";"),
            ("Pwd=", ";Database=x"),
            ("passphrase: ", ""),
        ]
    ],
    "secret": [
        around(before, values, after)
        for before, after in [
            ("api_key=", ""),
            ("apiKey: ", ""),
            ("X-API-Key: ", ""),
            ("AWS_SECRET_ACCESS_KEY=", ""),
            ("aws_secret_access_key = ", ""),
            ("AccountKey=", ";EndpointSuffix=x"),
            ("client_secret=", "&grant=x"),
            ('"clientSecret": "', '"'),
            ("SECRET_KEY = '", "'"),
            ("access_token=", "&x=1"),
            ('{"refresh_token": "', '"}'),
            ("secret=", ""),
            ('"secret": "', '"'),
            ("private_key: '", "'"),
        ]
    ],
    "token": [
        around("https://host/x?token=", chars(ALNUM, 20)),
        around('{"token": "', chars(ALNUM, 20), '"}'),
    ],
}


def test_every_rule_has_its_forms() -> None:
    assert set(FORMS) == {rule.name for rule in RULES}


before = st.sampled_from(["", " ", "x ", "failed: ", "(", '"', "\n", "\u00e9 ", "line 3\n\t"])
after = st.sampled_from(["", " ", "\n", " and more", "\u2028", " \U0001f600"])


@pytest.mark.parametrize("rule", sorted(FORMS))
def test_secrets_of_each_form_are_hidden(rule: str) -> None:
    redactor = Redactor()

    @given(form=st.one_of(FORMS[rule]), before=before, after=after)
    def check(form: tuple[str, str], before: str, after: str) -> None:
        text, secret = form
        text = f"{before}{text}{after}"

        kept = redactor.text("text", text)

        assert redactor.suspects(text)
        assert secret not in kept
        assert not any(part in kept for part in secret.split() if len(part) > 20)
        assert "[REDACTED:" in kept
        assert kept.startswith(before)
        # Again, as what was redacted once comes through another gate.
        assert redactor.text("text", kept) == kept

    check()


PIECES = [
    *WORD,
    *" :=\"'@/.,;\n\\?&[]{}",
    *[
        "password",
        "secret",
        "token",
        "api_key",
        "sk-",
        "eyJ",
        "://",
        "bearer",
        "--password",
        "cookie:",
        "sig=",
        "ghp_",
        "AKIA",
    ],
    "Authorization: Basic ",
    "-----BEGIN RSA PRIVATE KEY-----",
    "[REDACTED:x]",
]


@given(text=st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@example("password=password=password=x")
def test_what_is_hidden_once_stays_as_it_is(text: str) -> None:
    """And no rule finds what the first look, which decides whether they are asked, overlooks."""
    redactor = Redactor()

    once = redactor.text("text", text)

    assert redactor.text("text", once) == once
    if not redactor.suspects(text) and len(text) >= redactor.shortest:
        assert not any(re.search(rule.pattern, text, re.DOTALL) for rule in RULES)


HARMLESS = [
    *[
        "",
        "1.2.3.4",
        "v10.0.19045",
        "python 3.11.7",
        "192.168.0.1:8080",
        "fe80::1%eth0",
        "2026-11-21T07:03:12Z",
        "::ffff:10.0.0.1",
        "+1 (555) 010-9999",
        "00:1A:2B:3C:4D:5E",
        "550e8400-e29b-41d4-a716-446655440000",
        "20261121t070312-9f3a1c2e5b",
        "20261121-070312-k3f9x2",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "1B2M2Y8AsgTpgAmY7PhCfg==",
        "commit 3ccf6e6 (HEAD -> main, origin/main)",
        "0x7f552a53b1a0",
        "task-extract-customer-records-2026-11-21",
        "disk-usage-by-department-and-month",
        "risk_test_suite",
        "task_live_dashboard_for_customers_2026",
        "mask-rcnn-resnet50-fpn-coco-2017-weights",
        "desk_test_0123456789abcdef0123",
        "sk-learn-pipelines-and-transformers",
        "half_hf_of_the_night",
        "arn:aws:s3:::bucket/key/part-00000-of-00001.parquet",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "/home/user/.ssh/known_hosts",
        "~/passwords/README.md",
        "https://example.org/a?page=2&sort=asc#top",
        "http://[::1]:8080/health",
        "ssh://git@host:22/a.git",
        "https://host:8443/reset-password?user=me@example.org",
        "s3://bucket/token-counts/part=3",
        "mailto:a@b.example",
        "PWD=/home/user/project",
        "OLDPWD=/root",
        "pwd: ./here",
        "me@example.org",
        "The password was changed yesterday.",
        "Enter your password",
        "Forgot your password?",
        "a secret ballot",
        "the secret is out",
        "The secret: practice",
        "Secretary: Jane Doe",
        "secretly: yes",
        "tokens_used=1500",
        "max_tokens: 4096",
        "Unexpected token: 'identifier'",
        "SyntaxError: invalid token (line 3)",
        "token: 17",
        "tokenizer = Tokenizer()",
        "Bearer of bad news",
        "Bearer authentication failed",
        "basic training course",
        "basic ALGORITHMS and data",
        "Authorization: required",
        "author=me, authored: today",
        "monkey=banana",
        "keyboard: qwerty",
        "KeyError: 'api'",
        "key: value",
        "primary_key=id",
        "cache-key: page",
        "a cookie a day",
        "cookies: accepted",
        "def login(user: str, password: str) -> None",
        "password: None",
        "password=***",
        "password == other",
        "if secret == b:",
        "api_key: str | None",
        "the api key is missing",
        "process exited with 1: /usr/bin/passwd --help",
        "1 000 000 rows, 17 columns; ok",
        "https://github.com/owner/repository/blob/main/src/module.py",
        "eyJ is how a JWT begins",
        "ghp_ is a prefix",
        "AKIA",
        "sk-",
        "hf_model",
        "npm_config_cache",
        "ssh-rsa AAAAB3NzaC1yc2E= user@host",
        "sha1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "",
    ][1:-1],
    "C:\\Users\\x\\secret santa\\list.txt",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "été ☃ 😀 日本語",
    "",
    " ",
    "x" * 10000,
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text: str) -> None:
    assert Redactor().text("text", text) == text


@given(
    text=st.one_of(
        st.uuids().map(str),
        st.ip_addresses().map(str),
        st.datetimes().map(str),
        st.floats().map(str),
        st.integers().map(str),
        chars("0123456789abcdef", 40, 128),
        st.binary(min_size=8, max_size=64).map(lambda b: base64.b64encode(b).decode()),
        st.lists(chars(string.ascii_lowercase, 1, 12), max_size=40).map(" ".join),
        st.lists(chars(ALNUM + "_.", 1, 12), min_size=1, max_size=8).map("/".join),
    )
)
def test_digests_ids_paths_and_words_stay(text: str) -> None:
    assert Redactor().text("text", text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "db_password",
        "dbPassword",
        "DB_PASSWORD",
        "user-password",
        "passwd",
        "passphrase",
        "secret",
        "client_secret",
        "clientSecret",
        "token",
        "access_token",
        "accessToken",
        "api_key",
        "apiKey",
        "APIKey",
        "apikey",
        "X-Api-Key",
        "AWS_SECRET_ACCESS_KEY",
        "private_key",
        "Authorization",
        "Cookie",
        "set-cookie",
        "credentials",
        "jwt",
        "ssh_key",
        "user_pass",
        "pwd",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *[
            "tokens_used",
            "token_count",
            "max_tokens",
            "tokens",
            "author",
            "authority",
            "monkey",
            "key",
            "keys",
            "primary_key",
            "keyboard",
            "path",
            "bypass",
            "passed",
            "first_pass",
            "compass",
            "password_length",
            "token_type",
            "secret_name",
            "api_key_id",
            "tokenizer",
            "secretary",
            "rows",
            "cookie_policy",
            "n",
            "_",
            "output_hash",
            "oauth",
            "bearing",
            "basic",
        ],
        "",
        "\u00e9",
        "[REDACTED:github-token]",
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


PAYLOADS: list[tuple[dict[str, Any], str]] = [
    ({"password": "hunter2"}, "hunter2"),
    ({"a": {"b": [{"password": "hunter2"}]}}, "hunter2"),
    ({"passwords": ["hunter2", "hunter3"]}, "hunter"),
    ({"credentials": {"user": "hunter2", "more": [{"x": "hunter3"}]}}, "hunter"),
    ({"token": 4711471147}, "4711471147"),
    ({"pin": {"secret": 4711.4711}}, "4711.4711"),
    ({"cookie": ("hunter2",)}, "hunter2"),
    ({"text": "password=hunter2"}, "hunter2"),
    ({"list": ["pwd=hunter2"]}, "hunter2"),
    ({"https://me:hunter2@host/": 1}, "hunter2"),
    ({"nested": {"ghp_" + "a" * 36: 1, "ghp_" + "b" * 36: 2}}, "ghp_"),
    ({"text": "x" * 500_000 + " password=hunter2 " + "y" * 100_000}, "hunter2"),
]


@pytest.mark.parametrize(("payload", "secret"), PAYLOADS)
def test_no_secret_survives_anywhere_in_the_files(
    tmp_path: Path, payload: dict[str, Any], secret: str
) -> None:
    journal = Journal(tmp_path, "step_04_redact", run_id="r")
    for _ in range(2):  # the second time what is remembered is asked
        journal.append("tick", payload, node_id=f"{secret} password={secret}", message="m")
        journal.append("tick", {}, message=f"api_key={secret}{secret}{secret}", node_id="n")
    journal.close()

    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert f"password={secret}".encode() not in data
            assert data.count(secret.encode()) == data.count(f'"{secret} password='.encode())
    kept = [line for found in traces(tmp_path).values() for line in found if "tick" in str(line)]
    assert "[REDACTED:" in str(kept)


def test_two_keys_that_become_one_are_both_kept() -> None:
    kept = Gate(Redactor()).strict({"ghp_" + "a" * 36: 1, "ghp_" + "b" * 36: 2})

    assert kept == {"[REDACTED:github-token]": 1, "[REDACTED:github-token] (2)": 2}


def test_what_says_nothing_stays_under_the_name_of_a_secret() -> None:
    payload = {"password": None, "token": True, "PWD": "/home/me", "token_count": 5}

    assert Gate(Redactor()).strict(payload) == payload


def test_a_redactor_of_ones_own() -> None:
    asked = []

    def ask(key: str, text: str) -> str | None:
        asked.append((key, text))
        return None if "keep" in text else f"<{key}>"

    gate = Gate(Redactor(ask))
    payload = {"a": "keep", "b": ["x", {"c": "y"}], "password": "p", "t": "pwd=hunter2 keep"}

    kept = gate.strict(payload)

    assert kept == {
        "a": "keep",
        "b": ["<b>", {"c": "<c>"}],
        "password": "[REDACTED:key]",
        "t": "pwd=[REDACTED:password] keep",
    }
    # What the rules hid is not shown to it.
    assert ("t", "pwd=[REDACTED:password] keep") in asked
    assert not any("hunter2" in text for _, text in asked)
    assert gate.name("node_id", "x") == "<node_id>" == gate.name("node_id", "x")


def test_patterns_of_ones_own_find_short_texts_too(tmp_path: Path) -> None:
    rules = [
        ("case", r"(?i)C-[0-9]+"),
        ("twice", r"(a)\1"),
        ("named", r"(?P<keep>q)z"),
        ("empty", "x*"),
    ]
    journal = Journal(tmp_path, "step_04_redact", redact=rules)
    journal.append("tick", {"a": "c-1", "b": "aa", "c": "qz", "d": "by"}, node_id="C-2")
    journal.close()

    line = lines(journal.trace_path)[1]
    assert [line[key] for key in ("a", "b", "c", "d", "node_id")] == [
        "[REDACTED:case]",
        "[REDACTED:twice]",
        "[REDACTED:named]",
        "by",
        "[REDACTED:case]",
    ]


def test_nothing_is_redacted_when_that_is_wanted(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "step_04_redact", redact=False)
    journal.append("tick", {"password": "hunter2", "text": "api_key=hunter2hunter2"})
    journal.close()

    line = lines(journal.trace_path)[1]
    assert (line["password"], line["text"]) == ("hunter2", "api_key=hunter2hunter2")


@pytest.mark.parametrize(
    ("redact", "error", "words"),
    [
        (5, TypeError, "want .* pairs"),
        ("password", TypeError, "got str"),
        ([("name",)], ValueError, "want .name, regular expression."),
        ([("name", "(")], ValueError, "want .name, regular expression."),
        ([("na me", "x")], ValueError, "want letters"),
        ([("", "x")], ValueError, "want letters"),
        ([(5, "x")], ValueError, "want letters"),
        ([("n", 5)], ValueError, "want .name, regular expression."),
    ],
)
def test_wrong_rules_are_refused(redact: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Redactor(redact)


def test_a_callable_that_returns_no_text_is_refused(tmp_path: Path) -> None:
    def ask(_key: str, _text: str) -> Any:
        return 5

    journal = Journal(tmp_path, "step_04_redact", redact=ask)
    with pytest.raises(TypeError, match="redact: returned int for key, want str or None"):
        journal.append("tick", {"key": "x"})
    journal.close()
    assert len(lines(journal.trace_path)) == 2


HOSTILE: list[Callable[[int], str]] = [
    lambda n: "eyJ" * n,
    lambda n: "eyJ-" * n,
    lambda n: "eyJaaaaaaaa." * n,
    lambda n: "sk-" * n,
    lambda n: " sk-" * n,
    lambda n: "password" * n,
    lambda n: "password=" * n,
    lambda n: "password " * n,
    lambda n: "password" + " " * n,
    lambda n: "password='" * n,
    lambda n: 'password="' * n,
    lambda n: "secret:" * n,
    lambda n: "secret: " * n,
    lambda n: "cookie:" * n,
    lambda n: "cookie: " * n,
    lambda n: "://" * n,
    lambda n: "://a:" * n,
    lambda n: "://" + "a:" * n,
    lambda n: "://" + "a" * n + "@",
    lambda n: "-----BEGIN PRIVATE KEY-----" * n,
    lambda n: "-----BEGIN " * n,
    lambda n: "bearer " * n,
    lambda n: "bearer 1" * n,
    lambda n: "bearer " + "a" * n,
    lambda n: "authorization:" * n,
    lambda n: "token=" * n,
    lambda n: "--token " * n,
    lambda n: "\\" * n + "password=",
    lambda n: "[REDACTED:" * n,
    lambda n: "glpat-" * n,
    lambda n: "ghp_" * n,
    lambda n: "api_key" * n,
    lambda n: "password\\" * n,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda make: make(2))
def test_hostile_text_takes_no_longer_than_its_length(text: Callable[[int], str]) -> None:
    redactor = Redactor()
    many = text(200_000 // len(text(1)))
    began = time.process_time()

    redactor.text("text", many)

    assert time.process_time() - began < 1.0


def test_text_without_a_hint_costs_little() -> None:
    """About 2 us for 100 characters, on any machine beside a known amount of work."""
    redactor = Redactor()
    text = "The quick brown fox jumps over the lazy dog and runs through the grey wood. " * 4

    def best(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(50):
            began = time.perf_counter()
            for _ in range(20):
                work()
            times.append(time.perf_counter() - began)
        return min(times)

    # Upper case of the text costs 0.1 us for 100 characters or more.
    assert best(lambda: redactor.text("text", text)) < 60 * best(text.upper)
