"""Rewards that a policy implies, and the metrics that every objective reports of them."""

from typing import TYPE_CHECKING

from shared.training.objectives.terms import PairTerms

if TYPE_CHECKING:
    from torch import Tensor


def implicit_rewards(terms: PairTerms, beta: float) -> tuple["Tensor", "Tensor"]:
    """``r(x, y) = beta log(pi(y|x) / pi_ref(y|x))``, up to a term of the prompt alone that cancels within a pair.

    Equation 5 of https://arxiv.org/abs/2305.18290.

    Returns:
        (of the chosen, of the rejected responses), each [pairs].
    """
    chosen, rejected = terms.log_ratios()
    return beta * chosen, beta * rejected


def per_token(sums: "Tensor", tokens: "Tensor") -> "Tensor":
    """``sums / tokens``, with 0 tokens read as 1: an empty response has the sum 0 and so the mean 0."""
    return sums / tokens.clamp(min=1)


def reward_metrics(terms: PairTerms, chosen: "Tensor", rejected: "Tensor") -> dict[str, "Tensor"]:
    """Metrics of the rewards that a loss compares, each [pairs] and detached.

    Returns:
        ``rewards/chosen``, ``rewards/rejected``, ``rewards/margins`` (their difference), ``rewards/accuracies`` (1
        where it is positive), and the policy's summed log-probabilities ``logps/chosen`` and ``logps/rejected``.
    """
    margin = chosen - rejected
    return {
        "rewards/chosen": chosen.detach(),
        "rewards/rejected": rejected.detach(),
        "rewards/margins": margin.detach(),
        "rewards/accuracies": (margin > 0).to(margin.dtype).detach(),
        "logps/chosen": terms.chosen.detach(),
        "logps/rejected": terms.rejected.detach(),
    }
