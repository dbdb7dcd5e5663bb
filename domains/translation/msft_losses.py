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
functions are elementwise; nats. In place of L_conf, and ours, a pair that has a path (from its word alignment) teaches
the policy by likelihood (`MsftConfig.path_weight`): in the state of segment i after j units, WRITE is right from
j = g_i on. A pretrained model that translates most prefixes well gives the confidence little to learn from otherwise.

Label smoothing mixes a uniform distribution into the labels: ``(1 - e) l_i + e u_i`` with u_i the mean over the
vocabulary of the negative log-probability. That of the mixture is taken as ``c u_S + (1 - c) u_G`` (an upper bound, by
Jensen's inequality), with c held fixed: smoothing then teaches the distributions, and never the policy that flat
predictions are good ones.
"""

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
