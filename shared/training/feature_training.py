"""Rewards without a body: a feature network is fitted, principles are weighed; in this process, within seconds."""

import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.durable import write_json, write_text
from shared.errors import DataError
from shared.records import PreferenceRecord
from shared.training.config import RewardConfig, TrainingResult

EXPLANATION_FILE = "explanation.json"
Report = Callable[[int, int, dict[str, float]], None]


def train_without_body(
    config: RewardConfig,
    records: Sequence[PreferenceRecord],
    source: Path,
    seed: int,
    output: Path,
    work: Path,
    report: Report,
) -> TrainingResult:
    """Makes a reward model of the kinds ``features`` and ``principles``.

    Writes the model to `output`, with ``explanation.json`` (what each feature adds to the log-odds of the training
    pairs, on average and in size), and ``metrics.jsonl`` to `work`.

    Args:
        config: the recipe's part.
        records: training pairs.
        source: file they were read from, for errors.
        seed: of initial weights.
        output: folder of the model.
        work: folder for metrics.jsonl.
        report: called with (iterations, most iterations, metrics).

    Returns:
        What was done; one iteration of the fit counts as one step.

    Raises:
        DataError: where there are no pairs, or a score is missing (names the record).
        UsageError: for features, signs or weights that do not fit the data.
    """
    import numpy as np

    from shared.evaluation.calibration import log_losses, pair_outcomes
    from shared.rewards.explanation import explanation_summary
    from shared.rewards.feature_fit import fit_features
    from shared.rewards.feature_network import FeatureReward
    from shared.rewards.feature_rows import features_of_records, matching_features
    from shared.rewards.pair_targets import pair_targets
    from shared.rewards.principles import weigh_principles

    if not records:
        raise DataError(f"{source}: there is no pair to train on.")
    started = time.perf_counter()
    work.mkdir(parents=True, exist_ok=True)
    if config.kind == "principles":
        model = weigh_principles(records, config.principles)
        margins = model.compare_records(records)
        loss, accuracy = float(np.mean(log_losses(margins))), float(np.mean(pair_outcomes(margins)))
        losses = [loss]
        model.save(output)
        explained = model.explain_records(records)
    else:
        names = matching_features(config.features.inputs, records)
        sides = [features_of_records(records, side, names) for side in ("chosen", "rejected")]
        fit = fit_features(
            names,
            sides[0],
            sides[1],
            pair_targets(records, config),
            config.features,
            config.label_smoothing,
            seed,
            lambda step, loss: report(step, config.features.max_iterations, {"loss": loss}),
        )
        losses, accuracy = list(fit.losses), fit.accuracy
        fit.network.save(output)
        explained = FeatureReward(fit.network).explain_records(records)
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
        metrics={"loss": losses[-1], "loss_first": losses[0], "loss_last": losses[-1], "accuracy": accuracy},
    )
