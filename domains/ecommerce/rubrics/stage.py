"""Rubric features as a stage: scores `judge.*` on both sides of every pair, and what they are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from domains.ecommerce.rubrics.config import RubricFeaturesConfig, summary_rubric
from domains.ecommerce.rubrics.scoring import RubricScores, means_of, rubric_scores
from shared.data.record_files import read_records, write_records
from shared.durable import write_json
from shared.errors import DataError
from shared.evaluation.calibration import pair_outcomes
from shared.evaluation.intervals import bootstrap_mean, finite_or_none
from shared.judges.answer_cache import AnswerCache, default_cache_file
from shared.judges.prompting import prompts_digest
from shared.judges.rubric import Rubric
from shared.recipes import to_values
from shared.records import PreferenceRecord
from shared.stages import Stage, StageContext

SPLITS = ("train", "judge", "validation", "test")
REPORT_FILE = "judge-features.json"


def rubric_features(context: StageContext) -> dict[str, float]:
    """Adds the scores of a judge at an endpoint to both sides of every pair.

    Config: as `rubric_stage` writes it. Input ``features``: record files ``<split>.arrow``. Writes the same files with
    ``judge.<criterion>`` (0 to 5) among the scores, and ``judge-features.json``: answers and failures by feature,
    agreement with the experts and with given scores of the same name, use of the endpoint. Answers stand in the cache
    that all judgings share, so that a stage that was killed or ran out of budget goes on where it was.

    Returns:
        ``judge-features/pairs``, ``/left_out``, ``/unanswered`` (scores), ``/requests``, ``/cost`` where prices are
        known, and ``/<feature>/accuracy`` (share of pairs whose preferred side has the higher score; a tie counts .5).

    Raises:
        DataError: no record file.
        UsageError: the endpoint does not know the model.
        SystemStateError: the endpoint is gone, refuses access, or the budget is used up.
        StageError: too many scores without an answer.
    """
    config = RubricFeaturesConfig.model_validate(context.config["judge_features"])
    rubric = Rubric.model_validate(context.config["rubric"])
    splits = _read(context.inputs["features"])
    records = [one for found in splits.values() for one in found]
    prompts = [one.prompt for one in records]
    with AnswerCache(default_cache_file()) as cache:
        found = rubric_scores(
            [*prompts, *prompts],
            [*(one.chosen for one in records), *(one.rejected for one in records)],
            config,
            rubric,
            cache,
            context.progress,
        )
    sides = found.rows[: len(records)], found.rows[len(records) :]
    means, place, left_out = means_of(found.rows, found.names), 0, 0
    for split, given in splits.items():
        part = slice(place, place + len(given))
        scored = with_scores(given, sides[0][part], sides[1][part], found.names, means, config.missing)
        write_records(context.out / f"{split}.arrow", scored)
        place, left_out = part.stop, left_out + len(given) - len(scored)
    report = {
        "rubric": {"name": rubric.name, "version": rubric.version, "sha256": rubric.digest},
        "model": config.endpoint.model,
        "ask": config.ask,
        "pairs": len(records),
        "left_out": left_out,
        "features": {name: _feature(name, records, sides, found) for name in found.names},
        "facts": found.facts,
    }
    write_json(context.out / REPORT_FILE, report)
    return _metrics(report)


def rubric_stage(name: str, config: RubricFeaturesConfig, *, features: str) -> Stage:
    """The stage; its key holds the content of rubric and prompts, not where they lay.

    Args:
        name: of the stage.
        config: the recipe's part.
        features: name of the stage whose artifact holds the record files.

    Raises:
        UsageError: the rubric is unknown or broken.
    """
    values = to_values(config)
    values.pop("rubric")
    return Stage(
        name,
        rubric_features,
        config={
            "judge_features": values,
            "rubric": to_values(summary_rubric(config.rubric)),
            "prompts": prompts_digest(),
        },
        inputs={"features": features},
        libraries=("numpy", "scipy", "pyarrow"),
    )


def with_scores(
    records: Sequence[PreferenceRecord],
    chosen: Sequence[Mapping[str, float]],
    rejected: Sequence[Mapping[str, float]],
    names: Sequence[str],
    means: Mapping[str, float],
    missing: str,
) -> list[PreferenceRecord]:
    """Records with the scores of both sides added to those that they carry.

    Args:
        records: n pairs.
        chosen: score by feature of each preferred summary [n]; one without an answer is absent.
        rejected: of the other one.
        names: of the features.
        means: of each feature, for pairs in which neither side has it.
        missing: ``no-difference``: a feature that one side lacks has one value on both, the other side's or the mean;
            ``leave-out``: such a pair is left out.
    """
    found: list[PreferenceRecord] = []
    for record, one, other in zip(records, chosen, rejected, strict=True):
        lacking = [name for name in names if name not in one or name not in other]
        if lacking and missing == "leave-out":
            continue
        same = {name: one.get(name, other.get(name, means[name])) for name in lacking}
        found.append(
            replace(
                record,
                scores_chosen={**record.scores_chosen, **one, **same},
                scores_rejected={**record.scores_rejected, **other, **same},
            )
        )
    return found


def _read(folder: Path) -> dict[str, list[PreferenceRecord]]:
    found = {
        split: read_records(folder / f"{split}.arrow") for split in SPLITS if (folder / f"{split}.arrow").is_file()
    }
    if not any(found.values()):
        raise DataError(f"{folder} holds no pair (train.arrow, ...): run the data stage before judging features.")
    return found


def _feature(
    name: str,
    records: Sequence[PreferenceRecord],
    sides: tuple[Sequence[Mapping[str, float]], Sequence[Mapping[str, float]]],
    found: RubricScores,
) -> dict[str, Any]:
    """What is known of one feature (JSON)."""
    both = [
        (one[name] - other[name], record.group_id)
        for record, one, other in zip(records, *sides, strict=True)
        if name in one and name in other
    ]
    gaps = [gap for gap, _ in both]
    values = [row[name] for row in found.rows if name in row]
    return {
        "answered": len(values),
        "failures": found.failures[name],
        "mean": finite_or_none(sum(values) / len(values)) if values else None,
        "ties": sum(gap == 0 for gap in gaps) / len(gaps) if gaps else None,
        "accuracy": bootstrap_mean(pair_outcomes(gaps), [group for _, group in both]).to_json(),
        "correlation_with_given": _correlation(name, records, sides),
    }


def _correlation(
    name: str,
    records: Sequence[PreferenceRecord],
    sides: tuple[Sequence[Mapping[str, float]], Sequence[Mapping[str, float]]],
) -> float | None:
    """Spearman's correlation with the given score of the same feature; None where there is none, or it is constant."""
    from scipy.stats import spearmanr

    given = name.replace("judge.", "given.", 1)
    of_sides = ([one.scores_chosen for one in records], [one.scores_rejected for one in records])
    values = [
        (mine[name], theirs[given])
        for ours, others in zip(sides, of_sides, strict=True)
        for mine, theirs in zip(ours, others, strict=True)
        if name in mine and given in theirs
    ]
    if len(values) < 3 or any(len(set(column)) == 1 for column in zip(*values, strict=True)):
        return None
    correlation: Any = spearmanr([one for one, _ in values], [other for _, other in values])
    return finite_or_none(float(correlation.statistic))


def _metrics(report: Mapping[str, Any]) -> dict[str, float]:
    features, usages = report["features"], [one["usage"] for one in report["facts"].values()]
    costs = [one["cost"] for one in usages]
    found: dict[str, float | None] = {
        "pairs": report["pairs"],
        "left_out": report["left_out"],
        "unanswered": sum(sum(one["failures"].values()) for one in features.values()),
        "requests": sum(one["requests"] for one in usages),
        "cost": None if None in costs else sum(costs),
        **{f"{name.removeprefix('judge.')}/accuracy": one["accuracy"]["value"] for name, one in features.items()},
    }
    return {f"judge-features/{name}": float(value) for name, value in found.items() if value is not None}
