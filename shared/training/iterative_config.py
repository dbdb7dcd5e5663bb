"""The recipe's part of on-policy rounds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.sampling.settings import GenerationConfig


class PairingConfig(BaseModel):
    """Which samples of a prompt become a pair.

    Attributes:
        strategy: ``best-worst`` (highest against lowest score, as in iterative DPO), ``best-random`` (highest against a
            random other, as UltraFeedback binarises, arXiv:2310.01377), or ``margin`` (up to `max_pairs` pairs of
            largest difference, no response in two).
        min_margin: pairs whose scores differ by no more are ties and left out (score units).
        max_pairs: pairs a prompt under ``margin``.
        max_length_ratio: a pair's longer response has at most so many times the words of the shorter; among the pairs
            within it the strategy chooses. Null sets no limit.
        cut_may_win: whether a response that was cut at max_new_tokens may be the chosen one.
    """

    model_config = ConfigDict(extra="forbid")

    strategy: Literal["best-worst", "best-random", "margin"] = "best-worst"
    min_margin: float = Field(default=0.0, ge=0)
    max_pairs: int = Field(default=2, ge=1)
    max_length_ratio: float | None = Field(default=None, ge=1)
    cut_may_win: bool = True


class OnPolicyConfig(BaseModel):
    """On-policy rounds: sample from the policy, score, pair, train, repeat.

    Attributes:
        prompts: training prompts a round; each round takes the next ones. Null takes all in every round.
        sampling: how responses are sampled; `n` is the number of candidates a prompt.
        pairing: which of them become pairs.
        given_share: share of a round's pairs that are given ones, from the data.
        start: what the first round samples from and trains on: the base model, or the policy aligned with the given
            pairs (one training more). Where a supervised training comes first, its policy is the base of both.
        reference: the reference of a round's loss: the base model (or that supervised policy), or the policy that the
            round started from.
        kl_samples: responses on which the KL divergence of the sampled policy from the base is measured.
    """

    model_config = ConfigDict(extra="forbid")

    prompts: int | None = Field(default=None, ge=1)
    sampling: GenerationConfig = GenerationConfig(n=4, temperature=1.0, engine="auto")
    pairing: PairingConfig = PairingConfig()
    given_share: float = Field(default=0.25, ge=0, lt=1)
    start: Literal["base", "given"] = "base"
    reference: Literal["base", "previous"] = "base"
    kl_samples: int = Field(default=32, ge=0)
