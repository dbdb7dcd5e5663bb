"""The losses of multi-task supervised fine-tuning: translation and the read/write policy at once.

SimulPL (arXiv:2502.00634) names the multi-task fine-tuning but its equations could not be read; these are those of SM2
(arXiv:2406.02237, same first author). With ``p_G = p(. | x, y_<i)`` under the whole source,
``p_S = p(. | x_<=j, y_<i)`` under a prefix and ``c_ij`` the confidence to WRITE in that state:

    L_full   = sum_i -log p_G(y_i)
    L_prefix = sum_i -log [ c_ij p_S(y_i) + (1 - c_ij) p_G(y_i) ]       p_G is not detached
    L_conf   = sum_i -log c_ij
    L_MSFT   = L_full + L_prefix + lambda L_conf

Where ours differ: a decision is made once a segment (word), so c_ij is that of the token's segment and L_conf is summed
over segments; where the source has been read there is no decision, so the mixture is p_S and L_conf has no addend. All
functions are elementwise; nats.

A pretrained model that translates most prefixes well gives the confidence little to learn from by L_conf. In its place,
and ours, the decision is learned by likelihood, in the state of segment i after j units, with the target

    acceptance   t_ij = min(1, p_S(word i) / p_G(word i)) where j >= g_i, else 0
    path         t_ij = 1 where j >= g_i, else 0

    L_decision = - t_ij log c_ij - (1 - t_ij) log (1 - c_ij)

with a word's probability the product over its tokens, t a constant, and g_i what the pair's own path waits for (0 where
it has none). For words that p_G would draw, the mean of the acceptance is ``sum_y min(p_S(y), p_G(y))``: one minus the
total variation between what the prefix and what the whole source lets the model write, the rate at which speculative
sampling (Leviathan et al. 2023, arXiv:2211.17192) keeps a draft. So c_ij is calibrated: a threshold of .7 writes what
stands with probability .7. That holds under the words of the reference, which tell of source that is not read: hence
g_i, without which a policy trusts what it could only guess. L_prefix then teaches the words only: its c_ij is held
fixed, since its pull on the policy goes one way.

Label smoothing mixes a uniform distribution into the labels: ``(1 - e) l_i + e u_i`` with u_i the mean over the
vocabulary of the negative log-probability. That of the mixture is taken as ``c u_S + (1 - c) u_G`` (an upper bound, by
Jensen's inequality), with c held fixed: smoothing then teaches the distributions, and never the policy that flat
predictions are good ones.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def smoothed(losses: Tensor, uniform: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropies under smoothed labels.

    Args:
        losses: ``-log p(y_i)``, [N].
        uniform: ``-mean_v log p(v)`` at the same place, [N]; None where `smoothing` is 0.
        smoothing: e.
    """
    return losses if uniform is None else (1 - smoothing) * losses + smoothing * uniform


def full_losses(logps: Tensor, uniform: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """L_full of every token.

    Args:
        logps: ``log p_G(y_i)``, [N].
        uniform: ``mean_v log p_G(v)``, [N], or None.
        smoothing: of the labels.
    """
    return smoothed(-logps, None if uniform is None else -uniform, smoothing)


def prefix_losses(
    prefix: Tensor,
    full: Tensor,
    write_logits: Tensor,
    decided: Tensor,
    uniform: tuple[Tensor, Tensor] | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """L_prefix of every token.

    Args:
        prefix: ``log p_S(y_i)``, [N].
        full: ``log p_G(y_i)`` of the same tokens, [N].
        write_logits: log-odds of WRITE in the state of each token's segment, [N].
        decided: whether there is a decision in that state (j < |x|), bool, [N].
        uniform: (``mean_v log p_S(v)``, ``mean_v log p_G(v)``), [N] each, or None.
        smoothing: of the labels.
    """
    odds = write_logits.to(prefix.dtype)
    mixture = (logsigmoid(odds) + prefix).logaddexp(logsigmoid(-odds) + full)
    losses = -mixture.where(decided, prefix)
    if uniform is None:
        return losses
    share = odds.detach().sigmoid()
    mean = (share * uniform[0] + (1 - share) * uniform[1]).where(decided, uniform[0])
    return smoothed(losses, -mean, smoothing)


def confidence_losses(write_logits: Tensor, decided: Tensor) -> Tensor:
    """L_conf of every state: ``-log c``, and 0 where there is no decision.

    Args:
        write_logits: log-odds of WRITE, [S].
        decided: whether there is a decision (j < |x|), bool, [S].
    """
    return -logsigmoid(write_logits).where(decided, write_logits.new_zeros(()))


def acceptance(prefix: Tensor, full: Tensor, state: Tensor, states: int) -> Tensor:
    """t of every state: how far the whole source accepts the word that a prefix lets the model write; no gradient.

    Args:
        prefix: ``log p_S(y_i)`` of tokens, [N].
        full: ``log p_G(y_i)`` of the same tokens, [N].
        state: the state in which each token's segment is written, [N].
        states: their number S.

    Returns:
        ``min(1, prod p_S / prod p_G)`` over each state's tokens, [S]; 1 in states that write none of them.
    """
    ratio = (prefix - full).detach()
    return torch.zeros(states, dtype=ratio.dtype, device=ratio.device).index_add(0, state, ratio).clamp(max=0).exp()


def decision_losses(write_logits: Tensor, target: Tensor, decided: Tensor) -> Tensor:
    """L_decision of every state, and 0 where there is no decision.

    Args:
        write_logits: log-odds of WRITE, [S].
        target: t, from 0 to 1, [S].
        decided: whether there is a decision (j < |x|), bool, [S].
    """
    losses = -target * logsigmoid(write_logits) - (1 - target) * logsigmoid(-write_logits)
    return losses.where(decided, losses.new_zeros(()))
