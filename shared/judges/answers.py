"""Reading a judge model's answer: JSON found in the text, checked against the rubric; or why there is none."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from shared.judges.protocol import Failure
from shared.judges.rubric import Rubric

Place = Literal["first", "second", "tie"]
_PLACES = {"1": "first", "2": "second", "response 1": "first", "response 2": "second", "draw": "tie", "equal": "tie"}
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:i['’]?m|i am) (?:sorry|unable|not able|not comfortable)\b"
    r"|\bi (?:can['’]?t|cannot|can not|won['’]?t|will not)\b"
    r"|\bas an ai\b|\bi must decline\b",
    re.IGNORECASE,
)
_MOST_CANDIDATES = 50  # objects tried in one answer


class PairAnswer(BaseModel):
    """A verdict by place."""

    model_config = ConfigDict(extra="ignore")

    reason: str = ""
    verdict: Place

    @field_validator("verdict", mode="before")
    @classmethod
    def _place(cls, value: object) -> object:
        text = str(value).strip().lower() if isinstance(value, str | int) and not isinstance(value, bool) else value
        return _PLACES.get(text, text) if isinstance(text, str) else text


class CriterionAnswer(BaseModel):
    """Score and reason of one criterion."""

    model_config = ConfigDict(extra="ignore")

    reason: str = ""
    score: int

    @field_validator("score", mode="before")
    @classmethod
    def _no_bool(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("not a number")
        return value


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why an answer holds no verdict.

    Attributes:
        failure: refused, truncated or malformed.
        problem: what was wrong, in words of ours only.
    """

    failure: Failure
    problem: str


def read_pair(text: str, finish: str, refusal: bool) -> PairAnswer | Unreadable:
    """The verdict in an answer.

    Args:
        text: the answer.
        finish: the server's finish reason: ``stop``, ``length``, ``content_filter``.
        refusal: the server said that the model refused.
    """
    problem = "no JSON object was found"
    for values in json_objects(text):
        try:
            return PairAnswer.model_validate(values)
        except ValidationError as error:
            problem = _problem(error)
    return _unreadable(text, finish, refusal, problem)


def read_scores(text: str, finish: str, refusal: bool, rubric: Rubric) -> dict[str, CriterionAnswer] | Unreadable:
    """The scores in an answer, by criterion; each on the rubric's scale. Arguments as `read_pair`."""
    problem = "no JSON object was found"
    for values in json_objects(text):
        try:
            return {one.name: _criterion(values, one.name, rubric) for one in rubric.criteria}
        except ValidationError as error:
            problem = _problem(error)
        except ValueError as error:
            problem = str(error)
    return _unreadable(text, finish, refusal, problem)


def _criterion(values: Mapping[str, Any], name: str, rubric: Rubric) -> CriterionAnswer:
    if name not in values:
        raise ValueError(f"the criterion {name} is missing")
    given = values[name]
    answer = CriterionAnswer.model_validate(given if isinstance(given, Mapping) else {"score": given})
    if not rubric.scale.least <= answer.score <= rubric.scale.most:
        raise ValueError(f"the score of {name} is not from {rubric.scale.least} to {rubric.scale.most}")
    return answer


def _unreadable(text: str, finish: str, refusal: bool, problem: str) -> Unreadable:
    if refusal or finish == "content_filter":
        return Unreadable("refused", "the model refused")
    if finish == "length":
        return Unreadable("truncated", "the answer was cut at its token limit")
    if _REFUSAL.search(text[:300]) and "{" not in text:
        return Unreadable("refused", "the model refused")
    return Unreadable("malformed", problem)


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"{key or 'the object'}: {first['type'].replace('_', ' ')}"


def without_thoughts(text: str) -> str:
    """A text without what a reasoning model wrote between its thinking marks."""
    return _THOUGHTS.sub("", text)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a text, outermost first and in order; thoughts of reasoning models are left out."""
    text = without_thoughts(text)
    decoder = json.JSONDecoder()
    start, tried = text.find("{"), 0
    while start >= 0 and tried < _MOST_CANDIDATES:
        tried += 1
        end = start + 1
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield value
        start = text.find("{", end)
