"""The recipe's part of GRPO."""

from typing import Literal

from pydantic import Field

from shared.rewards.shaping import ShapingConfig
from shared.training.config import OptimiserConfig, Scheduler


class GrpoConfig(OptimiserConfig):
    """Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300) with the domain's reward model.

    Attributes:
        max_steps: optimizer steps; each samples anew.
        prompts_per_step: prompts of a step, over all devices.
        group_size: responses a prompt; a response's advantage is relative to its group.
        micro_batch_size: responses a forward and backward pass; it divides prompts_per_step * group_size.
        beta: weight of the KL divergence from the reference (the base model) in the loss; 0 leaves it out.
        epsilon: clipping of the probability ratio.
        loss: how token losses are summed: ``grpo`` (mean in each response), ``dapo`` (over all tokens of the step), or
            ``dr_grpo`` (by a constant, arXiv:2503.20783).
        scale_rewards: ``group`` divides advantages by the group's standard deviation, ``none`` does not.
        max_new_tokens: most tokens of a response.
        max_length: most tokens of prompt and response; a longer prompt loses its beginning.
        temperature: of sampling, and of the policy's probabilities in the loss.
        shaping: credits sentences by the reward model's score of the text so far (`shared.rewards.shaping`), at the
            price of one more score a sentence; null gives every token its response's advantage.
    """

    learning_rate: float = Field(default=1e-5, gt=0)
    max_steps: int = Field(default=50, ge=1)
    prompts_per_step: int = Field(default=4, ge=1)
    group_size: int = Field(default=4, ge=2)
    micro_batch_size: int = Field(default=4, ge=1)
    beta: float = Field(default=0.04, ge=0)
    epsilon: float = Field(default=0.2, gt=0)
    loss: Literal["grpo", "dapo", "dr_grpo"] = "grpo"
    scale_rewards: Literal["group", "none"] = "group"
    max_new_tokens: int = Field(default=64, ge=1)
    max_length: int = Field(default=512, ge=16)
    temperature: float = Field(default=1.0, gt=0)
    scheduler: Scheduler = "constant_with_warmup"
    shaping: ShapingConfig | None = None
