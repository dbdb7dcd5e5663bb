"""A reward that is a weighted mean of principle scores: nothing is learnt but the unit of its log-odds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared.durable import write_text
from shared.errors import UsageError
from shared.records import Message, PreferenceRecord
from shared.rewards.feature_rows import SCORES, Extract, features_of_records, features_of_texts
from shared.rewards.protocol import Side
from shared.rewards.ranking import Ranking, rank_table, score_table
from shared.rewards.settings import SETTINGS_FILE, PrinciplesConfig, PrinciplesSettings

if TYPE_CHECKING:
    import numpy as np


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights divided by the sum of their sizes.

    Raises:
        UsageError: where there is none.
    """
    total = sum(abs(weight) for weight in weights.values())
    if not total:
        raise UsageError(
            "reward.training.kind=principles asks for the weight of at least one principle: set "
            "`reward.training.principles.weights.NAME=1`."
        )
    return {name: weight / total for name, weight in weights.items()}


class WeightedPrinciples:
    """``r(x, y) = sum_p w_p score_p(x, y) / tau`` with weights whose sizes sum to 1.

    Args:
        settings: weights and tau.
        extract: gives principle scores of texts that no record carries them for.
    """

    def __init__(self, settings: PrinciplesSettings, extract: Extract | None = None) -> None:
        import numpy as np

        self.settings, self._extract = settings, extract
        self._names = [f"{SCORES}{name}" for name in settings.weights]
        self._weights = np.array(list(settings.weights.values())) / settings.tau

    def score(self, prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> "np.ndarray":
        """Scores of responses, float64 [n].

        Raises:
            UsageError: where there is no `extract`.
            DataError: where it leaves a principle out.
        """
        return features_of_texts(prompts, responses, self._names, self._extract) @ self._weights

    def compare(self, prompts: Sequence[tuple[Message, ...]], a: Sequence[str], b: Sequence[str]) -> "np.ndarray":
        """Log-odds that response a is preferred to b, [n]."""
        return self.score(prompts, a) - self.score(prompts, b)

    def compare_records(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Log-odds that the chosen response is preferred, [n].

        Raises:
            DataError: naming the record and the principle that it has no score of.
        """
        return self.score_records(records, "chosen") - self.score_records(records, "rejected")

    def score_records(self, records: Sequence[PreferenceRecord], side: Side) -> "np.ndarray":
        """Scores of one side of every record, [n]. Raises as `compare_records`."""
        return features_of_records(records, side, self._names) @ self._weights

    def explain_records(self, records: Sequence[PreferenceRecord]) -> list[dict[str, float]]:
        """What each principle adds to the log-odds that the chosen response is preferred, by name, of each record."""
        sides = [features_of_records(records, side, self._names) for side in ("chosen", "rejected")]
        added = (sides[0] - sides[1]) * self._weights
        return [dict(zip(self.settings.weights, row.tolist(), strict=True)) for row in added]

    def rank(self, prompt: tuple[Message, ...], responses: Sequence[str]) -> Ranking:
        """K responses in the order of their scores."""
        return rank_table(score_table(self.score([prompt] * len(responses), responses)))

    def save(self, folder: Path) -> None:
        """Writes ``reward.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / SETTINGS_FILE, self.settings.model_dump_json(indent=2) + "\n")


def weigh_principles(records: Sequence[PreferenceRecord], config: PrinciplesConfig) -> WeightedPrinciples:
    """The reward of the recipe's weights; where tau is not given it is fitted to the pairs' preferences.

    A fit needs pairs of both outcomes: where every pair is ranked right, or no better than a coin would, tau stays 1.

    Raises:
        UsageError: where no weight is given.
        DataError: naming the record and the principle that it has no score of.
    """
    from shared.evaluation.calibration import fit_temperature

    weights = normalised(config.weights)
    settings = PrinciplesSettings(weights=weights, tau=config.tau or 1.0, extractor=config.extractor)
    plain = WeightedPrinciples(settings)
    margins = plain.compare_records(records)
    if config.tau is not None:
        return plain
    return WeightedPrinciples(settings.model_copy(update={"tau": fit_temperature(margins).value}))
