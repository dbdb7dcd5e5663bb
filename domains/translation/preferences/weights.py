"""How much each preference counts in one score."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.recipes import Component

PREFERENCES = ("quality", "monotonicity", "key_points", "simplicity", "latency")


class Weights(Component):
    """Weights of the five preferences, each of which lies between 0 and 1, higher being better.

    A score is their weighted mean; a preference that a translation has no number for is left out of its mean.

    The latency's may be ``neutral``: the price at which waiting longer pays nothing on average, found from the
    renderings that are compared (`domains.translation.construction.latency_price`).
    """

    quality: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    monotonicity: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    key_points: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    simplicity: float = Field(default=0.25, ge=0, allow_inf_nan=False)
    latency: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["neutral"] = 1.0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(self.model_dump(exclude={"latency"} if self.latency == "neutral" else None).values()):
            raise ValueError("weights: all are 0; give at least one preference a weight")
        return self
