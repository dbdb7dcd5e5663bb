"""DPO with the logistic loss, and its forms for labels that may be wrong or that raters disagree about.

In all of them ``z = beta [(log pi(y_w|x) - log pi_ref(y_w|x)) - (log pi(y_l|x) - log pi_ref(y_l|x))]``.
"""

from typing import TYPE_CHECKING

from shared.training.objectives.implicit_rewards import implicit_rewards, reward_metrics
from shared.training.objectives.terms import Losses, PairTerms

if TYPE_CHECKING:
    from torch import Tensor


def sigmoid(terms: PairTerms, *, beta: float) -> Losses:
    """Direct preference optimisation, equation 7 of Rafailov et al. 2023 (https://arxiv.org/abs/2305.18290).

    ``-log sigmoid(z)``. Assumes preferences of Bradley and Terry and labels without error.

    Args:
        terms: with reference.
        beta: strength of the pull to the reference.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = implicit_rewards(terms, beta)
    return -logsigmoid(chosen - rejected), reward_metrics(terms, chosen, rejected)


def conservative(terms: PairTerms, *, beta: float, label_smoothing: float) -> Losses:
    """Conservative DPO, equation 3 of Mitchell's note (https://ericmitchell.ai/cdpo.pdf).

    ``-(1 - e) log sigmoid(z) - e log sigmoid(-z)``, least at ``sigmoid(z) = 1 - e``. Assumes that a share e of the
    labels is flipped at random.

    Args:
        terms: with reference.
        beta: strength of the pull to the reference.
        label_smoothing: e, in [0, 0.5).
    """
    chosen, rejected = implicit_rewards(terms, beta)
    loss = _cross_entropy(chosen - rejected, 1.0 - label_smoothing)
    return loss, reward_metrics(terms, chosen, rejected)


def robust(terms: PairTerms, *, beta: float, label_smoothing: float) -> Losses:
    """Robust DPO of Chowdhury et al. 2024 (https://arxiv.org/abs/2403.00409).

    ``[-(1 - e) log sigmoid(z) + e log sigmoid(-z)] / (1 - 2 e)``: an unbiased estimate of DPO's loss under clean
    labels where a share e of the labels is flipped at random. It is not bounded below.

    Args:
        terms: with reference.
        beta: strength of the pull to the reference.
        label_smoothing: e, in [0, 0.5).
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = implicit_rewards(terms, beta)
    z = chosen - rejected
    flips = label_smoothing
    loss = (-(1 - flips) * logsigmoid(z) + flips * logsigmoid(-z)) / (1 - 2 * flips)
    return loss, reward_metrics(terms, chosen, rejected)


def soft_labels(terms: PairTerms, *, beta: float) -> Losses:
    """DPO under the probability p that the chosen response is preferred: conservative DPO with e = 1 - p a pair.

    ``-p log sigmoid(z) - (1 - p) log sigmoid(-z)``, the cross-entropy of raters and implied preference, least at
    ``z = logit(p)``.

    Args:
        terms: with reference, and p as `soft_label` (None is 1).
        beta: strength of the pull to the reference.
    """
    chosen, rejected = implicit_rewards(terms, beta)
    label = 1.0 if terms.soft_label is None else terms.soft_label
    return _cross_entropy(chosen - rejected, label), reward_metrics(terms, chosen, rejected)


def _cross_entropy(z: "Tensor", label: "Tensor | float") -> "Tensor":
    from torch.nn.functional import logsigmoid

    return -label * logsigmoid(z) - (1.0 - label) * logsigmoid(-z)
