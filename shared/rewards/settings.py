"""What a reward model is: the recipe's options of every kind, and what is kept beside the weights as ``reward.json``.

This module imports nothing heavy, for recipes are read before any work is done.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from shared.errors import DataError
from shared.prompts import PromptFormat

SETTINGS_FILE = "reward.json"
WEIGHTS_FILE = "model.safetensors"

RewardKind = Literal["bradley-terry", "gpm", "features", "principles"]
Sign = Literal["+", "-"]
Activation = Literal["tanh", "relu"]
Combination = Literal["mean", "min", "uncertainty-penalised"]
PosteriorMethod = Literal["laplace", "sampling"]
Units = Literal["standardised", "original"]


class GpmConfig(BaseModel):
    """General Preference Model (arXiv:2410.02197), which can hold cycles of preferences.

    Attributes:
        k: number of two-dimensional planes; an embedding has 2k numbers. One plane holds one cycle.
        gate: whether the prompt weighs the planes (lambda = k softmax(W_p h_prompt / sqrt(d))); off: all weigh 1.
        normalise: whether embeddings are cut to length 1, which bounds the log-odds by the largest gate / tau. Off as
            in the paper's training code: embeddings that start nearly parallel then leave a pure cycle's saddle fast.
        tau: log-odds are the preference score divided by it.
    """

    model_config = ConfigDict(extra="forbid")

    k: int = Field(default=4, ge=1)
    gate: bool = True
    normalise: bool = False
    tau: float = Field(default=0.1, gt=0)


class PosteriorConfig(BaseModel):
    """How sure a linear feature model is of its weights.

    Attributes:
        method: ``laplace`` (a normal with the curvature at the fitted weights, cut at the signs) or ``sampling`` (the
            posterior itself, by elliptical slice sampling).
        clustered: whether pairs of one group count as dependent (a sandwich covariance; laplace only).
        level: of the intervals.
        draws: of the weights that are kept, over all chains.
        chains: independent ones.
        warmup: first steps of each chain, which are not kept.
    """

    model_config = ConfigDict(extra="forbid")

    method: PosteriorMethod = "laplace"
    clustered: bool = False
    level: float = Field(default=0.95, gt=0, lt=1)
    draws: int = Field(default=4000, ge=100)
    chains: int = Field(default=4, ge=2)
    warmup: int = Field(default=500, ge=0)

    @model_validator(mode="after")
    def _sandwich(self) -> "PosteriorConfig":
        if self.clustered and self.method == "sampling":
            raise ValueError("posterior.clustered asks for posterior.method=laplace: a likelihood has no clusters")
        return self


class FeatureConfig(BaseModel):
    """A network ``features -> hidden layers -> linear`` (no hidden layers: a linear model).

    Attributes:
        inputs: names or patterns of the features: ``scores.*`` are scores that the records carry, ``text.*`` are
            counted in the response (see `shared.rewards.text_features`), ``model.score`` is the score of a
            Bradley-Terry model of the body, trained first, by the settings of a reward with a body.
        hidden: units of each hidden layer.
        activation: of the hidden layers; the output is always linear.
        signs: features whose score may only rise (``+``) or only fall (``-``) with them, by name.
        l2: weight of half the squared weights, a pair; 0 switches it off.
        max_iterations: most steps of L-BFGS-B.
        prior: what an expert takes a weight to be, by the feature's name (linear models): the mean of a normal prior,
            in place of `l2` for that feature.
        prior_strength: its precision: the log posterior loses ``strength / 2 * (w - mean)^2``, w the weight of the
            standardised feature. Two pairs weigh about as much as a strength of 1.
        prior_units: of the prior's means: log-odds a standard deviation of the feature (``standardised``) or log-odds
            a unit of the feature as it stands in the data (``original``).
        posterior: intervals of the weights and of every score (linear models); null: none.
        calibrate: whether log-odds are divided by a temperature that is fitted on held-out folds.
        folds: parts into which groups are cut for that, and for ``model.score``, which each pair gets from a model
            that has not seen its group.
        extractor: installed domain whose extractor gives the ``scores.*`` of texts that no record carries them for;
            null: such texts cannot be scored.
    """

    model_config = ConfigDict(extra="forbid")

    inputs: list[str] = Field(default=["scores.*"], min_length=1)
    hidden: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    activation: Activation = "tanh"
    signs: dict[str, Sign] = Field(default_factory=dict)
    l2: float = Field(default=0.001, ge=0)
    max_iterations: int = Field(default=500, ge=1)
    prior: dict[str, float] = Field(default_factory=dict)
    prior_strength: float = Field(default=10.0, gt=0)
    prior_units: Units = "standardised"
    posterior: PosteriorConfig | None = None
    calibrate: bool = False
    folds: int = Field(default=5, ge=2)
    extractor: str | None = None

    @model_validator(mode="after")
    def _linear(self) -> "FeatureConfig":
        for key, given in (("prior", bool(self.prior)), ("posterior", self.posterior is not None)):
            if given and self.hidden:
                raise ValueError(
                    f"features.{key} speaks of one weight a feature, which a network with hidden layers has not: set "
                    "features.hidden=[] or leave it out"
                )
        return self


class PrinciplesConfig(BaseModel):
    """A weighted mean of principle scores that the records carry.

    Attributes:
        weights: weight of each principle, by its name in the records' scores; divided by the sum of their sizes. A
            negative weight counts against a response.
        tau: points of the weighted mean that make one unit of log-odds; null: fitted on the training pairs.
        extractor: see `FeatureConfig`.
    """

    model_config = ConfigDict(extra="forbid")

    weights: dict[str, float] = Field(default_factory=dict)
    tau: float | None = Field(default=None, gt=0)
    extractor: str | None = None

    @model_validator(mode="after")
    def _some_weight(self) -> "PrinciplesConfig":
        if self.weights and not any(self.weights.values()):
            raise ValueError("principles.weights are all 0: give at least one principle a weight")
        return self


class EnsembleConfig(BaseModel):
    """Several reward models trained with seeds of their own, taken together.

    Attributes:
        members: how many.
        combine: ``mean``; ``min`` (the least favourable member); ``uncertainty-penalised`` (mean - penalty * std).
        penalty: c of mean - c * std.
        resample: whether each member learns from groups of pairs drawn with replacement (bagging) rather than from
            all pairs in another order. A linear feature model needs it: its members would be equal otherwise.
    """

    model_config = ConfigDict(extra="forbid")

    members: int = Field(default=3, ge=2)
    combine: Combination = "mean"
    penalty: float = Field(default=1.0, ge=0)
    resample: bool = False


class ScorerSettings(BaseModel):
    """A Bradley-Terry model; everything that must be the same in training and scoring.

    Attributes:
        kind: tells the kinds of reward model apart.
        body: causal language model (its prompt format applies) or encoder (text pair, rendered plainly).
        prompt: how conversations are rendered for a causal body.
        max_length: most tokens of conversation and response.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["bradley-terry"] = "bradley-terry"
    body: Literal["causal-lm", "encoder"]
    prompt: PromptFormat
    max_length: int


class GpmSettings(BaseModel):
    """A general preference model. Attributes: those of `ScorerSettings`, and the recipe's `GpmConfig` as ``gpm``."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["gpm"] = "gpm"
    body: Literal["causal-lm", "encoder"]
    prompt: PromptFormat
    max_length: int
    gpm: GpmConfig


class FeatureSettings(BaseModel):
    """A feature network: names of its features in the order of its weights, and its layers.

    Attributes:
        extractor: installed domain that extracts its scores from new texts.
        extractor_code: digest of that extractor's code when the model was trained.
        prior: expert weights that it was fitted with, log-odds a standard deviation of the feature.
        temperature: log-odds are divided by it.
        zero: what is taken off the body's score before it is the feature ``model.score``.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["features"] = "features"
    features: list[str]
    hidden: list[int]
    activation: Activation
    signs: dict[str, Sign]
    extractor: str | None = None
    extractor_code: str | None = None
    prior: dict[str, float] = Field(default_factory=dict)
    temperature: float = Field(default=1.0, gt=0)
    zero: float = 0.0


class PrinciplesSettings(BaseModel):
    """Weighted principles: weights whose sizes sum to 1, and the points that make one unit of log-odds."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["principles"] = "principles"
    weights: dict[str, float]
    tau: float
    extractor: str | None = None
    extractor_code: str | None = None


class EnsembleSettings(BaseModel):
    """An ensemble: the folders of its members beside this file, how they are combined, and each scalar member's mean
    score of the training responses, which is its zero (a Bradley-Terry score has a free constant)."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["ensemble"] = "ensemble"
    members: list[str] = Field(min_length=2)
    combine: Combination
    penalty: float
    zeros: list[float] = Field(default_factory=list)


NetworkSettings = ScorerSettings | GpmSettings
RewardSettings = ScorerSettings | GpmSettings | FeatureSettings | PrinciplesSettings | EnsembleSettings
_ANY: TypeAdapter[RewardSettings] = TypeAdapter(Annotated[RewardSettings, Field(discriminator="kind")])


def read_settings(folder: Path) -> RewardSettings:
    """What stands in a reward model's ``reward.json``.

    Raises:
        DataError: where the folder holds no reward model.
    """
    try:
        values: Any = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        # Models that were trained when there was one kind name none.
        named = {"kind": "bradley-terry", **values} if isinstance(values, Mapping) else values
        return _ANY.validate_python(named)
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(f"{folder} holds no reward model: {SETTINGS_FILE} is missing or broken.") from error
