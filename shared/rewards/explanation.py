"""Log-odds taken apart by feature, over many pairs; and what a reward model is, in a few words."""

from collections.abc import Mapping, Sequence

from shared.rewards.bradley_terry import RewardModel
from shared.rewards.ensemble import PairwiseEnsemble, ScalarEnsemble
from shared.rewards.feature_network import FeatureReward
from shared.rewards.general_preference import GeneralPreferenceModel
from shared.rewards.principles import WeightedPrinciples
from shared.rewards.protocol import PreferenceModel


def explanation_summary(explained: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """What each feature adds to the log-odds of the chosen responses.

    Args:
        explained: of `FeatureReward.explain_records` or `WeightedPrinciples.explain_records`; at least one pair.

    Returns:
        By feature: ``mean`` (added on average, log-odds) and ``mean_size`` (its mean size, whatever its sign).
    """
    import numpy as np

    columns = {name: np.array([row[name] for row in explained]) for name in explained[0]}
    return {
        name: {"mean": float(values.mean()), "mean_size": float(np.abs(values).mean())}
        for name, values in columns.items()
    }


def describe(model: PreferenceModel) -> str:
    """What a reward model is, in a few words: for reports and cards."""
    if isinstance(model, GeneralPreferenceModel):
        gpm = model.settings.gpm
        planes = "1 plane" if gpm.k == 1 else f"{gpm.k} planes"
        gate = "weighed by a prompt gate" if gpm.gate else "of equal weight"
        return f"general preference model ({_body(model.settings.body)}, {planes} {gate}, tau {gpm.tau:g})"
    if isinstance(model, FeatureReward):
        hidden = model.settings.hidden
        layers = f"hidden layers of {', '.join(map(str, hidden))}" if hidden else "linear"
        count = len(model.settings.features)
        return f"feature network ({count} feature{'s' if count > 1 else ''}, {layers})"
    if isinstance(model, WeightedPrinciples):
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in model.settings.weights.items())
        return f"weighted principles ({weights})"
    if isinstance(model, PairwiseEnsemble | ScalarEnsemble):
        return f"ensemble of {len(model.members)} ({model.settings.combine}): {describe(model.members[0])}"
    if isinstance(model, RewardModel):
        return f"Bradley-Terry model ({_body(model.settings.body)})"
    return type(model).__name__


def _body(body: str) -> str:
    return "encoder" if body == "encoder" else "causal language model"
