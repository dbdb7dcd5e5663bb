"""Simple preference optimisation: the mean log-probability as reward, no reference."""

from shared.training.objectives.implicit_rewards import per_token, reward_metrics
from shared.training.objectives.terms import Losses, PairTerms


def simpo(terms: PairTerms, *, beta: float, gamma: float, label_smoothing: float = 0.0) -> Losses:
    """SimPO, equation 6 of Meng et al. 2024 (https://arxiv.org/abs/2405.14734).

    ``-log sigmoid(beta log pi(y_w|x) / |y_w| - beta log pi(y_l|x) / |y_l| - gamma)``. Nothing holds the policy near
    where it started but the learning rate.

    Args:
        terms: with token counts.
        beta: scale of the per-token log-probabilities; the paper's runs use 2 to 10.
        gamma: margin that is asked for, in units of the reward.
        label_smoothing: share e of labels taken as flipped: ``-(1 - e) log sigmoid(z) - e log sigmoid(-z)``.
    """
    from torch.nn.functional import logsigmoid

    chosen = beta * per_token(terms.chosen, terms.need("chosen_tokens"))
    rejected = beta * per_token(terms.rejected, terms.need("rejected_tokens"))
    z = chosen - rejected - gamma
    loss = -(1 - label_smoothing) * logsigmoid(z) - label_smoothing * logsigmoid(-z)
    return loss, reward_metrics(terms, chosen, rejected)
