"""Words of a sentence with the units they are made of: what measures that look at words go over."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from domains.translation.alignment.words import segment
from domains.translation.units import Unit, join_units


@dataclass(frozen=True, slots=True)
class Word:
    """A word.

    Attributes:
        text: in lower case, without punctuation around it.
        units: the sentence's units that it is made of.
    """

    text: str
    units: tuple[int, ...]


def words_of(units: Sequence[str], unit: Unit) -> list[Word]:
    """The words of a sentence; punctuation is none.

    Args:
        units: of the sentence.
        unit: word, or char: then words are found in runs of characters.
    """
    if unit == "word":
        return [Word(text, (place,)) for place, one in enumerate(units) if (text := _bare(one))]
    found, place = [], 0
    for piece in segment(join_units(units, unit)):
        places = tuple(range(place, place + len(piece)))
        place += len(piece)
        if text := _bare(piece):
            found.append(Word(text, places))
    return found


def _bare(text: str) -> str:
    """Lower case, without punctuation and symbols at both ends."""
    first, last = 0, len(text)
    while first < last and unicodedata.category(text[first])[0] in "PSZ":
        first += 1
    while last > first and unicodedata.category(text[last - 1])[0] in "PSZ":
        last -= 1
    return text[first:last].lower()
