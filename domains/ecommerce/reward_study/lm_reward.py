"""A language-model reward trained anew for every fold, so that it has seen nothing of the products it scores."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domains.ecommerce.reward_study.config import LmStudy
from domains.ecommerce.reward_study.designs import Design
from domains.ecommerce.reward_study.pairs import Ints, StudyPairs, product_folds
from shared.data.record_files import write_records
from shared.durable import write_json
from shared.evaluation.intervals import Floats

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class LmScores:
    """Scores of both sides.

    Attributes:
        held_out: of every pair, by the model of its own fold, which was trained on the other folds, [2, n].
        stacked: as a column of a design, None without inner folds: [folds, n, 1] a side. For each study fold it holds
            the held-out scores of that fold, and for its training pairs scores by models that saw neither the pair's
            product nor the fold.
    """

    held_out: Floats
    stacked: Design | None

    @property
    def margins(self) -> Floats:
        """Log-odds that the chosen response is the better one, [1, n]."""
        return (self.held_out[0] - self.held_out[1])[None]


@dataclass(frozen=True, slots=True)
class LmTraining:
    """What every training of the study shares.

    Attributes:
        body: folder of the model.
        config: the recipe's part.
        prompt: how conversations are rendered (JSON values of `PromptFormat`).
        precision: see `shared.device.pick_device`.
        work: folder that is kept between starts; a training that was finished there is not done again.
    """

    body: Path
    config: LmStudy
    prompt: Any
    precision: Any
    work: Path


def lm_scores(pairs: StudyPairs, folds: Ints, training: LmTraining, on_progress: Progress) -> LmScores:
    """Trains and scores: `folds` models, and for each as many more as there are inner folds.

    Args:
        pairs: n pairs.
        folds: the study's fold of each [n].
        training: how.
        on_progress: called with (trainings done, all, text).

    Raises:
        StageError: where a training crashed or diverged.
    """
    config = training.config
    coarse = folds % config.folds
    numbers = range(config.folds)
    total, done = config.folds * (1 + config.inner_folds), 0
    held_out = np.full((2, len(pairs)), np.nan)
    columns = np.full((config.folds, 2, len(pairs)), np.nan)

    def scored(name: str, train: Ints, wanted: Ints, seed: int) -> Floats:
        nonlocal done
        on_progress(done, total, f"language model, {name}")
        found = _scores(pairs, train, wanted, name, seed, training)
        done += 1
        return found

    for fold in numbers:
        train, test = np.flatnonzero(coarse != fold), np.flatnonzero(coarse == fold)
        first = config.seed + fold * (1 + config.inner_folds)
        held_out[:, test] = scored(f"fold-{fold}", train, test, first)
        columns[fold][:, test] = held_out[:, test]
        if not config.inner_folds:
            continue
        inner = product_folds([pairs.groups[place] for place in train], config.inner_folds, first)
        for part in range(config.inner_folds):
            name, seen, unseen = f"fold-{fold}-{part}", train[inner != part], train[inner == part]
            columns[fold][:, unseen] = scored(name, seen, unseen, first + 1 + part)
    on_progress(total, total, "language model")
    if not config.inner_folds:
        return LmScores(held_out, None)
    by_study_fold = columns[np.arange(int(folds.max()) + 1) % config.folds]  # [study folds, 2, n]
    return LmScores(held_out, Design(("lm",), by_study_fold[:, 0, :, None], by_study_fold[:, 1, :, None]))


def _scores(pairs: StudyPairs, train: Ints, wanted: Ints, name: str, seed: int, training: LmTraining) -> Floats:
    """Trains on some pairs and scores others, [2, wanted]; the model itself is not kept."""
    from shared.rewards.bradley_terry import RewardModel
    from shared.training.config import RewardJob
    from shared.training.launch import launch

    folder = training.work / name
    kept = folder / "scores.json"
    if kept.is_file():
        return np.array(json.loads(kept.read_text(encoding="utf-8")), dtype=np.float64)
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "train.arrow", [pairs.records[place] for place in train])
    job = RewardJob(
        model=training.body,
        model_name=training.config.body,
        records=[folder / "train.arrow"],
        output=folder / "model",
        seed=seed,
        precision=training.precision,
        prompt=training.prompt,
        config=training.config.training,
    )
    launch(job, folder / "work")
    model = RewardModel.load(folder / "model", training.body, training.precision)
    records = [pairs.records[place] for place in wanted]
    found = np.stack([model.score_records(records, side) for side in ("chosen", "rejected")])
    write_json(kept, found.tolist())
    for left in (folder / "model", folder / "work"):
        shutil.rmtree(left)
    (folder / "train.arrow").unlink()
    return found


def held_out_scores(
    folder: Path, pairs: StudyPairs, seen: Sequence[str], body: Path | None, precision: str
) -> LmScores:
    """Scores of a model that was trained before, for the pairs of splits that it has not seen.

    Args:
        folder: what a reward training saved.
        pairs: n pairs.
        seen: splits that it was trained on; their pairs have NaN.
        body: folder of its base model, where it is an adapter.
        precision: see `shared.device.pick_device`.

    Raises:
        DataError: where the folder holds no Bradley-Terry model.
    """
    from shared.rewards.bradley_terry import RewardModel

    places = [place for place, split in enumerate(pairs.splits) if split not in seen]
    held_out = np.full((2, len(pairs)), np.nan)
    if places:
        model = RewardModel.load(folder, body, precision)
        records = [pairs.records[place] for place in places]
        held_out[:, places] = np.stack([model.score_records(records, side) for side in ("chosen", "rejected")])
    return LmScores(held_out, None)
