"""The recipe's part of supervised fine-tuning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.training.config import OptimisationConfig, StoppingConfig


class SftStoppingConfig(BaseModel):
    """When a supervised training is looked at and when it ends; by the loss on held-out demonstrations.

    Attributes:
        evaluate_steps: steps between evaluations; null: none, and the last model is kept. Otherwise the one of the
            lowest held-out loss is.
        patience: evaluations without a lower loss after which training ends; null: never.
        least_gain: by how much a loss must be lower to count, nats.
    """

    model_config = ConfigDict(extra="forbid")

    evaluate_steps: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)
    least_gain: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _evaluated(self) -> "SftStoppingConfig":
        if self.evaluate_steps is None and self.patience is not None:
            raise ValueError("stopping.patience asks for stopping.evaluate_steps")
        return self

    def rules(self) -> StoppingConfig:
        """The same as a training on pairs has them."""
        return StoppingConfig(**self.model_dump(), metric="loss")


class SftConfig(OptimisationConfig):
    """Supervised fine-tuning of a policy on demonstrations, by the likelihood of their responses given the prompts.

    `batch_size` counts prompts, each with all its responses (up to `responses_per_prompt`), which share the prompt's
    computation.

    Attributes:
        examples: where demonstrations come from: ``chosen``, the chosen responses of the preference pairs;
            ``undefeated``, those of them that no pair with the same prompt rejects; ``demonstrations``, files of their
            own (see `shared.training.demonstrations`).
        responses_per_prompt: most responses of a prompt in one example; a prompt with more is several examples.
        mean: what a step's loss is the weighted mean over: ``tokens`` (a long response weighs more, as is usual), or
            ``responses``, each the mean over its tokens.
        label_smoothing: share of the label that is spread evenly over the vocabulary; not for models with a soft cap.
        stopping: evaluation while training, best checkpoint and early stop.
    """

    examples: Literal["chosen", "undefeated", "demonstrations"] = "chosen"
    responses_per_prompt: int = Field(default=8, ge=1)
    mean: Literal["tokens", "responses"] = "tokens"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    stopping: SftStoppingConfig = SftStoppingConfig()
