"""Sentences as they should be: cleaned, and checked for signs of tokenised text and of exchanged languages.

Quality and latency are measured on detokenised text. Text with spaces around its punctuation, or between the words of
Chinese, teaches a model to write that way and makes BLEU and delays incomparable.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Literal

from domains.translation.data_config import PairLanguages, primary
from shared.data.plain_text import INVISIBLE
from shared.errors import DataError

Side = Literal["source", "target", "rejected"]
MIN_SENTENCES = 5  # of fewer, no share is reported
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if not chr(code).isspace()}
# Marks that tokenisers leave: Moses (escapes, @-@), sub-words (@@, SentencePiece), Penn Treebank brackets and clitics.
_MARKS = re.compile(
    r"&(?:apos|quot|amp|lt|gt|#\d{2,5});|@-@|@@(?:\s|$)|\u2581|-[LR][RCS]B-|\s(?:n't|'(?:s|re|ve|ll|d|m))(?:\s|$)"
)
# French sets a space before ? ! ; : and both before and inside quotation marks, so these are no sign.
_SPACED = re.compile(r"\w\s[.,](?:\s|$)|\s[\u3001\u3002\uff0c](?:\s|$)")
_CJK_CHARACTER = re.compile(f"[{CJK}]")
_CJK_GAP = re.compile(f"(?<=[{CJK}])\\s(?=[{CJK}])")
_GAPS_OF_WORDS = 0.25  # spaces per character: words have two; a subtitle has a space for a comma


def clean_sentence(text: str) -> str:
    """A sentence in NFC, on one line, with single spaces, without byte-order marks, invisible and control characters.

    Applying it twice changes nothing.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return " ".join(unicodedata.normalize("NFC", text.translate(INVISIBLE).translate(_CONTROLS)).split())


def is_tokenised(text: str) -> bool:
    """Whether a sentence shows signs of a tokeniser: spaced punctuation or words, escapes, sub-word marks."""
    if " " not in text and "&" not in text and "\u2581" not in text:
        return False
    if _SPACED.search(text) or _MARKS.search(text):
        return True
    characters = len(_CJK_CHARACTER.findall(text))
    return characters > 3 and len(_CJK_GAP.findall(text)) >= _GAPS_OF_WORDS * (characters - 1)


def has_cjk(text: str) -> bool:
    """Whether a sentence holds a Chinese or Japanese character."""
    return _CJK_CHARACTER.search(text) is not None


@dataclass
class SideCounts:
    """Sentences of one side: all, tokenised ones, ones with Chinese or Japanese characters."""

    sentences: int = 0
    tokenised: int = 0
    cjk: int = 0


@dataclass
class TextFindings:
    """What the texts of a data set look like; never a text.

    Args:
        languages: what they should be.
        max_tokenised_share: share of tokenised sentences from which a side is reported.
    """

    languages: PairLanguages
    max_tokenised_share: float
    sides: dict[Side, SideCounts] = field(default_factory=dict)
    same: int = 0

    def add(self, side: Side, text: str) -> None:
        """Takes in a cleaned sentence."""
        counts = self.sides.setdefault(side, SideCounts())
        counts.sentences += 1
        counts.tokenised += is_tokenised(text)
        counts.cjk += has_cjk(text)

    def check(self, name: str) -> None:
        """Refuses data whose texts cannot be what the recipe says.

        Args:
            name: of the data, for the message.

        Raises:
            DataError: a side that should be Chinese or Japanese mostly is not, or the other way round; or source and
                translation are mostly the same text.
        """
        for side, counts in self.sides.items():
            key = "source_language" if side == "source" else "target_language"
            language = self.languages.source if side == "source" else self.languages.target
            expected = primary(language) in ("zh", "ja")
            odd = counts.sentences - counts.cjk if expected else counts.cjk
            if counts.sentences >= MIN_SENTENCES and odd > counts.sentences / 2 and primary(language) != "ko":
                holds = "hold no" if expected else "hold"
                raise DataError(
                    f"{name}: {odd} of {counts.sentences} {side} sentences {holds} Chinese or Japanese characters, but "
                    f"data.{key} is {language!r}: set data.source_language and data.target_language, or give the right "
                    "files."
                )
        total = self.sides["source"].sentences if "source" in self.sides else 0
        if total >= MIN_SENTENCES and self.same > total / 2:
            raise DataError(
                f"{name}: in {self.same} of {total} rows source and target are the same text: give translations."
            )

    def notes(self) -> list[dict[str, Any]]:
        """Findings that a reader of summary and report must know: side, what, share, and a sentence."""
        found = []
        for side, counts in self.sides.items():
            share = counts.tokenised / counts.sentences if counts.sentences else 0.0
            if counts.sentences >= MIN_SENTENCES and share >= self.max_tokenised_share:
                found.append(
                    {
                        "finding": "tokenised",
                        "side": side,
                        "share": round(share, 4),
                        "text": f"{share:.0%} of the {side} sentences look tokenised (spaces around punctuation or "
                        "between words of Chinese, escapes, sub-word marks): give detokenised text, or scores and "
                        "delays cannot be compared.",
                    }
                )
        return found

    def tokenised_share(self, side: Side) -> float:
        """Share of tokenised sentences of a side; 0 where it has none."""
        counts = self.sides.get(side)
        return counts.tokenised / counts.sentences if counts and counts.sentences else 0.0
