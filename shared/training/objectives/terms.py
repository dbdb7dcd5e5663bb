"""What objectives are functions of: log-probabilities of a batch's pairs, and what their records carry."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PairTerms:
    """A batch of preference pairs. Every tensor is [pairs]; log-probabilities are sums over tokens, in nats.

    What an objective does not need may be None (see `Objective`'s attributes for what it needs).

    Attributes:
        chosen: log pi(y_w|x) under the policy, with gradient.
        rejected: log pi(y_l|x), with gradient.
        chosen_tokens: |y_w|, tokens that `chosen` is summed over, the turn's end token included.
        rejected_tokens: |y_l|.
        ref_chosen: log pi_ref(y_w|x), without gradient.
        ref_rejected: log pi_ref(y_l|x).
        chosen_common: `chosen` over the first min(|y_w|, |y_l|) tokens only, with gradient.
        rejected_common: the same of `rejected`.
        ref_chosen_common: the same of `ref_chosen`.
        ref_rejected_common: the same of `ref_rejected`.
        margin: strength of the preference in the data's own unit.
        soft_label: probability that the chosen response is the preferred one; None is 1.
        rationale: log-probability of the rationale given prompt and stated preference, with gradient.
        rationale_tokens: tokens of the rationale.
        contrast_chosen: log pi(y_w|x') under the contrasting prompt x' (the same without the context), with gradient.
        contrast_rejected: log pi(y_l|x'), with gradient.
        ref_contrast_chosen: log pi_ref(y_w|x').
        ref_contrast_rejected: log pi_ref(y_l|x').
        weight: factor of each pair's loss; None is 1.
    """

    chosen: "Tensor"
    rejected: "Tensor"
    chosen_tokens: "Tensor | None" = None
    rejected_tokens: "Tensor | None" = None
    ref_chosen: "Tensor | None" = None
    ref_rejected: "Tensor | None" = None
    chosen_common: "Tensor | None" = None
    rejected_common: "Tensor | None" = None
    ref_chosen_common: "Tensor | None" = None
    ref_rejected_common: "Tensor | None" = None
    margin: "Tensor | None" = None
    soft_label: "Tensor | None" = None
    rationale: "Tensor | None" = None
    rationale_tokens: "Tensor | None" = None
    contrast_chosen: "Tensor | None" = None
    contrast_rejected: "Tensor | None" = None
    ref_contrast_chosen: "Tensor | None" = None
    ref_contrast_rejected: "Tensor | None" = None
    weight: "Tensor | None" = None

    def need(self, name: str) -> "Tensor":
        """The tensor of that name.

        Raises:
            ValueError: where the trainer gave None.
        """
        return _given(self, name)

    def log_ratios(self) -> tuple["Tensor", "Tensor"]:
        """(log pi(y_w|x) / pi_ref(y_w|x), log pi(y_l|x) / pi_ref(y_l|x)), each [pairs]."""
        return self.chosen - self.need("ref_chosen"), self.rejected - self.need("ref_rejected")


@dataclass(frozen=True, slots=True)
class UnpairedTerms:
    """A batch of single responses that are desirable or not, for KTO. Tensors are [examples] unless said otherwise.

    Attributes:
        policy: log pi(y|x), summed over tokens, nats, with gradient.
        reference: log pi_ref(y|x).
        desirable: 1 for a desirable response, 0 for an undesirable one.
        mismatched: log pi(y'|x) of responses y' to other prompts, [mismatched], any number of them; no gradient flows
            through them. The reference point is their mean, so they are best those of the whole optimizer step.
        ref_mismatched: log pi_ref(y'|x), [mismatched].
        weight: factor of each example's loss; None is 1.
    """

    policy: "Tensor"
    reference: "Tensor"
    desirable: "Tensor"
    mismatched: "Tensor"
    ref_mismatched: "Tensor"
    weight: "Tensor | None" = None

    @classmethod
    def of_pairs(cls, pairs: PairTerms, mismatched: "Tensor", ref_mismatched: "Tensor") -> "UnpairedTerms":
        """Every pair as two examples: all chosen responses as desirable, then all rejected as undesirable."""
        import torch

        return cls(
            policy=torch.cat([pairs.chosen, pairs.rejected]),
            reference=torch.cat([pairs.need("ref_chosen"), pairs.need("ref_rejected")]),
            desirable=torch.cat([torch.ones_like(pairs.chosen), torch.zeros_like(pairs.rejected)]).detach(),
            mismatched=mismatched,
            ref_mismatched=ref_mismatched,
            weight=None if pairs.weight is None else torch.cat([pairs.weight, pairs.weight]),
        )


Losses = tuple["Tensor", dict[str, "Tensor"]]
"""Loss of every pair, and metrics by name; each [pairs], metrics detached, NaN where one is not defined."""


def _given(terms: PairTerms, name: str) -> "Tensor":
    value = getattr(terms, name)
    if value is None:
        raise ValueError(f"the objective needs PairTerms.{name}, which the trainer did not give")
    return value
