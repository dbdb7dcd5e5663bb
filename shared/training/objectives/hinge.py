"""The hinge loss of sequence likelihood calibration on DPO's implicit rewards."""

from shared.training.objectives.implicit_rewards import implicit_rewards, reward_metrics
from shared.training.objectives.terms import Losses, PairTerms


def hinge(terms: PairTerms, *, beta: float) -> Losses:
    """SLiC's hinge (https://arxiv.org/abs/2305.10425), normalised by the reference as in RSO
    (https://arxiv.org/abs/2309.06657).

    ``max(0, 1 - z)``, z as in `shared.training.objectives.sigmoid`. A pair past the margin 1 no longer pulls; at the
    margin itself the gradient is taken as 0.

    Args:
        terms: with reference.
        beta: strength of the pull to the reference; the margin is 1 / beta nats.
    """
    chosen, rejected = implicit_rewards(terms, beta)
    return (1 - (chosen - rejected)).clamp(min=0), reward_metrics(terms, chosen, rejected)
