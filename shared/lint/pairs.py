"""Pairs as the checks see them: a batch of records with its derived texts, and a compact table of all pairs.

The table holds some 150 bytes a pair (hashes, lengths, signs), never a text, so that a million pairs fit in memory
while the texts stream by.
"""

import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from shared.lint.columns import Columns
from shared.lint.findings import Example
from shared.records import PreferenceRecord

NO_VOTES = -1
# A prompt of at least this share of the pairs, in more than so many groups, is an instruction and no question.
COMMON_PROMPT_SHARE, COMMON_PROMPT_GROUPS = 0.05, 20


def normalise(text: str) -> str:
    """The text under which copies are found: compatibility forms unified, case and white space made even."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def hash_text(text: str) -> int:
    """64-bit BLAKE2b of a text: among three million texts two share one with a probability below one in a million."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Batch:
    """Consecutive records of one split.

    Attributes:
        split: name of the split.
        first_row: number of the first record, counted over all splits.
        records: the records.
    """

    split: str
    first_row: int
    records: Sequence[PreferenceRecord]

    @cached_property
    def prompts(self) -> list[str]:
        """Normalised prompts, with the context where there is one (it is part of what was asked)."""
        return [
            normalise(each.prompt_text() + ("\x1f" + each.context if each.context else "")) for each in self.records
        ]

    @cached_property
    def chosen(self) -> list[str]:
        """Normalised chosen responses."""
        return [normalise(each.chosen) for each in self.records]

    @cached_property
    def rejected(self) -> list[str]:
        """Normalised rejected responses."""
        return [normalise(each.rejected) for each in self.records]

    @cached_property
    def prompt_hashes(self) -> list[int]:
        """Hashes of `prompts`."""
        return [hash_text(text) for text in self.prompts]

    @cached_property
    def chosen_hashes(self) -> list[int]:
        """Hashes of `chosen`."""
        return [hash_text(text) for text in self.chosen]

    @cached_property
    def rejected_hashes(self) -> list[int]:
        """Hashes of `rejected`."""
        return [hash_text(text) for text in self.rejected]


class Names:
    """Strings one after the other in one buffer: a fraction of what Python strings take."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        """Adds a string."""
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogatepass")


class PairTable:
    """Everything about all pairs that is not text; filled by `add`, then read as numpy arrays [n].

    Args:
        splits: names of the splits, in order.
        max_examples: most records that `examples` names.
    """

    def __init__(self, splits: Sequence[str], max_examples: int) -> None:
        self.splits = tuple(splits)
        self.columns = Columns()
        self._max_examples = max_examples
        self._ids, self._sources = Names(), Names()
        self._split = array("b")
        self._hashes = {name: array("Q") for name in ("group", "prompt", "line", "chosen", "rejected")}
        self._line_chars, self._chosen_chars, self._rejected_chars = array("i"), array("i"), array("i")
        self._margin = array("d")
        self._votes = array("i")

    def add(self, batch: Batch) -> None:
        """Takes in a batch; its `first_row` is the number of pairs so far."""
        split = self.splits.index(batch.split)
        self._hashes["prompt"].extend(batch.prompt_hashes)
        self._hashes["chosen"].extend(batch.chosen_hashes)
        self._hashes["rejected"].extend(batch.rejected_hashes)
        for record in batch.records:
            self._ids.append(record.id)
            self._sources.append(record.source)
            self._split.append(split)
            self._hashes["group"].append(hash_text(record.group_id))
            line = normalise(_first_line(record))
            self._hashes["line"].append(hash_text(line))
            self._line_chars.append(len(line))
            self._chosen_chars.append(len(record.chosen.strip()))
            self._rejected_chars.append(len(record.rejected.strip()))
            self._margin.append(np.nan if record.margin is None else record.margin)
            votes = record.votes
            self._votes.extend((votes.chosen, votes.rejected, votes.ties) if votes else (NO_VOTES,) * 3)
            self.columns.add(record)

    def __len__(self) -> int:
        return len(self._split)

    @property
    def split(self) -> NDArray[np.int8]:
        """Number of the split."""
        return np.frombuffer(self._split, dtype=np.int8)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Group of each pair, as 0..G-1."""
        return np.unique(self.hashes("group"), return_inverse=True)[1].reshape(-1)

    @cached_property
    def own_prompt(self) -> NDArray[np.bool_]:
        """False where the prompt is an instruction common to much of the data, so that sharing it says nothing."""
        _, codes, counts = np.unique(self.hashes("prompt"), return_inverse=True, return_counts=True)
        codes = codes.reshape(-1)
        suspects = np.flatnonzero(counts >= max(2, COMMON_PROMPT_SHARE * len(self)))
        common = [code for code in suspects if np.unique(self.groups[codes == code]).size > COMMON_PROMPT_GROUPS]
        return ~np.isin(codes, common)

    def hashes(self, name: str) -> NDArray[np.uint64]:
        """Hashes of ``group``, ``prompt``, ``line`` (the prompt's first line), ``chosen`` or ``rejected``."""
        return np.frombuffer(self._hashes[name], dtype=np.uint64)

    @property
    def line_chars(self) -> NDArray[np.int32]:
        """Characters of the prompt's first line."""
        return np.frombuffer(self._line_chars, dtype=np.int32)

    @property
    def chosen_chars(self) -> NDArray[np.int32]:
        """Characters of the chosen response."""
        return np.frombuffer(self._chosen_chars, dtype=np.int32)

    @property
    def rejected_chars(self) -> NDArray[np.int32]:
        """Characters of the rejected response."""
        return np.frombuffer(self._rejected_chars, dtype=np.int32)

    @property
    def margin(self) -> NDArray[np.float64]:
        """Margins; NaN where there is none."""
        return np.frombuffer(self._margin, dtype=np.float64)

    @property
    def votes(self) -> NDArray[np.int32]:
        """Votes [n, 3]: chosen, rejected, ties; `NO_VOTES` where there are none."""
        return np.frombuffer(self._votes, dtype=np.int32).reshape(-1, 3)

    def examples(self, rows: Sequence[int] | NDArray[np.int64]) -> tuple[Example, ...]:
        """The first records of `rows`, as many as the configuration names."""
        return tuple(
            Example(self._ids[int(row)], self._sources[int(row)], self.splits[self._split[int(row)]])
            for row in rows[: self._max_examples]
        )


def _first_line(record: PreferenceRecord) -> str:
    """The first line of the first turn of the user: where question sites put the title."""
    for message in record.prompt:
        if message.role == "user":
            return message.content.lstrip().split("\n", 1)[0]
    return ""
