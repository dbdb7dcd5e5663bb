"""LSG: what the model's own distributions say about reading on, without a trained policy (AAAI 2025).

The minimal source of segment i, counted from 0, is that of wait-1: i + 1 units. WRITE where the source read since then
has changed what comes next (a large divergence), or where the model is sure of it.
"""

from torch import Tensor

from domains.translation.decoder.rules import Lsg


def divergence(now: Tensor, wait_1: Tensor) -> float:
    """``KL[p(.|x_<=j) || p(.|x_<=i+1)]`` in nats, of log-probabilities [V]."""
    return float((now.exp() * (now - wait_1)).sum())


def calls_for_write(rule: Lsg, now: Tensor, wait_1: Tensor) -> bool:
    """Whether LSG writes.

    Args:
        rule: its delta and alpha.
        now: log-probabilities of the next token with the source read, [V].
        wait_1: the same with the source that wait-1 has read.
    """
    return float(now.max().exp()) > rule.alpha or divergence(now, wait_1) > rule.delta
