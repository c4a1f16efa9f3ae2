"""The keys and tokens that providers hand out, by the form in which they are published.

A form is listed where it has a prefix or a shape that nothing else has; a key of 32 hex digits
alone is not told from a digest.  Each rule names its source.  The rules for what stands under a
telling name are in `observability.redaction.secret_forms`.
"""

import re
from typing import Final, NamedTuple


class Rule(NamedTuple):
    """One form of secrets.

    Attributes:
        name: What the marker says.
        needles: Every text with such a secret holds one of these in lower case.
        pattern: What is replaced; its group `keep` stays, which says what the secret is for.
        says: What it hides, in one sentence.
        source: Where the form is published.
    """

    name: str
    needles: tuple[str, ...]
    pattern: str
    says: str
    source: str


_NOT_INSIDE: Final = (
    r"(?<![0-9A-Za-z]{0})|(?<=\\[abfnrtv]{0})|(?<=%[0-9A-Fa-f]{{2}}{0})|(?<=\\x[0-9A-Fa-f]{{2}}{0})"
    r"|(?<=\\u[0-9A-Fa-f]{{4}}{0})|(?<=[0-9;\[]m{0})"
)
# No secret begins inside a word: ids do.  An escape or a colour before it is no part of a word.
START: Final = f"(?:{_NOT_INSIDE.format('')})"
_STARTED: Final = f"(?:{_NOT_INSIDE.format('.')})"  # behind the first character
_END: Final = r"(?![0-9A-Za-z])"
_GITLAB: Final = (
    *("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-"),
    *("glsoat-", "gloas-"),
)


def _token(*forms: str) -> str:
    """Return the pattern of any of *forms*, at the beginning of a word.

    Each begins with a letter or a set.  What is before it is asked behind that, as the search
    for a character is fast and for nothing is not.
    """
    return f"(?:{'|'.join(_FIRST.sub(_behind_first, form, count=1) for form in forms)})"


def _behind_first(found: re.Match[str]) -> str:
    again = f"{found['set']}{{{int(found['times']) - 1}}}" if found["times"] else ""
    return found["set"] + _STARTED + again


# A character or a set, and how often it is repeated.
_FIRST: Final = re.compile(r"(?P<set>\[[^]]+\]|[0-9A-Za-z])(?:\{(?P<times>[0-9]+)\})?")

PROVIDER_KEYS: Final[tuple[Rule, ...]] = (
    Rule(
        "aws-access-key",
        ("akia", "asia"),
        _token(r"A(?:KIA|SIA)[0-9A-Z]{16}") + _END,
        "An access key of AWS: AKIA or ASIA and 16 letters and digits.",
        "AWS IAM User Guide, 'IAM identifiers', unique id prefixes",
    ),
    Rule(
        "alibaba-access-key",
        ("ltai",),
        _token(r"LTAI[0-9A-Za-z]{12,26}") + _END,
        "An access key of Alibaba Cloud: LTAI and 12 to 26 letters and digits.",
        "Alibaba Cloud RAM, 'AccessKey pair'",
    ),
    Rule(
        "azure-storage-key",
        ("+ast",),
        r"[0-9A-Za-z+/]{76}\+ASt[0-9A-Za-z+/]{5}[AQgw]==",
        "An account key of Azure Storage: 88 characters of base64 with +ASt in them.",
        "Microsoft Purview, 'Azure storage account key (general)'",
    ),
    Rule(
        "azure-client-secret",
        ("q~",),
        _token(r"[0-9A-Za-z_~.-]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}(?![0-9A-Za-z_~-])"),
        "A client secret of Microsoft Entra: a digit and Q~ after three characters.",
        "Microsoft Purview, 'Client secret / API key'",
    ),
    Rule(
        "github-token",
        ("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_"),
        _token(r"gh[pousr]_[0-9A-Za-z]{36,255}", r"github_pat_[0-9A-Za-z_]{22,255}"),
        "A token of GitHub: ghp_, gho_, ghu_, ghs_, ghr_ or github_pat_.",
        "GitHub Docs, 'About authentication to GitHub', token formats",
    ),
    Rule(
        "gitlab-token",
        (*_GITLAB, "gr1348941"),
        _token(
            *(rf"{prefix}[0-9A-Za-z_.-]{{20,}}" for prefix in _GITLAB),
            r"GR1348941[0-9A-Za-z_-]{20,}",
        ),
        "A token of GitLab: glpat-, gldt-, glrt-, glcbt-, glptt-, glft- and the like.",
        "GitLab Docs, 'Token overview', token prefixes",
    ),
    Rule(
        "slack-token",
        ("xox", "xapp-"),
        _token(r"xox[abcdeoprs][-.][0-9A-Za-z.-]{10,}", r"xapp-[0-9]-[0-9A-Za-z-]{10,}"),
        "A token of Slack: xoxb-, xoxp-, xoxa-, xoxe., xapp- and the like.",
        "Slack API, 'Tokens'",
    ),
    Rule(
        "slack-webhook",
        ("hooks.slack.com",),
        r"(?P<keep>hooks\.slack\.com/(?:services|workflows|triggers)/)[0-9A-Za-z/_-]+",
        "The path of an incoming webhook of Slack.",
        "Slack API, 'Sending messages using incoming webhooks'",
    ),
    Rule(
        "discord-webhook",
        ("/api/webhooks/",),
        r"(?P<keep>discord(?:app)?\.com/api/webhooks/)[0-9]{16,20}/[0-9A-Za-z_-]{20,}",
        "The path of a webhook of Discord.",
        "Discord developer documentation, 'Webhook resource'",
    ),
    Rule(
        "discord-token",
        ("m", "n", "o"),
        _token(
            r"[MNO][0-9A-Za-z_-]{23,27}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,38}(?![0-9A-Za-z_-])"
        ),
        "A bot token of Discord: three parts with two dots.",
        "Discord developer documentation, 'API reference', authentication",
    ),
    Rule(
        "telegram-token",
        (":aa",),
        r"(?<![0-9])[0-9]{8,10}:AA[0-9A-Za-z_-]{33}(?![0-9A-Za-z_-])",
        "A bot token of Telegram: a number, a colon, AA and 33 characters.",
        "Telegram Bot API, 'Authorizing your bot'",
    ),
    Rule(
        "stripe-key",
        ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"),
        _token(r"[rs]k_(?:live|test)_[0-9A-Za-z]{16,}", r"whsec_[0-9A-Za-z+/]{24,}={0,2}"),
        "A secret or restricted key of Stripe, or a signing secret of a webhook.",
        "Stripe Docs, 'API keys'",
    ),
    Rule(
        "square-token",
        ("sq0",),
        _token(r"sq0(?:atp|csp)-[0-9A-Za-z_-]{22,43}"),
        "A token or secret of Square: sq0atp- or sq0csp-.",
        "Square Developer, 'Access tokens and other credentials'",
    ),
    Rule(
        "shopify-token",
        ("shp",),
        _token(r"shp(?:at|ca|pa|ss|ua)_[0-9A-Fa-f]{32}") + _END,
        "A token of Shopify: shpat_, shpca_, shppa_, shpss_ or shpua_.",
        "Shopify developer changelog, 'New format for access tokens'",
    ),
    Rule(
        "anthropic-key",
        ("sk-ant-",),
        _token(r"sk-ant-[0-9a-z]+-[0-9A-Za-z_-]{20,}"),
        "An API key of Anthropic: sk-ant-.",
        "Claude API documentation, 'Authentication'",
    ),
    Rule(
        "openai-key",
        ("sk-",),
        # Names such as sk-learn-pipelines have no long run of letters and digits.
        _token(r"sk-(?=[0-9A-Za-z_-]{0,64}[0-9A-Za-z]{16})[0-9A-Za-z_-]{20,}"),
        "An API key of OpenAI and of those who follow its form: sk-.",
        "OpenAI API reference, 'Authentication'",
    ),
    Rule(
        "ai-key",
        ("gsk_", "xai-", "pplx-", "nvapi-", "r8_"),
        _token(
            r"gsk_[0-9A-Za-z]{40,}",
            r"xai-[0-9A-Za-z]{60,}",
            r"pplx-[0-9A-Za-z]{40,}",
            r"nvapi-[0-9A-Za-z_-]{60,}",
            r"r8_[0-9A-Za-z]{37}",
        ),
        "An API key of Groq, xAI, Perplexity, NVIDIA or Replicate.",
        "the providers' API references, 'Authentication'",
    ),
    Rule(
        "hugging-face-token",
        ("hf_", "api_org_"),
        _token(r"hf_[0-9A-Za-z]{30,}", r"api_org_[0-9A-Za-z]{30,}"),
        "A token of Hugging Face: hf_ or api_org_.",
        "Hugging Face Hub documentation, 'User access tokens'",
    ),
    Rule(
        "google-api-key",
        ("aiza",),
        _token(r"AIza[0-9A-Za-z_-]{35}"),
        "An API key of Google: AIza and 35 characters.",
        "Google Cloud, 'Manage API keys'",
    ),
    Rule(
        "google-token",
        ("ya29.", "gocspx-", "1//0"),
        _token(
            r"ya29\.[0-9A-Za-z_.-]{20,}", r"GOCSPX-[0-9A-Za-z_-]{20,}", r"1//0[0-9A-Za-z_-]{30,}"
        ),
        "An access or refresh token or a client secret of Google OAuth.",
        "Google Identity, 'Using OAuth 2.0 to access Google APIs'",
    ),
    Rule(
        "npm-token",
        ("npm_",),
        _token(r"npm_[0-9A-Za-z]{36}"),
        "An access token of npm: npm_ and 36 characters.",
        "GitHub Blog, 'npm: new access token format', 2021",
    ),
    Rule(
        "pypi-token",
        ("pypi-",),
        _token(r"pypi-AgE[0-9A-Za-z_-]{50,}"),
        "An API token of PyPI: pypi-AgE.",
        "PyPI Help, 'How can I use API tokens to authenticate with PyPI?'",
    ),
    Rule(
        "package-token",
        ("rubygems_", "oy2"),
        _token(r"rubygems_[0-9a-f]{48}", r"oy2[0-9a-z]{43}") + _END,
        "An API key of RubyGems or NuGet.",
        "RubyGems Guides, 'API key scopes'; NuGet Docs, 'API keys'",
    ),
    Rule(
        "docker-token",
        ("dckr_",),
        _token(r"dckr_[po]at_[0-9A-Za-z_-]{20,}"),
        "An access token of Docker: dckr_pat_ or dckr_oat_.",
        "Docker Docs, 'Access tokens'",
    ),
    Rule(
        "sendgrid-key",
        ("sg.",),
        _token(r"SG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{16,64}"),
        "An API key of SendGrid: SG. and two parts.",
        "Twilio SendGrid Docs, 'API keys'",
    ),
    Rule(
        "twilio-key",
        ("sk",),
        _token(r"SK[0-9a-f]{32}") + _END,
        "An API key of Twilio: SK and 32 hex digits.",
        "Twilio Docs, 'API keys'",
    ),
    Rule(
        "mail-key",
        ("key-", "xkeysib-", "-us"),
        _token(
            r"key-[0-9a-f]{32}",
            r"xkeysib-[0-9a-f]{64}-[0-9A-Za-z]{16}",
            r"[0-9a-f]{32}-us[0-9]{1,2}",
        )
        + _END,
        "An API key of Mailgun, Brevo or Mailchimp.",
        "the providers' API references, 'Authentication'",
    ),
    Rule(
        "digitalocean-token",
        ("_v1_",),
        _token(r"do[por]_v1_[0-9a-f]{64}") + _END,
        "A token of DigitalOcean: dop_v1_, doo_v1_ or dor_v1_.",
        "DigitalOcean Docs, 'Personal access tokens'",
    ),
    Rule(
        "hosting-token",
        ("hrku-", "sbp_", "sb_secret_", "pscale_", "fm2_"),
        _token(
            r"HRKU-[0-9A-Za-z_-]{36,}",
            r"sbp_[0-9a-f]{40}",
            r"sb_secret_[0-9A-Za-z_-]{20,}",
            r"pscale_(?:tkn|pw|oauth)_[0-9A-Za-z_.-]{32,}",
            r"fm2_[0-9A-Za-z+/=]{40,}",
        ),
        "A token of Heroku, Supabase, PlanetScale or Fly.",
        "the providers' API references, 'Authentication'",
    ),
    Rule(
        "vault-token",
        ("hvs.", "hvb.", "hvr.", ".atlasv1."),
        _token(r"hv[bsr]\.[0-9A-Za-z_-]{24,}", r"[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_=-]{60,}"),
        "A token of HashiCorp Vault or Terraform.",
        "HashiCorp Developer, Vault 'Tokens', Terraform 'API tokens'",
    ),
    Rule(
        "infrastructure-token",
        ("dapi", "pul-", "tskey-", "dp.", "glc_", "glsa_", "nrak-", "sntry"),
        _token(
            r"dapi[0-9a-f]{32}(?:-[0-9])?",
            r"pul-[0-9a-f]{40}",
            r"tskey-[a-z]+-[0-9A-Za-z-]{16,}",
            r"dp\.(?:pt|st|ct|sa|scim|audit)\.[0-9A-Za-z.]{40,}",
            r"glc_[0-9A-Za-z+/]{32,}={0,2}",
            r"glsa_[0-9A-Za-z]{32}_[0-9A-Fa-f]{8}",
            r"NRAK-[0-9A-Z]{27}",
            r"sntry[su]_[0-9A-Za-z+/=_]{40,}",
        ),
        "A token of Databricks, Pulumi, Tailscale, Doppler, Grafana, New Relic or Sentry.",
        "the providers' API references, 'Authentication'",
    ),
    Rule(
        "workplace-token",
        ("atatt3", "pmak-", "lin_", "ntn_", "figd_", "ops_eyj", "pat"),
        _token(
            r"ATATT3[0-9A-Za-z_=-]{60,}",
            r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
            r"lin_(?:api|oauth)_[0-9A-Za-z]{32,}",
            r"ntn_[0-9A-Za-z]{40,}",
            r"figd_[0-9A-Za-z_-]{40,}",
            r"ops_eyJ[0-9A-Za-z_-]{100,}",
            r"pat[0-9A-Za-z]{14}\.[0-9a-f]{64}",
        ),
        "A token of Atlassian, Postman, Linear, Notion, Figma, 1Password or Airtable.",
        "the providers' API references, 'Authentication'",
    ),
    Rule(
        "age-key",
        ("age-secret-key-1",),
        _token(r"AGE-SECRET-KEY-1[0-9A-Z]{40,}"),
        "An identity of age: AGE-SECRET-KEY-1.",
        "C2SP, 'age', X25519 recipient stanza",
    ),
)
