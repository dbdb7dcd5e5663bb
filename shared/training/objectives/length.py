"""DPO that does not reward length: normalised by it, or less sensitive to what exceeds the common length."""

from typing import TYPE_CHECKING

from shared.training.objectives.implicit_rewards import implicit_rewards, per_token, reward_metrics
from shared.training.objectives.terms import Losses, PairTerms

if TYPE_CHECKING:
    from torch import Tensor


def sigmoid_norm(terms: PairTerms, *, beta: float) -> Losses:
    """Length-normalised DPO as in Lambert et al. 2024 (Tülu 3, https://arxiv.org/abs/2411.15124).

    ``-log sigmoid(beta / |y_w| log-ratio(y_w) - beta / |y_l| log-ratio(y_l))``.

    Args:
        terms: with reference and token counts.
        beta: strength of the pull to the reference, a token; Tülu 3 uses 5.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = implicit_rewards(terms, beta)
    chosen = per_token(chosen, terms.need("chosen_tokens"))
    rejected = per_token(rejected, terms.need("rejected_tokens"))
    return -logsigmoid(chosen - rejected), reward_metrics(terms, chosen, rejected)


def ld_dpo(terms: PairTerms, *, beta: float, ld_alpha: float) -> Losses:
    """Length-desensitised DPO of Liu et al. 2024 (https://arxiv.org/abs/2409.06411).

    DPO with ``log pi_LD(y|x) = sum_{i <= l} log p_i + alpha sum_{i > l} log p_i``, ``l = min(|y_w|, |y_l|)``, for
    policy and reference alike: tokens past the common length count alpha.

    Args:
        terms: with reference and the sums over the common length.
        beta: strength of the pull to the reference.
        ld_alpha: alpha in [0, 1]; 1 is DPO, 0 ignores what exceeds the common length.
    """
    from torch.nn.functional import logsigmoid

    def desensitised(side: str) -> "Tensor":
        whole, common = terms.need(side), terms.need(f"{side}_common")
        return common + ld_alpha * (whole - common)

    chosen = beta * (desensitised("chosen") - desensitised("ref_chosen"))
    rejected = beta * (desensitised("rejected") - desensitised("ref_rejected"))
    return -logsigmoid(chosen - rejected), reward_metrics(terms, chosen, rejected)
