"""A reward of named features: a linear model or a small network with a linear output, and its score taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from shared.durable import write_text
from shared.errors import DataError
from shared.records import Message, PreferenceRecord
from shared.rewards.feature_rows import MODEL_SCORE, Extract, features_of_records, features_of_texts
from shared.rewards.protocol import ScalarReward, Side
from shared.rewards.ranking import Ranking, rank_table, score_table
from shared.rewards.settings import SETTINGS_FILE, WEIGHTS_FILE, FeatureSettings, read_settings

if TYPE_CHECKING:
    import numpy as np

    from shared.rewards.feature_posterior import LogOdds, WeightPosterior

PANEL_POINTS, MOST_PANELS, QUADRATURE_ERROR = 8, 256, 1e-6


@dataclass(frozen=True, slots=True)
class FeatureNetwork:
    """``r(x, y) = w . h_L / T``, ``h_0 = (phi(x, y) - mean) / scale``, ``h_l = activation(W_l h_(l-1) + b_l)``.

    The output is linear: an activation there can die and leave a reward that is constant. It has no bias, for only
    differences of scores have a meaning. T is 1 but where the model is calibrated.

    Attributes:
        settings: names of the features, form of the network, and its temperature T.
        mean: of each feature over both sides of the training pairs, float64 [features].
        scale: its standard deviation there; 1 for a constant feature, [features].
        layers: (weight [out, in], bias [out]) of every layer; the last has one unit and a bias of 0.
    """

    settings: FeatureSettings
    mean: "np.ndarray"
    scale: "np.ndarray"
    layers: "tuple[tuple[np.ndarray, np.ndarray], ...]"

    def score(self, features: "np.ndarray") -> "np.ndarray":
        """Scores in log-odds units of feature vectors [n, features], float64 [n]."""
        return self._forward((features - self.mean) / self.scale)[-1][:, 0] / self.settings.temperature

    def _forward(self, standardised: "np.ndarray") -> "list[np.ndarray]":
        """Every layer's output; the last is the score [n, 1]."""
        import numpy as np

        outputs = [standardised]
        for index, (weight, bias) in enumerate(self.layers):
            linear = outputs[-1] @ weight.T + bias
            if index + 1 < len(self.layers):
                linear = np.tanh(linear) if self.settings.activation == "tanh" else np.maximum(linear, 0.0)
            outputs.append(linear)
        return outputs

    def _slopes(self, standardised: "np.ndarray") -> "np.ndarray":
        """Derivative of the score by each standardised feature, [n, features]."""
        import numpy as np

        outputs = self._forward(standardised)
        slope = np.repeat(self.layers[-1][0], len(standardised), axis=0)
        for (weight, _), output in zip(reversed(self.layers[:-1]), reversed(outputs[1:-1]), strict=True):
            inner = 1.0 - output**2 if self.settings.activation == "tanh" else (output > 0).astype(np.float64)
            slope = (slope * inner) @ weight
        return slope

    def contributions(self, features: "np.ndarray") -> "np.ndarray":
        """What each feature adds to the score of a response, against a response with average features.

        Integrated gradients from the mean (https://arxiv.org/abs/1703.01365): they sum to score - score(mean), for a
        linear model exactly ``w_j (phi_j - mean_j) / scale_j``, else up to 1e-6 by Gauss-Legendre quadrature, whose
        panels are halved until that is reached or there are 256 (a relu's slope jumps: some thousandths may be left).

        Args:
            features: [n, features].

        Returns:
            float64 [n, features], log-odds.
        """
        import numpy as np

        standardised = (features - self.mean) / self.scale
        if len(self.layers) == 1:
            return standardised * self.layers[0][0] / self.settings.temperature
        places, weights = np.polynomial.legendre.leggauss(PANEL_POINTS)
        total = self._forward(standardised)[-1][:, 0] - self._forward(np.zeros_like(standardised[:1]))[-1][:, 0]
        panels = 1
        while True:
            slopes = np.zeros_like(standardised)
            for panel in range(panels):
                for place, weight in zip((0.5 * (places + 1.0) + panel) / panels, 0.5 * weights / panels, strict=True):
                    slopes += weight * self._slopes(place * standardised)
            found = standardised * slopes
            error = np.abs(found.sum(axis=1) - total).max(initial=0.0)
            if error <= QUADRATURE_ERROR or panels == MOST_PANELS:
                return found / self.settings.temperature
            panels *= 2

    def save(self, folder: Path) -> None:
        """Writes ``reward.json`` and ``model.safetensors`` (float64)."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"mean": self.mean, "scale": self.scale}
        for index, (weight, bias) in enumerate(self.layers):
            tensors |= {f"layers.{index}.weight": weight.copy(), f"layers.{index}.bias": bias.copy()}
        save_file(tensors, folder / WEIGHTS_FILE)
        write_text(folder / SETTINGS_FILE, self.settings.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "FeatureNetwork":
        """The inverse of `save`.

        Raises:
            DataError: where the folder holds no feature network, or weights of other shapes than its settings say.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        settings = read_settings(folder)
        if not isinstance(settings, FeatureSettings):
            raise DataError(f"{folder} holds a reward model of the kind {settings.kind}, not a feature network.")
        sizes = [len(settings.features), *settings.hidden, 1]
        try:
            tensors = load_file(folder / WEIGHTS_FILE)
            layers = tuple(
                (tensors[f"layers.{index}.weight"], tensors[f"layers.{index}.bias"]) for index in range(len(sizes) - 1)
            )
            network = cls(settings, tensors["mean"], tensors["scale"], layers)
        except (OSError, KeyError, SafetensorError) as error:
            raise DataError(f"{folder / WEIGHTS_FILE} is missing or broken: train the reward model anew.") from error
        shapes = [weight.shape for weight, _ in layers]
        if shapes != [(after, before) for before, after in pairwise(sizes)] or network.mean.shape != (sizes[0],):
            raise DataError(f"{folder / WEIGHTS_FILE} holds other shapes than reward.json says: train it anew.")
        return network


class FeatureReward:
    """A feature network as a reward model of texts and records.

    Args:
        network: the trained network.
        extract: gives the scores that the network reads, for texts that no record carries them for.
        scorer: gives ``model.score``, where the network reads it.
        posterior: of the network's weights, where it was made.

    Raises:
        DataError: where the network reads ``model.score`` and there is no scorer.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        extract: Extract | None = None,
        scorer: ScalarReward | None = None,
        posterior: "WeightPosterior | None" = None,
    ) -> None:
        self.network, self.settings, self.posterior = network, network.settings, posterior
        self._extract, self._scorer = extract, scorer
        if scorer is None and MODEL_SCORE in self.settings.features:
            raise DataError(f"the reward model reads {MODEL_SCORE} and its folder holds no body: train it anew.")

    def features(self, prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> "np.ndarray":
        """Features of responses, float64 [n, features].

        Raises:
            UsageError: where the network reads scores and nothing extracts them.
        """
        names, zero = self.settings.features, self.settings.zero
        return features_of_texts(prompts, responses, names, self._extract, self._scorer, zero)

    def features_of_records(self, records: Sequence[PreferenceRecord], side: Side) -> "np.ndarray":
        """Features of one side of every record, by the scores that it carries, [n, features].

        Raises:
            DataError: naming the record and the score that it has not.
        """
        of_model = None
        if self._scorer is not None:
            of_model = self._scorer.score_records(records, side) - self.settings.zero
        return features_of_records(records, side, self.settings.features, of_model)

    def score(self, prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> "np.ndarray":
        """Scores of responses, float64 [n].

        Raises:
            UsageError: where the network reads scores and nothing extracts them.
        """
        return self.network.score(self.features(prompts, responses))

    def compare(self, prompts: Sequence[tuple[Message, ...]], a: Sequence[str], b: Sequence[str]) -> "np.ndarray":
        """Log-odds that response a is preferred to b, [n]."""
        return self.score(prompts, a) - self.score(prompts, b)

    def compare_records(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Log-odds that the chosen response is preferred, by the scores that the records carry, [n].

        Raises:
            DataError: naming the record and the score that it has not.
        """
        return self.score_records(records, "chosen") - self.score_records(records, "rejected")

    def score_records(self, records: Sequence[PreferenceRecord], side: Side) -> "np.ndarray":
        """Scores of one side of every record, by the scores that it carries, [n]. Raises as `compare_records`."""
        return self.network.score(self.features_of_records(records, side))

    def explain(self, prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> list[dict[str, float]]:
        """What each feature adds to the score of each response, against a response with average features, by name."""
        return self._by_name(self.network.contributions(self.features(prompts, responses)))

    def explain_records(self, records: Sequence[PreferenceRecord]) -> list[dict[str, float]]:
        """What each feature adds to the log-odds that the chosen response is preferred, by name, of each record."""
        chosen, rejected = (
            self.network.contributions(self.features_of_records(records, side)) for side in ("chosen", "rejected")
        )
        return self._by_name(chosen - rejected)

    def _by_name(self, rows: "np.ndarray") -> list[dict[str, float]]:
        return [dict(zip(self.settings.features, row.tolist(), strict=True)) for row in rows]

    def uncertain_scores(self, prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> "LogOdds | None":
        """Scores with posterior intervals: log-odds against a response with average features; None without one."""
        return self._uncertain(self.features(prompts, responses) - self.network.mean)

    def uncertain_comparison(
        self, prompts: Sequence[tuple[Message, ...]], a: Sequence[str], b: Sequence[str]
    ) -> "LogOdds | None":
        """`compare` and P(a preferred) with posterior intervals; None without posterior."""
        return self._uncertain(self.features(prompts, a) - self.features(prompts, b))

    def uncertain_records(self, records: Sequence[PreferenceRecord]) -> "LogOdds | None":
        """`compare_records` and P(chosen preferred) with posterior intervals; None without posterior."""
        return self._uncertain(
            self.features_of_records(records, "chosen") - self.features_of_records(records, "rejected")
        )

    def _uncertain(self, differences: "np.ndarray") -> "LogOdds | None":
        if self.posterior is None:
            return None
        return self.posterior.log_odds(differences / self.network.scale, self.settings.temperature)

    def rank(self, prompt: tuple[Message, ...], responses: Sequence[str]) -> Ranking:
        """K responses in the order of their scores."""
        return rank_table(score_table(self.score([prompt] * len(responses), responses)))
