"""Splits by group: deterministic by content, pairs capped per group, and no text in two splits.

Groups that share any prompt or response text (Unicode form, case and white space aside) are one component and go to
one split together; so do a dialogue and its continuation. Two ways of assigning components:

- ``quota``: components in the order of their hash fill the splits up to their fractions. Every split's size is within
  one component of its fraction, which small data need; adding rows may move others.
- ``hash``: a component's hash alone says where it goes. Adding rows moves none (unless they join two components);
  fractions are met on average only.
"""

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.data.text_keys import text_hash
from shared.records import PreferenceRecord

Mode = Literal["quota", "hash"]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]
NO_SPLIT = -1


@dataclass(frozen=True, slots=True)
class PairKeys:
    """Hashes of a pair's texts: what tells duplicates, and what must not stand in two splits.

    Attributes:
        prompt: of the whole prompt.
        pair: of prompt, chosen and rejected; equal for exact duplicates.
        reverse: the `pair` of the same texts with the other one preferred.
        texts: of every text that must not stand in two splits.
    """

    prompt: int
    pair: int
    reverse: int
    texts: frozenset[int]


class PairIndex:
    """What a split needs of every pair, in about 100 bytes a pair: the texts themselves are not kept."""

    def __init__(self) -> None:
        self._group_of: dict[str, int] = {}
        self._group = array("q")
        self._prompt = array("Q")
        self._pair = array("Q")
        self._reverse = array("Q")
        self._text = array("Q")
        self._text_pair = array("q")

    def __len__(self) -> int:
        return len(self._group)

    @staticmethod
    def keys(record: PreferenceRecord) -> PairKeys:
        """The hashes of a record's texts."""
        prompt = text_hash(record.prompt_text())
        chosen, rejected = text_hash(record.chosen), text_hash(record.rejected)
        others = _other_hashes(record, prompt, chosen, rejected)
        pair, reverse = _mix("pair", prompt, chosen, rejected), _mix("pair", prompt, rejected, chosen)
        return PairKeys(prompt, pair, reverse, frozenset({prompt, chosen, rejected, *others}))

    def add(self, group_id: str, keys: PairKeys) -> None:
        """Adds a pair."""
        number = len(self._group)
        self._group.append(self._group_of.setdefault(group_id, len(self._group_of)))
        self._prompt.append(keys.prompt)
        self._pair.append(keys.pair)
        self._reverse.append(keys.reverse)
        self._text.extend(keys.texts)
        self._text_pair.extend([number] * len(keys.texts))

    def contradictions(self, kept: Mask) -> int:
        """How many kept pairs have their reverse among the kept."""
        reverse = np.frombuffer(self._reverse, dtype=np.uint64) if self._reverse else np.zeros(0, np.uint64)
        return int(np.isin(self.order[kept], reverse[kept]).sum())

    @property
    def groups(self) -> Labels:
        """Number of each pair's group. [pairs]"""
        return np.frombuffer(self._group, dtype=np.int64) if self._group else np.zeros(0, np.int64)

    @property
    def prompts(self) -> NDArray[np.uint64]:
        """Hash of each pair's prompt. [pairs]"""
        return np.frombuffer(self._prompt, dtype=np.uint64) if self._prompt else np.zeros(0, np.uint64)

    @property
    def order(self) -> NDArray[np.uint64]:
        """Hash of each pair's texts, which orders pairs by content alone. [pairs]"""
        return np.frombuffer(self._pair, dtype=np.uint64) if self._pair else np.zeros(0, np.uint64)

    def texts(self) -> tuple[NDArray[np.uint64], Labels]:
        """(hash of a text, number of the pair it stands in), several a pair."""
        if not self._text:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        return np.frombuffer(self._text, dtype=np.uint64), np.frombuffer(self._text_pair, dtype=np.int64)


def _other_hashes(record: PreferenceRecord, prompt: int, chosen: int, rejected: int) -> set[int]:
    """What else makes two prompts one: the turns without a system message, and the opening exchange, which a dialogue
    shares with its continuation. Takes the hashes of the whole prompt and of both responses."""
    turns = [message for message in record.prompt if message.role != "system"]
    others: set[int] = set()
    if len(turns) < len(record.prompt):
        others.add(text_hash("\n".join(message.content for message in turns)))
    if turns and turns[0].role == "user":
        opening = prompt if len(record.prompt) == 1 else text_hash(turns[0].content)
        answers = (text_hash(turns[1].content),) if len(turns) > 1 else (chosen, rejected)
        others |= {_mix("opening", opening, answer) for answer in answers}
    return others


def _mix(salt: str, *numbers: int) -> int:
    digest = hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=8)
    for number in numbers:
        digest.update(int(number).to_bytes(8, "big"))
    return int.from_bytes(digest.digest(), "big")


def rank_in_group(index: PairIndex, kept: Mask) -> Labels:
    """Place of each kept pair among those of its group, by content hash, from 0. [pairs]"""
    rank = np.full(len(index), -1, dtype=np.int64)
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((index.order[rows], index.groups[rows]))]
    groups = index.groups[rows]
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(rows) else rows
    rank[rows] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    return rank


def cap_groups(index: PairIndex, kept: Mask, most: int | None) -> Mask:
    """At most `most` pairs of each group: those whose content hashes lowest. [pairs]"""
    return kept.copy() if most is None else kept & (rank_in_group(index, kept) < most)


def cap_total(index: PairIndex, kept: Mask, most: int | None) -> Mask:
    """At most `most` pairs in all, from as many groups as possible, by content hash. [pairs]"""
    if most is None or int(kept.sum()) <= most:
        return kept.copy()
    rank = rank_in_group(index, kept)
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((index.order[rows], rank[rows]))][:most]
    result = np.zeros(len(index), dtype=bool)
    result[rows] = True
    return result


def components(index: PairIndex, kept: Mask) -> Labels:
    """Component of each kept pair: pairs that share a group or a text, over any number of steps; else -1. [pairs]"""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    label = np.full(len(index), NO_SPLIT, dtype=np.int64)
    if not kept.any():
        return label
    text, pair = index.texts()
    wanted = kept[pair]
    _, text_number = np.unique(text[wanted], return_inverse=True)
    groups = index.groups
    n_groups = int(groups.max()) + 1
    size = n_groups + int(text_number.max()) + 1
    ends = groups[pair[wanted]], n_groups + text_number
    graph = coo_array((np.ones(len(text_number), np.int8), ends), shape=(size, size))
    of_node: Any = connected_components(graph, directed=False)[1]
    label[kept] = np.unique(of_node[groups[kept]], return_inverse=True)[1]
    return label


def assign(
    index: PairIndex, kept: Mask, fractions: Mapping[str, float], salt: str = "valign", mode: Mode = "quota"
) -> Labels:
    """Number of the split of every kept pair, in the order of `fractions`; -1 for the others. [pairs]

    Neither the order of rows nor the names of groups matter, but for which pairs the names put together.

    Args:
        index: the pairs.
        kept: which of them to split. [pairs]
        fractions: share of the pairs by split; scaled to sum to 1.
        salt: another value gives another split.
        mode: see the module.

    Raises:
        ValueError: no fraction is above 0, or one is negative.
    """
    total = sum(fractions.values())
    if not fractions or total <= 0 or min(fractions.values()) < 0:
        raise ValueError("split fractions must not be negative, and one must be above 0")
    shares = [value / total for value in fractions.values()]
    label = components(index, kept)
    n = int(label.max(initial=-1)) + 1
    # A component is named by its lowest prompt hash: one more answer to a question does not rename it.
    name = np.full(n, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(name, label[kept], index.prompts[kept])
    hashes = [_mix(salt, int(one)) for one in name]
    if mode == "hash":
        split_of = [_by_hash(one / 2**64, shares) for one in hashes]
    else:
        split_of = _by_quota(np.bincount(label[kept], minlength=n).tolist(), hashes, shares)
    result = np.full(len(index), NO_SPLIT, dtype=np.int64)
    if n:
        result[kept] = np.asarray(split_of, dtype=np.int64)[label[kept]]
    return result


def _by_quota(sizes: Sequence[int], hashes: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Each component goes where most pairs are lacking.

    No split ends further from its fraction than the largest component: it is over by less, since it lacked something
    before it got its last; and were one under by more, no other would ever have gone over.
    Components that are large against the smallest split come first, while there is room; the others in the order of
    their hash alone, so that large and small questions mix in every split.
    """
    pairs = sum(sizes)
    open_splits = [split for split, share in enumerate(shares) if share > 0]
    large = min(shares[split] for split in open_splits) * pairs / 2
    order = sorted(range(len(sizes)), key=lambda one: (-sizes[one] if sizes[one] > large else 0, hashes[one]))
    lacking = [share * pairs for share in shares]
    split_of = [NO_SPLIT] * len(sizes)
    for one in order:
        split = max(open_splits, key=lambda each: lacking[each])
        split_of[one] = split
        lacking[split] -= sizes[one]
    return split_of


def _by_hash(unit: float, shares: Sequence[float]) -> int:
    reached = 0.0
    for split, share in enumerate(shares):
        reached += share
        if unit < reached:
            return split
    return max(split for split, share in enumerate(shares) if share > 0)


def assign_splits(
    records: Iterable[PreferenceRecord],
    fractions: Mapping[str, float],
    salt: str = "valign",
    mode: Mode = "quota",
    max_pairs_per_group: int | None = None,
) -> dict[str, list[PreferenceRecord]]:
    """Records by split, in their given order; every name of `fractions` is there. For data that fit in memory.

    Args:
        records: the pairs.
        fractions: share of the pairs by split; scaled to sum to 1.
        salt: another value gives another split.
        mode: see the module.
        max_pairs_per_group: pairs kept of one group; None keeps all.

    Raises:
        ValueError: no fraction is above 0, or one is negative.
    """
    given, index = list(records), PairIndex()
    for record in given:
        index.add(record.group_id, index.keys(record))
    kept = cap_groups(index, np.ones(len(index), dtype=bool), max_pairs_per_group)
    split_of = assign(index, kept, fractions, salt, mode)
    splits: dict[str, list[PreferenceRecord]] = {name: [] for name in fractions}
    names = list(fractions)
    for record, split in zip(given, split_of.tolist(), strict=True):
        if split != NO_SPLIT:
            splits[names[split]].append(record)
    return splits
