"""Masking of logs, error messages and URLs of our own: patterns only, no package, microseconds a line.

`redact` is for what valign prints and logs; data go through `shared.deidentify.deidentifier`, which also knows names.
"""

import logging
import re
from collections.abc import Iterator

from shared.deidentify.findings import Finding, resolve
from shared.deidentify.name_patterns import find_cued_names
from shared.deidentify.patterns import PATTERN_RULES, PatternRule, contains

_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-(?:[a-z]{2,6}-)?[A-Za-z0-9_-]{12,}"  # model endpoints
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,20}"  # cloud access key ids
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|hf_[A-Za-z0-9]{16,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{20,}|[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}"
    r"|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]{4,})?"  # JSON web tokens
    r")"
)
_LABELLED = re.compile(
    r"(?:passw(?:or)?d|passphrase|passcode|secret(?:[_-]?access)?(?:[_-]?key)?|api[_-]?key|access[_-]?key|auth[_-]?token|token)"
    r"[\"']?\s*[:=]\s*[\"']?([^\s\"',;<>\[\]]{4,200})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\bBearer\s+([\w.~+/=-]{12,})", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]*:[^\s/@]+@[^\s\"'<>]*", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_HEX = re.compile(r"(?<![\w/-])[0-9a-fA-F]{32,}(?![\w-])")
_BASE64 = re.compile(r"(?<![\w+/=-])(?=[A-Za-z0-9+/_-]*\d)[A-Za-z0-9+/_-]{32,}={0,2}(?![\w+/-])")


def _has_long_word(text: str) -> bool:
    return max(map(len, text.split()), default=0) >= 32


_PREFIXES = (
    "sk-",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat",
    "hf_",
    "xox",
    "AIza",
    "k_live",
    "k_test",
    "npm_",
    "pypi-",
    "SG.",
    "eyJ",
    "glpat",
)
_LABELS = contains(
    "passw", "passphrase", "passcode", "secret", "apikey", "api_key", "api-key", "api key", "access", "token"
)


def _has_key_prefix(text: str) -> bool:
    for prefix in _PREFIXES:  # noqa: SIM110 (a generator costs more than the search)
        if prefix in text:
            return True
    return False


def _is_random(text: str, start: int, end: int) -> bool:
    """A token of a generator: both cases and digits, or long; a path, slug or word of a person is none."""
    value = text[start:end]
    upper = sum(character.isupper() for character in value)
    lower = sum(character.islower() for character in value)
    digits = sum(character.isdigit() for character in value)
    return upper >= 4 and lower >= 4 and digits >= 2 and value.count("-") + value.count("_") + value.count("/") <= 4


SECRET_RULES: tuple[PatternRule, ...] = (
    PatternRule("private-key", "SECRET", _PRIVATE_KEY, lambda text: "PRIVATE KEY" in text),
    PatternRule("key-prefix", "SECRET", _KEYS, _has_key_prefix),
    PatternRule("key-labelled", "SECRET", _LABELLED, _LABELS, score=0.8, strip=".)"),
    PatternRule("bearer", "SECRET", _BEARER, contains("bearer")),
    PatternRule("url-password", "SECRET", _URL_PASSWORD, lambda text: "://" in text and "@" in text, strip=".,;"),
    PatternRule("key-hex", "SECRET", _HEX, _has_long_word, score=0.7),
    PatternRule("key-random", "SECRET", _BASE64, _has_long_word, _is_random, score=0.7),
)
# Run names, digests and local paths are what logs are for: hex is a digest there, an address needs its own word.
_LOG_RULES = tuple(rule for rule in SECRET_RULES if rule.name != "key-hex") + tuple(
    rule for rule in PATTERN_RULES if rule.entity in {"EMAIL", "CARD", "PHONE"} or rule.name in {"ssn", "id-labelled"}
)


def _log_findings(text: str) -> Iterator[Finding]:
    for rule in _LOG_RULES:
        yield from rule.find(text)
    yield from find_cued_names(text)


def redact(text: str) -> str:
    """A log line or error message without secrets and personal data that have a form.

    Masks keys, tokens and passwords (also in URLs), e-mail addresses, phone, card and labelled id numbers as
    ``[SECRET]``, ``[EMAIL]`` and so on. Leaves digests (hex), ports and URLs without a password as they are: a log
    must still say where a server is. Of names, only those beside a title, a credential or "my name is" are found: no
    text of a record belongs in a log at all.

    Args:
        text: any string.
    """
    parts: list[str] = []
    position = 0
    for finding in resolve(text, _log_findings(text)):
        parts += (text[position : finding.start], f"[{finding.entity}]")
        position = finding.end
    return "".join((*parts, text[position:])) if parts else text


class RedactionFilter(logging.Filter):
    """A logging filter that masks the formatted message and the exception's text of every record.

    Add it to handlers, not to loggers: a logger's filters are not asked for what its children log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Replaces message and traceback by their redacted text; always lets the record pass."""
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True
