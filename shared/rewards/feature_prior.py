"""What is known of a linear feature model's weights before any pair is seen: a normal prior of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import UsageError
from shared.rewards.settings import FeatureConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearPrior:
    """Independent normal priors of the weights of standardised features, ``N(mean_j, 1 / precision_j)``.

    Attributes:
        mean: [features], log-odds a standard deviation of the feature.
        precision: [features], on the scale of the whole log posterior (not of a pair); 0: flat.
    """

    mean: Floats
    precision: Floats


def linear_prior(names: Sequence[str], config: FeatureConfig, scale: Floats, pairs: int) -> LinearPrior:
    """The prior of a recipe.

    A feature with an expert's weight has that mean and `prior_strength`; any other has mean 0 and the precision that
    `l2` amounts to, ``pairs * l2``. The strength is in standardised units whatever the units of the mean.

    Args:
        names: of the features.
        config: the recipe's options.
        scale: standard deviation of each feature, [features].
        pairs: training pairs.

    Returns:
        The prior.

    Raises:
        UsageError: where a prior names no input, or has the sign that `signs` forbids.
    """
    mean, precision = np.zeros(len(names)), np.full(len(names), pairs * config.l2)
    for name, weight in config.prior.items():
        if name not in names:
            raise UsageError(
                f"reward.training.features.prior names {name}, which is no input: inputs are {', '.join(names)}."
            )
        sign = config.signs.get(name)
        if sign is not None and weight * (1 if sign == "+" else -1) < 0:
            raise UsageError(
                f"reward.training.features.prior says {weight:g} of {name}, and features.signs says {sign!r}: change "
                "one of them."
            )
        place = list(names).index(name)
        mean[place] = weight * (scale[place] if config.prior_units == "original" else 1.0)
        precision[place] = config.prior_strength
    return LinearPrior(mean, precision)
