"""Odds-ratio preference optimisation: fine-tuning on the chosen response with a penalty on the rejected one."""

from typing import TYPE_CHECKING

from shared.training.objectives.implicit_rewards import per_token, reward_metrics
from shared.training.objectives.terms import Losses, PairTerms

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_MEAN_LOGP = -1e-6
"""A response of probability 1 a token has infinite odds; means above this (nats) are read as this."""


def orpo(terms: PairTerms, *, beta: float) -> Losses:
    """ORPO of Hong et al. 2024 (https://arxiv.org/abs/2403.07691).

    ``-log P(y_w|x) - lambda log sigmoid(log odds(y_w|x) - log odds(y_l|x))``, ``odds = P / (1 - P)``, P the geometric
    mean of the token probabilities. The first term is the mean over the chosen response's tokens.

    Args:
        terms: with token counts.
        beta: the paper's lambda, weight of the odds ratio.
    """
    from torch.nn.functional import logsigmoid

    chosen = per_token(terms.chosen, terms.need("chosen_tokens"))
    rejected = per_token(terms.rejected, terms.need("rejected_tokens"))
    log_odds_ratio = _log_odds(chosen) - _log_odds(rejected)
    loss = -chosen - beta * logsigmoid(log_odds_ratio)
    metrics = reward_metrics(terms, beta * chosen, beta * rejected)
    return loss, metrics | {"log_odds_ratio": log_odds_ratio.detach(), "nll/chosen": -chosen.detach()}


def _log_odds(mean_logps: "Tensor") -> "Tensor":
    """``log(P / (1 - P))`` of ``log P``; expm1 keeps 1 - P exact where P is close to 1."""
    import torch

    bounded = mean_logps.clamp(max=LARGEST_MEAN_LOGP)
    return bounded - torch.log(-torch.expm1(bounded))
