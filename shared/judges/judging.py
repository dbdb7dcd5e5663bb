"""Judging candidate sets and keeping the result: verdict or score rows, pairs to train on, a report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.durable import write_json, write_text
from shared.errors import StageError, UsageError, ValignError
from shared.evaluation.intervals import bootstrap_mean, finite_or_none
from shared.judges.biases import label_accuracy, length_bias, position_bias, self_consistency
from shared.judges.candidates import CandidateSet
from shared.judges.judge_config import JudgeConfig
from shared.judges.protocol import Judge, OnProgress, Scores, Verdicts, count_failures, no_progress
from shared.judges.ranking import (
    RankedSet,
    best_against_worst,
    labels_of,
    pair_items,
    rank_by_scores,
    rank_by_verdicts,
    response_items,
)
from shared.records import PreferenceRecord


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge said of candidate sets.

    Attributes:
        rows: JSON rows of all items, in order: the columns of human ratings and what else is known.
        ranked: the sets with a value for each response.
        pairs: best against worst of each set, where there is a margin.
        report: counts, agreement with labels, biases, usage (JSON).
        stopped: why the judge stopped before the end.
    """

    rows: tuple[dict[str, Any], ...]
    ranked: tuple[RankedSet, ...]
    pairs: tuple[PreferenceRecord, ...]
    report: dict[str, Any]
    stopped: ValignError | None


def judge_candidates(
    sets: Sequence[CandidateSet], judge: Judge, config: JudgeConfig, on_progress: OnProgress = no_progress
) -> Judgement:
    """Judges all sets by the configured method.

    Args:
        sets: candidate sets, de-identified where the judge is an endpoint.
        judge: of any kind.
        config: method, comparisons, least margin.
        on_progress: called with (answered, all).

    Raises:
        UsageError: pairs are asked for, and no set has two responses; or the judge has no scores.
        SystemStateError: an endpoint answered nothing at all.
    """
    if config.method == "scores":
        return _scored(sets, judge, config, on_progress)
    items = pair_items(sets, config.comparisons)
    if not items:
        raise UsageError("no prompt has two responses to compare: judge scores instead, or give pairs.")
    found = judge.compare(items, on_progress)
    groups = [item.group_id for item in items]
    ranked = rank_by_verdicts(sets, found.rows, config.comparisons)
    labels = labels_of(sets)
    winners = [one.winner for one in found.rows]
    report = _counts(found, len(items), "pairs")
    report |= {
        "winners": {name: winners.count(name) for name in ("a", "b", "tie")},
        "labels": label_accuracy(items, found.rows, labels),
        "position": position_bias(found.rows, groups),
        "length": length_bias(items, found.rows, labels or None),
        "self_consistency": self_consistency(found.rows, groups),
        "cycles": {"cyclic": sum(one.cycles for one in ranked), "triples": sum(one.triples for one in ranked)},
    }
    rows = tuple(one.to_json(found.judge, group) for one, group in zip(found.rows, groups, strict=True))
    return _judgement(rows, ranked, report, config, found)


def _scored(sets: Sequence[CandidateSet], judge: Judge, config: JudgeConfig, on_progress: OnProgress) -> Judgement:
    items = response_items(sets)
    found = judge.score(items, on_progress)
    ranked = rank_by_scores(sets, found.rows)
    groups = [item.group_id for item in items]
    report = _counts(found, len(items), "responses")
    names = list(dict.fromkeys(name for one in found.rows for name in one.criteria))
    means = {"overall": [(one.overall, group) for one, group in zip(found.rows, groups, strict=True)]}
    means |= {
        name: [(one.criteria.get(name), group) for one, group in zip(found.rows, groups, strict=True)] for name in names
    }
    report["means"] = {name: _mean(values) for name, values in means.items()}
    lengths = [float(len(item.response)) for item in items]
    report["length"] = {"rank_correlation_with_score": _rank_correlation(lengths, [one.overall for one in found.rows])}
    report["labels"] = _label_accuracy_of_scores(ranked)
    rows = tuple(one.to_json(found.judge, group) for one, group in zip(found.rows, groups, strict=True))
    return _judgement(rows, ranked, report, config, found)


def _judgement(
    rows: tuple[dict[str, Any], ...],
    ranked: list[RankedSet],
    report: dict[str, Any],
    config: JudgeConfig,
    found: Verdicts | Scores,
) -> Judgement:
    pairs = tuple(best_against_worst(ranked, found.judge, config.min_margin))
    report["training_pairs"] = len(pairs)
    return Judgement(rows, tuple(ranked), pairs, report, found.stopped)


def _counts(found: Verdicts | Scores, items: int, what: str) -> dict[str, Any]:
    failures = count_failures(found.rows)
    return {
        "judge": found.judge,
        "what": what,
        "items": items,
        "answered": items - sum(failures.values()),
        "failures": failures,
        "stopped": str(found.stopped) if found.stopped else None,
        "facts": dict(found.facts),
    }


def _mean(values: Sequence[tuple[float | None, str]]) -> dict[str, Any]:
    known = [(number, group) for number, group in values if number is not None]
    return bootstrap_mean([number for number, _ in known], [group for _, group in known]).to_json()


def _rank_correlation(lengths: Sequence[float], scores: Sequence[float | None]) -> float | None:
    """Spearman's correlation of length in characters and overall score; None where it is not defined."""
    from scipy.stats import spearmanr

    known = [(length, score) for length, score in zip(lengths, scores, strict=True) if score is not None]
    if len(known) < 3 or len({length for length, _ in known}) == 1 or len({score for _, score in known}) == 1:
        return None
    found: Any = spearmanr([length for length, _ in known], [score for _, score in known])
    return finite_or_none(float(found.statistic))


def _label_accuracy_of_scores(ranked: Sequence[RankedSet]) -> dict[str, Any] | None:
    right, groups = [], []
    for one in ranked:
        if one.candidates.preferred is None or len(one.values) != 2:
            continue
        preferred, other = one.values[one.candidates.preferred], one.values[1 - one.candidates.preferred]
        if preferred is not None and other is not None:
            right.append(0.5 if preferred == other else float(preferred > other))
            groups.append(one.candidates.group_id)
    return {"accuracy": bootstrap_mean(right, groups).to_json()} if right else None


def require_enough(judgement: Judgement, config: JudgeConfig) -> None:
    """Refuses a judgement that would speak for too few of its items.

    Raises:
        ValignError: as the judge stopped.
        StageError: more items than `max_failed_share` have no answer.
    """
    if judgement.stopped is not None:
        raise judgement.stopped
    report = judgement.report
    failed = report["items"] - report["answered"]
    if failed > config.max_failed_share * report["items"]:
        reasons = ", ".join(f"{count} {name}" for name, count in report["failures"].items())
        raise StageError(
            f"the judge {report['judge']} answered {report['answered']} of {report['items']} items ({reasons}): use a "
            "model that keeps to the form, raise endpoint.max_tokens, or allow more with max_failed_share."
        )


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as JSON lines, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def write_judgement(folder: Path, judgement: Judgement) -> None:
    """verdicts.jsonl or scores.jsonl, ranked.jsonl (a value for each response), pairs.arrow, report.json."""
    from shared.data.record_files import RecordWriter

    name = "verdicts" if judgement.report["what"] == "pairs" else "scores"
    write_rows(folder / f"{name}.jsonl", judgement.rows)
    ranked = [
        {
            "id": one.candidates.id,
            "group": one.candidates.group_id,
            "values": list(one.values),
            "unit": one.unit,
            "best": one.best,
            "worst": one.worst,
        }
        for one in judgement.ranked
    ]
    write_rows(folder / "ranked.jsonl", ranked)
    with RecordWriter(folder / "pairs.arrow") as writer:
        for record in judgement.pairs:
            writer.write(record)
    write_json(folder / "report.json", judgement.report)
