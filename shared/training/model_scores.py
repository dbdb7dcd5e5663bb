"""The score of a Bradley-Terry model as a feature: for the pairs that weigh it, from models that have not seen them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.durable import write_json
from shared.records import PreferenceRecord
from shared.rewards.protocol import ScalarReward
from shared.training.config import TrainingResult

if TYPE_CHECKING:
    import numpy as np

RECORDS_FOR_ZERO = 256
Train = Callable[[Sequence[PreferenceRecord], Path, Path, str], TrainingResult]
Load = Callable[[Path], ScalarReward]


@dataclass(frozen=True, slots=True)
class ModelScores:
    """Out-of-fold scores of training pairs.

    Attributes:
        chosen: of the chosen responses, each by a model that has not seen the pair's group, less that model's mean
            score, float64 [pairs].
        rejected: [pairs].
        zero: mean training score of the model that is kept, which is taken off its scores of new responses.
        accuracy: share of the pairs that those scores rank right (a tie counts half).
        training: what the training of the kept model did; its seconds are those of all.
    """

    chosen: "np.ndarray"
    rejected: "np.ndarray"
    zero: float
    accuracy: float
    training: TrainingResult


def cross_fitted(
    records: Sequence[PreferenceRecord], folds: int, seed: int, output: Path, work: Path, train: Train, load: Load
) -> ModelScores:
    """Stacked generalisation (Wolpert 1992): a model a fold of groups scores that fold, one of all pairs is kept.

    A model ranks the pairs that it was trained on far too well. Weighed on them it would outweigh all features, and
    fail on new texts. A fold that is done is not trained again where a run goes on in the same work folder.

    Args:
        records: training pairs of two groups or more.
        folds: models beside the one that is kept; fewer where there are fewer groups.
        seed: of the folds.
        output: folder of the model that is kept.
        work: folder that survives a crash.
        train: (pairs, folder for the model, work folder, text for progress) -> what was done.
        load: folder -> model.

    Raises:
        DataError: where all pairs are of one group.
    """
    import numpy as np

    from shared.evaluation.calibration import pair_outcomes
    from shared.rewards.feature_folds import group_folds

    codes = group_folds([one.group_id for one in records], folds, seed)
    count = int(codes.max()) + 1
    sides = np.zeros((2, len(records)))
    seconds = 0.0
    for fold in range(count):
        held = np.flatnonzero(codes == fold)
        place = work / f"fold-{fold}"
        done = place / "scores.json"
        if not done.is_file():
            rest = [one for one, code in zip(records, codes, strict=True) if code != fold]
            result = train(rest, place / "model", place, f"language model without fold {fold + 1} of {count}")
            model, part = load(place / "model"), [records[int(index)] for index in held]
            found = [model.score_records(part, side).tolist() for side in ("chosen", "rejected")]
            write_json(done, {"scores": found, "seconds": result.seconds})
        told = json.loads(done.read_text(encoding="utf-8"))
        scores = np.array(told["scores"])
        sides[:, held] = scores - scores.mean()
        seconds += told["seconds"]
    result = train(records, output, work / "all", "language model")
    model, sample = load(output), records[:RECORDS_FOR_ZERO]
    zero = float(np.mean([model.score_records(sample, side) for side in ("chosen", "rejected")]))
    accuracy = float(pair_outcomes(sides[0] - sides[1]).mean())
    training = result.model_copy(update={"seconds": result.seconds + seconds})
    return ModelScores(sides[0], sides[1], zero, accuracy, training)
