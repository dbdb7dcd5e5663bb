"""One way to read a trained reward model of any kind."""

from pathlib import Path

from shared.rewards.bradley_terry import RewardModel
from shared.rewards.ensemble import PairwiseEnsemble, ScalarEnsemble
from shared.rewards.feature_network import FeatureNetwork, FeatureReward
from shared.rewards.feature_rows import Extract
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


def load_reward(
    folder: Path, base: Path | None = None, precision: str = "auto", extract: Extract | None = None
) -> PreferenceModel:
    """Reads a reward model; what stands in its ``reward.json`` tells the kind.

    Args:
        folder: what a reward training saved.
        base: folder of the base model, where an adapter was saved.
        precision: see `shared.device.pick_device`.
        extract: gives scores of texts, for a feature network or principles; without it they judge records only.

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
        return FeatureReward(FeatureNetwork.load(folder), extract)
    if isinstance(settings, PrinciplesSettings):
        return WeightedPrinciples(settings, extract)
    if isinstance(settings, EnsembleSettings):
        members = [load_reward(folder / name, base, precision, extract) for name in settings.members]
        scalar = [member for member in members if isinstance(member, ScalarReward)]
        if len(scalar) == len(members):
            return ScalarEnsemble(scalar, settings)
        return PairwiseEnsemble(members, settings)
    return RewardModel.load(folder, base, precision)
