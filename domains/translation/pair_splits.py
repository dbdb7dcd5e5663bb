"""Which sentence pair goes to which split: given splits are kept, no text stands in two, sizes are limited last.

Where the data give splits, pairs of the training split that share a sentence, a translation or a group with a held-out
split are left out (and pairs of the validation split that share one with the test split); a split that is not given is
then cut from the training split. Where the data give none, pairs that share anything go to one split together, as
`shared.data.split` does for every domain.
"""

import hashlib
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.translation.data_config import SPLITS, TranslationDataConfig
from domains.translation.records import SentencePair
from shared.data.split import NO_SPLIT, Labels, Mask, PairIndex, PairKeys, assign, cap_groups, cap_total
from shared.data.text_keys import text_hash
from shared.errors import DataError

NOT_GIVEN = -1
TRAIN, VALIDATION, TEST = range(3)
KEPT, REPEATS, LEAKS, BEYOND_GROUP, BEYOND_SPLIT = range(5)


@dataclass(frozen=True, slots=True)
class Assigned:
    """What became of every pair.

    Attributes:
        split: number of its split in `SPLITS`, -1 where it is left out. [pairs]
        fate: kept, or why not. [pairs]
        given: names of the splits that the data gave, empty where they gave none or one only.
        leaks: pairs left out because they share a text or group with a held-out split, by split.
    """

    split: Labels
    fate: NDArray[np.int8]
    given: tuple[str, ...]
    leaks: dict[str, int]

    def reasons(self, config: TranslationDataConfig) -> dict[int, str]:
        """What to tell of the pairs left out, by fate."""
        return {
            REPEATS: "nearly repeats another pair",
            LEAKS: "shares a text or group with a held-out split",
            BEYOND_GROUP: f"beyond the {config.max_pairs_per_group} pairs kept of one group",
            BEYOND_SPLIT: "beyond the pairs kept of its split",
        }


def pair_keys(pair: SentencePair) -> PairKeys:
    """Hashes of a pair's texts, for `PairIndex`."""
    source, target = text_hash(pair.source_text), text_hash(pair.target_text)
    rejected = 0 if pair.rejected_text is None else text_hash(pair.rejected_text)
    texts = {source, target} | ({rejected} if rejected else set())
    return PairKeys(source, _mix(source, target, rejected), _mix(source, rejected, target), frozenset(texts))


def _mix(*numbers: int) -> int:
    joined = b"".join(number.to_bytes(8, "big") for number in numbers)
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big")


class GivenSplits:
    """Numbers of the splits that the data give their pairs, in the order of the pairs."""

    def __init__(self) -> None:
        self._numbers = array("b")
        self._seen: set[int] = set()

    def number(self, name: str | None, source: str) -> int:
        """The number of a split in `SPLITS`, -1 for none; the data are taken to give it, whether or not the pair stays.

        Raises:
            DataError: a split that translation does not have.
        """
        if name is not None and name not in SPLITS:
            raise DataError(
                f"{source} stands in a split {name!r}: sentence pairs have the splits {', '.join(SPLITS)}; rename the "
                "file, or take it out."
            )
        number = NOT_GIVEN if name is None else SPLITS.index(name)
        self._seen.add(number)
        return number

    def add(self, number: int) -> None:
        """Notes the split of the next pair that stays."""
        self._numbers.append(number)

    def numbers(self) -> NDArray[np.int8]:
        """Number of each pair's split in `SPLITS`; -1 for all where not at least two are named. [pairs]

        Raises:
            DataError: only held-out splits are given, or some pairs have a split and some have none.
        """
        numbers = np.array(self._numbers, dtype=np.int8)
        named = [SPLITS[number] for number in sorted(self._seen - {NOT_GIVEN})]
        if len(named) < 2:
            return np.full(len(numbers), NOT_GIVEN, dtype=np.int8)
        if "train" not in named:
            raise DataError(f"the data give the splits {' and '.join(named)} but no training split: add one.")
        if NOT_GIVEN in self._seen:
            raise DataError(
                f"some pairs are named for a split ({', '.join(named)}) and some are not: name all or none."
            )
        return numbers


def staying_order(index: PairIndex, given: NDArray[np.int8]) -> NDArray[np.uint64]:
    """Which of two near-duplicates stays: of held-out splits before training, then by content hash. [pairs]"""
    if not len(index):
        return index.order
    rank = np.empty(len(index), dtype=np.uint64)
    rank[np.lexsort((index.order, -given.astype(np.int64)))] = np.arange(len(index), dtype=np.uint64)
    return rank


def assign_pairs(index: PairIndex, given: NDArray[np.int8], single: Mask, config: TranslationDataConfig) -> Assigned:
    """Deals the pairs out.

    Args:
        index: the pairs.
        given: number of each pair's given split. [pairs]
        single: False for pairs that nearly repeat another. [pairs]
        config: sizes, limits, salt and mode.
    """
    fate = np.where(single, KEPT, REPEATS).astype(np.int8)
    names = tuple(SPLITS[number] for number in np.unique(given) if number != NOT_GIVEN)
    leaks = _leaks(index, given, single) if names else np.zeros(len(index), dtype=bool)
    fate[leaks] = LEAKS
    in_group = cap_groups(index, fate == KEPT, config.max_pairs_per_group)
    fate[(fate == KEPT) & ~in_group] = BEYOND_GROUP
    kept = fate == KEPT
    shares = {name: getattr(config.fractions, name) for name in SPLITS}
    split = np.full(len(index), NO_SPLIT, dtype=np.int64)
    if names:
        split[kept] = given[kept]
        missing = {name: share for name, share in shares.items() if name not in names and share > 0}
        if missing:
            cut = {"train": shares["train"], **missing}
            of_train = assign(index, kept & (given == TRAIN), cut, config.split_salt, config.split_mode)
            numbers = np.array([SPLITS.index(name) for name in cut])
            split[of_train >= 0] = numbers[of_train[of_train >= 0]]
    else:
        split = assign(index, kept, shares, config.split_salt, config.split_mode)
    for number, name in enumerate(SPLITS):
        inside = split == number
        beyond = inside & ~cap_total(index, inside, getattr(config.max_pairs, name))
        fate[beyond], split[beyond] = BEYOND_SPLIT, NO_SPLIT
    by_split = {SPLITS[number]: int((leaks & (given == number)).sum()) for number in (TRAIN, VALIDATION) if names}
    return Assigned(split, fate, names, by_split)


def _leaks(index: PairIndex, given: NDArray[np.int8], alive: Mask) -> Mask:
    """Pairs of a given split that share a text or a group with one that is held out before it. [pairs]"""
    text, pair = index.texts()
    leaking = np.zeros(len(index), dtype=bool)
    for held in (TEST, VALIDATION):
        staying = alive & ~leaking & (given == held)
        shared_text = np.isin(text, np.unique(text[staying[pair]]))
        touched = np.zeros(len(index), dtype=bool)
        touched[pair[shared_text]] = True
        touched |= np.isin(index.groups, np.unique(index.groups[staying]))
        leaking |= alive & touched & (given < held)
    return leaking
