"""The translation recipe: every setting a user may change, with its default."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from domains.translation.construction.config import ConstructionConfig
from domains.translation.data_config import TranslationDataConfig
from domains.translation.decoder.rules import parse_rule
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.lint_config import TranslationLintConfig
from domains.translation.msft_config import MsftConfig
from domains.translation.settings import SimulFormat
from domains.translation.simul_dpo_config import SimulDpoConfig
from shared.gate import GateConfig, GuardConfig
from shared.recipes import Component

Precision = Literal["auto", "float32", "bf16"]


class FormatRecipe(Component):
    """The texts around a source sentence; null takes those that name the languages.

    Attributes:
        before: text before the source.
        marker: text between source and target.
        target_position: tokens between the first position of the source and that of the marker.
    """

    before: str | None = None
    marker: str | None = None
    target_position: int = Field(default=64, ge=1)


class AlignRecipe(SimulDpoConfig):
    """SimulDPO, once for every seed; each seed has supervised policy, preferences and alignment of its own.

    Attributes:
        seeds: training seeds; the first one's model is the candidate.
    """

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("align.seeds: a seed stands there twice")
        return self


class BaselineRecipe(Component):
    """What stands beside SimulPL. Each trained one costs a training a seed.

    Attributes:
        alpha_zero: SimulDPO without latency.
        wait_k_tuned: a policy tuned for wait-k, with k drawn for each sentence.
        wait_k: values of k, for the tuned policy and for the supervised one.
        lsg: rules of LSG on the first seed's supervised policy; empty leaves it out.
        latency_prompt: a policy that is told the latency in words.
    """

    alpha_zero: bool = True
    wait_k_tuned: bool = True
    wait_k: tuple[int, ...] = Field(default=(1, 3, 5, 7, 9), min_length=1)
    lsg: tuple[str, ...] = ()
    latency_prompt: bool = False

    @model_validator(mode="after")
    def _rules(self) -> Self:
        for one in self.lsg:
            if not str(parse_rule(one)).startswith("lsg:"):
                raise ValueError(f"baselines.lsg: {one!r} is no rule of LSG; write lsg:DELTA,ALPHA,LOW,HIGH")
        if any(k < 1 for k in self.wait_k):
            raise ValueError("baselines.wait_k: k is 1 or more")
        return self


class EvaluateRecipe(Component):
    """What is measured on held-out sentences.

    Attributes:
        sentences: test sentences at most; null takes all.
        thresholds: of the confidence: the points of a curve.
        shown: the threshold at which preferences are measured and examples shown; one of `thresholds`.
        lag_width: SimulPL and the supervised policy are also decoded by their confidence (at `shown`) within lags of k
            to k + `lag_width` source units, for each k of `baselines.wait_k`; null leaves that out.
        decoding: limits and batch.
        shots: examples that the base is shown.
        timed: sentences decoded one by one, for computation-aware latency; 0 leaves it out.
        source_ms_per_unit: milliseconds that a source unit takes to be spoken, for computation-aware latency.
        simuleval: sentences that SimulEval decodes and scores too; 0 leaves the cross-check out.
        latency_price: points of chrF that reading the whole source first costs, in `eval/utility`.
        comet: file of a COMET checkpoint (`unbabel-comet` must be installed); null leaves it out.
        examples: sentences shown with their staircases.
        resamples: of the bootstrap.
    """

    sentences: int | None = Field(default=None, ge=2)
    thresholds: tuple[float, ...] = Field(default=(0.5, 0.65, 0.75, 0.85, 0.92), min_length=1)
    shown: float = 0.75
    lag_width: int | None = Field(default=2, ge=1)
    decoding: DecodingConfig = DecodingConfig()
    shots: int = Field(default=2, ge=0)
    timed: int = Field(default=4, ge=0)
    source_ms_per_unit: float = Field(default=400.0, gt=0)
    simuleval: int = Field(default=4, ge=0)
    latency_price: float = Field(default=20.0, ge=0)
    comet: str | None = None
    examples: int = Field(default=4, ge=0)
    resamples: int = Field(default=1000, ge=100)

    @model_validator(mode="after")
    def _shown_is_decoded(self) -> Self:
        if self.shown not in self.thresholds:
            raise ValueError(f"evaluate.shown ({self.shown:g}) is none of evaluate.thresholds")
        if len(set(self.thresholds)) < len(self.thresholds) or not all(0 <= one <= 1 for one in self.thresholds):
            raise ValueError("evaluate.thresholds are different probabilities from 0 to 1")
        return self


class TranslationRecipe(Component):
    """The whole recipe."""

    data: TranslationDataConfig = TranslationDataConfig()
    lint: TranslationLintConfig = TranslationLintConfig()
    model: str = "gemma-3-270m"
    format: FormatRecipe = FormatRecipe()
    precision: Precision = "auto"
    paths: Literal["none", "states", "auto", "hmm", "fast_align", "ibm1"] = "states"
    sft: MsftConfig = MsftConfig()
    construction: ConstructionConfig = ConstructionConfig()
    align: AlignRecipe = AlignRecipe()
    baselines: BaselineRecipe = BaselineRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
    gate: GateConfig = GateConfig(
        primary="eval/utility",
        guards=(
            GuardConfig(metric="eval/chrf_offline", tolerance=2.0),
            GuardConfig(metric="eval/laal", direction="lower", tolerance=1.0),
        ),
        require_seeds=1,
    )

    def rows(self, latency: str | None = None) -> SimulFormat:
        """How sentences become rows, by the data's languages.

        Args:
            latency: a latency word that the instruction has.
        """
        languages = self.data.languages()
        given: dict[str, Any] = {
            "source_language": languages.source,
            "target_language": languages.target,
            "source_unit": languages.source_unit,
            "target_unit": languages.target_unit,
            "target_position": self.format.target_position,
        }
        given |= {key: value for key in ("before", "marker") if (value := getattr(self.format, key)) is not None}
        if latency is not None:
            given["latency_word"] = latency
        return SimulFormat.model_validate(given)
