"""Names that their surroundings give away: "my name is", titles, credentials, closings. No model is needed."""

import re
from collections.abc import Iterator

from shared.deidentify.common_names import CREDENTIALS, NOT_A_NAME
from shared.deidentify.findings import Finding

_WORD = r"[^\W\d_][^\W\d_'’-]*(?:['’-][^\W\d_]+)*"
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][^\W\d_]*(?:['’-][^\W\d_]+)*"
_INITIAL = r"[A-Z]\.?(?![\w'’])"
_PARTICLE = r"(?:van|von|de|del|della|der|den|di|da|dos|la|le|el|al|bin)"
_FULL = rf"{_CAPITAL}(?:\s+(?:{_INITIAL}|{_PARTICLE}\s+{_CAPITAL}|{_CAPITAL})){{0,3}}"

_SELF = re.compile(rf"\b(?i:my\s+name\s*(?:is|['’]s)|my\s+names)\s+({_FULL}|{_WORD})")
_TITLE = re.compile(rf"\b(?:Dr|Mr|Mrs|Ms|Miss|Mx|Prof|Professor|Rev)\b\.?\s+({_FULL})")
_TITLE_LOWER = re.compile(rf"\b(?:dr|mr|mrs|ms|prof)\.\s?({_WORD})")
_CREDENTIAL = re.compile(
    rf"({_CAPITAL}(?:\s+(?:{_INITIAL}|{_CAPITAL})){{1,3}}),\s*(?:{CREDENTIALS})(?=[^A-Za-z]|[A-Z][a-z]|$)"
)
_COMMA_CREDENTIAL = re.compile(rf",\s*(?:{CREDENTIALS})(?=[^A-Za-z]|[A-Z][a-z]|$)")
_CLOSING = re.compile(
    r"(?i:\b(?:best(?:\s+(?:wishes|regards|of\s+luck))?|(?:kind|warm|with)\s+regards|regards|sincerely|warmly|blessings|"
    r"take\s+care|be\s+well|respectfully|cheers|yours(?:\s+truly)?|love|thanks|thank\s+you|namaste|in\s+health))"
    rf"\s*(?:,|!|\.|-|~|–|—)\s*({_FULL})\s*[.!]?\s*(?:,.{{0,80}})?\Z"
)
_DASHED = re.compile(rf"(?:^|\n|\s{{2}})\s*[-–—~]{{1,2}}\s*({_FULL})\s*(?:,[^.!?\n]{{0,80}})?[.!]?\s*\Z")
_AFTER_TITLE = frozenset(
    ("said", "says", "told", "and", "or", "who", "has", "had", "was", "is", "to", "for", "in", "at")
) | {
    "appointment",
    "office",
    "visit",
    "pepper",
}
_TITLE_HINTS = (
    "dr ",
    "dr.",
    "mr ",
    "mr.",
    "mrs",
    "ms ",
    "ms.",
    "miss ",
    "mx ",
    "mx.",
    "prof",
    "rev ",
    "rev.",
)
_TAIL = 160  # characters at the end in which a signature is looked for


def _good(value: str) -> bool:
    return value.split()[0].lower().strip(".'’") not in NOT_A_NAME and len(value) > 1


def find_cued_names(text: str) -> Iterator[Finding]:
    """Yields names that follow "my name is" or a title, stand before a credential, or sign the text.

    Args:
        text: any string; English words are the cues.
    """
    lower = text.lower()
    if "my name" in lower:
        for match in _SELF.finditer(text):
            if _good(match[1]):
                yield Finding(*match.span(1), "NAME", 0.85, "name-self")
    if any(title in lower for title in _TITLE_HINTS):
        for match in _TITLE.finditer(text):
            if _good(match[1]) and not match[1].lower().startswith(("pepper", "martens", "scholl")):
                yield Finding(*match.span(1), "NAME", 0.85, "name-title")
        for match in _TITLE_LOWER.finditer(text):
            if _good(match[1]) and match[1].lower() not in _AFTER_TITLE:
                yield Finding(*match.span(1), "NAME", 0.7, "name-title")
    if _COMMA_CREDENTIAL.search(text):
        for match in _CREDENTIAL.finditer(text):
            if _good(match[1]):
                yield Finding(*match.span(1), "NAME", 0.9, "name-credential")
    tail = max(0, len(text) - _TAIL)
    for expression in (_CLOSING, _DASHED):
        match = expression.search(text, tail)
        if match and _good(match[1]) and len(match[1].split()) <= 4:
            yield Finding(*match.span(1), "NAME", 0.8, "name-closing")
