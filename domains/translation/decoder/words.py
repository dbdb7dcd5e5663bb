"""Which tokens begin a word, and the text of written tokens.

A target is written in *segments* (see `domains.translation.tokens`): words, or single tokens where the unit is the
character. In word languages a segment ends where the next token begins with white space; in the others where a
character is complete, which may take several tokens (byte fallback).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from domains.translation.tokens import PART_OF_CHARACTER
from domains.translation.units import Unit, split_units

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TABLES: WeakKeyDictionary[Any, dict[Unit, "Words"]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Words:
    """The vocabulary as a decoder sees it.

    Attributes:
        unit: of the target language.
        begins: whether a token may begin a segment, bool [V]; end tokens may.
        ends: whether a token ends the sentence, bool [V]: the end token, and, since a translation is one line, every
            token with a line break.
        never: whether a token is never written (special tokens that end nothing), bool [V].
        tokenizer: the vocabulary's.
        anchor: the token of a letter, before which tokens are decoded: tokenizers drop the space that begins a text.
    """

    unit: Unit
    begins: Tensor
    ends: Tensor
    never: Tensor
    tokenizer: "PreTrainedTokenizerBase"
    anchor: int

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens of one segment say, white space before them included; incomplete characters as U+FFFD."""
        return _texts(self.tokenizer, self.anchor, [tokens])[0]

    def is_complete(self, tokens: Sequence[int]) -> bool:
        """Whether a segment of a character language has ended: there is a character and nothing half written."""
        text = self.text(tokens)
        return bool(text.strip()) and not text.endswith(PART_OF_CHARACTER)

    def units(self, tokens: Sequence[int]) -> tuple[str, list[str]]:
        """Text of a segment that has ended, and its target units. Parts of characters that never came are left out."""
        text = self.text(tokens).replace(PART_OF_CHARACTER, "")
        return text, split_units(text, self.unit)

    def on(self, device: Any, size: int) -> "Words":
        """The same with tables on a device, for `size` logits: places beyond the vocabulary are never written."""
        pad = max(0, size - len(self.never))
        tables = {
            name: torch.nn.functional.pad(getattr(self, name), (0, pad), value=name == "never")[:size].to(device)
            for name in ("begins", "ends", "never")
        }
        return Words(self.unit, **tables, tokenizer=self.tokenizer, anchor=self.anchor)


def words_of(tokenizer: "PreTrainedTokenizerBase", unit: Unit) -> Words:
    """The table of a tokenizer, made once (a second for 262,144 tokens).

    Raises:
        ValueError: the tokenizer has no end-of-sequence token.
    """
    made = _TABLES.setdefault(tokenizer, {})
    if unit not in made:
        made[unit] = _words(tokenizer, unit)
    return made[unit]


def _words(tokenizer: Any, unit: Unit) -> Words:
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end-of-sequence token")
    count = len(tokenizer)
    anchor = list(tokenizer("a", add_special_tokens=False)["input_ids"])[-1]
    texts = _texts(tokenizer, anchor, [[token] for token in range(count)])
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    special |= set(tokenizer.all_special_ids)
    ends = torch.tensor(["\n" in text or "\r" in text for text in texts])
    never = torch.zeros(count, dtype=torch.bool)
    never[[token for token in special if token < count]] = True
    ends &= ~never
    ends[tokenizer.eos_token_id], never[tokenizer.eos_token_id] = True, False
    begins = torch.tensor([unit == "char" or text[:1].isspace() for text in texts]) | ends
    return Words(unit, begins & ~never, ends, never, tokenizer, anchor)


def _texts(tokenizer: Any, anchor: int, rows: Sequence[Sequence[int]]) -> list[str]:
    """Texts of token sequences, each as it stands after a letter."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    asked = [[anchor, *row] for row in [(), *rows]]
    if inner is not None:  # ten times faster than one by one, which counts for a whole vocabulary
        texts = inner.decode_batch(asked, skip_special_tokens=False)
    else:
        texts = [str(tokenizer.decode(row, clean_up_tokenization_spaces=False)) for row in asked]
    return [text[len(texts[0]) :] for text in texts[1:]]
