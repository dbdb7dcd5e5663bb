"""Length bias: how well a judge does that only counts characters."""

import math

import numpy as np

from shared.lint.config import LintConfig
from shared.lint.figures import binned
from shared.lint.findings import Finding, Outcome, metric_name, per_cent
from shared.lint.pairs import PairTable
from shared.lint.registry import Check, table_check
from shared.lint.signs import sign_accuracy
from shared.lint.ties import tied_pairs


@table_check("length_bias", severity="warning", thresholds=("length_accuracy", "alpha"))
def length_bias(table: PairTable, config: LintConfig) -> Outcome:
    """The preferred response is longer (or shorter) far more often than not."""
    if not len(table):
        return Outcome()
    chosen, rejected = table.chosen_chars.astype(np.float64), table.rejected_chars.astype(np.float64)
    longer = np.where(tied_pairs(table, config), 0, np.sign(chosen - rejected)).astype(np.int8)
    result = sign_accuracy(longer, table.groups)
    outcome = Outcome(
        figures={
            "accuracy": result.accuracy,
            "low": result.low,
            "high": result.high,
            "n": result.n,
            "mean_chosen": float(chosen.mean()),
            "mean_rejected": float(rejected.mean()),
            "difference": binned(chosen - rejected, symmetric=True, clip=0.98),
            "median_difference": float(np.median(chosen - rejected)),
        },
        metrics={
            metric_name("length_judge_accuracy"): result.accuracy,
            metric_name("length_mean_chosen"): float(chosen.mean()),
            metric_name("length_mean_rejected"): float(rejected.mean()),
        },
    )
    judge = max(result.accuracy, 1 - result.accuracy)
    if math.isfinite(result.p_value) and judge >= config.length_accuracy and result.p_value < config.alpha:
        word, low, high = (
            ("longer", result.low, result.high)
            if result.accuracy > 0.5
            else ("shorter", 1 - result.high, 1 - result.low)
        )
        message = (
            f"a judge that prefers the {word} response is right in {per_cent(judge)} [{low:.1%}, {high:.1%}] of "
            f"{result.n:,} pairs (mean {chosen.mean():.0f} against {rejected.mean():.0f} characters): show that "
            "baseline beside every model, and evaluate on length-matched pairs too."
        )
        count = round(judge * result.n)
        outcome.findings.append(Finding("length_bias", "warning", count, judge, message, subject=word))
    return outcome


CHECKS: tuple[Check, ...] = (length_bias,)
