"""A sentence pair as a language model's tokens, with the borders of its units.

A source is tokenised unit by unit, so that reading one more unit only adds tokens. A target is tokenised whole and
cut into *segments*: the tokens of one word, or one token where the unit is the character. Between segments, and
nowhere else, the policy decides whether to READ or to WRITE. The last segment is the end of the sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from domains.translation.units import Unit, split_units

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PART_OF_CHARACTER = "\ufffd"  # what decoding shows where bytes of a character are missing


@dataclass(frozen=True, slots=True)
class SourceTokens:
    """What stands before a target.

    Attributes:
        prompt: tokens before the source (instruction, language names), always visible; at least one.
        tokens: tokens of the source, unit after unit.
        ends: number of source tokens that are there once 1, 2, ... units are read; its length is |x|.
        marker: tokens between source and target (``\\nEnglish:``); at least one. The last of them predicts the first
            target token.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    ends: tuple[int, ...]
    marker: tuple[int, ...]

    @property
    def units(self) -> int:
        """|x|, source units."""
        return len(self.ends)


@dataclass(frozen=True, slots=True)
class TargetTokens:
    """A target as tokens.

    Attributes:
        tokens: tokens of the target, the end token last.
        starts: index of the first token of every segment; the last segment is the end token.
        units: target units written once each segment is written (the end segment adds none): what turns a path over
            target units into one over segments, and back.
    """

    tokens: tuple[int, ...]
    starts: tuple[int, ...]
    units: tuple[int, ...]

    @property
    def segments(self) -> int:
        """Number of segments, the end among them."""
        return len(self.starts)

    def segment_of_tokens(self) -> list[int]:
        """Number of the segment of every token."""
        marks = [0] * len(self.tokens)
        for start in self.starts[1:]:
            marks[start] = 1
        return list(accumulate(marks))

    def reads_of_path(self, path: Sequence[int], source_units: int) -> tuple[int, ...]:
        """Source units read before each segment, from those read before each target unit.

        A segment of several units is written at once: when its first unit may be. The end waits for the whole source.
        """
        before = [0, *self.units[:-1]]
        reads = [path[min(first, len(path) - 1)] for first in before[:-1]]
        return (*reads, source_units)

    def path_of_reads(self, reads: Sequence[int]) -> tuple[int, ...]:
        """Source units read before each target unit, from those read before each segment."""
        before = [0, *self.units[:-1]]
        return tuple(
            read for read, first, last in zip(reads, before, self.units, strict=True) for _ in range(last - first)
        )


def source_tokens(
    tokenizer: "PreTrainedTokenizerBase", text: str, unit: Unit, before: str, marker: str
) -> SourceTokens:
    """Tokens of a source.

    Args:
        tokenizer: of the model.
        text: the source sentence.
        unit: of its language.
        before: text before the source, e.g. ``Translate German to English.\\nGerman:``.
        marker: text between source and target, e.g. ``\\nEnglish:``.
    """
    units = split_units(text, unit)
    spaced = [(" " if unit == "word" or number == 0 else "") + one for number, one in enumerate(units)]
    pieces = [_literal_ids(tokenizer, one) for one in spaced]
    prompt = _ids(tokenizer, before)
    if tokenizer.bos_token_id is not None:
        prompt = [tokenizer.bos_token_id, *prompt]
    return SourceTokens(
        tuple(prompt),
        tuple(token for piece in pieces for token in piece),
        tuple(accumulate(len(piece) for piece in pieces)),
        tuple(_ids(tokenizer, marker)),
    )


def target_tokens(tokenizer: "PreTrainedTokenizerBase", text: str, unit: Unit) -> TargetTokens:
    """Tokens of a target with its segments; ends with the tokenizer's end-of-sequence token.

    Raises:
        ValueError: the tokenizer has no end-of-sequence token.
    """
    end_token: Any = tokenizer.eos_token_id
    if end_token is None:
        raise ValueError("the tokenizer has no end-of-sequence token")
    tokens: list[int] = []
    starts: list[int] = []
    units: list[int] = []
    if unit == "word":
        for number, word in enumerate(text.split(), 1):
            starts.append(len(tokens))
            tokens += _literal_ids(tokenizer, " " + word)
            units.append(number)
    elif text.strip():
        tokens = _literal_ids(tokenizer, " " + " ".join(text.split()))
        first = 0
        for end in range(1, len(tokens) + 1):
            so_far: Any = tokenizer.decode(tokens[:end])
            written = 0 if so_far.endswith(PART_OF_CHARACTER) else len(split_units(so_far, unit))
            # A character may take several tokens, and a space one that brings no character: they wait for the next.
            if written > (units[-1] if units else 0):
                starts.append(first)
                units.append(written)
                first = end
    starts.append(len(tokens))
    units.append(units[-1] if units else 0)
    return TargetTokens((*tokens, end_token), tuple(starts), tuple(units))


def _ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Tokens of a recipe's text, which may name special tokens (a turn's beginning)."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _literal_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Tokens of a user's text: what looks like a special token (``<eos>``) is text."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
