"""Training a reward model of any kind, as a stage."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.data.record_files import read_records, write_records
from shared.records import PreferenceRecord
from shared.rewards.bodies import check_positions
from shared.rewards.feature_rows import MODEL_SCORE, matching_features
from shared.rewards.loading import BODY_FOLDER
from shared.rewards.protocol import ScalarReward
from shared.rewards.settings import EnsembleConfig
from shared.stages import StageContext
from shared.training.config import RewardConfig, RewardJob, TrainingResult
from shared.training.feature_training import train_without_body
from shared.training.launch import launch
from shared.training.model_scores import ModelScores, cross_fitted
from shared.training.stage_results import keep_training_facts, read_curves

WITH_BODY = ("bradley-terry", "gpm")
RECORDS_FOR_ZEROS = 256


def train_reward(context: StageContext) -> dict[str, float]:
    """Trains a reward model on one split of the data.

    Config: ``reward`` (RewardConfig), ``seed``, ``split``, ``prompt``, ``precision``, ``body`` (the reference that the
    saved model names as its base). Input ``data``, model ``body``. Writes ``model/``, training facts and curves; for
    an ensemble also those of each member, in ``members/member-i/``, while its own curves are the members' mean. A
    feature network that reads ``model.score`` has the Bradley-Terry model that gives it in ``model/body/``; see
    `shared.training.model_scores`.

    Returns:
        ``reward/loss_last`` and the like, ``reward/pairs``, ``reward/truncated``, ``reward/steps``.
    """
    config = RewardConfig.model_validate(context.config["reward"])
    records = context.inputs["data"] / f"{context.config['split']}.arrow"
    if config.ensemble is None:
        result = _train(context, config, records, context.config["seed"], context.out / "model", context.work)
        keep_training_facts(result, context.work, context.out)
        return _metrics(result)
    return _train_ensemble(context, config, config.ensemble, records)


def _train(
    context: StageContext, config: RewardConfig, records: Path, seed: int, output: Path, work: Path, text: str = ""
) -> TrainingResult:
    """One model of any kind; leaves metrics.jsonl in `work`."""

    def report(step: int, total: int, _: Any) -> None:
        context.progress(step, total, f"training{text}")

    if config.kind in WITH_BODY:
        job = _job(context, config, records, seed, output)
        return launch(job, work, context.tracking if not text else None, report)
    pairs, scores = read_records(records), None
    if config.kind == "features" and pairs and MODEL_SCORE in matching_features(config.features.inputs, pairs):
        scores = _model_scores(context, config, pairs, seed, output, work, text)
    result = train_without_body(config, pairs, records, seed, output, work, report, scores)
    return result if scores is None else _with_body(result, scores.training)


def _job(context: StageContext, config: RewardConfig, records: Path, seed: int, output: Path) -> RewardJob:
    check_positions(context.models["body"], context.config["body"], config.max_length)
    return RewardJob(
        model=context.models["body"],
        model_name=context.config["body"],
        records=[records],
        output=output,
        seed=seed,
        precision=context.config["precision"],
        prompt=context.config["prompt"],
        config=config,
    )


def _model_scores(
    context: StageContext,
    config: RewardConfig,
    pairs: Sequence[PreferenceRecord],
    seed: int,
    output: Path,
    work: Path,
    text: str,
) -> ModelScores:
    """Trains the Bradley-Terry models of the feature ``model.score``; the one that is kept goes into `output`."""
    from shared.rewards.bradley_terry import RewardModel

    of_body = config.model_copy(update={"kind": "bradley-terry", "ensemble": None})

    def train(part: Sequence[PreferenceRecord], folder: Path, place: Path, told: str) -> TrainingResult:
        def report(step: int, total: int, _: Any) -> None:
            context.progress(step, total, f"training{text}, {told}")

        place.mkdir(parents=True, exist_ok=True)
        write_records(place / "train.arrow", part)
        return launch(_job(context, of_body, place / "train.arrow", seed, folder), place, None, report)

    def load(folder: Path) -> ScalarReward:
        return RewardModel.load(folder, context.models["body"], context.config["precision"])

    return cross_fitted(pairs, config.features.folds, seed, output / BODY_FOLDER, work / BODY_FOLDER, train, load)


def _with_body(result: TrainingResult, body: TrainingResult) -> TrainingResult:
    """Facts of a feature network's fit and of the trainings behind its ``model.score``."""
    return result.model_copy(
        update={
            "seconds": result.seconds + body.seconds,
            "truncated": body.truncated,
            "tokens": body.tokens,
            "device": body.device,
            "threads": body.threads,
            "peak_memory": max(result.peak_memory, body.peak_memory),
        }
    )


def _train_ensemble(
    context: StageContext, config: RewardConfig, ensemble: EnsembleConfig, records: Path
) -> dict[str, float]:
    single = config.model_copy(update={"ensemble": None})
    names = [f"member-{index}" for index in range(ensemble.members)]
    results: list[TrainingResult] = []
    for index, name in enumerate(names):
        seed, work, given = context.config["seed"] + index, context.work / name, records
        work.mkdir(parents=True, exist_ok=True)
        if ensemble.resample:
            given = work / "resampled.arrow"
            write_records(given, resample_groups(read_records(records), seed))
        text = f" {index + 1} of {len(names)}"
        result = _train(context, single, given, seed, context.out / "model" / name, work, text)
        (context.out / "members" / name).mkdir(parents=True)
        keep_training_facts(result, work, context.out / "members" / name)
        results.append(result)
    _save_ensemble(context, ensemble, names, records)
    _keep_means(context.out, results, names)
    return _metrics(_mean_result(results))


def resample_groups(records: Sequence[PreferenceRecord], seed: int) -> list[PreferenceRecord]:
    """As many groups as there are, drawn with replacement; a group drawn twice gives its pairs twice."""
    import numpy as np

    groups: dict[str, list[PreferenceRecord]] = {}
    for record in records:
        groups.setdefault(record.group_id, []).append(record)
    members = list(groups.values())
    drawn = np.random.default_rng(seed).integers(0, len(members), size=len(members))
    return [
        dataclasses.replace(record, id=f"{record.id}-{draw}") for draw, at in enumerate(drawn) for record in members[at]
    ]


def _save_ensemble(context: StageContext, ensemble: EnsembleConfig, names: Sequence[str], records: Path) -> None:
    """Writes the ensemble's settings, with the members' zeros where they have scores."""
    from shared.rewards.ensemble import save_ensemble
    from shared.rewards.loading import load_reward
    from shared.rewards.protocol import ScalarReward
    from shared.rewards.settings import EnsembleSettings

    sample = read_records(records)[:RECORDS_FOR_ZEROS]
    zeros: list[float] = []
    for index, name in enumerate(names):
        context.progress(index, len(names), "centring members")
        body = context.models.get("body")
        member = load_reward(context.out / "model" / name, body, context.config["precision"])
        if isinstance(member, ScalarReward):
            sides = (member.score_records(sample, side).mean() for side in ("chosen", "rejected"))
            zeros.append(float(sum(sides) / 2.0))
    settings = EnsembleSettings(members=list(names), combine=ensemble.combine, penalty=ensemble.penalty, zeros=zeros)
    save_ensemble(context.out / "model", settings)


def _mean_result(results: Sequence[TrainingResult]) -> TrainingResult:
    shared = set.intersection(*({*one.metrics} for one in results))
    means = {name: sum(one.metrics[name] for one in results) / len(results) for name in sorted(shared)}
    return results[0].model_copy(
        update={
            "metrics": means,
            "seconds": sum(one.seconds for one in results),
            "peak_memory": max(one.peak_memory for one in results),
            "truncated": max(one.truncated for one in results),
        }
    )


def _keep_means(out: Path, results: Sequence[TrainingResult], names: Sequence[str]) -> None:
    """The ensemble's own facts and curves: means over its members at each step that all took."""
    import json

    curves = [read_curves(out / "members" / name) for name in names]
    rows = []
    for together in zip(*curves, strict=False):
        shared = set.intersection(*({*row} for row in together))
        rows.append({name: sum(row[name] for row in together) / len(together) for name in sorted(shared)})
    work = out / "members"
    (work / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    keep_training_facts(_mean_result(results), work, out)
    (work / "metrics.jsonl").unlink()


def _metrics(result: TrainingResult) -> dict[str, float]:
    counts = {"pairs": result.pairs, "truncated": result.truncated, "steps": result.steps}
    return {f"reward/{name.removeprefix('reward/')}": value for name, value in {**result.metrics, **counts}.items()}
