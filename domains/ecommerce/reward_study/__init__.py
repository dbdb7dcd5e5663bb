"""What each kind of reward is worth on expert preferences: product-grouped folds, controls, and a learning curve.

`stage.reward_study` is the stage, `config.RewardStudyConfig` its part of a recipe, `sections.study_sections` its
report.
"""

from domains.ecommerce.reward_study.config import RewardStudyConfig

__all__ = ["RewardStudyConfig"]
