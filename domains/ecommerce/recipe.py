"""The e-commerce recipe: every setting a user may change, with its default."""

from typing import Literal, Self

from pydantic import Field, model_validator

from domains.ecommerce.data_config import EcommerceDataConfig
from domains.ecommerce.feature_stage import FeatureStageConfig
from domains.ecommerce.reward_study.config import RewardStudyConfig
from domains.ecommerce.rubrics.config import RubricFeaturesConfig
from shared.gate import GateConfig, GuardConfig
from shared.generation import GenerationConfig
from shared.lint.config import LintConfig
from shared.prompts import PromptFormat
from shared.recipes import Component
from shared.rewards.settings import FeatureConfig
from shared.training.config import RewardConfig
from shared.training.iterative_recipe import AlignRecipe
from shared.training.scorer_recipe import ScorerRecipe
from shared.training.sft_config import SftConfig

Precision = Literal["auto", "float32", "bf16"]
SHAPED = RewardConfig(
    kind="features",
    features=FeatureConfig(inputs=["scores.measured.*"], l2=0.03, extractor="ecommerce", calibrate=True),
    lora=None,
)


class SupervisedRecipe(SftConfig):
    """Supervised training on summaries; the policy that alignment starts from and refers to.

    Attributes:
        examples: ``demonstrations``: what `learn_from` names; ``chosen`` and ``undefeated``: preferred summaries alone.
        learn_from: ``summaries`` that products have (by people, or by a model in PromptOpinSumm), ``preferred`` ones of
            pairs that no pair of the same product rejects; both of them where a product has both.
        seed: of the training.
    """

    examples: Literal["chosen", "undefeated", "demonstrations"] = "demonstrations"
    learn_from: tuple[Literal["summaries", "preferred"], ...] = Field(default=("summaries", "preferred"), min_length=1)
    seed: int = 0

    def training(self) -> SftConfig:
        """The part that the shared stage reads."""
        return SftConfig.model_validate(self.model_dump(exclude={"learn_from", "seed"}))


class EvaluateRecipe(Component):
    """What is measured on held-out products.

    Attributes:
        products: products that every policy summarises, those with summaries by people first.
        sampling: how a summary is written; the default is greedy.
        threshold: similarity from which a statement counts as supported by a review sentence.
        factors: names or patterns of the factors whose means are compared; empty leaves them out.
        examples: products shown with every policy's summary.
    """

    products: int = Field(default=24, ge=2)
    sampling: GenerationConfig = GenerationConfig(temperature=0.0, max_new_tokens=120)
    threshold: float = Field(default=0.55, gt=0, lt=1)
    factors: tuple[str, ...] = ("*",)
    examples: int = Field(default=4, ge=0)


class EcommerceRecipe(Component):
    """The whole recipe."""

    data: EcommerceDataConfig = EcommerceDataConfig()
    lint: LintConfig = LintConfig(languages=("en",))
    model: str = "smollm2-135m-instruct"
    prompt: PromptFormat = PromptFormat()
    precision: Precision = "auto"
    features: FeatureStageConfig = FeatureStageConfig(costs=["lexical", "embedding"])
    judge_features: RubricFeaturesConfig | None = None
    reward: ScorerRecipe = ScorerRecipe(body="minilm-l6", training=SHAPED)
    judge: ScorerRecipe = ScorerRecipe(body="minilm-l6")
    reward_study: RewardStudyConfig | None = RewardStudyConfig()
    sft: SupervisedRecipe | None = SupervisedRecipe()
    align: AlignRecipe = AlignRecipe(rounds=1)
    evaluate: EvaluateRecipe = EvaluateRecipe()
    gate: GateConfig = GateConfig(
        primary="eval/judge_score",
        guards=(
            GuardConfig(metric="eval/faithfulness", tolerance=0.05),
            # A policy that copies reviews has faithful statements.
            GuardConfig(metric="eval/copied_bigrams", direction="lower", tolerance=0.1),
        ),
        require_seeds=1,
    )

    @model_validator(mode="after")
    def _new_summaries_can_be_scored(self) -> Self:
        if self.reward.training.kind in ("features", "principles") and self.align.rounds + (
            self.align.method == "grpo"
        ):
            settings = getattr(self.reward.training, self.reward.training.kind)
            if settings.extractor is None:
                raise ValueError(
                    f"reward.training.{self.reward.training.kind}.extractor is null, and rounds and grpo score new "
                    "summaries: set it to ecommerce, or align.rounds=0"
                )
        return self
