"""How simple a translation is, by proxies: its length, its clauses, its rare words."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domains.translation.preferences.function_words import CLAUSE_WORDS, language_code
from domains.translation.preferences.words import Word

COMMON_SHARE = 0.95
_MARKS = re.compile(r"[,;:，；：、—–]|\s-\s")


@dataclass(frozen=True, slots=True)
class UsualText:
    """What the data's references are like.

    Attributes:
        common: words that make up `COMMON_SHARE` of the running words.
        length_ratio: target units by source units.
    """

    common: frozenset[str]
    length_ratio: float

    @classmethod
    def of(cls, words: Iterable[Sequence[Word]], source_units: int, target_units: int) -> "UsualText":
        """Learns from references.

        Args:
            words: of each reference.
            source_units: of all sources together.
            target_units: of all references together.
        """
        counts = Counter(word.text for sentence in words for word in sentence)
        common: set[str] = set()
        seen, total = 0, counts.total()
        for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
            if seen >= COMMON_SHARE * total:
                break
            common.add(word)
            seen += count
        return cls(frozenset(common), target_units / source_units if source_units else 1.0)


def clauses(text: str, words: Sequence[Word], language: str) -> int:
    """1 + marks between clauses inside the sentence + words that open a subordinate clause.

    A word at the sentence's beginning and one right after a mark do not count twice.
    """
    opening = CLAUSE_WORDS.get(language_code(language), frozenset())
    inside = text.strip().rstrip(".!?。！？…\"'”’)")
    marks = len(_MARKS.findall(inside))
    after_mark = {piece.strip().split(" ")[0].lower() for piece in _MARKS.split(inside)[1:] if piece.strip()}
    opened = sum(word.text in opening and word.text not in after_mark for word in words[1:])
    return 1 + marks + opened


def rare_share(words: Sequence[Word], usual: UsualText) -> float | None:
    """Share of the words that are not common; None without words."""
    return sum(word.text not in usual.common for word in words) / len(words) if words else None


def simplicity(length_ratio: float, clause_count: int, rare: float | None, usual: UsualText) -> float:
    """Mean of (usual length / length, at most 1), 1 / clauses and 1 - rare share, each from 0 to 1."""
    parts = [min(1.0, usual.length_ratio / length_ratio) if length_ratio else 1.0, 1 / clause_count]
    if rare is not None:
        parts.append(1 - rare)
    return sum(parts) / len(parts)
