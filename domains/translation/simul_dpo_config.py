"""What a recipe says of SimulDPO."""

from typing import Self

from pydantic import Field, model_validator

from domains.translation.expected_latency import Measure
from domains.translation.simul_dpo_loss import Form
from shared.training.config import LoraConfig, OptimisationConfig


class SimulDpoConfig(OptimisationConfig):
    """Preference optimisation of translations with their paths; see `domains.translation.simul_dpo_loss`.

    Attributes:
        lora: null. The supervised policy's own adapter is trained on, or all weights where it has none.
        beta: strength of the pull to the supervised policy.
        alpha: weight of latency.
        form: how latency enters: ``offset`` (a constant of the pair inside the sigmoid), ``explicit`` (the expected
            latency beside it) or ``none`` (the ablation, DPO on paths).
        measure: latency of a path as a share of the source: ``ap`` (average proportion) or ``laal``.
        sft_weight: weight of the chosen path's negative log-likelihood a token, which keeps its own probability from
            falling.
        latency_steps: steps between measurements of the chosen translations' expected latency; null: never. A
            measurement computes every state of the grid, |x| |y| rows a pair, without gradient. The form ``explicit``
            does so at every step, with gradient.
        most_fall: the training ends when the chosen paths' log-probability lies below the reference's by more nats a
            token than this, in the mean of a step; null: never.
        least_latency: the training ends when the expected latency, above that of writing everything after the first
            unit, is below this share of what it was when first measured; null: never.
    """

    lora: LoraConfig | None = None
    beta: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    alpha: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    form: Form = "offset"
    measure: Measure = "ap"
    sft_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    latency_steps: int | None = Field(default=10, ge=1)
    most_fall: float | None = Field(default=3.0, gt=0, allow_inf_nan=False)
    least_latency: float | None = Field(default=0.05, gt=0, lt=1)

    @model_validator(mode="after")
    def _as_the_policy_is(self) -> Self:
        if self.lora is not None:
            raise ValueError("lora: SimulDPO continues the supervised policy's adapter; choose it there, null here")
        if self.layout == "plain":
            raise ValueError("layout: paths have a mask of their own, which the plain layout cannot have; use auto")
        return self

    @property
    def needs_grid(self) -> bool:
        """Whether the loss is a function of the expected latency."""
        return self.form == "explicit"
