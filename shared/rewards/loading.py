"""One way to read a trained reward model of any kind."""

from pathlib import Path

from shared.errors import DataError
from shared.rewards.bradley_terry import RewardModel
from shared.rewards.ensemble import PairwiseEnsemble, ScalarEnsemble
from shared.rewards.feature_network import FeatureNetwork, FeatureReward
from shared.rewards.feature_rows import MODEL_SCORE, Extract
from shared.rewards.general_preference import GeneralPreferenceModel
from shared.rewards.principles import WeightedPrinciples
from shared.rewards.protocol import PreferenceModel, ScalarReward
from shared.rewards.settings import (
    EnsembleSettings,
    FeatureSettings,
    GpmSettings,
    PrinciplesSettings,
    read_settings,
)

BODY_FOLDER = "body"
"""Where a feature reward that reads ``model.score`` keeps the Bradley-Terry model that gives it."""


def load_reward(
    folder: Path, base: Path | None = None, precision: str = "auto", extract: Extract | None = None
) -> PreferenceModel:
    """Reads a reward model; what stands in its ``reward.json`` tells the kind.

    Args:
        folder: what a reward training saved.
        base: folder of the base model, where an adapter was saved.
        precision: see `shared.device.pick_device`.
        extract: gives scores of texts, for a feature network or principles; None: the extractor that ``reward.json``
            names, an installed domain's. Without either they judge records only.

    Returns:
        The model; it is a `ScalarReward` where it has a score (all but gpm).

    Raises:
        DataError: where the folder holds no reward model, or a broken one.
        SystemStateError: where it holds an adapter and no base is given or found.
    """
    settings = read_settings(folder)
    if isinstance(settings, GpmSettings):
        return GeneralPreferenceModel.load(folder, base, precision)
    if isinstance(settings, FeatureSettings):
        return _feature_reward(folder, settings, base, precision, extract)
    if isinstance(settings, PrinciplesSettings):
        return WeightedPrinciples(settings, extract or _extractor(settings))
    if isinstance(settings, EnsembleSettings):
        members = [load_reward(folder / name, base, precision, extract) for name in settings.members]
        scalar = [member for member in members if isinstance(member, ScalarReward)]
        if len(scalar) == len(members):
            return ScalarEnsemble(scalar, settings)
        return PairwiseEnsemble(members, settings)
    return RewardModel.load(folder, base, precision)


def _feature_reward(
    folder: Path, settings: FeatureSettings, base: Path | None, precision: str, extract: Extract | None
) -> FeatureReward:
    from shared.rewards.feature_posterior import WeightPosterior

    network, posterior = FeatureNetwork.load(folder), WeightPosterior.load(folder)
    if posterior is not None and posterior.mode.shape != network.mean.shape:
        raise DataError(f"{folder} holds the posterior of another model: train it anew.")
    scorer = RewardModel.load(folder / BODY_FOLDER, base, precision) if MODEL_SCORE in settings.features else None
    return FeatureReward(network, extract or _extractor(settings), scorer, posterior)


def _extractor(settings: FeatureSettings | PrinciplesSettings) -> Extract | None:
    from shared.rewards.extraction import named_extractor

    return named_extractor(settings.extractor, settings.extractor_code)
