"""Punctuation of translations: what is a mark, how many a text has, and the text without them.

Two renderings of a sentence are often written by two hands, and the hands differ in their punctuation: in SiMuST-C the
offline references are subtitles, whose lines end in a space and seldom in a full stop, and the monotone ones are
sentences. A policy that is to prefer one to the other can do so by the marks alone.
"""

import re
from dataclasses import replace

from domains.translation.records import Path, SentencePair
from domains.translation.units import Unit, join_units, split_units
from shared.deidentify.findings import PLACEHOLDER

MARKS = frozenset(".,:;!?…‥·-–—―~'\"’‘‚“”„«»‹›()[]{}¿¡|。、，；：？！．・～「」『』《》〈〉【】〔〕（）［］｛｝﹏")
FINAL = tuple(".!?…。？！．")
_CLOSING = "\"'”’»」』)）]］"
_INSIDE = frozenset("'’.,:-–")  # part of a word or number between two letters or digits
_LATIN = re.compile(r"[0-9A-Za-z]")


def count_marks(text: str, unit: Unit) -> dict[str, int]:
    """How a text is punctuated.

    Returns:
        ``marks`` inside the sentence, ``final mark`` (0 or 1), and of a language without spaces the ``spaces`` within.
    """
    stripped = text.strip()
    final = int(stripped.rstrip(_CLOSING)[-1:] in FINAL) if stripped else 0
    marks = sum(not kept for word in text.split() for kept in _kept(word, unit))
    found = {"marks": marks - final, "final mark": final}
    if unit == "char":
        found["spaces"] = len(stripped.split()) - 1 if stripped else 0
    return found


def without_marks(text: str, unit: Unit, path: Path | None = None) -> tuple[str, Path | None]:
    """The text without punctuation, and the read path of the units that are left.

    Marks inside a word or number stay (don't, well-known, 3.5), and what stands for something masked ([NAME_1]). In a
    language without spaces those go too, but between two Latin letters or digits.

    Args:
        text: a translation.
        unit: of its language.
        path: source units read before each of its units.

    Returns:
        The text, empty where it was all marks; and the path, None where it does not have one number a unit.
    """
    words = text.split()
    if path is not None and len(path) != len(split_units(text, unit)):
        path = None
    reads: list[int] = []
    if unit == "word":
        kept: list[str] = []
        for place, word in enumerate(words):
            left = "".join(one if stays else " " for one, stays in zip(word, _kept(word, unit), strict=True)).split()
            kept += left
            reads += [0 if path is None else path[place]] * len(left)
        return join_units(kept, unit), None if path is None else tuple(reads)
    found, place = "", 0
    for word in words:
        left = ""
        for one, stays in zip(word, _kept(word, unit), strict=True):
            if stays:
                left += one
                reads.append(0 if path is None else path[place])
            place += 1
        apart = bool(found and left and _LATIN.match(found[-1]) and _LATIN.match(left[0]))
        found += f" {left}" if apart else left
    return found, None if path is None else tuple(reads)


def unmarked_pair(pair: SentencePair, unit: Unit) -> SentencePair:
    """A pair whose translation and rejected rendering have no punctuation.

    Args:
        pair: as read.
        unit: of the target language.
    """
    text, path = without_marks(pair.target_text, unit, pair.target_path)
    other, other_path = (None, None)
    if pair.rejected_text is not None:
        other, other_path = without_marks(pair.rejected_text, unit, pair.rejected_path)
    return replace(pair, target_text=text, target_path=path, rejected_text=other, rejected_path=other_path)


def _kept(word: str, unit: Unit) -> list[bool]:
    """Of each character of a word whether it stays."""
    masked = {place for match in PLACEHOLDER.finditer(word) for place in range(*match.span())}

    def letter(place: int) -> bool:
        if not 0 <= place < len(word):
            return False
        return word[place].isalnum() if unit == "word" else bool(_LATIN.match(word[place]))

    return [
        one not in MARKS or place in masked or (one in _INSIDE and letter(place - 1) and letter(place + 1))
        for place, one in enumerate(word)
    ]
