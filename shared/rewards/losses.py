"""Losses of reward models: pure functions of log-odds, scores and embeddings."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def preference_loss(log_odds: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the preferences.

    ``-p log sigmoid(z) - (1 - p) log sigmoid(-z)``, with ``p = (1 - e) q + e (1 - q)``: q is 1 for a plain pair
    (Bradley and Terry 1952; equation 1 of https://arxiv.org/abs/2203.02155) or the share of votes for the chosen side,
    e the share of labels that are taken to be wrong (label smoothing, as in https://arxiv.org/abs/2401.06080).

    Args:
        log_odds: z, log-odds that the chosen response is preferred, less any margin asked for, [pairs].
        label: q, [pairs].
        smoothing: e.

    Returns:
        Loss in nats, [pairs].
    """
    target = (1.0 - smoothing) * label + smoothing * (1.0 - label)
    return -target * logsigmoid(log_odds) - (1.0 - target) * logsigmoid(-log_odds)


def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, margin: Tensor, label: Tensor, smoothing: float = 0.0
) -> Tensor:
    """`preference_loss` of ``z = r(x, y_w) - r(x, y_l) - m``, [pairs].

    The margin m (equation 2 of https://arxiv.org/abs/2307.09288) is how much higher the chosen score is asked to be.

    Args:
        chosen: r(x, y_w), [pairs].
        rejected: r(x, y_l), [pairs].
        margin: m, [pairs]; 0 for none.
        label: see `preference_loss`.
        smoothing: see `preference_loss`.
    """
    return preference_loss(chosen - rejected - margin, label, smoothing)


def centring_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """``(r(x, y_w) + r(x, y_l))^2``, [pairs]: it fixes the free constant of a Bradley-Terry model
    (https://arxiv.org/abs/2312.09244)."""
    return (chosen + rejected) ** 2


def preference_score(first: Tensor, second: Tensor, gate: Tensor) -> Tensor:
    """How much one response is preferred to another: the score of https://arxiv.org/abs/2410.02197.

    ``s(i > j) = <R v_i, v_j> = sum_l lambda_l (v_i[2l] v_j[2l+1] - v_i[2l+1] v_j[2l])``, R block-diagonal with blocks
    ``[[0, -1], [1, 0]]``. Exactly antisymmetric, also in floating point.

    Args:
        first: v_i, [..., 2k].
        second: v_j, [..., 2k].
        gate: lambda, [..., k].

    Returns:
        [...].
    """
    crossed = first[..., 0::2] * second[..., 1::2] - first[..., 1::2] * second[..., 0::2]
    return (gate * crossed).sum(-1)


def prompt_gate(projected: Tensor, width: int) -> Tensor:
    """``lambda = k softmax(W_p h_prompt / sqrt(d))``, the weights of the k planes under a prompt, which sum to k.

    Args:
        projected: W_p h_prompt, [..., k].
        width: d, numbers of a hidden state.
    """
    return projected.shape[-1] * torch.softmax(projected / width**0.5, dim=-1)


def general_preference_loss(score: Tensor, margin: Tensor, label: Tensor, tau: float, smoothing: float = 0.0) -> Tensor:
    """`preference_loss` of ``z = (s(y_w > y_l) - m) / tau`` (https://arxiv.org/abs/2410.02197), [pairs].

    Args:
        score: s, [pairs].
        margin: m, [pairs]; 0 for none.
        label: see `preference_loss`.
        tau: temperature.
        smoothing: see `preference_loss`.
    """
    return preference_loss((score - margin) / tau, label, smoothing)
