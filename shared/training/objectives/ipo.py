"""Identity preference optimisation: a regression of the log-ratio gap instead of a classification."""

from typing import Literal

from shared.training.objectives.implicit_rewards import per_token, reward_metrics
from shared.training.objectives.terms import Losses, PairTerms


def ipo(terms: PairTerms, *, beta: float, reduction: Literal["mean", "sum"] = "mean") -> Losses:
    """IPO, equation 17 of Azar et al. 2023 (https://arxiv.org/abs/2310.12036).

    ``(h - 1 / (2 beta))^2`` with ``h = log-ratio(y_w) - log-ratio(y_l)`` and the paper's tau as beta. Assumes no model
    of preferences; overfits less than DPO where labels are deterministic.

    Args:
        terms: with reference; with token counts under ``mean``.
        beta: the paper's tau; the gap that is aimed at is 1 / (2 beta).
        reduction: ``mean`` divides each log-ratio by its response's tokens (what the authors ran, and TRL does), so
            the gap is in nats a token; ``sum`` is the equation as printed.
    """
    chosen, rejected = terms.log_ratios()
    if reduction == "mean":
        chosen = per_token(chosen, terms.need("chosen_tokens"))
        rejected = per_token(rejected, terms.need("rejected_tokens"))
    loss = (chosen - rejected - 1 / (2 * beta)) ** 2
    return loss, reward_metrics(terms, beta * chosen, beta * rejected)
