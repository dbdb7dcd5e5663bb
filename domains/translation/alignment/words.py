"""The words that are aligned: a unit each, or several characters where the unit is the character.

Characters are too small to be aligned, since most stand in many words. Chinese characters are joined to words by
jieba, aligned as words, and each link of two words becomes the links of all their characters.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from domains.translation.units import Unit

_KANA = re.compile(r"[\u3041-\u30ff]")
# Japanese without a dictionary: runs of katakana, of kanji, of Latin letters and digits; other characters alone.
_JAPANESE = re.compile(r"[\u30a1-\u30ff]+|[\u3400-\u9fff]+|[A-Za-z0-9]+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AlignmentWords:
    """A sentence as words.

    Attributes:
        texts: the words.
        starts: first unit of each word.
        units: number of units of the sentence.
        spaced: whether spaces stand between the words.
    """

    texts: tuple[str, ...]
    starts: tuple[int, ...]
    units: int
    spaced: bool = True

    def __len__(self) -> int:
        return len(self.texts)

    def units_of(self, word: int) -> range:
        """The units of a word."""
        end = self.starts[word + 1] if word + 1 < len(self.starts) else self.units
        return range(self.starts[word], end)

    def keys(self) -> list[str]:
        """The words as a statistical aligner counts them: without case and without punctuation at their ends."""
        return [word_key(text) for text in self.texts]


def word_key(word: str) -> str:
    """A word without case and without punctuation at its ends; punctuation alone stays."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    first, last = 0, len(folded)
    while first < last and not folded[first].isalnum():
        first += 1
    while last > first and not folded[last - 1].isalnum():
        last -= 1
    return folded[first:last] or folded


def written_in_characters(sentences: Iterable[Sequence[str]]) -> bool:
    """Whether units are characters: there are some, and none is longer than one character."""
    units = [unit for sentence in sentences for unit in sentence]
    return bool(units) and all(len(unit) == 1 for unit in units)


def alignment_words(units: Sequence[str], unit: Unit) -> AlignmentWords:
    """The words of a sentence.

    Args:
        units: of the sentence (`domains.translation.units.split_units`).
        unit: what they are; words stay as they are.
    """
    if unit == "word":
        return AlignmentWords(tuple(units), tuple(range(len(units))), len(units))
    texts = segment("".join(units))
    starts, place = [], 0
    for text in texts:
        starts.append(place)
        place += len(text)
    return AlignmentWords(tuple(texts), tuple(starts), len(units), spaced=False)


def segment(text: str) -> list[str]:
    """The words of a text without spaces; joined they are the text again."""
    if not text:
        return []
    if _KANA.search(text):
        return _JAPANESE.findall(text)
    return [word for word in chinese_tokenizer().cut(text) if word]


@lru_cache(maxsize=1)
def chinese_tokenizer() -> Any:
    """jieba's tokenizer, quiet, with its cache in valign's own folder and not in a folder that all may write."""
    import jieba

    from shared.home import models_folder

    jieba.setLogLevel(logging.ERROR)
    tokenizer: Any = jieba.Tokenizer()
    tokenizer.tmp_dir = str(models_folder())
    return tokenizer
