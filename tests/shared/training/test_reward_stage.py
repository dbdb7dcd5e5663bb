"""The stage that trains reward models: every kind and ensembles, with the artifact that it leaves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.data.record_files import read_records, write_records
from shared.errors import DataError, UsageError
from shared.evaluation.calibration import pair_outcomes
from shared.records import PreferenceRecord
from shared.rewards.ensemble import PairwiseEnsemble, ScalarEnsemble
from shared.rewards.loading import load_reward
from shared.stages import StageContext
from shared.training.config import RewardConfig
from shared.training.reward_stage import resample_groups, train_reward
from shared.training.stage_results import read_curves


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


@pytest.fixture
def pairs(toy_pairs: list[PreferenceRecord]) -> list[PreferenceRecord]:
    """Scores that nearly tell the preference; every group has two pairs."""
    draw = np.random.default_rng(0)
    return [
        replace(
            one,
            group_id=f"group-{index // 2}",
            scores_chosen={"empathy": 4.0 + draw.normal(), "clarity": draw.normal()},
            scores_rejected={"empathy": 2.0 + draw.normal(), "clarity": draw.normal()},
        )
        for index, one in enumerate(toy_pairs)
    ]


def context(tmp_path: Path, records: list[PreferenceRecord], base: Path, **reward: Any) -> StageContext:
    data, out, work = (tmp_path / name for name in ("data", "out", "work"))
    for folder in (data, out, work):
        folder.mkdir()
    write_records(data / "train.arrow", records)
    config = RewardConfig.model_validate(reward).model_dump(mode="json")
    values = {"reward": config, "seed": 5, "split": "train", "prompt": {}, "precision": "float32", "body": "tiny"}
    return StageContext(values, {"data": data}, {}, {"body": base}, out, work)


def test_an_encoder_with_too_few_positions_is_refused_before_training(tmp_path, pairs, tiny_encoder):
    given = context(tmp_path, pairs, tiny_encoder, kind="bradley-terry", max_length=300)
    with pytest.raises(UsageError, match="max_length is 300, and the encoder tiny reads at most 256 tokens"):
        train_reward(given)
    assert not list(given.out.iterdir())


@pytest.mark.parametrize(
    "reward",
    [
        {"kind": "features"},
        {"kind": "features", "features": {"inputs": ["scores.*", "text.words"], "hidden": [4], "activation": "relu"}},
        {"kind": "principles", "principles": {"weights": {"empathy": 2, "clarity": 1}}},
    ],
    ids=["linear", "network", "principles"],
)
def test_rewards_without_a_body(
    tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path, reward: dict[str, Any]
) -> None:
    told = context(tmp_path, pairs, tiny_encoder, **reward)
    metrics = train_reward(told)
    assert metrics["reward/pairs"] == len(pairs)
    assert metrics["reward/accuracy"] > 0.6
    assert metrics["reward/loss_last"] <= metrics["reward/loss_first"]
    files = {path.relative_to(told.out).as_posix() for path in told.out.rglob("*") if path.is_file()}
    assert {"model/reward.json", "model/explanation.json", "training.json", "curves.jsonl", "timing.json"} <= files
    model = load_reward(told.out / "model")
    assert pair_outcomes(model.compare_records(pairs)).mean() == pytest.approx(metrics["reward/accuracy"])
    explained = json.loads((told.out / "model" / "explanation.json").read_text())
    total = sum(one["mean"] for one in explained.values())
    assert total == pytest.approx(model.compare_records(pairs).mean(), abs=0.01)
    assert read_curves(told.out)[-1]["loss"] == pytest.approx(metrics["reward/loss_last"])


def test_an_ensemble_of_resampled_lines(tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path) -> None:
    ensemble = {"members": 3, "combine": "uncertainty-penalised", "penalty": 0.5, "resample": True}
    told = context(tmp_path, pairs, tiny_encoder, kind="features", ensemble=ensemble)
    metrics = train_reward(told)
    model = load_reward(told.out / "model")
    assert isinstance(model, ScalarEnsemble)
    each = model.member_log_odds(pairs)
    assert each.shape == (3, len(pairs))
    assert np.abs(each[0] - each[1]).max() > 1e-3
    sides = [np.stack([one.score_records(pairs, side) for one in model.members]) for side in ("chosen", "rejected")]
    assert (sides[0].mean(axis=1) + sides[1].mean(axis=1)) / 2 == pytest.approx(model.settings.zeros)
    members = [json.loads((told.out / "members" / f"member-{i}" / "training.json").read_text()) for i in range(3)]
    losses = [one["metrics"]["loss_last"] for one in members]
    assert metrics["reward/loss_last"] == pytest.approx(np.mean(losses))
    assert read_curves(told.out)[0]["loss"] == pytest.approx(np.log(2))
    assert not (told.out / "members" / "metrics.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bradley-terry", "gpm"])
def test_an_ensemble_of_trained_bodies(
    tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path, kind: str
) -> None:
    training = {"epochs": 2, "batch_size": 8, "micro_batch_tokens": 400, "max_length": 64, "learning_rate": 5e-3}
    told = context(tmp_path, pairs, tiny_encoder, kind=kind, ensemble={"members": 2}, gpm={"k": 1}, **training)
    metrics = train_reward(told)
    assert metrics["reward/steps"] == 6
    model = load_reward(told.out / "model", tiny_encoder, "float32")
    assert isinstance(model, ScalarEnsemble if kind == "bradley-terry" else PairwiseEnsemble)
    prompts, chosen, rejected = ([getattr(p, name) for p in pairs] for name in ("prompt", "chosen", "rejected"))
    odds = model.compare(prompts, chosen, rejected)
    assert odds == pytest.approx(-model.compare(prompts, rejected, chosen), abs=1e-12)
    assert odds == pytest.approx(model.member_log_odds(pairs).mean(axis=0), abs=1e-4)
    assert not list((told.out / "model").rglob("training_args.bin"))


def test_whole_groups_are_drawn(pairs: list[PreferenceRecord]) -> None:
    drawn = resample_groups(pairs, 3)
    assert drawn == resample_groups(pairs, 3) != resample_groups(pairs, 4)
    assert len({one.id for one in drawn}) == len(drawn) == len(pairs)
    groups = [one.group_id for one in drawn]
    assert 1 < len(set(groups)) < len(pairs) // 2
    assert all(groups.count(name) % 2 == 0 for name in set(groups))


def test_mistakes_are_told_by_the_stage(tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="pair-0 has no score 'warmth' of the chosen side"):
        train_reward(
            context(tmp_path / "a", pairs, tiny_encoder, kind="principles", principles={"weights": {"warmth": 1}})
        )
    with pytest.raises(UsageError, match="at least one principle"):
        train_reward(context(tmp_path / "b", pairs, tiny_encoder, kind="principles"))
    assert read_records(tmp_path / "a" / "data" / "train.arrow") == pairs
