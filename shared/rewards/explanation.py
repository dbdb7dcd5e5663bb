"""Log-odds taken apart by feature, over many pairs and of single ones; and what a reward model is, in a few words."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.records import PreferenceRecord
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


def weight_rows(model: FeatureReward) -> list[dict[str, Any]]:
    """Every weight of a linear feature model, before any temperature; none for a network with hidden layers.

    Returns:
        By feature, the largest weight first: ``feature``; ``weight`` (log-odds a standard deviation of the feature) and
        ``per_unit`` (log-odds a unit of it); their posterior intervals ``low``, ``high``, ``per_unit_low``,
        ``per_unit_high`` and ``positive`` (probability that it is above 0), None without posterior; ``prior`` (the
        expert's weight, a standard deviation; or None); ``at_bound`` (whether its sign keeps it at 0).
    """
    network, settings = model.network, model.settings
    if settings.hidden:
        return []
    weights, scale = network.layers[0][0][0], network.scale
    if model.posterior is None:
        low = high = positive = [None] * len(weights)
    else:
        low, high = (side.tolist() for side in model.posterior.weight_intervals())
        positive = model.posterior.positive().tolist()
    rows = [
        {
            "feature": name,
            "weight": float(weights[place]),
            "low": low[place],
            "high": high[place],
            "per_unit": float(weights[place] / scale[place]),
            "per_unit_low": _divided(low[place], scale[place]),
            "per_unit_high": _divided(high[place], scale[place]),
            "positive": positive[place],
            "prior": settings.prior.get(name),
            "at_bound": name in settings.signs and float(weights[place]) == 0.0,
        }
        for place, name in enumerate(settings.features)
    ]
    return sorted(rows, key=lambda row: -abs(row["weight"]))


def _divided(value: float | None, scale: float) -> float | None:
    return None if value is None else float(value / scale)


def pair_explanations(model: FeatureReward, records: Sequence[PreferenceRecord]) -> list[dict[str, Any]]:
    """Single log-odds taken apart: of the surest pair, of the least sure, and of the one that is ranked wrong surest.

    Returns:
        At most three: ``why`` (it was chosen), ``record``, ``log_odds`` with ``low``, ``high`` and ``probability``
        (posterior; None without), and ``features``: of each ``feature``, ``chosen``, ``rejected`` (as they stand in the
        data), ``added`` (log-odds) with ``low`` and ``high`` (linear models with a posterior; else None). The greatest
        first. No text of a record is told.
    """
    import numpy as np

    if not records:
        return []
    margins = model.compare_records(records)
    places = {"the surest": int(margins.argmax()), "the least sure": int(np.abs(margins).argmin())}
    if margins.min() < 0:
        places["the surest of those that are ranked wrong"] = int(margins.argmin())
    shown: dict[int, str] = {}
    for why, place in places.items():
        shown.setdefault(place, why)
    part = [records[place] for place in shown]
    chosen, rejected = (model.features_of_records(part, side) for side in ("chosen", "rejected"))
    added = model.network.contributions(chosen) - model.network.contributions(rejected)
    uncertain, bounds = model.uncertain_records(part), None
    if model.posterior is not None:
        factor = (chosen - rejected) / model.network.scale / model.settings.temperature
        ends = [factor * side for side in model.posterior.weight_intervals()]
        bounds = np.minimum(*ends), np.maximum(*ends)
    found = []
    for row, (place, why) in enumerate(shown.items()):
        features = [
            {
                "feature": name,
                "chosen": float(chosen[row, column]),
                "rejected": float(rejected[row, column]),
                "added": float(added[row, column]),
                "low": None if bounds is None else float(bounds[0][row, column]),
                "high": None if bounds is None else float(bounds[1][row, column]),
            }
            for column, name in enumerate(model.settings.features)
        ]
        told = {"why": why, "record": part[row].id, "log_odds": float(margins[place])}
        for key in ("low", "high", "probability"):
            told[key] = None if uncertain is None else float(getattr(uncertain, key)[row])
        found.append({**told, "features": sorted(features, key=lambda one: -abs(one["added"]))})
    return found


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
        extras = [f"{len(model.settings.prior)} expert weights"] if model.settings.prior else []
        if model.settings.temperature != 1.0:
            extras.append(f"temperature {model.settings.temperature:.2f}")
        return f"feature network ({', '.join([f'{count} feature' + 's' * (count > 1), layers, *extras])})"
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
