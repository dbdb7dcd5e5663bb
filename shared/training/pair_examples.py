"""What a policy is trained on: the trees of a pair, with the reference's log-probabilities and the record's columns.

Every completion has a role: ``chosen`` and ``rejected`` always; ``rationale`` after the question why;
``contrast_chosen`` and ``contrast_rejected`` under the prompt without its context; ``mismatched``, a response to
another prompt, of which KTO takes its reference point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import DataError
from shared.prompts import PromptFormat, fit, tokenize_completion, tokenize_prompt
from shared.records import Message, PreferenceRecord
from shared.training.completion_roles import Parts
from shared.training.objectives.context import contrasting_prompts
from shared.training.objectives.rationale import rationale_conversation
from shared.training.trees import Tree

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class PairTrees:
    """The token ids of one record.

    Attributes:
        id: of the record.
        trees: their completions have the roles `Parts.roles`, in order.
        truncated: whether something was cut to fit.
    """

    id: str
    trees: tuple[Tree, ...]
    truncated: bool

    @property
    def lengths(self) -> list[int]:
        """Tokens of every completion."""
        return [len(completion) for tree in self.trees for completion in tree.completions]


def pair_trees(
    records: Sequence[PreferenceRecord],
    format: PromptFormat,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    parts: Parts | None = None,
) -> list[PairTrees]:
    """Token ids of every record's trees.

    Args:
        records: the pairs.
        format: how conversations are rendered.
        tokenizer: of the model.
        max_length: most tokens of prompt and completion together (see `shared.prompts.fit`).
        parts: what is asked for beside the pair; nothing where None.

    Raises:
        DataError: mismatched responses are asked for and all records have one prompt.
    """
    parts = parts or Parts()
    others = _mismatched(records) if parts.mismatched else [""] * len(records)
    found = []
    for record, other in zip(records, others, strict=True):
        both = (record.chosen, record.rejected)
        prompt, without = contrasting_prompts(record) if parts.contrast else (record.prompt, ())
        asked = [_Asked(prompt, both)]
        if parts.rationale:
            # The question why quotes both responses: it has room for them.
            asked.append(_Asked(rationale_conversation(record), (record.rationale or "",), 2 * max_length))
        if parts.contrast:
            asked.append(_Asked(without, both))
        if parts.mismatched:
            asked.append(_Asked(record.prompt, (other,)))
        trees, cuts = zip(*(_tree(format, one, tokenizer, one.room or max_length) for one in asked), strict=True)
        found.append(PairTrees(record.id, trees, any(cuts)))
    return found


@dataclass(frozen=True, slots=True)
class _Asked:
    prompt: tuple[Message, ...]
    texts: tuple[str, ...]
    room: int | None = None


def _tree(
    format: PromptFormat, asked: _Asked, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> tuple[Tree, bool]:
    """The tree, and whether something of it was cut."""
    prompt = tokenize_prompt(format, asked.prompt, tokenizer)
    completions = [tokenize_completion(format, text, tokenizer) for text in asked.texts]
    kept, cut = fit(prompt, completions, max_length)
    shorter = len(kept) < len(prompt) or any(len(a) < len(b) for a, b in zip(cut, completions, strict=True))
    return Tree(kept, tuple(cut)), shorter


def _mismatched(records: Sequence[PreferenceRecord]) -> list[str]:
    """A response of the next record with another prompt, by turns a chosen and a rejected one."""
    texts = [record.prompt_text() for record in records]
    if len(set(texts)) < 2:
        raise DataError("the loss kto compares with responses to other prompts, and all records have one prompt.")
    following = [0] * len(records)
    other = next(index for index in range(len(records)) if texts[index] != texts[-1])
    for index in reversed(range(len(records))):
        if texts[index] != texts[(index + 1) % len(records)]:
            other = (index + 1) % len(records)
        following[index] = other
    return [
        records[other].chosen if index % 2 == 0 else records[other].rejected for index, other in enumerate(following)
    ]
