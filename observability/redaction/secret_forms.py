"""The forms in which any secret stands in a text: behind its name, in a header, in a URL.

The patterns are made of a name, what stands between it and the value, and the value, in quotes
of any depth of escaping or without.  Each is linear: what repeats is possessive or bounded, or
what follows it cannot match the same characters.
"""

import re
from typing import Final

from observability.redaction.provider_keys import START, Rule

# A marker that is the whole value; with more around it the value is a secret all the same.
_NO_MARKER: Final = r"(?!\[REDACTED:[\w-]{1,40}\](?:[\"'`\s,;&)\]}\\<%/]|$))"
_CLOSE: Final = r"(?:\\*[\"'`])?\]?"
_VALUE_WORD: Final = r"\s*+,?\s*+(?:\\*[\"'])?(?i:value)(?:\\*[\"'])?[ \t]*+[:=][ \t]*+"
# Declarations: `password: str = "x"`.
_TYPED: Final = (
    r"(?::[ \t]*(?:str|bytes|String|string|SecretStr|Final|Optional)"
    r"(?:\[(?:str|bytes)\])?(?:[ \t]*\|[ \t]*None)?[ \t]*)"
)
# What follows a name: `=`, `: `, `":"`, `\": \"`, `=>`, `:=`, `"] = `, `%3D`, `" value="`,
# `: |` and the next line; `==` only before a quote.
_IS: Final = (
    _CLOSE
    + r"(?:[ \t]*+(?:"
    + _TYPED
    + r"?=(?![=>])|:=|=>|:(?![=:])|[=!]==?(?=[ \t]*\\*[\"'])|%3[Dd])[ \t]*+"
    + r"(?:[|>][+-]?[ \t]*\n\s*+)?+|"
    + _VALUE_WORD
    + r")(?:[bBrRuUfF@]{0,2}(?=\\*[\"'`]))?+"
)
# The quote a value begins with, escaped or not; the same one ends it.
_QUOTE: Final = r"(?P<q>\\*+[\"'`])?+"
_IN_QUOTES: Final = r"(?:[^\"'`\\\n]|(?!(?P=q))\\*+[\"'`]|\\++(?![\"'`]))"
# Without quotes up to a space, or to what separates it from another name with a value.
_BARE: Final = (
    r"(?:[^\s,;&\"'`]"
    r"|[,;&](?![\s\"'`\])}]|$|[\w.-]{1,40}(?: [\w.-]{1,40})?\s?\\*[\"'`]?\s?[=:]|amp;)"
    r"|[\"'`](?=[^\s,;&\"'`\])}>:.\\]))"
)
_ENDS: Final = r"(?![^\s,;)\]}|\"'`=\[\\&])"
# Types, empty values, placeholders and expressions of a program are no secrets; stars hide one.
_NO_CODE: Final = (
    r"(?!(?:str|bytes|string|String|bool|int|None|null|nil|True|False|true|false|undefined|object|"
    r"Any|(?:Optional|Union|list|dict|tuple|set|Sequence|Collection)\[[\w\[\], |.]{1,60}\]|"
    r"Secret(?:Str|Bytes)(?:\(b?\\*'\*+\\*'\))?)"
    + _ENDS
    + r"|\*{3}|\$\(|\{\{|\$\{\w+\}|\$[A-Z_][A-Z0-9_]*"
    + _ENDS
    + r"|%\(?\w*\)?s"
    + _ENDS
    + r"|<[A-Za-z][\w -]{0,40}>"
    + _ENDS
    + r"|\{[\w.!:\[\]]{0,60}\}"
    + _ENDS
    + r"|(?:self|cls|args|this|os|config|settings|kwargs|options|opts|cfg|conf|env|environ|request|"
    r"process\.env|data|params|form|user|credentials|creds|secrets)(?:\.[A-Za-z_]\w*){1,4}(?:\(\)|"
    + _ENDS
    + r")|[\w.]{0,60}?\b(?:getenv|environ|get|getpass|input|prompt|"
    r"(?:get|read|load|fetch)_\w{1,40})[(\[]|[\w.]{1,60}\[\\*[\"']|[A-Za-z_]+(?:\.[A-Za-z_]+)+\(|_?[a-z]+(?:_[a-z]+)+\("
    r"|(?:str|bytes|open|next|len|quote|hash|int|bool|getattr|b64decode)\("
    # The quote that ends a prompt: getpass("Password: ").
    r"|(?<=[\"'`])[)\]](?![^\n]{0,200}[\"'`])"
    r"|(?:password|passwd|pwd|secret|token)(?=[,)]))"
)
# "Invalid password: must be longer": words that follow a colon in a message.
_NO_PROSE: Final = (
    r"(?!(?<=: )(?i:a|an|and|are|at|authentication|can|cannot|can't|changed|check|default|did|do|"
    r"does|empty|error|expected|expired|failed|field|for|hidden|in|incorrect|invalid|is|it|leave|"
    r"length|may|minimum|missing|must|never|no|none|not|of|omitted|only|optional|or|please|prompt|"
    r"required|reset|see|set|should|that|the|these|they|this|to|too|type|unknown|unset|use|was|"
    r"were|what|when|which|why|will|wrong|yes|you|your)(?=[\s.,;:!?)]|$))"
)


def _all_of(pattern: str, least: int) -> str:
    """Return what matches *pattern* so often at least, and gives nothing back.

    A group of its own, since `{n,}+` behind a group that has choices matches too much before
    CPython 3.11.5 (gh-106052).
    """
    return rf"(?>{pattern}{{{least},}})"


def _named(name: str, least: int, *, but: str = _NO_CODE + _NO_PROSE) -> str:
    """Return the pattern of a value of at least so many characters behind *name*."""
    return (
        r"(?P<keep>"
        + name
        + _IS
        + _QUOTE
        + ")"
        + _NO_MARKER
        + but
        + rf"(?(q){_all_of(_IN_QUOTES, least)}|{_all_of(_BARE, least)})"
    )


_PASSWORD: Final = (
    r"(?:(?i:passwor[dt]|passwd|passphrase|passcode|"
    r"(?:admin|auth|db|database|email|ftp|git|ldap|login|mail|mysql|proxy|redis|root|smtp|sudo|"
    r"user)[_.-]?pass)"
    # PWD is the working directory of every shell.
    r"|(?:" + START + r"|(?<=_))(?i:(?:db_?|my_?)?pwd)(?!" + _IS + r"\\*[\"']?[/~.])"
    r"|(?<=[a-z])Pwd)"
    r"(?i:s|[_-]?(?:again|confirm(?:ation)?|dev|new|old|plain|prod|raw|repeat|test)|[_-]?\d{1,2})?"
)
_KEY: Final = (
    r"(?i:access|account|api|app|application|auth|decryption|encryption|functions|master|private|"
    r"secret|shared|signing|subscription)[_. -]?(?i:access[_. -]?)?(?i:keys?)"
)
# What else is called a token: of a text, a language model, a listing.
_OTHER_TOKENS: Final = "".join(
    rf"(?<!(?<![A-Za-z])(?i:{words}){joined})"
    for words in (
        "n",
        "eos|bos|pad|unk|sep|cls|num|max|min|end|eof|per",
        "mask|stop|next|page|prev|last|text|sync|each",
        "start|begin|first|image|class",
        "special|current",
        "previous",
        "continuation",
    )
    for joined in ("[_.-]", "")
)
_TOKEN: Final = (
    r"(?:(?i:access|auth|bearer|bot|csrf|id|refresh|session|xsrf) ?(?i:token)"
    r"|(?<=[0-9A-Za-z][_.-])" + _OTHER_TOKENS + r"(?i:token)|(?<=[a-z])" + _OTHER_TOKENS + r"Token)"
)
_OPTION: Final = (
    r"--(?!(?:no|ask|prompt|reset|with|without|generate|show|change|use|store|max|min|next)-)"
    r"(?i:[a-z0-9]{1,20}-){0,4}?(?i:password|passwd|passphrase|passcode|pass|pwd|token|secret|"
    r"api-?key|access-?key|auth-?key|private-?key|secret-?key|account-?key|credentials?)"
)
LONE_OPTION: Final = re.compile(_OPTION)
# A value of an option is the next word, in the shell's way or as a list of Python or JSON has it.
_THEN: Final = r"(?:=|\s++|(?:\\*[\"']),\s*+(?=\\*[\"']))(?:[bBuU](?=[\"']))?"
_SCHEME: Final = (
    r"(?i:apikey|api-key|aws|aws4-[0-9a-z-]{1,40}|basic|bearer|bot|digest|dpop|hawk|hmac|hoba|jwt|"
    r"key|mac|mutual|negotiate|ntlm|oauth|sharedaccesssignature|sharedkey(?:lite)?|signature|"
    r"splunk|ssws|token|vapid)"
)
_PARAMETER: Final = r"[\w-]{1,40}=(?:\\*\"[^\"\n\\]*+\\*\"|[^\s,\"'\\]++)"

_IN_PLACE_OF_USER: Final = r"[0-9A-Za-z_-]{20,}+(?::[^\s/?#'\"@<>]*+)?(?=@)"

PRIVATE_KEY: Final = Rule(
    "private-key",
    ("private key",),
    # Cut before its end it goes on to the end of the text, if a line ends behind the first.
    r"-{4,5} ?BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
    r"(?=[ \t\"',+]*+(?:[\r\n]|\\+[nr]|%0[ADad]|[0-9A-Za-z+/]{16}))"
    r"(?:.*?-{4,5} ?END [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}|.*)",
    "A private key in PEM or OpenSSH form, whole or cut off.",
    "RFC 7468, 'Textual Encodings of PKIX, PKCS, and CMS Structures'; RFC 4716",
)

# After the keys of providers, in this order.
FORMS: Final[tuple[Rule, ...]] = (
    Rule(
        "jwt",
        ("eyj",),
        # The header with what is glued to it: the second part begins a token too.
        r"(?<![0-9A-Za-z_-])(?=[0-9A-Za-z_-]*?eyJ[0-9A-Za-z_-]{8})[0-9A-Za-z_-]++"
        r"\.(?:eyJ[0-9A-Za-z_-]{8,}+\.[0-9A-Za-z_-]*+|[0-9A-Za-z_-]*+(?:\.[0-9A-Za-z_-]++){3})",
        "A JSON web token, signed or encrypted.",
        "RFC 7519, RFC 7515 section 7.1, RFC 7516 section 7.1",
    ),
    Rule(
        "authorization",
        ("authorization",),
        r"(?P<keep>(?i:authorization)"
        + _CLOSE
        + r"[ \t]*+(?:=>|[:=](?![=:])|,(?=[ \t]*\\*[\"']))[ \t]*+(?:[bBuU](?=\\*[\"']))?"
        + _QUOTE
        + ")"
        + _NO_MARKER
        + _NO_CODE
        + rf"(?(q){_all_of(_IN_QUOTES, 3)}|(?:{_SCHEME}[ \t]++(?!\[REDACTED:)"
        + rf"(?:{_PARAMETER}(?>(?:,[ \t]*+{_PARAMETER})*)|[^\s\"'`,;\\]{{3,}})"
        + r"|(?=[^\s\"'`,;\\0-9]{0,80}+[0-9])[^\s\"'`,;\\]{8,}))",
        "The whole value of an Authorization header, scheme included.",
        "RFC 9110, section 11.6.2; RFC 7617; RFC 6750",
    ),
    Rule(
        "bearer",
        ("bearer",),
        # A digit, or more letters than a word has: "Bearer authentication" is prose.
        r"(?P<keep>(?i:bearer)(?:[ \t]++|%20))(?=[^\s\"',;]*[0-9]|[0-9A-Za-z._~+/-]{24})"
        r"[0-9A-Za-z._~+/-]{12,}+=*",
        "What follows `Bearer`: a token of 12 characters or more.",
        "RFC 6750, section 2.1",
    ),
    Rule(
        "basic",
        ("basic ",),
        r"(?P<keep>(?i:basic)[ \t]++)(?=[a-z0-9+/]*+[A-Z])(?=[A-Z0-9+/]*+[a-z])"
        r"(?:[0-9A-Za-z+/]{8,}+={1,2}|(?=[A-Za-z+/]*+[0-9])[0-9A-Za-z+/]{16,}+)",
        "What follows `Basic`: base64 of a name and a password.",
        "RFC 7617, section 2",
    ),
    Rule(
        "cookie",
        ("cookie",),
        r"(?P<keep>(?i:cookie)"
        + _CLOSE
        + r"[ \t]*+[:=][ \t]*+"
        + _QUOTE
        + r")"
        + _NO_MARKER
        + rf"(?=[^\s;=]{{1,100}}=)(?(q){_all_of(_IN_QUOTES, 4)}"
        r"|(?>(?:[^\r\n\"'`\\]|\"[^\"\r\n]*+\"(?=[;\s]|$)){8,}))",
        "What a Cookie or Set-Cookie header holds.",
        "RFC 6265, section 4",
    ),
    Rule(
        "session-cookie",
        ("sessid", "jsessionid", "sessionid=", "connect.sid"),
        r"(?P<keep>(?i:phpsessid|jsessionid|asp\.net_sessionid|connect\.sid)=)"
        + _NO_MARKER
        + r"[^\s;,&\"'<>]{8,}+",
        "The session cookies of PHP, Java servlets, ASP.NET and Express.",
        "the manuals of these four",
    ),
    Rule(
        "url-password",
        ("://",),
        # A user's name as long as a token is one; a port is no password.
        rf"(?P<keep>://(?:(?!{_IN_PLACE_OF_USER})[^\s/?#:@'\"\[<>]{{0,200}}:)?)"
        r"(?:(?<=:)(?![0-9]{1,5}(?:[/?#,;]|$))(?:[^\s/?#'\"<>]+(?=@)|[^\s@'\"<>]{1,100}(?=@))"
        rf"|(?<=//){_IN_PLACE_OF_USER})",
        "The password in a URL, and a token in the place of a user's name.",
        "RFC 3986, section 3.2.1",
    ),
    Rule(
        "url-signature",
        ("sig=", "signature="),
        r"(?P<keep>[?&;](?i:sig|x-amz-signature|x-goog-signature|signature)=)"
        r"[0-9A-Za-z%+/=_-]{16,}",
        "The signature of a signed URL.",
        "AWS Signature Version 4, query parameters; Azure Storage, shared access signatures",
    ),
    Rule(
        "data-source",
        ("@tcp(", "@unix("),
        r"(?P<keep>(?<![\w.:-])[\w.-]{1,80}:)[^\s\"'@]{1,200}(?=@(?:tcp|unix)\()",
        "The password in a data source name of Go.",
        "go-sql-driver/mysql, README, 'DSN (Data Source Name)'",
    ),
    Rule(
        "option",
        ("--",),
        r"(?P<keep>(?<![\w-])"
        + _OPTION
        + _THEN
        + _QUOTE
        + ")"
        + _NO_MARKER
        + r"(?!--?[A-Za-z]|id=)"
        + _NO_CODE
        + rf"(?(q){_all_of(_IN_QUOTES, 1)}|{_all_of(_BARE, 1)})",
        "The value of an option such as --password, --token or --api-key.",
        "IEEE Std 1003.1, Utility Conventions, and the long options of GNU",
    ),
    Rule(
        "login",
        ("curl", "mysql", "mariadb", "sshpass", "machine", "pass:", "pass "),
        r"(?P<keep>\bcurl\b[^\n]{0,200}?\s(?:-u|--user)(?:[ \t]*+|=)[\"']?[^\s:\"']{1,100}:"
        r"|\b(?:mysql|mysqldump|mysqladmin|mariadb)\b[^\n|;&]{0,200}?\s-p(?=[^\s\"'])"
        r"|\bsshpass[ \t]++-p[ \t]*+[\"']?"
        r"|\bmachine\s++\S{1,200}\s++login\s++\S{1,200}\s++password\s++"
        r"|-pass(?:in|out)?[ \t]++[\"']?pass:"
        r"|-(?:store|key)pass[ \t]++[\"']?)" + _NO_MARKER + r"(?!\$)[^\s\"']++",
        "The password that curl, mysql, sshpass, openssl, keytool or .netrc is given.",
        "the manual pages of these programs",
    ),
    Rule(
        "sql-password",
        ("password", "identified"),
        r"(?P<keep>(?i:password|identified(?:\s++with\s++\S{1,40})?\s++by)\s++(?P<q>\\*+'))"
        + _NO_MARKER
        + _all_of(_IN_QUOTES, 1),
        "The password in CREATE USER, ALTER ROLE or SET PASSWORD.",
        "PostgreSQL, 'CREATE ROLE'; MySQL, 'CREATE USER'",
    ),
    Rule(
        "pair",
        ("passw", "secret", "token", "key", "authorization", "cookie", "pwd"),
        r"(?P<keep>[(\[]\s*+[bBuU]?(?P<p>\\*[\"'])(?:"
        + _PASSWORD
        + r"|"
        + _KEY
        + r"|(?i:[\w-]{0,20}?(?:secret|token|cookie|authorization|api-?key)))(?P=p),\s*+[bBuU]?"
        r"(?P<q>\\*+[\"']))"
        + _NO_MARKER
        + rf"(?={_all_of(_IN_QUOTES, 1)}(?P=q)\s*+,?\s*+[)\]])"
        + _all_of(_IN_QUOTES, 1),
        "The second of a pair whose first is the name of a secret.",
        "the lists of headers that clients of HTTP print",
    ),
    Rule(
        "element",
        ("password", "passwd", "secret", "token", "apikey", "api-key", "accesskey", "passphrase"),
        r"(?P<keep><(?:[\w-]{1,40}:)?[\w.-]{0,40}?(?i:password|passwd|passphrase|secret|token|"
        r"api-?key|accesskey)>\s*+)" + _NO_MARKER + r"[^<\s][^<]*+(?=</)",
        "The text of an XML element that is called a secret.",
        "XML 1.0; AWS STS, `GetSessionToken`",
    ),
    Rule(
        "password",
        ("passw", "passphrase", "passcode", "pwd", "pass"),
        _named(_PASSWORD, 1),
        "What stands behind `password`, `passwd`, `passphrase`, `pwd` or `db_pass`.",
        "what programs write: assignments, JSON, YAML, connection strings",
    ),
    Rule(
        "secret",
        ("key",),
        _named(_KEY, 6),
        "What stands behind `api_key`, `secret_access_key`, `AccountKey` and the like.",
        "what programs write; the connection strings of Azure",
    ),
    Rule(
        "secret",
        ("token",),
        _named(_TOKEN, 6),
        "What stands behind a name that ends in `token`, such as `GITHUB_TOKEN`.",
        "what programs write",
    ),
    Rule(
        "secret",
        ("secret", "credential"),
        # In prose a colon follows the bare word: a digit tells a value from the next word.
        _named(
            r"(?<![:/])(?i:secret|credential)s?(?!\\*[\"']?\s*:\s+[^\s0-9\"']+(?:\s|$))",
            6,
        ),
        "What stands behind `secret`, `client_secret` or `credentials`.",
        "what programs write",
    ),
    Rule(
        "token",
        ("token",),
        r"(?P<keep>"
        + _OTHER_TOKENS
        + r"(?i:token)(?:=|%3[Dd]|(?:\\*[\"'])?\]?[ \t]*+[:=][ \t]*+(?:[bBuU]?(?P<q>\\*+[\"'])"
        r"|(?=[A-Za-z_-]*+[0-9])(?=[0-9A-Za-z_-]{20}))))"
        + _NO_MARKER
        + _NO_CODE
        # Shorter ones where a digit tells them from a word: behind `token=`, or in quotes.
        + r"(?:[0-9A-Za-z._~+/%-]{16,}=*"
        r"|(?<![ :])(?<!(?i:token): [\"'])(?=[._~+/%-]*[0-9A-Za-z]*[A-Za-z])"
        r"(?=[A-Za-z._~+/%-]*[0-9])[0-9A-Za-z._~+/%-]{6,}+=*)",
        "What stands behind `token`, if it is as long as one.",
        "what programs write",
    ),
    Rule(
        "encoded-login",
        ("auth",),
        r"(?P<keep>(?:(?<![0-9A-Za-z])_auth[ \t]*+=[ \t]*+[\"']?"
        r"|(?P<p>\\*\")auth(?P=p)\s*+:\s*+(?P=p)))[0-9A-Za-z+/]{12,}+=*",
        "The login in the settings of Docker and npm.",
        "Docker Docs, 'docker login', config.json; npm Docs, '.npmrc'",
    ),
)
