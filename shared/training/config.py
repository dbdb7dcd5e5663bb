"""What a training is told: the recipe's part (`DpoConfig`, `RewardConfig`) and the whole job of one child process."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.prompts import PromptFormat

Scheduler = Literal["constant", "linear", "cosine", "constant_with_warmup"]


class LoraConfig(BaseModel):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) instead of training all weights.

    Attributes:
        rank: rank of each update.
        alpha: the update is scaled by alpha / rank.
        dropout: on the adapter's input; 0 keeps policy and reference comparable.
        targets: names of the adapted layers, or ``all-linear`` (every linear layer but the head).
        last_blocks: adapt only so many of the last transformer blocks; the backward pass then ends there, which saves
            its time for the others. Null adapts all. Asks for `targets` by name.
    """

    model_config = ConfigDict(extra="forbid")

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | list[str] = "all-linear"
    last_blocks: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _named(self) -> "LoraConfig":
        if self.last_blocks is not None and self.targets == "all-linear":
            raise ValueError("lora.last_blocks asks for lora.targets by name, e.g. [q_proj, v_proj]")
        return self


class OptimisationConfig(BaseModel):
    """What every training has.

    Attributes:
        learning_rate: peak learning rate of AdamW.
        epochs: passes over the pairs.
        batch_size: pairs an optimizer step, over all devices.
        micro_batch_size: pairs a forward pass; the batch is a multiple of it. Changes memory and speed, not the result
            beyond rounding.
        max_length: most tokens of prompt and response together; longer ones are cut and counted.
        lora: adapters, or null for all weights.
        warmup_ratio: share of the steps in which the learning rate rises.
        scheduler: how the learning rate falls after that.
        weight_decay: of AdamW.
        max_grad_norm: gradients are clipped to this norm.
        gradient_checkpointing: trades time for memory.
        save_steps: steps between checkpoints.
        logging_steps: steps between points sent to tracking (metrics.jsonl has every step).
    """

    model_config = ConfigDict(extra="forbid")

    learning_rate: float = Field(default=1e-4, gt=0)
    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=8, ge=1)
    micro_batch_size: int = Field(default=4, ge=1)
    max_length: int = Field(default=512, ge=16)
    lora: LoraConfig | None = Field(default_factory=LoraConfig)
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    scheduler: Scheduler = "cosine"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    gradient_checkpointing: bool = False
    save_steps: int = Field(default=10, ge=1)
    logging_steps: int = Field(default=1, ge=1)


class DpoConfig(OptimisationConfig):
    """Direct preference optimisation.

    Attributes:
        beta: strength of the pull to the reference.
        loss: objective; ``sigmoid`` is DPO as published.
    """

    beta: float = Field(default=0.1, gt=0)
    loss: Literal["sigmoid"] = "sigmoid"


class RewardConfig(OptimisationConfig):
    """Bradley-Terry reward model.

    Attributes:
        use_margin: whether the record's margin is asked for between the scores.
        centre: weight of the squared sum of both scores, which keeps scores around 0 (0 switches it off).
    """

    max_length: int = Field(default=384, ge=16)
    use_margin: bool = False
    centre: float = Field(default=0.01, ge=0)


class _Job(BaseModel):
    """What both kinds of job have.

    Attributes:
        model: folder of the base model.
        model_name: what the saved adapter names as its base; the folder where empty.
        records: Arrow files of preference records, trained on in this order before shuffling.
        output: folder for the result; made by the child.
        seed: of initialisation and batch order.
        precision: see `shared.device.pick_device`.
        prompt: how conversations are rendered.
    """

    model_config = ConfigDict(extra="forbid")

    model: Path
    model_name: str = ""
    records: list[Path] = Field(min_length=1)
    output: Path
    seed: int = 0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    prompt: PromptFormat = PromptFormat()


class DpoJob(_Job):
    """A DPO training.

    Attributes:
        reference: Arrow file of reference log-probabilities (see `shared.training.reference`).
        config: the recipe's part.
        save_merged: whether an adapter is also saved added into the weights, in ``output/merged``.
    """

    kind: Literal["dpo"] = "dpo"
    reference: Path
    config: DpoConfig = DpoConfig()
    save_merged: bool = False


class RewardJob(_Job):
    """A reward-model training; the body is a causal language model or an encoder, as the model's config says."""

    kind: Literal["reward"] = "reward"
    config: RewardConfig = RewardConfig()


TrainingJob = DpoJob | RewardJob
AnyJob = Annotated[TrainingJob, Field(discriminator="kind")]


class TrainingResult(BaseModel):
    """What a training did.

    Attributes:
        output: the folder of the trained model or adapter.
        steps: optimizer steps of the whole training.
        resumed_from: step of the checkpoint that this start continued, or None.
        seconds: wall time of this start's training loop.
        pairs: preference pairs trained on.
        truncated: pairs of which something was cut to fit max_length.
        tokens: tokens of prompts and both responses in one epoch.
        device: description of device and number format.
        threads: torch's threads; losses are bit-equal only under the same number.
        peak_memory: most bytes resident (CPU) or allocated (CUDA) in the child.
        metrics: last logged value of every metric, and `loss_first`, `loss_last` as means over up to 5 steps.
    """

    model_config = ConfigDict(extra="forbid")

    output: Path
    steps: int
    resumed_from: int | None
    seconds: float
    pairs: int
    truncated: int
    tokens: int
    device: str
    threads: int
    peak_memory: int
    metrics: dict[str, float]
