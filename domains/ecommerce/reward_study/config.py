"""The `reward_study` part of a recipe."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.recipes import Component
from shared.rewards.settings import Activation
from shared.training.config import RewardConfig

SetName = Literal[
    "naive-mean", "given", "given-network", "measured", "both", "judge", "lm", "all", "length", "tier"
]  # fmt: skip
SETS: tuple[SetName, ...] = (
    "naive-mean", "given", "given-network", "measured", "both", "judge", "lm", "all", "length", "tier"
)  # fmt: skip
L2 = Annotated[float, Field(ge=0)]


class NetworkStudy(Component):
    """The small network of arXiv 2402.15473 over the given features, ``7-6-4-2-1``, with a linear output.

    Attributes:
        hidden: units of its hidden layers.
        activation: of the hidden layers. The paper's code has an activation on the output too, where a relu dies in
            most seeds; here the output is linear.
        seeds: of the initial weights; what is reported is the mean over them.
        l2: values that are tried.
        max_iterations: most steps of L-BFGS-B.
    """

    hidden: tuple[int, ...] = Field(default=(6, 4, 2), min_length=1)
    activation: Activation = "tanh"
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    l2: tuple[L2, ...] = Field(default=(0.003, 0.01, 0.03), min_length=1)
    max_iterations: int = Field(default=200, ge=1)


class LmStudy(Component):
    """A Bradley-Terry model that reads reviews and summary, trained anew for every fold: the expensive part.

    Attributes:
        folds: trainings that are tested; study folds are joined where there are fewer.
        inner_folds: further trainings inside the training part of each fold, whose scores of pairs that they did not
            see are what ``all`` learns to weigh the model by; 0: the model stands alone and is no part of ``all``.
        body: model reference: encoder or causal language model.
        training: as of a reward model.
        seed: of the first training; each has its own.
    """

    folds: int = Field(default=5, ge=2)
    inner_folds: Literal[0, 2, 3, 4, 5] = 2
    body: str = "minilm-l6"
    training: RewardConfig = RewardConfig(learning_rate=2e-4, lora=None, epochs=3, batch_size=16, max_length=256)
    seed: int = 0

    @model_validator(mode="after")
    def _has_body(self) -> Self:
        if self.training.kind != "bradley-terry" or self.training.ensemble is not None:
            raise ValueError("reward_study.lm.training: the model of the study is a single bradley-terry model")
        return self


class CurveStudy(Component):
    """Accuracy by number of training pairs.

    Attributes:
        sets: feature sets that get a curve.
        sizes: training pairs; sizes beyond what a fold's training part holds are left out and said.
        repeats: draws of training pairs for every size and fold.
        inner_folds: of the choice of l2 inside a draw.
        l2: values that are tried.
        level: accuracy of which is asked how many pairs it takes; .745 is that of the paper's seven features in a
            linear model.
    """

    sets: tuple[SetName, ...] = ("given", "measured", "both")
    sizes: tuple[Annotated[int, Field(ge=8)], ...] = Field(default=(25, 50, 100, 200, 400, 700), min_length=2)
    repeats: int = Field(default=5, ge=2)
    inner_folds: int = Field(default=3, ge=2)
    l2: tuple[L2, ...] = Field(default=(0.003, 0.01, 0.03, 0.1, 0.3), min_length=1)
    level: float = Field(default=0.745, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError("reward_study.curve.sizes must rise")
        if bad := sorted({"lm", "given-network", "all"} & set(self.sets)):
            raise ValueError(f"reward_study.curve.sets: {bad[0]} has no curve, it would be trained hundreds of times")
        return self


class RewardStudyConfig(Component):
    """What is compared, and how.

    Attributes:
        splits: whose pairs are put together and cut into folds of their own; those that are not there are passed over.
        folds: product-grouped folds.
        inner_folds: of the choice of l2 inside the training part of a fold.
        seed: fixes the folds, the draws and the resampling.
        l2: values that are tried; the one with the least held-out log-loss in the inner folds is taken.
        sets: what is compared, of which those that the records have scores for are run.
        against: sets that every other one is tested against.
        matched: pairs count as matched in length where the longer summary has at most (1 + this) times the words.
        network: the paper's network; null leaves it out.
        lm: a language-model reward; null leaves it out.
        curve: the learning curve; null leaves it out.
        n_resamples: bootstrap resamples.
    """

    splits: tuple[Literal["train", "judge", "validation", "test"], ...] = Field(
        default=("train", "judge", "validation", "test"), min_length=1
    )
    folds: int = Field(default=10, ge=2)
    inner_folds: int = Field(default=5, ge=2)
    seed: int = 0
    l2: tuple[L2, ...] = Field(default=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0), min_length=1)
    sets: tuple[SetName, ...] = Field(default=SETS, min_length=1)
    against: tuple[SetName, ...] = ("naive-mean", "length")
    matched: float = Field(default=0.2, ge=0)
    network: NetworkStudy | None = NetworkStudy()
    lm: LmStudy | None = None
    curve: CurveStudy | None = CurveStudy()
    n_resamples: int = Field(default=2000, ge=200)

    @model_validator(mode="after")
    def _folds_join(self) -> Self:
        if self.lm is not None and self.lm.folds > self.folds:
            raise ValueError("reward_study.lm.folds: at most as many as reward_study.folds, which are joined for it")
        return self
