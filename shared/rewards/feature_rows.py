"""Feature vectors of responses: scores that records carry (``scores.<name>``), and features counted in the text."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from shared.errors import DataError, UsageError
from shared.records import Message, PreferenceRecord
from shared.rewards.protocol import ScalarReward, Side
from shared.rewards.text_features import TEXT_FEATURES, text_features

if TYPE_CHECKING:
    import numpy as np

Extract = Callable[[Sequence[tuple[Message, ...]], Sequence[str]], Sequence[Mapping[str, float]]]
"""Scores, by name, of n responses under their prompts: what a domain brings so that new texts can be scored."""

SCORES, TEXT = "scores.", "text."
MODEL_SCORE = "model.score"
"""The score of a Bradley-Terry model; asked for by this name or ``model.*`` only, for it costs trainings."""


def matching_features(patterns: Sequence[str], records: Sequence[PreferenceRecord]) -> list[str]:
    """Names of features that match any pattern, in a fixed order.

    Raises:
        DataError: where a pattern matches nothing; names what there is.
    """
    scores = {name for one in records for side in (one.scores_chosen, one.scores_rejected) for name in side}
    known = [*(f"{SCORES}{name}" for name in sorted(scores)), *(f"{TEXT}{name}" for name in TEXT_FEATURES)]
    if any(pattern.startswith("model.") for pattern in patterns):
        known.append(MODEL_SCORE)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise DataError(
                f"no feature matches {pattern} (reward.training.features.inputs): there are {', '.join(known)}."
            )
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def features_of_records(
    records: Sequence[PreferenceRecord], side: Side, names: Sequence[str], model_scores: "np.ndarray | None" = None
) -> "np.ndarray":
    """Feature vectors of one side, float64 [n, features].

    Args:
        records: n pairs.
        side: which of their responses.
        names: of the features.
        model_scores: ``model.score`` of each response, [n], where it is among the names.

    Raises:
        DataError: naming the record and the score that it has not, or that is no number.
    """
    rows: list[Mapping[str, float]] = []
    for one in records:
        scores = one.scores_chosen if side == "chosen" else one.scores_rejected
        row = {f"{SCORES}{name}": value for name, value in scores.items()}
        if any(name.startswith(TEXT) for name in names):
            text = one.chosen if side == "chosen" else one.rejected
            row |= {f"{TEXT}{name}": value for name, value in text_features(one.prompt, text).items()}
        rows.append(row)
    _add_model_scores(rows, model_scores)
    return _matrix(rows, names, lambda index: f"{records[index].source}: the record {records[index].id}", side)


def features_of_texts(
    prompts: Sequence[tuple[Message, ...]],
    responses: Sequence[str],
    names: Sequence[str],
    extract: Extract | None,
    scorer: ScalarReward | None = None,
    zero: float = 0.0,
) -> "np.ndarray":
    """Feature vectors of responses that no record carries scores for, float64 [n, features].

    Args:
        prompts: n conversations.
        responses: n responses.
        names: of the features.
        extract: gives their ``scores.*``.
        scorer: gives their ``model.score``.
        zero: is taken off that.

    Raises:
        UsageError: where scores are needed and nothing extracts them.
        DataError: where the extraction leaves one out.
    """
    scores: Sequence[Mapping[str, float]] = [{}] * len(responses)
    if needed := [name for name in names if name.startswith(SCORES)]:
        if extract is None:
            raise UsageError(
                f"this reward model reads {', '.join(needed)}, which stand in records only: to score other texts, name "
                "the domain that extracts them (features.extractor), use a kind that reads text (bradley-terry, gpm), "
                "or features of the text alone (text.*)."
            )
        scores = extract(prompts, responses)
    rows: list[Mapping[str, float]] = []
    for messages, response, found in zip(prompts, responses, scores, strict=True):
        row = {f"{SCORES}{name}": value for name, value in found.items()}
        if any(name.startswith(TEXT) for name in names):
            row |= {f"{TEXT}{name}": value for name, value in text_features(messages, response).items()}
        rows.append(row)
    if MODEL_SCORE in names and scorer is not None:
        _add_model_scores(rows, scorer.score(prompts, responses) - zero)
    return _matrix(rows, names, lambda index: f"response {index}", "response")


def _add_model_scores(rows: "list[Mapping[str, float]]", model_scores: "np.ndarray | None") -> None:
    if model_scores is not None:
        rows[:] = [{**row, MODEL_SCORE: value} for row, value in zip(rows, model_scores.tolist(), strict=True)]


def _matrix(
    rows: Sequence[Mapping[str, float]], names: Sequence[str], where: Callable[[int], str], side: str
) -> "np.ndarray":
    import numpy as np

    found = np.zeros((len(rows), len(names)))
    for index, row in enumerate(rows):
        for column, name in enumerate(names):
            value = row.get(name)
            if value is None or not np.isfinite(value):
                raise DataError(
                    f"{where(index)} has no score {name.removeprefix(SCORES)!r} of the {side} side that the reward "
                    "model reads: score it, leave the record out, or leave the score out of the recipe."
                )
            found[index, column] = value
    return found
