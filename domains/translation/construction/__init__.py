"""Construction of preferences: pairs of renderings of one source, with read/write paths and measured preferences.

`stage.construct` is the stage, `config.ConstructionConfig` its part of a recipe.
"""

from domains.translation.construction.config import ConstructionConfig

__all__ = ["ConstructionConfig"]
