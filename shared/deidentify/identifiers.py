"""Identifiers that may hold personal data: record ids, file names, column names."""

import re
from collections.abc import Callable

from shared.deidentify import common_names as words
from shared.deidentify.findings import Finding, resolve
from shared.records import content_id

_SAFE_WORDS = (
    "row|rows|pair|pairs|id|q|a|question|answer|group|g|train|test|val|valid|validation|dev|judge|prompt|record|r|item|sample|s|"
    "doc|p|product|patient|user|u|session|example|ex|dialogue|turn|line|l|x|hh|harmless|case|encounter|visit|source|target"
)
_SAFE_ID = re.compile(
    rf"(?:[0-9a-f]{{6,64}}|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"
    rf"|(?:(?:{_SAFE_WORDS})[-_:.#/]?){{0,3}}\d{{1,8}}(?:[-_:.#/](?:(?:{_SAFE_WORDS})[-_]?)?(?:[0-9a-f]{{8,64}}|\d{{1,8}})){{0,3}})"
)
_SSN_OR_PHONE = re.compile(r"\d{3}[-.]\d{2,3}[-.]\d{4}")
_SLUG_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])")
_ROW = re.compile(r"(?::\d+)+\Z")


def safe_id(value: str) -> str:
    """An id that identifies no person: hexadecimal digests, UUIDs and counters stay, all else is hashed (16 hex).

    The hash is stable across files and runs, so that joins by id still work; it is no secret: who holds a list of the
    original ids can hash them too.
    """
    if _SAFE_ID.fullmatch(value) and not _SSN_OR_PHONE.search(value):
        return value
    return content_id("deidentified", value)


def slug_names(
    slug: str,
    is_given: Callable[[str], bool] = words.GIVEN_NAMES.__contains__,
    is_surname: Callable[[str], bool] = words.SURNAMES.__contains__,
) -> list[Finding]:
    """Names in a file name, column name or URL part such as ``sherry_katz_notes`` or ``notesSherryKatz``.

    Args:
        slug: words joined by ``_``, ``-``, ``.``, spaces or capitals.
        is_given: whether a lower-case word is a given name.
        is_surname: whether a lower-case word may be the surname that follows one.
    """
    parts = [(m.start(), m.end(), m[0].lower()) for m in _SLUG_WORD.finditer(slug)]
    found: list[Finding] = []
    taken = -1
    for index, (start, end, word) in enumerate(parts):
        if index <= taken or len(word) < 3:
            continue
        following = parts[index + 1] if index + 1 < len(parts) else None
        given = is_given(word)
        if following and is_surname(following[2]) and (given or word in words.AMBIGUOUS_GIVEN_NAMES):
            found.append(Finding(start, following[1], "NAME", 0.8, "name-slug"))
            taken = index + 1
        elif word in words.GIVEN_NAMES:
            found.append(Finding(start, end, "NAME", 0.7, "name-slug"))
    return found


def mask_identifier(text: str, findings: list[Finding]) -> str:
    """A column or file name with plain placeholders (``[NAME]``): the same in every record, whatever its group."""
    parts: list[str] = []
    position = 0
    for finding in resolve(text, findings):
        parts += (text[position : finding.start], f"[{finding.entity}]")
        position = finding.end
    return "".join((*parts, text[position:]))


def split_source(source: str) -> tuple[str, str]:
    """File and row of a record's source: ``a/pairs.csv:17`` -> (``a/pairs.csv``, ``:17``)."""
    match = _ROW.search(source)
    return (source[: match.start()], match[0]) if match else (source, "")
