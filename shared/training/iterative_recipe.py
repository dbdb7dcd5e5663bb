"""The `align` part of a recipe: how a policy is trained, by which method, and in how many rounds."""

from typing import Any, Literal

from pydantic import Field, model_validator

from shared.training.config import DpoConfig
from shared.training.grpo_config import GrpoConfig
from shared.training.iterative_config import OnPolicyConfig

OURS = ("method", "rounds", "seeds", "on_policy", "grpo")


class AlignRecipe(DpoConfig):
    """Training a policy, once for every seed; the first seed's model is the one that may be registered.

    Attributes:
        method: ``pairs`` (DPO and its relatives, as `loss` says) or ``grpo`` (samples and the reward model, no pairs).
        rounds: on-policy rounds (sample, score, pair, train); 0 trains on the given pairs alone.
        seeds: training seeds.
        on_policy: how a round samples and pairs.
        grpo: settings of ``method=grpo``; the settings of pairs are not used then.
    """

    method: Literal["pairs", "grpo"] = "pairs"
    rounds: int = Field(default=0, ge=0)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    on_policy: OnPolicyConfig = OnPolicyConfig()
    grpo: GrpoConfig = GrpoConfig()

    @model_validator(mode="after")
    def _one_way_on_policy(self) -> "AlignRecipe":
        if self.method == "grpo" and self.rounds:
            raise ValueError("align.method=grpo samples in every step: set align.rounds=0")
        if self.rounds and self.on_policy.sampling.n < 2:
            raise ValueError("align.rounds needs align.on_policy.sampling.n of 2 or more to have pairs")
        return self

    def objective(self) -> dict[str, Any]:
        """The part that one training on pairs depends on, as JSON values of a `DpoConfig`."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in OURS}
