"""Likelihood of the chosen response: supervised fine-tuning as an objective, alone or beside DPO."""

from shared.training.objectives.implicit_rewards import per_token
from shared.training.objectives.sigmoid import sigmoid
from shared.training.objectives.terms import Losses, PairTerms


def nll(terms: PairTerms) -> Losses:
    """``-log pi(y_w|x) / |y_w|``: mean over the chosen response's tokens, so every pair counts alike.

    No rewards are reported: the loss compares nothing.

    Args:
        terms: with token counts.
    """
    loss = -per_token(terms.chosen, terms.need("chosen_tokens"))
    metrics = {
        "nll/chosen": loss.detach(),
        "logps/chosen": terms.chosen.detach(),
        "logps/rejected": terms.rejected.detach(),
    }
    return loss, metrics


def rpo(terms: PairTerms, *, beta: float, alpha: float) -> Losses:
    """DPO + alpha NLL of Pang et al. 2024 (https://arxiv.org/abs/2404.19733).

    ``-log sigmoid(z) - alpha log pi(y_w|x) / |y_w|``: keeps the chosen response's probability from falling with the
    rejected one's.

    Args:
        terms: with reference and token counts.
        beta: strength of the pull to the reference.
        alpha: weight of the likelihood.
    """
    preference, metrics = sigmoid(terms, beta=beta)
    likelihood, more = nll(terms)
    return preference + alpha * likelihood, metrics | {"nll/chosen": more["nll/chosen"]}
