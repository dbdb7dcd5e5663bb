"""Kahneman-Tversky optimisation: responses that are desirable or not, without pairs."""

from typing import TYPE_CHECKING

from shared.training.objectives.terms import Losses, UnpairedTerms

if TYPE_CHECKING:
    from torch import Tensor


def kto(terms: UnpairedTerms, *, beta: float, desirable_weight: float = 1.0, undesirable_weight: float = 1.0) -> Losses:
    """KTO, equation 7 of Ethayarajh et al. 2024 (https://arxiv.org/abs/2402.01306).

    ``w_D (1 - sigmoid(beta (r - z)))`` for a desirable response, ``w_U (1 - sigmoid(beta (z - r)))`` for another, with
    ``r = log pi(y|x) / pi_ref(y|x)`` and the reference point z, see `reference_point`. The paper asks for
    ``w_D n_D / (w_U n_U)`` in [1, 4/3], n the numbers of examples.

    Args:
        terms: of single responses.
        beta: how quickly the value saturates.
        desirable_weight: w_D.
        undesirable_weight: w_U.

    Returns:
        (loss [examples], metrics [examples]): rewards and log-probabilities are NaN on the other side's examples.
    """
    import torch

    log_ratio = terms.policy - terms.reference
    point = reference_point(terms)
    desirable = terms.desirable > 0.5
    # 1 - sigmoid(a) = sigmoid(-a), which does not cancel where the sigmoid is close to 1.
    away = torch.where(desirable, point - log_ratio, log_ratio - point)
    factor = torch.where(
        desirable, torch.full_like(log_ratio, desirable_weight), torch.full_like(log_ratio, undesirable_weight)
    )
    loss = factor * torch.sigmoid(beta * away)
    reward = (beta * log_ratio).detach()
    logps = terms.policy.detach()
    unknown = torch.full_like(reward, float("nan"))
    metrics = {
        "rewards/chosen": torch.where(desirable, reward, unknown),
        "rewards/rejected": torch.where(desirable, unknown, reward),
        "logps/chosen": torch.where(desirable, logps, unknown),
        "logps/rejected": torch.where(desirable, unknown, logps),
        "kl": point.expand_as(reward),
    }
    return loss, metrics


def reference_point(terms: UnpairedTerms) -> "Tensor":
    """``max(0, mean log pi(y'|x) / pi_ref(y'|x))`` over mismatched responses y', a scalar without gradient: an estimate
    of the KL divergence of the policy from the reference (section 4.1 of https://arxiv.org/abs/2402.01306). 0 where
    there are none."""
    if terms.mismatched.numel() == 0:
        return terms.policy.new_zeros(())
    return (terms.mismatched - terms.ref_mismatched).detach().mean().clamp(min=0)
