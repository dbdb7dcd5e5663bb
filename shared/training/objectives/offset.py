"""DPO with an offset: strong preferences ask for a larger gap than weak ones."""

from typing import Literal

from shared.training.objectives.implicit_rewards import implicit_rewards, reward_metrics
from shared.training.objectives.terms import Losses, PairTerms


def odpo(terms: PairTerms, *, beta: float, alpha: float, scale: Literal["log", "identity"] = "log") -> Losses:
    """ODPO of Amini et al. 2024 (https://arxiv.org/abs/2402.10571).

    ``-log sigmoid(z - alpha f(m))``, m the strength of the preference (a difference of scores or votes), f the
    logarithm or the identity. The logarithm gives weak preferences (m < 1) a negative offset.

    Args:
        terms: with reference and margin (> 0 under the logarithm).
        beta: strength of the pull to the reference.
        alpha: weight of the offset; 0 is DPO.
        scale: f.
    """
    import torch
    from torch.nn.functional import logsigmoid

    chosen, rejected = implicit_rewards(terms, beta)
    margin = terms.need("margin")
    offset = alpha * (margin.clamp(min=torch.finfo(margin.dtype).tiny).log() if scale == "log" else margin)
    metrics = reward_metrics(terms, chosen, rejected) | {"offsets": offset.detach()}
    return -logsigmoid(chosen - rejected - offset), metrics
