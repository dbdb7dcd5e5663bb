"""What a training is told: the recipe's part (`DpoConfig`, `RewardConfig`) and the whole job of one child process."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.prompts import PromptFormat
from shared.rewards.settings import EnsembleConfig, FeatureConfig, GpmConfig, PrinciplesConfig, RewardKind
from shared.training.objectives.config import LossSpec, Sigmoid
from shared.training.objectives.objective import PairWeights

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


class StoppingConfig(BaseModel):
    """When a training of a policy is looked at and when it ends; by validation pairs (`data.fractions.validation`).

    Attributes:
        evaluate_steps: steps between evaluations; null: none, and the last model is kept.
        metric: what chooses the best checkpoint: ``margin_per_token`` (mean of log pi(y_w|x) / |y_w| -
            log pi(y_l|x) / |y_l|), ``ranking_accuracy``, ``reward_accuracy`` (with a reference) or ``loss``.
        patience: evaluations without a better value after which training ends; null: never.
        least_gain: by how much a value must be better to count.
        kl_budget: most KL divergence from the reference, nats a token, on sampled responses; the training ends when it
            is exceeded, and a checkpoint that exceeds it is never the best. Null: not measured.
        kl_prompts: validation prompts sampled for it.
        kl_tokens: tokens sampled a prompt.
    """

    model_config = ConfigDict(extra="forbid")

    evaluate_steps: int | None = Field(default=None, ge=1)
    metric: Literal["margin_per_token", "ranking_accuracy", "reward_accuracy", "loss"] = "margin_per_token"
    patience: int | None = Field(default=None, ge=1)
    least_gain: float = Field(default=0.0, ge=0)
    kl_budget: float | None = Field(default=None, gt=0)
    kl_prompts: int = Field(default=16, ge=1)
    kl_tokens: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _evaluated(self) -> "StoppingConfig":
        if self.evaluate_steps is None and (self.patience is not None or self.kl_budget is not None):
            raise ValueError("stopping.patience and stopping.kl_budget ask for stopping.evaluate_steps")
        return self


class OptimiserConfig(BaseModel):
    """What every training has, whoever owns its batches.

    Attributes:
        learning_rate: peak learning rate of AdamW.
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
    lora: LoraConfig | None = Field(default_factory=LoraConfig)
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    scheduler: Scheduler = "cosine"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    gradient_checkpointing: bool = False
    save_steps: int = Field(default=10, ge=1)
    logging_steps: int = Field(default=1, ge=1)


class OptimisationConfig(OptimiserConfig):
    """What every training on stored examples has.

    Attributes:
        epochs: passes over the pairs.
        batch_size: pairs an optimizer step, over all devices: exactly so many, but for the last step of an epoch.
        micro_batch_tokens: most tokens of a forward and backward pass; a step is cut into as many as it takes. Changes
            memory and speed, not the result beyond rounding.
        layout: ``shared`` computes a prompt once for the completions that share it, without padding; ``plain`` gives
            every completion a padded row; ``auto`` takes the shared one where the architecture can.
        max_length: most tokens of prompt and response together; longer ones are cut and counted.
    """

    epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=8, ge=1)
    micro_batch_tokens: int = Field(default=2048, ge=16)
    layout: Literal["auto", "shared", "plain"] = "auto"
    max_length: int = Field(default=512, ge=16)


class DpoConfig(OptimisationConfig):
    """Preference optimisation of a policy: DPO and its relatives.

    Attributes:
        loss: objective, by name (``sigmoid`` is DPO as published), as a mapping with parameters, or a list of these
            with weights; see docs/objectives.md.
        beta: strength of the pull to the reference, common to all parts; null takes each loss's published default.
        pair_weights: what a pair's loss is multiplied by; see `shared.training.objectives.objective`.
        stopping: evaluation while training, best checkpoint, early stop and KL budget.
    """

    beta: float | None = Field(default=0.1, gt=0)
    loss: LossSpec = (Sigmoid(),)
    pair_weights: PairWeights = "record"
    stopping: StoppingConfig = StoppingConfig()


class RewardConfig(OptimisationConfig):
    """A reward model of any kind.

    Attributes:
        kind: ``bradley-terry`` (a score by a model's head); ``gpm`` (general preference model, which can hold cycles);
            ``features`` (a small network over named features); ``principles`` (a weighted mean of principle scores).
            The first two train the body, in a child process, with the settings above; the others have no body.
        use_margin: whether the record's margin is asked for between chosen and rejected.
        margin_scale: log-odds that one unit of the record's margin asks for (bradley-terry, features); for gpm, units
            of the preference score before tau.
        soft_labels: whether the share of votes for the chosen response is the target, rather than 1.
        vote_prior: votes added to each side before the share is taken.
        label_smoothing: share of the labels that are taken to be wrong.
        pair_weights: ``record`` (the record's weight), ``votes`` (its number of votes over their mean), or ``none``.
        centre: weight of the squared sum of both scores, which keeps scores around 0 (bradley-terry; 0 switches it
            off).
        gpm: options of the general preference model.
        features: options of the feature network.
        principles: weights of the principles.
        ensemble: several models with seeds of their own taken together, or null.
    """

    max_length: int = Field(default=384, ge=16)
    kind: RewardKind = "bradley-terry"
    use_margin: bool = False
    margin_scale: float = Field(default=1.0, gt=0)
    soft_labels: bool = False
    vote_prior: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    pair_weights: Literal["record", "votes", "none"] = "record"
    centre: float = Field(default=0.01, ge=0)
    gpm: GpmConfig = GpmConfig()
    features: FeatureConfig = FeatureConfig()
    principles: PrinciplesConfig = PrinciplesConfig()
    ensemble: EnsembleConfig | None = None

    @model_validator(mode="after")
    def _members_differ(self) -> "RewardConfig":
        if self.ensemble is None:
            return self
        if self.kind == "principles":
            raise ValueError("principles learn nothing, so an ensemble of them has equal members: set ensemble=null")
        if self.kind == "features" and not self.features.hidden and not self.ensemble.resample:
            raise ValueError("members of a linear feature model are equal: set ensemble.resample=true")
        return self


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
        reference: Arrow file of reference log-probabilities (see `shared.training.reference`); None for objectives
            without a reference.
        validation: Arrow file of pairs that training is watched on, or None.
        validation_reference: their reference log-probabilities.
        config: the recipe's part.
        save_merged: whether an adapter is also saved added into the weights, in ``output/merged``.
    """

    kind: Literal["dpo"] = "dpo"
    reference: Path | None = None
    validation: Path | None = None
    validation_reference: Path | None = None
    config: DpoConfig = DpoConfig()
    save_merged: bool = False


class RewardJob(_Job):
    """A training of a reward model with a body (kinds ``bradley-terry`` and ``gpm``), one member of an ensemble or all.

    The body is a causal language model or an encoder, as the model's config says.
    """

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
        best_step: step of the weights that were kept, where `stopping` chose them.
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
    best_step: int | None = None
    metrics: dict[str, float]
