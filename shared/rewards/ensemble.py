"""Several reward models taken together, and how far they disagree (https://arxiv.org/abs/2310.02743)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.durable import write_text
from shared.errors import DataError
from shared.records import PreferenceRecord
from shared.rewards.protocol import PreferenceModel, Prompt, ScalarReward, Side
from shared.rewards.ranking import Ranking, rank_table, score_table
from shared.rewards.settings import SETTINGS_FILE, EnsembleSettings

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How far members disagree on pairs.

    Attributes:
        std: standard deviation of the members' log-odds (over the members, not corrected for their number), [n].
        split: 1 where some member prefers one response and some member the other, else 0, [n].
    """

    std: "np.ndarray"
    split: "np.ndarray"


def disagreement(log_odds: "np.ndarray") -> Disagreement:
    """Disagreement of members' log-odds, [members, n]."""
    split = (log_odds > 0).any(axis=0) & (log_odds < 0).any(axis=0)
    return Disagreement(log_odds.std(axis=0), split.astype(float))


def combine_scores(scores: "np.ndarray", settings: EnsembleSettings) -> "np.ndarray":
    """One score a response of members' scores [members, n] with a common zero: mean, min, or mean - c * std, [n]."""
    if settings.combine == "min":
        return scores.min(axis=0)
    if settings.combine == "mean":
        return scores.mean(axis=0)
    return scores.mean(axis=0) - settings.penalty * scores.std(axis=0)


def combine_log_odds(log_odds: "np.ndarray", settings: EnsembleSettings) -> "np.ndarray":
    """One log-odds a pair of members' log-odds [members, ...] that have no scores behind them, [...].

    ``min`` is the log-odds nearest to 0 where all members agree, else 0; ``uncertainty-penalised`` shrinks the mean
    towards 0 by c * std and stops there. Both change nothing but the sign where the two responses change places.
    """
    import numpy as np

    mean = log_odds.mean(axis=0)
    if settings.combine == "mean":
        return mean
    if settings.combine == "min":
        nearest = np.abs(log_odds).min(axis=0)
        agree = np.abs(np.sign(log_odds).sum(axis=0)) == len(log_odds)
        return np.where(agree, np.sign(mean) * nearest, 0.0)
    return np.sign(mean) * np.maximum(np.abs(mean) - settings.penalty * log_odds.std(axis=0), 0.0)


class PairwiseEnsemble:
    """An ensemble of models that compare (some of which may have no score).

    Args:
        members: at least two reward models.
        settings: how they are combined.
    """

    def __init__(self, members: Sequence[PreferenceModel], settings: EnsembleSettings) -> None:
        self.members, self.settings = list(members), settings

    def compare(self, prompts: Sequence[Prompt], a: Sequence[str], b: Sequence[str]) -> "np.ndarray":
        """Combined log-odds that response a is preferred to b, [n]."""
        return combine_log_odds(_stack([member.compare(prompts, a, b) for member in self.members]), self.settings)

    def compare_records(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Combined log-odds that the chosen response is preferred, [n]."""
        return combine_log_odds(self.member_log_odds(records), self.settings)

    def member_log_odds(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Every member's log-odds that the chosen response is preferred, [members, n]."""
        return _stack([member.compare_records(records) for member in self.members])

    def rank(self, prompt: Prompt, responses: Sequence[str]) -> Ranking:
        """K responses in order of the combined table."""
        return rank_table(
            combine_log_odds(_stack([one.rank(prompt, responses).log_odds for one in self.members]), self.settings)
        )


class ScalarEnsemble:
    """An ensemble of models with scores; the ensemble has a score too.

    Each member's zero, its mean score of the training responses, is taken off before scores are combined: the least
    favourable of several scores means something only where 0 is the same for all.

    Args:
        members: at least two models with scores.
        settings: how they are combined; one zero a member.

    Raises:
        DataError: where there is not one zero a member.
    """

    def __init__(self, members: Sequence[ScalarReward], settings: EnsembleSettings) -> None:
        if len(settings.zeros) != len(members):
            raise DataError(
                f"the ensemble has {len(members)} members with scores and {len(settings.zeros)} zeros: train it anew."
            )
        self.members, self.settings = list(members), settings

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> "np.ndarray":
        """Combined scores, [n]."""
        return self._combined([member.score(prompts, responses) for member in self.members])

    def _combined(self, scores: Sequence["np.ndarray"]) -> "np.ndarray":
        each = [one - zero for one, zero in zip(scores, self.settings.zeros, strict=True)]
        return combine_scores(_stack(each), self.settings)

    def compare(self, prompts: Sequence[Prompt], a: Sequence[str], b: Sequence[str]) -> "np.ndarray":
        """Difference of the combined scores, [n]."""
        both = self.score([*prompts, *prompts], [*a, *b])
        return both[: len(prompts)] - both[len(prompts) :]

    def compare_records(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Difference of the combined scores of both sides, [n]."""
        return self.score_records(records, "chosen") - self.score_records(records, "rejected")

    def score_records(self, records: Sequence[PreferenceRecord], side: Side) -> "np.ndarray":
        """Combined scores of one side of every record, [n]."""
        return self._combined([member.score_records(records, side) for member in self.members])

    def member_log_odds(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Every member's log-odds that the chosen response is preferred, [members, n]."""
        return _stack([member.compare_records(records) for member in self.members])

    def rank(self, prompt: Prompt, responses: Sequence[str]) -> Ranking:
        """K responses in the order of their combined scores."""
        return rank_table(score_table(self.score([prompt] * len(responses), responses)))


def save_ensemble(folder: Path, settings: EnsembleSettings) -> None:
    """Writes ``reward.json`` beside the members' folders."""
    write_text(folder / SETTINGS_FILE, settings.model_dump_json(indent=2) + "\n")


def _stack(rows: Sequence["np.ndarray"]) -> "np.ndarray":
    import numpy as np

    return np.stack(rows)
