"""What a reward model is told of every pair beside its texts: margin, weight and soft label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from shared.errors import DataError
from shared.records import PreferenceRecord, Votes

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TargetOptions(Protocol):
    """The options that decide; `shared.training.config.RewardConfig` has them."""

    use_margin: bool
    margin_scale: float
    soft_labels: bool
    vote_prior: float
    pair_weights: Literal["record", "votes", "none"]


@dataclass(frozen=True, slots=True)
class PairTargets:
    """Targets of n pairs, float64 [n] each.

    Attributes:
        margin: log-odds that the chosen response is asked to be ahead.
        weight: factor of the pair's loss.
        label: probability that the chosen response is preferred.
    """

    margin: "NDArray"
    weight: "NDArray"
    label: "NDArray"


def vote_share(votes: Votes, prior: float = 0.0) -> float:
    """Share of the raters that prefer the chosen response; a tie counts half for each side.

    Args:
        votes: at least one vote of any kind, or a prior above 0.
        prior: votes that are added to each side (1/2: Jeffreys' prior; 1: Laplace's).
    """
    given = votes.chosen + votes.rejected + votes.ties
    return (votes.chosen + 0.5 * votes.ties + prior) / (given + 2.0 * prior)


def pair_targets(records: Sequence[PreferenceRecord], options: TargetOptions) -> PairTargets:
    """Targets of training pairs.

    - ``use_margin``: `margin_scale` times the record's margin, 0 where it has none.
    - ``soft_labels``: the share of votes (see `vote_share`); 1 for a pair without votes.
    - ``pair_weights``: ``record``: the record's weight; ``none``: 1; ``votes``: the number of its votes divided by
      their mean over the pairs, which together with soft labels is the likelihood of every single vote.

    Raises:
        DataError: where votes are asked for and no record has any, or (for weights) one has none.
    """
    import numpy as np

    margin = [options.margin_scale * (one.margin or 0.0) if options.use_margin else 0.0 for one in records]
    label = np.ones(len(records))
    counts = [one.votes.chosen + one.votes.rejected + one.votes.ties if one.votes else 0 for one in records]
    asked = [key for key, on in _asks_votes(options).items() if on]
    if asked and not any(counts):
        raise DataError(
            f"{_file(records)}: no record has votes, but the recipe asks for them (reward.training.{asked[0]}): "
            "give `votes` in the data or change the key."
        )
    if options.soft_labels:
        for index, (one, count) in enumerate(zip(records, counts, strict=True)):
            if one.votes is not None and count:
                label[index] = vote_share(one.votes, options.vote_prior)
    if options.pair_weights == "votes":
        without = next((one for one, count in zip(records, counts, strict=True) if not count), None)
        if without is not None:
            raise DataError(
                f"{without.source}: the record {without.id} has no votes to weigh it by: set "
                "`reward.training.pair_weights=record`."
            )
        weight = np.array(counts, dtype=np.float64) / np.mean(counts)
    else:
        weight = np.array([one.weight if options.pair_weights == "record" else 1.0 for one in records])
    return PairTargets(np.array(margin, dtype=np.float64), weight, label)


def _asks_votes(options: TargetOptions) -> dict[str, bool]:
    return {"soft_labels": options.soft_labels, "pair_weights": options.pair_weights == "votes"}


def _file(records: Sequence[PreferenceRecord]) -> str:
    return records[0].source.rpartition(":")[0] or records[0].source
