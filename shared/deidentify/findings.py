"""What a recogniser returns, and how overlapping findings become one set of spans to replace."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

# What the placeholders are called, in the order in which one wins over another where two overlap: a key inside a URL
# must be gone whole, and a name inside an e-mail address must not tear the address apart.
ENTITIES = ("SECRET", "URL", "EMAIL", "CARD", "IP", "ID", "PHONE", "ADDRESS", "HANDLE", "NAME")
PLACEHOLDER = re.compile(r"\[([A-Z][A-Z_]*)(?:_(\d+))?\]")
_RANK = {entity: rank for rank, entity in enumerate(ENTITIES)}
_LETTERS = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True)
class Finding:
    """A span of a text that identifies somebody or opens something.

    Attributes:
        start: first character.
        end: one past the last character.
        entity: one of `ENTITIES`, or the name a domain's own recogniser gives (upper case).
        score: confidence in [0, 1]; a rule's authored estimate, no calibrated probability.
        recogniser: which rule found it, for reports (never the text).
    """

    start: int
    end: int
    entity: str
    score: float
    recogniser: str


def _remainders(finding: Finding, taken: list[Finding]) -> list[tuple[int, int]]:
    pieces = [(finding.start, finding.end)]
    for other in taken:
        cut: list[tuple[int, int]] = []
        for start, end in pieces:
            if other.end <= start or end <= other.start:
                cut.append((start, end))
                continue
            if start < other.start:
                cut.append((start, other.start))
            if other.end < end:
                cut.append((other.end, end))
        pieces = cut
    return pieces


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not text[start].isalnum() and text[start] not in "@+(#":
        start += 1
    while end > start and not text[end - 1].isalnum() and text[end - 1] not in ")":
        end -= 1
    return start, end


def resolve(text: str, findings: Iterable[Finding]) -> list[Finding]:
    """Non-overlapping findings in text order.

    The entity earlier in `ENTITIES` wins, then the longer span; what sticks out of the losing span is kept where it
    holds a word (half a name must not stay behind). Whatever lies inside an existing placeholder such as
    ``[NAME_1]`` is left alone, so masking twice changes nothing.
    """
    blocked = [Finding(m.start(), m.end(), "", 1.0, "placeholder") for m in PLACEHOLDER.finditer(text)]
    ranked = sorted(findings, key=lambda f: (_RANK.get(f.entity, len(_RANK)), f.start - f.end, f.start))
    taken: list[Finding] = []
    for finding in ranked:
        for start, end in _remainders(finding, blocked + taken):
            whole = (start, end) == (finding.start, finding.end)
            if not whole:
                start, end = _trim(text, start, end)
                if not _LETTERS.search(text[start:end]):
                    continue
            taken.append(finding if whole else replace(finding, start=start, end=end))
    return sorted(taken, key=lambda f: f.start)
