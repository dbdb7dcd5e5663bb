"""What each feature set of the study reads: columns of both sides of every pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from domains.ecommerce.reward_study.config import SetName
from domains.ecommerce.reward_study.pairs import StudyPairs
from shared.evaluation.intervals import Floats
from shared.records import PreferenceRecord

TITLES: Final[dict[SetName, str]] = {
    "naive-mean": "naive mean of the given features",
    "given": "given features, linear",
    "given-network": "given features, the paper's network",
    "measured": "measured text features, linear",
    "both": "given and measured, linear",
    "judge": "rubric features of a judge, linear",
    "lm": "language-model reward",
    "all": "all features and the language model, linear",
    "length": "length only",
    "tier": "oracle of the generation tier",
}
FAMILIES: Final[dict[SetName, tuple[str, ...]]] = {
    "naive-mean": ("given",),
    "given": ("given",),
    "given-network": ("given",),
    "measured": ("measured",),
    "both": ("given", "measured"),
    "judge": ("judge",),
}
ALL_FAMILIES: Final = ("given", "measured", "judge")


@dataclass(frozen=True, slots=True)
class Design:
    """Features of both sides of n pairs.

    Attributes:
        names: of the features.
        chosen: float64 [n, features], or [folds, n, features] where they are others in each fold (a language model's
            score that saw nothing of the fold).
        rejected: the same shape.
    """

    names: tuple[str, ...]
    chosen: Floats
    rejected: Floats

    def sides(self, fold: int) -> tuple[Floats, Floats]:
        """Both sides as the fold sees them, [n, features] each."""
        if self.chosen.ndim == 2:
            return self.chosen, self.rejected
        return self.chosen[fold], self.rejected[fold]

    def beside(self, other: "Design") -> "Design":
        """Its features and those of another design of the same pairs."""
        folds = max((one.shape[0] for one in (self.chosen, other.chosen) if one.ndim == 3), default=0)

        def spread(one: Floats) -> Floats:
            return one if one.ndim == 3 or not folds else np.repeat(one[None], folds, axis=0)

        return Design(
            (*self.names, *other.names),
            np.concatenate([spread(self.chosen), spread(other.chosen)], axis=-1),
            np.concatenate([spread(self.rejected), spread(other.rejected)], axis=-1),
        )


@dataclass(frozen=True, slots=True)
class Families:
    """Which scores the records carry.

    Attributes:
        names: names of the scores of each family that is there (``given``: ``given.aspect-coverage``, ...).
        complete: records that carry all of them on both sides, as places.
        lacking: records that lack one of a family, by family.
    """

    names: dict[str, tuple[str, ...]]
    complete: tuple[int, ...]
    lacking: dict[str, int]


def families_of(records: Sequence[PreferenceRecord], wanted: Sequence[str]) -> Families:
    """The families among `wanted` that any record carries, and the records that carry them whole.

    All sets are compared on the same pairs, so a record counts only where it lacks nothing; a family that no record
    carries is left out of the study instead.
    """
    sides = [(one.scores_chosen, one.scores_rejected) for one in records]
    every = {name for pair in sides for side in pair for name in side}
    names = {
        family: tuple(sorted(name for name in every if name.startswith(f"{family}.")))
        for family in ALL_FAMILIES
        if family in wanted
    }
    names = {family: found for family, found in names.items() if found}
    lacking = dict.fromkeys(names, 0)
    complete: list[int] = []
    for place, pair in enumerate(sides):
        missing = [family for family, found in names.items() if not all(_has(pair, name) for name in found)]
        for family in missing:
            lacking[family] += 1
        if not missing:
            complete.append(place)
    return Families(names, tuple(complete), {family: count for family, count in lacking.items() if count})


def _has(pair: Sequence[Mapping[str, float]], name: str) -> bool:
    return all(name in side and np.isfinite(side[name]) for side in pair)


def designs_of(
    pairs: StudyPairs, names: Mapping[str, Sequence[str]], wanted: Sequence[SetName]
) -> dict[SetName, Design]:
    """Designs of the sets that can be made from what the records carry; the language model's are added later.

    - ``naive-mean``: one feature, the mean of the given ones; what is learned is only how sure to be.
    - ``length``: the logarithm of the summary's words.
    - ``tier``: an indicator of each tier but one: the most that knowledge of the tier alone can say.
    """
    found: dict[SetName, Design] = {}
    blocks = {family: _scores(pairs.records, columns) for family, columns in names.items()}
    for wish in wanted:
        families = ALL_FAMILIES if wish == "all" else FAMILIES.get(wish, ())
        have = [blocks[family] for family in families if family in blocks]
        if wish == "length":
            logs = np.log(np.maximum(pairs.words, 1.0))
            found[wish] = Design(("log-words",), logs[0][:, None], logs[1][:, None])
        elif wish == "tier" and (design := _tiers(pairs)) is not None:
            found[wish] = design
        elif wish == "naive-mean" and have:
            found[wish] = Design(
                ("mean",), have[0].chosen.mean(axis=1, keepdims=True), have[0].rejected.mean(axis=1, keepdims=True)
            )
        elif have and (wish == "all" or len(have) == len(families)):
            found[wish] = _together(have)
    return found


def _scores(records: Sequence[PreferenceRecord], names: Sequence[str]) -> Design:
    chosen, rejected = (
        np.array([[side[name] for name in names] for side in sides], dtype=np.float64).reshape(len(records), -1)
        for sides in ([one.scores_chosen for one in records], [one.scores_rejected for one in records])
    )
    return Design(tuple(names), chosen, rejected)


def _together(designs: Sequence[Design]) -> Design:
    whole = designs[0]
    for one in designs[1:]:
        whole = whole.beside(one)
    return whole


def _tiers(pairs: StudyPairs) -> Design | None:
    if not np.isfinite(pairs.tiers).all():
        return None
    values = sorted(set(pairs.tiers.reshape(-1).tolist()))
    if len(values) < 2:
        return None
    chosen, rejected = (
        np.stack([side == value for value in values[:-1]], axis=1).astype(np.float64) for side in pairs.tiers
    )
    return Design(tuple(f"tier-{value:g}" for value in values[:-1]), chosen, rejected)
