"""A scorer of responses in a recipe, and the stage that trains it."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from shared.recipes import Component
from shared.rewards.extraction import extractor_code
from shared.stages import Stage
from shared.training.config import RewardConfig
from shared.training.iterative_plan import TRAINED
from shared.training.reward_stage import train_reward


class ScorerRecipe(Component):
    """A reward model or judge: its body and its training."""

    body: str = Field(default="smollm2-135m-instruct", description="Model reference of the body: causal LM or encoder")
    training: RewardConfig = RewardConfig()
    seed: int = 0


def scorer_stage(name: str, split: str, values: Mapping[str, Any], data: str = "data") -> Stage:
    """The stage that trains the scorer of one part of a recipe.

    Args:
        name: of the stage and of the recipe's part.
        split: whose pairs it learns from.
        values: the whole recipe.
        data: the stage whose artifact holds the record files.
    """
    part = values[name]
    named = part["training"].get(part["training"]["kind"])
    extractor = named.get("extractor") if isinstance(named, Mapping) else None
    # A score that is extracted otherwise is another feature.
    code = {"extractor_code": extractor_code(extractor)} if extractor else {}
    return Stage(
        name,
        train_reward,
        config={
            "reward": part["training"],
            "seed": part["seed"],
            "split": split,
            "prompt": values["prompt"],
            "precision": values["precision"],
            "body": part["body"],
            **code,
        },
        inputs={"data": data},
        models={"body": part["body"]},
        libraries=(*TRAINED, "numpy", "scipy", "scikit-learn"),
        uses_device=True,
    )
