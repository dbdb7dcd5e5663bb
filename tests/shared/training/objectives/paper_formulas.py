"""The objectives once more, in numpy and float64, written from the papers' equations and not from our code."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Batch = Mapping[str, Floats]


def minus_log_sigmoid(x: Floats) -> Floats:
    return np.logaddexp(0.0, -x)


def reward_gap(b: Batch, beta: float) -> Floats:
    """beta log [pi(y_w) pi_ref(y_l) / (pi(y_l) pi_ref(y_w))]."""
    return beta * (b["chosen"] - b["rejected"] - (b["ref_chosen"] - b["ref_rejected"]))


def sigmoid(b: Batch, beta: float) -> Floats:
    return minus_log_sigmoid(reward_gap(b, beta))


def cdpo(b: Batch, beta: float, label_smoothing: float) -> Floats:
    """(1 - e) L(y_w, y_l) + e L(y_l, y_w)."""
    z = reward_gap(b, beta)
    return (1 - label_smoothing) * minus_log_sigmoid(z) + label_smoothing * minus_log_sigmoid(-z)


def robust(b: Batch, beta: float, label_smoothing: float) -> Floats:
    """[(1 - e) L(y_w, y_l) - e L(y_l, y_w)] / (1 - 2 e)."""
    z = reward_gap(b, beta)
    clean, flipped = minus_log_sigmoid(z), minus_log_sigmoid(-z)
    return ((1 - label_smoothing) * clean - label_smoothing * flipped) / (1 - 2 * label_smoothing)


def soft_labels(b: Batch, beta: float) -> Floats:
    """Cross-entropy of p and sigmoid(z)."""
    z = reward_gap(b, beta)
    return b["soft_label"] * minus_log_sigmoid(z) + (1 - b["soft_label"]) * minus_log_sigmoid(-z)


def ipo(b: Batch, beta: float, reduction: str) -> Floats:
    """(h - 1 / (2 tau))^2."""
    over = (b["chosen_tokens"], b["rejected_tokens"]) if reduction == "mean" else (1.0, 1.0)
    h = (b["chosen"] - b["ref_chosen"]) / over[0] - (b["rejected"] - b["ref_rejected"]) / over[1]
    return np.square(h - 0.5 / beta)


def hinge(b: Batch, beta: float) -> Floats:
    return np.maximum(0.0, 1.0 - reward_gap(b, beta))


def sigmoid_norm(b: Batch, beta: float) -> Floats:
    chosen = beta / b["chosen_tokens"] * (b["chosen"] - b["ref_chosen"])
    rejected = beta / b["rejected_tokens"] * (b["rejected"] - b["ref_rejected"])
    return minus_log_sigmoid(chosen - rejected)


def ld_dpo(b: Batch, beta: float, ld_alpha: float) -> Floats:
    """pi_LD(y) = prod_{all} p^alpha prod_{i <= l} p^(1 - alpha)."""

    def changed(side: str) -> Floats:
        return ld_alpha * b[side] + (1 - ld_alpha) * b[f"{side}_common"]

    gap = changed("chosen") - changed("ref_chosen") - changed("rejected") + changed("ref_rejected")
    return minus_log_sigmoid(beta * gap)


def odpo(b: Batch, beta: float, alpha: float, scale: str) -> Floats:
    offset = alpha * (np.log(b["margin"]) if scale == "log" else b["margin"])
    return minus_log_sigmoid(reward_gap(b, beta) - offset)


def simpo(b: Batch, beta: float, gamma: float, label_smoothing: float = 0.0) -> Floats:
    z = beta / b["chosen_tokens"] * b["chosen"] - beta / b["rejected_tokens"] * b["rejected"] - gamma
    return (1 - label_smoothing) * minus_log_sigmoid(z) + label_smoothing * minus_log_sigmoid(-z)


def orpo(b: Batch, beta: float) -> Floats:
    """L_SFT + lambda L_OR with odds of the geometric mean of the token probabilities."""
    p_chosen = np.exp(b["chosen"] / b["chosen_tokens"])
    p_rejected = np.exp(b["rejected"] / b["rejected_tokens"])
    ratio = (p_chosen / (1 - p_chosen)) / (p_rejected / (1 - p_rejected))
    return -np.log(p_chosen) + beta * minus_log_sigmoid(np.log(ratio))


def nll(b: Batch, beta: float) -> Floats:
    return -b["chosen"] / b["chosen_tokens"]


def rpo(b: Batch, beta: float, alpha: float) -> Floats:
    return sigmoid(b, beta) + alpha * nll(b, beta)


def rationale(b: Batch, beta: float, gamma: float, form: str, reduction: str) -> Floats:
    logps = b["rationale"] / (b["rationale_tokens"] if reduction == "mean" else 1.0)
    return -gamma * logps if form == "nll" else minus_log_sigmoid(gamma * logps)


def rationale_dpo(b: Batch, beta: float, gamma: float, form: str, reduction: str) -> Floats:
    return sigmoid(b, beta) + rationale(b, beta, gamma, form, reduction)


def context(b: Batch, beta: float) -> Floats:
    """-log sigmoid(Delta(with context) - Delta(without))."""
    without = (b["contrast_chosen"] - b["contrast_rejected"]) - (b["ref_contrast_chosen"] - b["ref_contrast_rejected"])
    return minus_log_sigmoid(reward_gap(b, beta) - beta * without)


def kto(b: Batch, beta: float, desirable_weight: float, undesirable_weight: float, point: float) -> Floats:
    """lambda_y - v(x, y), the reference point given."""
    r = b["policy"] - b["reference"]
    gain = desirable_weight * (1 - 1 / (1 + np.exp(-beta * (r - point))))
    loss = undesirable_weight * (1 - 1 / (1 + np.exp(-beta * (point - r))))
    return np.where(b["desirable"] > 0.5, gain, loss)


def slope(function: Callable[[Batch], Floats], batch: Batch, name: str, step: float = 1e-4) -> Floats:
    """Central difference of a loss a pair in one of its inputs, [pairs]."""
    up = {**batch, name: batch[name] + step}
    down = {**batch, name: batch[name] - step}
    return (function(up) - function(down)) / (2 * step)
