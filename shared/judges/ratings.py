"""Ratings in files: of people, and of judges (verdict and score files have the same columns).

One row a rating: ``item``, ``rater``, and ``verdict`` (a, b or tie) or ``score`` (a number); optionally ``group``,
``criterion``, or ``scores`` (an object of numbers by criterion).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from shared.data.columns import number_of, numbers_of, require_columns, text_of
from shared.data.reading import iter_rows
from shared.data.rows import InvalidValueError, Row, RowTally
from shared.errors import DataError, UsageError
from shared.judges.protocol import (
    OnProgress,
    PairItem,
    ResponseItem,
    ScoredResponse,
    Scores,
    Verdict,
    Verdicts,
    Winner,
    no_progress,
)
from shared.recipes import Component

VERDICTS: dict[str, Winner] = {
    "a": "a", "1": "a", "first": "a", "response_a": "a",
    "b": "b", "2": "b", "second": "b", "response_b": "b",
    "tie": "tie", "0": "tie", "equal": "tie", "same": "tie", "draw": "tie",
}  # fmt: skip


class RatingColumns(Component):
    """Names of the columns of a rating file, and what its verdicts mean.

    Attributes:
        item: id of the pair or response.
        rater: who rated; a file without the column is one rater.
        verdict: the better response.
        score: the number given.
        group: items resampled together; without it every item is its own.
        criterion: what the score is about, in files with one row a criterion.
        labels: verdicts of the file in terms of a, b, tie, beside the usual ones (1, 2, 0; first, second, tie).
    """

    item: str = "item"
    rater: str = "rater"
    verdict: str = "verdict"
    score: str = "score"
    group: str = "group"
    criterion: str = "criterion"
    labels: dict[str, Literal["a", "b", "tie"]] = Field(default_factory=dict)

    @field_validator("labels")
    @classmethod
    def _lower(cls, value: dict[str, Winner]) -> dict[str, Winner]:
        return {name.strip().lower(): winner for name, winner in value.items()}


@dataclass(frozen=True, slots=True)
class Rating:
    """One rating: a verdict or scores by criterion (``overall`` is the response as a whole)."""

    item: str
    rater: str
    group: str
    verdict: Winner | None
    scores: Mapping[str, float]


def read_ratings(location: str | Path, columns: RatingColumns | None = None) -> list[Rating]:
    """Ratings of a file of any kind that can be read; rows of judges without an answer are left out.

    Args:
        location: path of a CSV, JSONL, JSON, Parquet or Arrow file.
        columns: their names.

    Raises:
        DataError: a missing column, an unknown verdict, no number, two ratings of one item by one rater.
    """
    names = columns or RatingColumns()
    tally = RowTally()
    ratings: list[Rating] = []
    seen: dict[tuple[str, str, str, str], str] = {}
    for row in iter_rows(location, tally):
        if not ratings and not seen:
            _check_columns(row, names)
        try:
            rating = _rating(row, names, Path(str(location)).stem)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        if rating is None:
            continue
        for kind in ("verdict",) if rating.verdict else tuple(rating.scores):
            key = (rating.item, rating.rater, "verdict" if rating.verdict else "score", kind)
            if key in seen:
                raise DataError(
                    f"{row.source}: {rating.rater} rated the item of {seen[key]} again: keep one row an item and rater."
                )
            seen[key] = row.source
        ratings.append(rating)
    tally.check()
    if not ratings:
        raise DataError(f"{Path(str(location)).name} holds no rating: every row is without verdict and score.")
    return ratings


def read_all_ratings(locations: Sequence[Path], columns: RatingColumns | None = None) -> list[Rating]:
    """Ratings of several files; a rater's name that an earlier file has gets the file's name before it.

    Raises:
        DataError: as `read_ratings`.
    """
    ratings: list[Rating] = []
    for location in locations:
        taken = {one.rater for one in ratings}
        for one in read_ratings(location, columns):
            ratings.append(replace(one, rater=f"{location.stem}:{one.rater}") if one.rater in taken else one)
    return ratings


def rating_columns(columns: Sequence[str], labels: Sequence[str]) -> RatingColumns:
    """The columns that a command's ``NAME=COLUMN`` and ``VALUE=a`` options describe.

    Raises:
        UsageError: no ``=``, an unknown name, or a label that is not a, b or tie.
    """
    values: dict[str, Any] = dict(_split(one, "--column") for one in columns)
    values["labels"] = dict(_split(one, "--label") for one in labels)
    try:
        return RatingColumns.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(name for name in RatingColumns.model_fields if name != "labels")
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{key} is no column or label: columns are {known}; labels mean a, b or tie.") from error


def _split(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise UsageError(f"{option} {text!r} is not of the form NAME=VALUE.")
    return name.strip(), value.strip()


def _check_columns(row: Row, names: RatingColumns) -> None:
    present = row.values.keys()
    require_columns((names.item,), present, row.source)
    if not {names.verdict, names.score, "scores"} & {str(one) for one in present}:
        raise DataError(
            f"{row.source} has neither a column {names.verdict!r} nor {names.score!r}: rename it, or map it with "
            "ratings.columns in the judge's configuration."
        )


def _rating(row: Row, names: RatingColumns, default_rater: str) -> Rating | None:
    values = row.values
    item = text_of(values, names.item)
    if not item:
        raise ValueError(f"has an empty {names.item!r}")
    rater = text_of(values, names.rater) or default_rater
    group = text_of(values, names.group) or item
    verdict = _verdict(values.get(names.verdict), names)
    scores = dict(numbers_of(values, "scores"))
    number = number_of(values, names.score)
    if number is not None:
        scores[text_of(values, names.criterion) or "overall"] = number
    if verdict is None and not scores:
        return None
    return Rating(item, rater, group, verdict, scores)


def _verdict(value: Any, names: RatingColumns) -> Winner | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip().lower()
    if not text:
        return None
    winner = names.labels.get(text) or VERDICTS.get(text)
    if winner is None:
        raise InvalidValueError(
            f"column {names.verdict!r} holds no verdict: write a, b or tie, or map its values with "
            "ratings.columns.labels"
        )
    return winner


class HumanJudge:
    """Ratings of people as a judge: the majority's verdict, the raters' mean score.

    Args:
        ratings: of one or several raters.
        name: tells it from other judges.
    """

    def __init__(self, ratings: Iterable[Rating], name: str = "raters") -> None:
        self.name = name
        self._by_item: dict[str, list[Rating]] = {}
        for one in ratings:
            self._by_item.setdefault(one.item, []).append(one)
        self._facts = {"kind": "human", "raters": len({one.rater for one in self._all()})}

    def _all(self) -> Iterator[Rating]:
        for ratings in self._by_item.values():
            yield from ratings

    def _require(self, items: Sequence[PairItem] | Sequence[ResponseItem]) -> None:
        if items and not any(one.id in self._by_item for one in items):
            raise UsageError(
                f"the ratings of {self.name} name none of the {len(items)} items: use the items' ids in the column "
                "item."
            )

    def compare(self, items: Sequence[PairItem], on_progress: OnProgress = no_progress) -> Verdicts:
        """The majority's verdict, a tie where none has one; items that nobody rated have failure ``unrated``.

        Raises:
            UsageError: no item is rated at all: the ids are others.
        """
        self._require(items)
        rows = []
        for item in items:
            given = [one.verdict for one in self._by_item.get(item.id, ()) if one.verdict is not None]
            votes = (given.count("a"), given.count("b"), given.count("tie"))
            if not given:
                rows.append(Verdict(item.id, None, failure="unrated"))
                continue
            most = max(votes)
            leaders: list[Winner] = [
                name for name, count in zip(("a", "b", "tie"), votes, strict=True) if count == most
            ]
            rows.append(Verdict(item.id, leaders[0] if len(leaders) == 1 else "tie", votes=votes))
        on_progress(len(items), len(items))
        return Verdicts(self.name, tuple(rows), dict(self._facts))

    def score(self, items: Sequence[ResponseItem], on_progress: OnProgress = no_progress) -> Scores:
        """The raters' mean by criterion; overall is their overall score, or the mean over criteria without one.

        Raises:
            UsageError: no item is rated at all: the ids are others.
        """
        self._require(items)
        rows = []
        for item in items:
            given: dict[str, list[float]] = {}
            for one in self._by_item.get(item.id, ()):
                for name, score in one.scores.items():
                    given.setdefault(name, []).append(score)
            means = {name: math.fsum(scores) / len(scores) for name, scores in given.items()}
            if not means:
                rows.append(ScoredResponse(item.id, None, failure="unrated"))
                continue
            overall = means.pop("overall", None)
            if overall is None:
                overall = math.fsum(means.values()) / len(means)
            rows.append(ScoredResponse(item.id, overall, means))
        on_progress(len(items), len(items))
        return Scores(self.name, tuple(rows), dict(self._facts))
