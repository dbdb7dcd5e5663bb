"""Personal data that has a form: e-mail, phone, URL, address, numbers, handles; compiled once, any language.

Each rule has a cheap condition (a character that must occur) tested before its expression runs, because most texts of
a preference set hold none of these and a million of them must pass in minutes.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.deidentify.findings import Finding

_TLD = (
    "com|org|net|edu|gov|info|biz|io|co|me|us|uk|ca|au|de|fr|jp|cn|in|nl|ch|it|es|eu|app|dev|ai|tv|online|site|blog|"
    "shop|store|health|care|life|live|club|link|page|xyz|example|test"
)
_STATE = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|"
    "OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY"
)
_STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl|Terrace|Circle|Cir|Parkway|"
    "Pkwy|Highway|Hwy|Square|Sq|Trail|Crescent|Close|Gardens"
)
# Words that stand between a number and "way", "court" or "drive" in ordinary sentences ("5 minutes down the road",
# "500 GB hard drive").
_NO_STREET = (
    "the|a|an|of|in|my|his|her|our|your|their|its|on|to|down|up|for|and|or|out|by|from|at|with|this|that|is|was|are|"
    "hard|flash|thumb|disk|usb|wheel|gb|tb|mb|seconds?|hours?|minutes?|min|days?|weeks?|months?|years?|miles?|km|steps?|times?|people|percent|more|other|each"
)
_SIMPLE_EMAIL = r"[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}"

EMAIL = re.compile(rf"(?<![\w.+-]){_SIMPLE_EMAIL}(?![\w-])")
EMAIL_SPELLED = re.compile(
    r"\b[\w.+-]{2,40}\s*(?:\(at\)|\[at\]|\{at\}|\sat\s)\s*[\w-]{2,40}\s*"
    r"(?:\(dot\)|\[dot\]|\{dot\}|\sdot\s)\s*[a-z]{2,6}\b",
    re.IGNORECASE,
)
URL_SCHEME = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s<>\"'\])}|]+", re.IGNORECASE)
URL_BARE = re.compile(
    rf"(?<![\w@.-])(?:www\.(?:[\w-]+\.)+[a-z]{{2,12}}|(?:[a-z0-9-]{{1,63}}\.){{1,4}}(?:{_TLD}))\b(?![@\w-])(?:/[^\s<>\"'\])}}|]*)?",
    re.IGNORECASE,
)
_URL_HINT = re.compile(rf"\.(?:{_TLD})\b", re.IGNORECASE)
PHONE = re.compile(
    r"(?<![\w.+-])(?:"
    r"(?:\+?1[\s.-]?)?(?:\(\d{3}\)[\s.-]?|\d{3}[\s.-])\d{3}[\s.-]\d{4}"
    r"|\+\d{1,3}(?:[\s.-]?\(?\d{1,5}\)?){2,6}"
    r"|0\d{2,4}[\s-]\d{3,4}[\s-]?\d{3,5}"
    r"|1?[\s-]?8(?:00|88|77|66|55|44|33)-[A-Z\d]{2,4}-?[A-Z\d-]{3,7}"
    r")(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w-])"
)
PHONE_CUED = re.compile(
    r"\b(?:call|text|phone|tel|fax|cell|mobile|whatsapp|number)\b(?:\s+(?:me|us|is|at|on|number)){0,3}[:.]?\s*"
    r"(\d{3}[\s.-]?\d{4}|\d{10,11})(?![\w-])",
    re.IGNORECASE,
)
CARD = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}|[ -]?\d{6}[ -]?\d{5})(?![\w-])")
IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)")
IPV6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_VERSION = re.compile(r"(?:\bv|version|firmware|release|build)\s*$", re.IGNORECASE)
SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
ID_LABELLED = re.compile(
    r"\b(?:SSN|social security|MRN|MR#|medical record|patient id|member id|policy|passport|"
    r"driver['’]?s?['’]? licen[cs]e|licen[cs]e|lic|"
    r"NPI|DEA|NHS|account|acct|claim|case file|student id|employee id|tax id|EIN|IBAN)\b"
    r"(?:\s*(?:number|no|num|id|is|was)\b)*[\s.:#=]{0,4}((?=[A-Z-]*\d)[A-Z]{0,5}-?\d[A-Z\d-]{3,30})(?!\w)",
    re.IGNORECASE,
)
STREET = re.compile(
    rf"(?<![\w.,-])\d{{1,6}}[A-Za-z]?\s+(?:(?:North|South|East|West|[NSEW])\.?\s+)?"
    rf"(?:(?!(?:{_NO_STREET})\b)(?:[^\W\d_][\w'’.-]{{0,20}}|\d{{1,3}}(?:st|nd|rd|th))\s+){{1,3}}(?:{_STREET})\b\.?"
    rf"(?:,?\s+(?:Apt|Apartment|Suite|Ste|Unit|Floor|Fl|#)\.?\s*#?\w{{1,6}})?"
    rf"(?:,?\s+(?:[A-Z][\w'.-]+\s?){{1,3}},?\s+(?:{_STATE})(?:\s+\d{{5}}(?:-\d{{4}})?)?\b)?",
    re.IGNORECASE,
)
PO_BOX = re.compile(r"\bP\.?\s?O\.?\s?Box\s+\d{1,7}\b", re.IGNORECASE)
ZIP = re.compile(rf"\b(?:{_STATE})\s+\d{{5}}(?:-\d{{4}})?\b|(?<![\w-])\d{{5}}-\d{{4}}(?![\w-])")
ZIP_LABELLED = re.compile(r"\b(?:zip|postal|post)\s?-?(?:code)?(?:\s+is)?[:\s]\s*(\d{5}(?:-\d{4})?)\b", re.IGNORECASE)
HANDLE = re.compile(r"(?<![\w@./+-])@[A-Za-z_][\w.]{1,28}\w(?![\w@])")
HANDLE_LABELLED = re.compile(
    r"\b(?:instagram|insta|ig|snapchat|snap|twitter|tiktok|discord|kik|telegram|skype|reddit)\b"
    r"(?:\s+(?:handle|name|username|user|account|is)){0,3}\s*(?:[:=@]|\bis\b)\s*@?([A-Za-z][\w.#]{2,29})",
    re.IGNORECASE,
)
REDDIT_USER = re.compile(r"(?<![\w/])/?u/[\w-]{3,20}\b")


@dataclass(frozen=True, slots=True)
class PatternRule:
    """One expression that finds one entity.

    Attributes:
        name: shown in reports.
        entity: what it finds.
        expression: compiled expression; its group 1, where it has one that matched, is the span, else the whole.
        needs: a cheap test of the text that must hold before the expression runs; None: always runs.
        accept: a test of (text, start, end) that a match must pass, such as a checksum.
        score: authored confidence.
        strip: characters dropped from the end of a match (a full stop after a URL).
    """

    name: str
    entity: str
    expression: re.Pattern[str]
    needs: Callable[[str], object] | None = None
    accept: Callable[[str, int, int], bool] | None = None
    score: float = 0.9
    strip: str = ""

    def find(self, text: str) -> Iterator[Finding]:
        """Yields the findings of this rule in a text."""
        if self.needs is None or self.needs(text):
            yield from self.matches(text)

    def matches(self, text: str) -> Iterator[Finding]:
        """`find` for a text that is known to meet `needs`."""
        for match in self.expression.finditer(text):
            group = 1 if match.re.groups and match.group(1) is not None else 0
            start, end = match.span(group)
            while end > start and text[end - 1] in self.strip:
                end -= 1
            if end > start and (self.accept is None or self.accept(text, start, end)):
                yield Finding(start, end, self.entity, self.score, self.name)


# Several rules share a condition, by identity: a recogniser tests each once a text.
_LONG_NUMBER = re.compile(r"\d[\d\s().+-]{4,}").search
_FOUR_DIGITS = re.compile(r"\d[A-Za-z\d-]{3}").search
_FIVE_DIGITS = re.compile(r"\d{5}").search
_DOTTED_NUMBER = re.compile(r"\d\.\d").search
_NUMBER_AND_WORD = re.compile(r"\d[A-Za-z]?\s").search


@dataclass(frozen=True, slots=True)
class Contains:
    """A test whether a text holds one of some lower-case pieces (far faster than an alternation).

    Attributes:
        pieces: what to look for.
    """

    pieces: tuple[str, ...]

    def __call__(self, text: str) -> bool:
        return self.in_lower(text.lower())

    def in_lower(self, lower: str) -> bool:
        """The test for a text that is in lower case already."""
        for piece in self.pieces:  # noqa: SIM110 (a generator costs more than the search)
            if piece in lower:
                return True
        return False


def contains(*pieces: str) -> Contains:
    """`Contains` of the pieces given."""
    return Contains(pieces)


# Conditions that no text without a digit meets.
DIGIT_CONDITIONS = frozenset((_LONG_NUMBER, _FOUR_DIGITS, _FIVE_DIGITS, _DOTTED_NUMBER, _NUMBER_AND_WORD))
has_digit = re.compile(r"\d").search


def _has_at(text: str) -> bool:
    return "@" in text


def luhn(digits: str) -> bool:
    """Whether a string of decimal digits passes the Luhn check (ISO/IEC 7812-1) of payment cards."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = ord(character) - 48
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def _is_card(text: str, start: int, end: int) -> bool:
    digits = "".join(character for character in text[start:end] if character in "0123456789")
    return 13 <= len(digits) <= 19 and luhn(digits)


def _is_ipv4(text: str, start: int, end: int) -> bool:
    octets = text[start:end].split(".")
    return all(int(octet) < 256 for octet in octets) and not _VERSION.search(text[max(0, start - 12) : start])


def _is_ipv6(text: str, start: int, end: int) -> bool:
    value = text[start:end]
    if sum(character.isalnum() for character in value) < 4:
        return False
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


# Endings that are also words: "sad.It is" and "for you.me" are typing, "www.x.it" and "x.it/path" are addresses.
_WORD_ENDINGS = frozenset(
    """it in me us is be am co no so to care life live health page link club store shop site online blog""".split()  # noqa: SIM905
)


def _is_host(text: str, start: int, end: int) -> bool:
    value = text[start:end]
    host, slash, _ = value.partition("/")
    ending = host.rsplit(".", 1)[1]
    if ending != ending.lower() and host != host.upper():
        return host.lower().startswith("www.")
    return bool(slash) or host.count(".") > 1 or ending.lower() not in _WORD_ENDINGS


def _is_phone(text: str, start: int, end: int) -> bool:
    value = text[start:end]
    letters = any(character.isalpha() and character not in "extEXT" for character in value)
    digits = sum(character.isdigit() for character in value)
    return 4 <= digits <= 21 if letters else 8 <= digits <= 21


PATTERN_RULES: tuple[PatternRule, ...] = (
    PatternRule("url-scheme", "URL", URL_SCHEME, lambda text: "://" in text, strip=".,;:!?*"),
    PatternRule("url-bare", "URL", URL_BARE, _URL_HINT.search, _is_host, score=0.8, strip=".,;:!?*"),
    PatternRule("url-www", "URL", URL_BARE, lambda text: "www." in text or "WWW." in text, strip=".,;:!?*"),
    PatternRule("email", "EMAIL", EMAIL, _has_at, strip="."),
    PatternRule("email-spelled", "EMAIL", EMAIL_SPELLED, contains(" dot ", "(dot)", "[dot]", "{dot}"), score=0.7),
    PatternRule("handle", "HANDLE", HANDLE, _has_at, score=0.8),
    PatternRule(
        "handle-labelled",
        "HANDLE",
        HANDLE_LABELLED,
        contains(
            "insta",
            "snap",
            "twitter",
            "tiktok",
            "discord",
            "kik",
            "telegram",
            "skype",
            "reddit",
            "ig:",
            "ig is",
        ),
        accept=lambda text, start, end: any(c in "0123456789_.#" for c in text[start:end]) or text[start - 1] in ":=@",
        score=0.6,
    ),
    PatternRule("reddit-user", "HANDLE", REDDIT_USER, lambda text: "u/" in text, score=0.7),
    PatternRule("card", "CARD", CARD, _LONG_NUMBER, _is_card),
    PatternRule("ipv4", "IP", IPV4, _DOTTED_NUMBER, _is_ipv4, 0.8),
    PatternRule("ipv6", "IP", IPV6, lambda text: "::" in text or text.count(":") > 5, _is_ipv6),
    PatternRule("ssn", "ID", SSN, _LONG_NUMBER),
    PatternRule("id-labelled", "ID", ID_LABELLED, _FOUR_DIGITS, score=0.8, strip="-"),
    PatternRule("phone", "PHONE", PHONE, _LONG_NUMBER, _is_phone),
    PatternRule("phone-cued", "PHONE", PHONE_CUED, _LONG_NUMBER, score=0.7),
    PatternRule("street", "ADDRESS", STREET, _NUMBER_AND_WORD, score=0.8, strip=" ,"),
    PatternRule("po-box", "ADDRESS", PO_BOX, contains("box")),
    PatternRule("zip", "ADDRESS", ZIP, _FIVE_DIGITS, score=0.7),
    PatternRule("zip-labelled", "ADDRESS", ZIP_LABELLED, _FIVE_DIGITS, score=0.8),
)
