"""The optional `judge_features` part of a recipe, and the rubric that it names."""

from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from shared.errors import UsageError
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.rubric import Criterion, Rubric, load_rubric
from shared.recipes import Component, load_recipe

PACKAGED = "opinion-summary"
TEMPLATES = Path(str(files("domains.ecommerce.rubrics"))) / "templates"


class RubricFeaturesConfig(Component):
    """Features of summaries from a model at an endpoint.

    Attributes:
        endpoint: where the model is; its budget is for all features together.
        rubric: ``opinion-summary`` (the paper's seven features), or the path of a YAML file: each criterion becomes a
            feature ``judge.<name>``.
        ask: ``apart``: one request for each feature, as in the paper, so that one score does not colour the next;
            ``together``: one request for all, at about a fifth of the tokens.
        repeats: how often everything is asked, each time with another seed; the mean counts. Needs a temperature above
            0.
        missing: a pair with a summary that has no score: ``no-difference`` gives both sides of that feature one value,
            so that it says nothing of the pair; ``leave-out`` leaves the pair out of the records.
        max_failed_share: share of the scores without an answer above which the stage fails.
    """

    endpoint: EndpointConfig
    rubric: str = PACKAGED
    ask: Literal["apart", "together"] = "apart"
    repeats: int = Field(default=1, ge=1, le=100)
    missing: Literal["no-difference", "leave-out"] = "no-difference"
    max_failed_share: float = Field(default=0.2, ge=0, le=1)

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        if self.repeats > 1 and not self.endpoint.temperature:
            raise ValueError("judge_features.repeats above 1 need endpoint.temperature above 0")
        return self


def summary_rubric(name: str = PACKAGED) -> Rubric:
    """The packaged rubric, or one by the path of a YAML file.

    Raises:
        UsageError: there is no such file, or it holds no rubric.
    """
    if name == PACKAGED:
        return load_recipe(Rubric, TEMPLATES / f"{PACKAGED}.yaml")
    if not Path(name).expanduser().is_file():
        raise UsageError(
            f"there is no rubric {name} (judge_features.rubric): give the path of a YAML file, or {PACKAGED}."
        )
    return load_rubric(name)


def feature_name(criterion: Criterion) -> str:
    """The name of a criterion's feature in records: ``judge.aspect-coverage``."""
    return f"judge.{criterion.name.replace('_', '-')}"


def asked(rubric: Rubric, ask: Literal["apart", "together"]) -> list[Rubric]:
    """The rubrics of the requests: one with all criteria, or one for each of them."""
    if ask == "together" or len(rubric.criteria) == 1:
        return [rubric]
    return [
        rubric.model_copy(update={"name": f"{rubric.name}-{one.name}", "criteria": (one,)}) for one in rubric.criteria
    ]
