"""The paper's seven features of a summary from a judge at an endpoint, by a rubric of our own.

`stage.rubric_features` is the stage, `config.RubricFeaturesConfig` the optional part `judge_features` of a recipe.
"""

from domains.ecommerce.rubrics.config import RubricFeaturesConfig

__all__ = ["RubricFeaturesConfig"]
