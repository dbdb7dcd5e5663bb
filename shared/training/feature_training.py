"""Rewards without a body: a feature network is fitted, principles are weighed; in this process, within seconds."""

import json
import logging
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared.durable import write_json, write_text
from shared.errors import DataError
from shared.records import PreferenceRecord
from shared.training.config import RewardConfig, TrainingResult
from shared.training.model_scores import ModelScores

if TYPE_CHECKING:
    import numpy as np

    from shared.rewards.feature_network import FeatureNetwork
    from shared.rewards.pair_targets import PairTargets

log = logging.getLogger(__name__)

EXPLANATION_FILE, CALIBRATION_FILE = "explanation.json", "calibration.json"
Report = Callable[[int, int, dict[str, float]], None]


def train_without_body(
    config: RewardConfig,
    records: Sequence[PreferenceRecord],
    source: Path,
    seed: int,
    output: Path,
    work: Path,
    report: Report,
    model_scores: ModelScores | None = None,
) -> TrainingResult:
    """Makes a reward model of the kinds ``features`` and ``principles``.

    Writes the model to `output`, with ``explanation.json`` (what each feature adds to the log-odds of the training
    pairs, on average and in size) and, where asked for, ``posterior.json`` with its draws and ``calibration.json``;
    and ``metrics.jsonl`` to `work`.

    Args:
        config: the recipe's part.
        records: training pairs.
        source: file they were read from, for errors.
        seed: of initial weights, folds and draws.
        output: folder of the model.
        work: folder for metrics.jsonl.
        report: called with (iterations, most iterations, metrics).
        model_scores: the pairs' ``model.score``, where the features ask for it.

    Returns:
        What was done; one iteration of the fit counts as one step. Its metrics have ``ece`` and ``ece_uncalibrated``
        (held-out folds) and ``temperature`` where the model was calibrated.

    Raises:
        DataError: where there are no pairs, a score is missing (names the record), or the extractor gives none of its
            name.
        UsageError: for features, signs, priors or weights that do not fit the data, or an unknown extractor.
    """
    import numpy as np

    from shared.evaluation.calibration import log_losses, pair_outcomes
    from shared.rewards.explanation import explanation_summary
    from shared.rewards.extraction import check_extractor
    from shared.rewards.feature_rows import SCORES
    from shared.rewards.principles import weigh_principles

    if not records:
        raise DataError(f"{source}: there is no pair to train on.")
    started = time.perf_counter()
    work.mkdir(parents=True, exist_ok=True)
    further: dict[str, float] = {}
    if config.kind == "principles":
        model = weigh_principles(records, config.principles)
        if model.settings.extractor is not None:
            names = [f"{SCORES}{name}" for name in model.settings.weights]
            model.settings.extractor_code = check_extractor(model.settings.extractor, records, names)
        margins = model.compare_records(records)
        loss, accuracy = float(np.mean(log_losses(margins))), float(np.mean(pair_outcomes(margins)))
        losses = [loss]
        model.save(output)
        explained = model.explain_records(records)
    else:
        losses, accuracy, explained, further = _fit(config, records, seed, output, report, model_scores)
    write_json(output / EXPLANATION_FILE, explanation_summary(explained))
    rows = [{"step": step, "total": len(losses) - 1, "loss": loss} for step, loss in enumerate(losses)]
    write_text(work / "metrics.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    return TrainingResult(
        output=output,
        steps=len(losses) - 1,
        resumed_from=None,
        seconds=time.perf_counter() - started,
        pairs=len(records),
        truncated=0,
        tokens=0,
        device="CPU, float64",
        threads=1,
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        metrics={
            "loss": losses[-1],
            "loss_first": losses[0],
            "loss_last": losses[-1],
            "accuracy": accuracy,
            **further,
        },
    )


def _fit(
    config: RewardConfig,
    records: Sequence[PreferenceRecord],
    seed: int,
    output: Path,
    report: Report,
    model_scores: ModelScores | None,
) -> tuple[list[float], float, list[dict[str, float]], dict[str, float]]:
    """Fits and saves a feature network; (losses, accuracy, what each feature adds to each pair, further metrics)."""
    from dataclasses import replace

    from shared.rewards.extraction import check_extractor
    from shared.rewards.feature_fit import fit_features
    from shared.rewards.feature_folds import calibrate, group_folds, out_of_fold_log_odds
    from shared.rewards.feature_rows import features_of_records, matching_features
    from shared.rewards.pair_targets import pair_targets

    options, groups = config.features, [one.group_id for one in records]
    names = matching_features(options.inputs, records)
    code = None if options.extractor is None else check_extractor(options.extractor, records, names)
    chosen = features_of_records(records, "chosen", names, None if model_scores is None else model_scores.chosen)
    rejected = features_of_records(records, "rejected", names, None if model_scores is None else model_scores.rejected)
    targets = pair_targets(records, config)

    def on_step(step: int, loss: float) -> None:
        report(step, options.max_iterations, {"loss": loss})

    fit = fit_features(names, chosen, rejected, targets, options, config.label_smoothing, seed, on_step)
    changes: dict[str, object] = {"extractor_code": code}
    further: dict[str, float] = {}
    if options.calibrate:
        codes = group_folds(groups, options.folds, seed)
        held_out = out_of_fold_log_odds(names, chosen, rejected, targets, options, codes, config.label_smoothing, seed)
        found = calibrate(held_out, codes, groups)
        changes["temperature"] = found.temperature
        further = {
            "temperature": found.temperature,
            "ece_uncalibrated": found.report["before"]["ece"]["value"],
            "ece": found.report["after"]["ece"]["value"],
        }
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / CALIBRATION_FILE, found.report)
    if model_scores is not None:
        changes["zero"] = model_scores.zero
        further["model_accuracy"] = model_scores.accuracy
    network = replace(fit.network, settings=fit.network.settings.model_copy(update=changes))
    network.save(output)
    if options.posterior is not None:
        _keep_posterior(config, network, chosen, rejected, targets, groups, seed, output)
    added = network.contributions(chosen) - network.contributions(rejected)
    explained = [dict(zip(names, row.tolist(), strict=True)) for row in added]
    return list(fit.losses), fit.accuracy, explained, further


def _keep_posterior(
    config: RewardConfig,
    network: "FeatureNetwork",
    chosen: "np.ndarray",
    rejected: "np.ndarray",
    targets: "PairTargets",
    groups: Sequence[str],
    seed: int,
    output: Path,
) -> None:
    from shared.rewards.feature_posterior import disagreement_of_chains, weight_posterior

    smoothing = config.label_smoothing
    found = weight_posterior(network, chosen, rejected, targets, config.features, smoothing, groups, seed)
    if told := disagreement_of_chains(found, network.settings.features):
        log.warning("%s", told)
    found.save(output, network)
