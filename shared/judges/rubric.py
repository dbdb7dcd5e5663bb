"""Rubrics: what a judge is asked to look at, in YAML, versioned and hashed."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from shared.digest import json_digest
from shared.errors import UsageError
from shared.recipes import Component, load_recipe, to_values

TEMPLATES = Path(str(files("shared.judges"))) / "templates"
_PREFIX = "rubric-"


class Scale(Component):
    """The whole numbers a criterion is scored with, both ends included."""

    least: int = 1
    most: int = 5

    @model_validator(mode="after")
    def _ordered(self) -> "Scale":
        if not 1 <= self.most - self.least <= 100:
            raise ValueError("a scale needs most above least, and at most 101 steps")
        return self


class Criterion(Component):
    """One thing a response is judged by.

    Attributes:
        name: lower-case word; names the score in answers, files and reports.
        definition: what is judged, in a sentence or two.
        anchors: what single scores mean.
        weight: in the overall score.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    definition: str = Field(min_length=1)
    anchors: Mapping[int, str] = Field(default_factory=dict)
    weight: float = Field(default=1.0, gt=0)


class Rubric(Component):
    """Instructions and criteria.

    Attributes:
        name: of the rubric.
        version: raised by its authors when its meaning changes; the digest tells any change.
        instructions: what the judge should bear in mind, whatever the criterion.
        scale: of every criterion, so that the overall score is their weighted mean in the same unit.
        criteria: at least one, with distinct names.
    """

    name: str = Field(min_length=1)
    version: int = Field(default=1, ge=1)
    instructions: str = ""
    scale: Scale = Scale()
    criteria: tuple[Criterion, ...] = Field(min_length=1)

    @field_validator("criteria")
    @classmethod
    def _distinct(cls, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        names = [one.name for one in criteria]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two criteria are named {twice[0]}")
        return criteria

    @model_validator(mode="after")
    def _anchors_on_scale(self) -> "Rubric":
        for one in self.criteria:
            if off := [score for score in one.anchors if not self.scale.least <= score <= self.scale.most]:
                raise ValueError(f"criterion {one.name} explains the score {off[0]}, which is not on the scale")
        return self

    @property
    def digest(self) -> str:
        """sha256 of the whole rubric."""
        return json_digest(to_values(self))

    def overall(self, scores: Mapping[str, float]) -> float:
        """Weighted mean of the criteria's scores, in the unit of the scale. Raises KeyError for a missing one."""
        total = sum(one.weight for one in self.criteria)
        return sum(one.weight * scores[one.name] for one in self.criteria) / total


def load_rubric(name: str) -> Rubric:
    """A rubric by the name of a packaged one, or by the path of a YAML file.

    Raises:
        UsageError: unknown name (the known ones are listed), broken YAML, unknown key, wrong value.
    """
    if name in known_rubrics():
        return load_recipe(Rubric, TEMPLATES / f"{_PREFIX}{name}.yaml")
    path = Path(name).expanduser()
    if path.is_file():
        return load_recipe(Rubric, path)
    raise UsageError(
        f"there is no rubric {name}: give the path of a YAML file, or one of the packaged {', '.join(known_rubrics())}."
    )


def known_rubrics() -> list[str]:
    """Names of the packaged rubrics."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in TEMPLATES.glob(f"{_PREFIX}*.yaml"))
