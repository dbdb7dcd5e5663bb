"""Columns that predict the label: a confounder that a model may learn in place of quality.

Every score, covariate and twin metadata column is tried as a judge of its own ("the higher is preferred", both
directions), and so is the length of the response, with intervals clustered by group and Holm's correction over all of
them: of m judges ordered by p value the k-th is tested at, and has its interval at, level alpha / (m - k + 1) (S. Holm,
"A simple sequentially rejective multiple test procedure", 1979). The finding on length is another check's
(`shared.lint.length`); here it is one more judge to compare with.
"""

import math
from collections.abc import Mapping
from fnmatch import fnmatch

import numpy as np
from numpy.typing import NDArray

from shared.evaluation.paired import holm
from shared.lint.columns import UNKNOWN
from shared.lint.config import LintConfig
from shared.lint.findings import Finding, Outcome, metric_name
from shared.lint.pairs import PairTable
from shared.lint.registry import Check, table_check
from shared.lint.signs import SignAccuracy, sign_accuracy
from shared.lint.ties import tied_pairs

LENGTH = "length of the response"
CONFIDENCE = 0.95  # of the intervals, for one judge alone and for all together


@table_check(
    "label_predictors",
    severity="warning",
    thresholds=("predictor_accuracy", "alpha", "label_columns", "position_columns"),
)
def label_predictors(table: PairTable, config: LintConfig) -> Outcome:
    """A column other than the text predicts which response is preferred."""
    judged: dict[str, tuple[str, SignAccuracy]] = {}
    tied = tied_pairs(table, config)
    signs = {name: np.where(tied, 0, column).astype(np.int8) for name, column in table.columns.signs().items()}
    for name, column in signs.items():
        judged[name] = ("number", sign_accuracy(column, table.groups))
    for name, (chosen, rejected) in table.columns.categories().items():
        verdict = np.where(tied, 0, category_judge(chosen, rejected, table.groups)).astype(np.int8)
        judged[name] = ("category", sign_accuracy(verdict, table.groups))
    for name, values in table.columns.flags().items():
        if any(fnmatch(name, pattern) for pattern in config.position_columns):
            column = np.where(tied, 0, np.where(values == 0, -1, values)).astype(np.int8)
            judged[f"metadata.{name}"] = ("position", sign_accuracy(column, table.groups))
    if judged:
        longer = np.sign(table.chosen_chars.astype(np.int64) - table.rejected_chars)
        judged[LENGTH] = ("length", sign_accuracy(np.where(tied, 0, longer).astype(np.int8), table.groups))
    adjusted = holm({name: result.p_value for name, (_, result) in judged.items()})
    together = simultaneous_intervals({name: result for name, (_, result) in judged.items()}, 1 - CONFIDENCE)
    outcome = Outcome()
    rows = []
    for name, (kind, result) in sorted(judged.items(), key=lambda item: -_either_way(item[1][1])):
        p_value = adjusted[name]
        defines = any(fnmatch(name, pattern) for pattern in config.label_columns)
        rows.append(
            {
                "column": name,
                "kind": kind,
                "defines_label": defines,
                "accuracy": result.accuracy,
                "low": result.low,
                "high": result.high,
                "low_together": together[name][0],
                "high_together": together[name][1],
                "p_value": p_value,
                "n": result.n,
            }
        )
        if kind == "length":
            continue
        outcome.metrics[metric_name("predictor", name, "accuracy")] = result.accuracy
        # A category judge below one half has merely failed: its direction was fitted on the other half of the groups.
        skill = result.accuracy if kind == "category" else _either_way(result)
        if not (math.isfinite(p_value) and p_value < config.alpha and skill >= config.predictor_accuracy):
            continue
        examples = ()
        if kind == "number":
            usual = 1 if result.accuracy > 0.5 else -1
            examples = table.examples(np.flatnonzero(signs[name] == -usual))
        outcome.findings.append(
            Finding(
                "label_predictors",
                "info" if defines else "warning",
                round(skill * result.n),
                skill,
                _message(name, kind, result, defines),
                name,
                examples,
            )
        )
    outcome.figures["columns"] = rows
    return outcome


def simultaneous_intervals(results: Mapping[str, SignAccuracy], alpha: float) -> dict[str, tuple[float, float]]:
    """Holm's intervals: (low, high) by name, each at the level at which its p value is tested.

    Args:
        results: by name; those without a p value are no part of the family and keep an interval of their own level.
        alpha: chance of any wrong rejection among all of them.
    """
    tested = sorted(
        (name for name in results if math.isfinite(results[name].p_value)), key=lambda n: results[n].p_value
    )
    level = {name: 1 - alpha / (len(tested) - place) for place, name in enumerate(tested)}
    return {name: result.interval(level.get(name, 1 - alpha)) for name, result in results.items()}


def category_judge(
    chosen: NDArray[np.int16], rejected: NDArray[np.int16], groups: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Verdicts [n] of a judge that knows how often each category wins in the other half of the groups.

    Returns:
        1 where it prefers the chosen side, -1 the rejected one, 0 where it cannot tell or a category is missing.
    """
    verdict = np.zeros(chosen.size, dtype=np.int8)
    half = groups % 2 == 0
    n = int(max(chosen.max(initial=0), rejected.max(initial=0))) + 1
    usable = (chosen != UNKNOWN) & (rejected != UNKNOWN) & (chosen != rejected)
    for learn in (half, ~half):
        rows = learn & usable
        won = np.bincount(chosen[rows], minlength=n).astype(np.float64)
        lost = np.bincount(rejected[rows], minlength=n)
        rate = (won + 1) / (won + lost + 2)
        judged = ~learn & usable
        verdict[judged] = np.sign(rate[chosen[judged]] - rate[rejected[judged]]).astype(np.int8)
    return verdict


def _either_way(result: SignAccuracy) -> float:
    return max(result.accuracy, 1 - result.accuracy) if math.isfinite(result.accuracy) else 0.0


def _message(name: str, kind: str, result: SignAccuracy, defines: bool) -> str:
    accuracy, low, high = result.accuracy, result.low, result.high
    flipped = accuracy < 0.5 and kind != "category"
    if flipped:
        accuracy, low, high = 1 - accuracy, 1 - high, 1 - low
    said = f"{accuracy:.1%} [{low:.1%}, {high:.1%}] of {result.n:,} pairs"
    if kind == "position":
        return (
            f"the column {name} has one value in {said}, so the place of a response tells the label: shuffle "
            "the sides where it is shown to a judge."
        )
    if kind == "category":
        what = f"knowing only the column {name} of both sides predicts the label in {said}"
    else:
        what = f"the column {name} is {'lower' if flipped else 'higher'} on the chosen side in {said}"
    if defines:
        return f"{what}; it is stated to define the label, so use it for nothing that is called an evaluation."
    return (
        f"{what}: report a judge that sees only this column beside every model, look at the pairs that contradict it "
        "apart, and match or weight pairs by it."
    )


CHECKS: tuple[Check, ...] = (label_predictors,)
