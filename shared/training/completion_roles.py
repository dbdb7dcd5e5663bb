"""The completions of a pair that an objective asks for, by role."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.training.objectives.objective import Objective

PAIR = ("chosen", "rejected")
CONTRAST = ("contrast_chosen", "contrast_rejected")


@dataclass(frozen=True, slots=True)
class Parts:
    """Which trees an objective asks for beside the pair's own.

    Attributes:
        rationale: whether a tree with the record's rationale.
        contrast: whether a tree with both responses under the prompt without its context.
        mismatched: whether a response to another prompt.
    """

    rationale: bool = False
    contrast: bool = False
    mismatched: bool = False

    @classmethod
    def of(cls, objective: "Objective") -> "Parts":
        """What the objective needs."""
        return cls(objective.needs_rationale, objective.needs_context, objective.unpaired)

    @property
    def roles(self) -> tuple[str, ...]:
        """Role of every completion of a pair's trees, in their order."""
        return (
            *PAIR,
            *(("rationale",) if self.rationale else ()),
            *(CONTRAST if self.contrast else ()),
            *(("mismatched",) if self.mismatched else ()),
        )
