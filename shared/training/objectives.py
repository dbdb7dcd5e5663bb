"""Objectives: pure functions of log-probabilities or scores that return (loss of every pair, metrics of every pair)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def dpo_loss(
    policy_chosen: "Tensor",
    policy_rejected: "Tensor",
    reference_chosen: "Tensor",
    reference_rejected: "Tensor",
    beta: float,
) -> tuple["Tensor", dict[str, "Tensor"]]:
    """Direct preference optimisation, equation 7 of Rafailov et al. 2023 (https://arxiv.org/abs/2305.18290).

    ``-log sigmoid(beta [(log pi(y_w|x) - log pi_ref(y_w|x)) - (log pi(y_l|x) - log pi_ref(y_l|x))])``

    Args:
        policy_chosen: summed log-probability of each chosen response under the policy, nats, [pairs].
        policy_rejected: the same of the rejected responses.
        reference_chosen: under the reference.
        reference_rejected: under the reference.
        beta: strength of the pull to the reference.

    Returns:
        (loss [pairs], metrics by name, each [pairs] and detached): implicit rewards ``beta log(pi / pi_ref)`` of both
        sides, their difference, and whether it is positive.
    """
    from torch.nn.functional import logsigmoid

    chosen = beta * (policy_chosen - reference_chosen)
    rejected = beta * (policy_rejected - reference_rejected)
    margin = chosen - rejected
    metrics = {
        "rewards/chosen": chosen.detach(),
        "rewards/rejected": rejected.detach(),
        "rewards/margins": margin.detach(),
        "rewards/accuracies": (margin > 0).float().detach(),
        "logps/chosen": policy_chosen.detach(),
        "logps/rejected": policy_rejected.detach(),
    }
    return -logsigmoid(margin), metrics


def bradley_terry_loss(
    chosen_scores: "Tensor", rejected_scores: "Tensor", margin: "Tensor | None" = None
) -> tuple["Tensor", dict[str, "Tensor"]]:
    """Negative log-likelihood of the preferences (Bradley and Terry 1952; equation 1 of https://arxiv.org/abs/2203.02155).

    ``-log sigmoid(r(x, y_w) - r(x, y_l) - m)``; the margin m is that of equation 2 of
    https://arxiv.org/abs/2307.09288.

    Args:
        chosen_scores: r(x, y_w), [pairs].
        rejected_scores: r(x, y_l), [pairs].
        margin: m, [pairs]; none is 0.

    Returns:
        (loss [pairs], metrics by name, each [pairs] and detached).
    """
    from torch.nn.functional import logsigmoid

    difference = chosen_scores - rejected_scores
    metrics = {
        "scores/chosen": chosen_scores.detach(),
        "scores/rejected": rejected_scores.detach(),
        "scores/margins": difference.detach(),
        "accuracy": (difference > 0).float().detach(),
    }
    return -logsigmoid(difference if margin is None else difference - margin), metrics
