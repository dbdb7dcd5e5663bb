"""Feature vectors of responses: scores that records carry (``scores.<name>``), and features counted in the text."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from shared.errors import DataError, UsageError
from shared.records import Message, PreferenceRecord
from shared.rewards.protocol import Side
from shared.rewards.text_features import TEXT_FEATURES, text_features

if TYPE_CHECKING:
    import numpy as np

Extract = Callable[[Sequence[tuple[Message, ...]], Sequence[str]], Sequence[Mapping[str, float]]]
"""Scores, by name, of n responses under their prompts: what a domain brings so that new texts can be scored."""

SCORES, TEXT = "scores.", "text."


def matching_features(patterns: Sequence[str], records: Sequence[PreferenceRecord]) -> list[str]:
    """Names of features that match any pattern, in a fixed order.

    Raises:
        DataError: where a pattern matches nothing; names what there is.
    """
    scores = {name for one in records for side in (one.scores_chosen, one.scores_rejected) for name in side}
    known = [*(f"{SCORES}{name}" for name in sorted(scores)), *(f"{TEXT}{name}" for name in TEXT_FEATURES)]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise DataError(
                f"no feature matches {pattern} (reward.training.features.inputs): there are {', '.join(known)}."
            )
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def features_of_records(records: Sequence[PreferenceRecord], side: Side, names: Sequence[str]) -> "np.ndarray":
    """Feature vectors of one side, float64 [n, features].

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
    return _matrix(rows, names, lambda index: f"{records[index].source}: the record {records[index].id}", side)


def features_of_texts(
    prompts: Sequence[tuple[Message, ...]], responses: Sequence[str], names: Sequence[str], extract: Extract | None
) -> "np.ndarray":
    """Feature vectors of responses that no record carries scores for, float64 [n, features].

    Raises:
        UsageError: where scores are needed and nothing extracts them.
        DataError: where the extraction leaves one out.
    """
    scores: Sequence[Mapping[str, float]] = [{}] * len(responses)
    if needed := [name for name in names if name.startswith(SCORES)]:
        if extract is None:
            raise UsageError(
                f"this reward model reads {', '.join(needed)}, which stand in records only: to score other texts, use "
                "a kind that reads text (bradley-terry, gpm), or features of the text alone (text.*)."
            )
        scores = extract(prompts, responses)
    rows: list[Mapping[str, float]] = []
    for messages, response, found in zip(prompts, responses, scores, strict=True):
        row = {f"{SCORES}{name}": value for name, value in found.items()}
        if any(name.startswith(TEXT) for name in names):
            row |= {f"{TEXT}{name}": value for name, value in text_features(messages, response).items()}
        rows.append(row)
    return _matrix(rows, names, lambda index: f"response {index}", "response")


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
