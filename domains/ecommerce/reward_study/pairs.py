"""The pairs of the study as columns, and folds that never tear a product."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.data.record_files import read_records
from shared.errors import DataError
from shared.evaluation.intervals import Floats
from shared.records import PreferenceRecord
from shared.rewards.feature_folds import group_folds

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
TIER = "tier"
SYNTHETIC = ("preference", "tier")  # metadata of pairs that a data stage made of tiers: nobody preferred anything


@dataclass(frozen=True, slots=True)
class StudyPairs:
    """n pairs.

    Attributes:
        records: the pairs.
        splits: the split that each was read from.
        groups: the product of each: records of one group_id, or with the same reviews, are one product.
        words: words of the chosen and of the rejected summary, [2, n].
        tiers: generation tier of both (0 good, 1 slightly bad, 2 very bad), NaN where unknown, [2, n].
    """

    records: tuple[PreferenceRecord, ...]
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    words: Floats
    tiers: Floats

    def __len__(self) -> int:
        return len(self.records)

    @property
    def length_differences(self) -> Floats:
        """log(words of chosen) - log(words of rejected), [n]."""
        logs = np.log(np.maximum(self.words, 1.0))
        return logs[0] - logs[1]

    def matched(self, tolerance: float) -> Mask:
        """Pairs whose longer summary has at most (1 + tolerance) times the words of the shorter, [n]."""
        return self.words.max(axis=0) <= (1.0 + tolerance) * self.words.min(axis=0)

    @property
    def same_tier(self) -> Mask:
        """Pairs of two summaries of one tier, [n]; where a tier is unknown, neither this nor `cross_tier`."""
        return np.isfinite(self.tiers).all(axis=0) & (self.tiers[0] == self.tiers[1])

    @property
    def cross_tier(self) -> Mask:
        """Pairs of summaries of two tiers, [n]."""
        return np.isfinite(self.tiers).all(axis=0) & (self.tiers[0] != self.tiers[1])


def study_pairs(records: Sequence[PreferenceRecord], splits: Sequence[str]) -> StudyPairs:
    """Columns of records.

    Args:
        records: pairs; the covariate ``tier`` of a side, where it is there, says how good the summary was asked to be.
        splits: the split of each.
    """
    sides = [[one.chosen for one in records], [one.rejected for one in records]]
    covariates = [[one.covariates_chosen for one in records], [one.covariates_rejected for one in records]]
    words = np.array([[float(len(text.split())) for text in texts] for texts in sides]).reshape(2, -1)
    tiers = np.array([[_tier(one) for one in side] for side in covariates]).reshape(2, -1)
    return StudyPairs(tuple(records), tuple(splits), products(records), words, tiers)


def _tier(covariates: Mapping[str, float]) -> float:
    return float(covariates.get(TIER, np.nan))


def products(records: Sequence[PreferenceRecord]) -> tuple[str, ...]:
    """The product of each record: the least group_id among those linked by a group_id or a prompt."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted({one.group_id for one in records})
    of_group = {name: place for place, name in enumerate(names)}
    of_prompt: dict[str, int] = {}
    for one in records:
        of_prompt.setdefault(one.prompt_text(), len(names) + len(of_prompt))
    groups = [of_group[one.group_id] for one in records]
    prompts = [of_prompt[one.prompt_text()] for one in records]
    size = len(names) + len(of_prompt)
    links = coo_array((np.ones(len(records)), (groups, prompts)), shape=(size, size))
    labels = connected_components(links, directed=False)[1]
    least: dict[int, str] = {}
    for name, place in of_group.items():  # in order, so the first is the least
        least.setdefault(int(labels[place]), name)
    return tuple(least[int(labels[place])] for place in groups)


def read_pairs(folder: Path, splits: Sequence[str]) -> StudyPairs:
    """The pairs that people judged, of the splits that a data artifact has.

    Raises:
        DataError: where there is no such pair.
    """
    records: list[PreferenceRecord] = []
    names: list[str] = []
    for split in splits:
        path = folder / f"{split}.arrow"
        key, made = SYNTHETIC
        found = [one for one in read_records(path) if one.metadata.get(key) != made] if path.is_file() else []
        records += found
        names += [split] * len(found)
    if not records:
        raise DataError(f"{folder}: there is no judged pair in {', '.join(splits)} to study rewards on.")
    return study_pairs(records, names)


def product_folds(groups: Sequence[str], folds: int, seed: int) -> Ints:
    """A fold of every item, 0..folds - 1, [n]: see `group_folds`. The order of the items does not matter.

    Raises:
        DataError: where there are fewer groups than folds.
    """
    count = len(set(groups))
    if count < folds:
        raise DataError(f"{count} products are too few for {folds} folds: lower reward_study.folds, or add data.")
    return group_folds(groups, folds, seed)
