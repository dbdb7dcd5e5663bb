"""The counseling recipe: every setting a user may change, with its default."""

from typing import Literal

from pydantic import Field

from domains.counseling.data import CounselingDataConfig
from shared.gate import GateConfig, GuardConfig
from shared.generation import GenerationConfig
from shared.lint.config import LintConfig
from shared.prompts import PromptFormat
from shared.recipes import Component
from shared.training.iterative_recipe import AlignRecipe
from shared.training.scorer_recipe import ScorerRecipe

Precision = Literal["auto", "float32", "bf16"]


class EvaluateRecipe(Component):
    """What is measured on held-out groups."""

    sampling: GenerationConfig = GenerationConfig()
    prompts: int = Field(default=24, ge=2, description="Held-out prompts answered by every model")
    kl_prompts: int = Field(default=8, ge=0, description="Prompts sampled at temperature 1 for the KL to the reference")
    kl_tokens: int = Field(default=48, ge=1)
    best_of: int = Field(default=4, ge=0, description="Samples a prompt of the best-of-n baseline; 0 leaves it out")
    examples: int = Field(default=6, ge=0, description="Examples shown in the report")
    max_length: int = Field(default=512, ge=32)


class CounselingRecipe(Component):
    """The whole recipe."""

    data: CounselingDataConfig = CounselingDataConfig()
    lint: LintConfig = LintConfig(languages=("en",))
    model: str = "smollm2-135m-instruct"
    prompt: PromptFormat = PromptFormat()
    precision: Precision = "auto"
    reward: ScorerRecipe = ScorerRecipe()
    judge: ScorerRecipe = ScorerRecipe(body="minilm-l6")
    align: AlignRecipe = AlignRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
    gate: GateConfig = GateConfig(
        primary="eval/margin_per_token",
        guards=(
            GuardConfig(metric="eval/ranking_accuracy", tolerance=0.1),
            GuardConfig(metric="eval/judge_score", tolerance=0.5),
        ),
        require_seeds=1,
    )
