"""Objectives: pure functions of log-probabilities that return (loss of every pair, metrics of every pair).

`config` names them in a recipe, `objective.build_objective` makes what a trainer calls; one file a family holds the
formulas. Nothing here imports torch before a loss is computed.
"""

from shared.training.objectives.config import LossSpec
from shared.training.objectives.objective import Objective, build_objective
from shared.training.objectives.terms import PairTerms, UnpairedTerms

__all__ = [
    "LossSpec",
    "Objective",
    "PairTerms",
    "UnpairedTerms",
    "build_objective",
]
