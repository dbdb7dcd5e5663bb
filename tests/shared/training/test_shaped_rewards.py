"""Shaped rewards through the stage: expert weights, posterior, calibration, extraction and a language model's score."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.data.record_files import write_records
from shared.errors import DataError
from shared.evaluation.calibration import pair_outcomes
from shared.evaluation.scorer_report import reward_report
from shared.records import PreferenceRecord
from shared.report.reward_tables import reward_tables
from shared.rewards import extraction
from shared.rewards.explanation import describe
from shared.rewards.feature_network import FeatureReward
from shared.rewards.feature_rows import MODEL_SCORE
from shared.rewards.loading import load_reward
from shared.rewards.protocol import ScalarReward
from shared.stages import StageContext
from shared.training.config import RewardConfig, TrainingResult
from shared.training.iterative_stages import score_round
from shared.training.model_scores import cross_fitted
from shared.training.reward_stage import train_reward


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


@pytest.fixture
def pairs(toy_pairs: list[PreferenceRecord]) -> list[PreferenceRecord]:
    """72 pairs in groups of two; empathy tells, clarity does not, length is the letters of the text."""
    draw = np.random.default_rng(0)
    return [
        replace(
            one,
            id=f"{one.id}-{copy}",
            group_id=f"group-{copy}-{index // 2}",
            scores_chosen={"empathy": 3.5 + draw.normal(), "clarity": draw.normal(), "length": float(len(one.chosen))},
            scores_rejected={
                "empathy": 2.5 + draw.normal(),
                "clarity": draw.normal(),
                "length": float(len(one.rejected)),
            },
        )
        for copy in range(3)
        for index, one in enumerate(toy_pairs)
    ]


def context(tmp_path: Path, records: list[PreferenceRecord], base: Path, **reward: Any) -> StageContext:
    data, out, work = (tmp_path / name for name in ("data", "out", "work"))
    for folder in (data, out, work):
        folder.mkdir(exist_ok=True)
    write_records(data / "train.arrow", records)
    config = RewardConfig.model_validate(reward).model_dump(mode="json")
    values = {"reward": config, "seed": 5, "split": "train", "prompt": {}, "precision": "float32", "body": "tiny"}
    return StageContext(values, {"data": data}, {}, {"body": base}, out, work)


@pytest.mark.parametrize("method", ["laplace", "sampling"])
def test_a_shaped_reward_and_its_report(
    tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path, method: str
) -> None:
    features = {
        "inputs": ["scores.empathy", "scores.clarity"],
        "signs": {"scores.empathy": "+"},
        "prior": {"scores.empathy": 1.0},
        "prior_strength": 5.0,
        "posterior": {"method": method, "clustered": method == "laplace", "draws": 800, "warmup": 100},
        "calibrate": True,
        "folds": 4,
    }
    told = context(tmp_path, pairs, tiny_encoder, kind="features", features=features)
    metrics = train_reward(told)
    assert {"reward/ece", "reward/ece_uncalibrated", "reward/temperature"} <= set(metrics)
    calibration = json.loads((told.out / "model" / "calibration.json").read_text())
    assert calibration["before"]["ece"]["value"] == metrics["reward/ece_uncalibrated"]
    assert calibration["after"]["ece"]["value"] == metrics["reward/ece"]
    model = load_reward(told.out / "model")
    assert isinstance(model, FeatureReward)
    assert model.settings.temperature == metrics["reward/temperature"] != 1.0
    posterior = json.loads((told.out / "model" / "posterior.json").read_text())["weights"]["scores.empathy"]
    assert 0 < posterior["low"] < posterior["weight"] < posterior["high"]
    total = sum(one["mean"] for one in json.loads((told.out / "model" / "explanation.json").read_text()).values())
    assert total == pytest.approx(model.compare_records(pairs).mean())
    report = json.loads(json.dumps(reward_report(model, pairs, pairs)))
    row = report["weights"][0]
    assert (row["feature"], row["prior"], row["at_bound"]) == ("scores.empathy", 1.0, False)
    assert row["per_unit"] == pytest.approx(row["weight"] / posterior["standard_deviation_of_feature"])
    for pair in report["pairs"]:
        assert sum(one["added"] for one in pair["features"]) == pytest.approx(pair["log_odds"])
        assert pair["low"] < pair["log_odds"] < pair["high"]
    shaping = report["shaping"]
    assert shaping["calibrated"]["ece"]["value"] == pytest.approx(report["estimates"]["ece"]["value"])
    assert 0 < shaping["decided"]["value"] < 1
    assert shaping["accuracy_decided"]["value"] > shaping["accuracy_undecided"]["value"]
    tables = {table.caption: table for table in reward_tables(report, "Judge")}
    weights = tables["Judge: weights before its temperature, with 95% posterior intervals"]
    assert weights.columns[-2:] == ["probability that it is above 0", "expert's weight"]
    assert sum("taken apart" in caption for caption in tables) == len(report["pairs"]) >= 2
    measures = [line[0] for line in tables["Judge: how sure it is"].rows]
    assert "expected calibration error, without temperature" in measures
    assert "expert weights" in report["model"]
    assert "temperature" in describe(model)


def test_a_plain_reward_has_weights_without_intervals(
    tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path
) -> None:
    told = context(tmp_path, pairs, tiny_encoder, kind="features")
    train_reward(told)
    assert not {path.name for path in (told.out / "model").iterdir()} & {"posterior.json", "calibration.json", "body"}
    model = load_reward(told.out / "model")
    report = reward_report(model, pairs, pairs)
    captions = [table.caption for table in reward_tables(report, "Judge")]
    assert "Judge: weights" in captions
    assert "Judge: how sure it is" not in captions
    assert report["weights"][0]["low"] is None


def test_members_of_an_ensemble_are_shaped_each(
    tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path
) -> None:
    features = {"inputs": ["scores.empathy"], "calibrate": True, "posterior": {"draws": 100}}
    ensemble = {"members": 2, "resample": True}
    told = context(tmp_path, pairs, tiny_encoder, kind="features", features=features, ensemble=ensemble)
    train_reward(told)
    assert {(told.out / "model" / f"member-{i}" / "posterior.json").is_file() for i in range(2)} == {True}
    assert load_reward(told.out / "model").compare_records(pairs).shape == (len(pairs),)


def test_samples_of_a_round_are_scored_by_the_named_extractor(
    tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(_: Sequence[Any], responses: Sequence[str]) -> list[dict[str, float]]:
        return [{"length": float(len(text))} for text in responses]

    monkeypatch.setattr(extraction, "extractor", lambda name: extract)
    features = {"inputs": ["scores.length"], "extractor": "shop"}
    told = context(tmp_path, pairs, tiny_encoder, kind="features", features=features)
    train_reward(told)
    settings = json.loads((told.out / "model" / "reward.json").read_text())
    assert settings["extractor"] == "shop"
    assert settings["extractor_code"] == extraction.extractor_code("shop")
    samples, out = tmp_path / "samples", tmp_path / "scored"
    samples.mkdir()
    out.mkdir()
    texts = ["short", "rather longer", "the longest of the three"]
    rows = [{"id": one.id, "group": one.group_id, "responses": [{"text": text} for text in texts]} for one in pairs[:2]]
    (samples / "samples.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    inputs = {"data": told.inputs["data"], "samples": samples, "reward": told.out}
    metrics = score_round(StageContext({"precision": "float32"}, inputs, {}, {}, out, tmp_path))
    scores = json.loads((out / "scores.json").read_text())[pairs[0].id]
    assert (np.diff(scores) != 0).all()
    assert np.diff(scores)[0] / np.diff(scores)[1] == pytest.approx(8 / 11)
    assert metrics["score/spread"] > 0
    wrong = {"inputs": ["scores.empathy"], "extractor": "shop"}
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="gives no score 'empathy'"):
        train_reward(context(tmp_path / "b", pairs, tiny_encoder, kind="features", features=wrong))
    (tmp_path / "c").mkdir()
    principles = {"weights": {"empathy": 1.0}, "extractor": "shop"}
    with pytest.raises(DataError, match="gives no score 'empathy'"):
        train_reward(context(tmp_path / "c", pairs, tiny_encoder, kind="principles", principles=principles))


class _Memory:
    """A scorer that knows its training pairs by heart, and says nothing of others; its zero is 7."""

    def __init__(self, known: set[str]) -> None:
        self.known = known

    def score_records(self, records: Sequence[PreferenceRecord], side: str) -> np.ndarray:
        return np.array([7.0 + (3.0 if side == "chosen" else -3.0) * (one.id in self.known) for one in records])


def test_cross_fitted_scores_are_not_fooled_by_memory(tmp_path: Path, pairs: list[PreferenceRecord]) -> None:
    seen: list[set[str]] = []

    def train(part: Sequence[PreferenceRecord], folder: Path, work: Path, text: str) -> TrainingResult:
        folder.mkdir(parents=True)
        (folder / "ids.json").write_text(json.dumps([one.id for one in part]))
        seen.append({one.group_id for one in part})
        counts = {"steps": 1, "pairs": len(part), "truncated": 2, "tokens": 3, "threads": 1, "peak_memory": 1}
        return TrainingResult(output=folder, resumed_from=None, seconds=1.0, device="none", metrics={}, **counts)

    def load(folder: Path) -> ScalarReward:
        model: Any = _Memory(set(json.loads((folder / "ids.json").read_text())))
        return model

    found = cross_fitted(pairs, 4, 0, tmp_path / "kept", tmp_path / "work", train, load)
    assert len(seen) == 5
    assert (found.chosen == found.rejected).all()  # memory is worth nothing on pairs of other groups
    assert np.abs(found.chosen).max() == 0.0
    assert (found.accuracy, found.zero, found.training.seconds) == (0.5, 7.0, 5.0)
    assert seen[-1] == {one.group_id for one in pairs}
    held = [seen[-1] - part for part in seen[:-1]]
    assert set.union(*held) == seen[-1]
    assert sum(map(len, held)) == len(seen[-1])
    cross_fitted(pairs, 4, 0, tmp_path / "again", tmp_path / "work", train, load)
    assert len(seen) == 6  # folds that are done are not trained again


def test_one_group_cannot_be_cross_fitted(tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path) -> None:
    alike = [replace(one, group_id="one") for one in pairs]
    features = {"inputs": ["model.score"]}
    with pytest.raises(DataError, match="of one group"):
        train_reward(context(tmp_path, alike, tiny_encoder, kind="features", features=features))


@pytest.mark.slow
def test_a_language_model_is_a_feature_among_others(
    tmp_path: Path, pairs: list[PreferenceRecord], tiny_encoder: Path
) -> None:
    features = {"inputs": ["scores.empathy", "model.score"], "folds": 2, "posterior": {}, "signs": {"model.score": "+"}}
    training = {"epochs": 3, "batch_size": 8, "micro_batch_tokens": 400, "max_length": 64, "learning_rate": 5e-3}
    told = context(tmp_path, pairs, tiny_encoder, kind="features", features=features, **training, lora=None)
    metrics = train_reward(told)
    assert metrics["reward/model_accuracy"] > 0.9  # "good" against "bad" is learnt from other groups
    model = load_reward(told.out / "model", tiny_encoder, "float32")
    assert isinstance(model, FeatureReward)
    assert model.settings.features == ["scores.empathy", MODEL_SCORE]
    assert not list(told.out.rglob("training_args.bin"))
    odds = model.compare_records(pairs)
    assert pair_outcomes(odds).mean() > 0.9
    chosen = model.features_of_records(pairs, "chosen")[:, 1]
    rejected = model.features_of_records(pairs, "rejected")[:, 1]
    assert np.concatenate([chosen, rejected]).mean() == pytest.approx(0.0, abs=1e-6)
    (tmp_path / "only").mkdir()
    alone = {"inputs": ["model.*"], "folds": 2}
    only = context(tmp_path / "only", pairs, tiny_encoder, kind="features", features=alone, **training, lora=None)
    train_reward(only)
    texts = load_reward(only.out / "model", tiny_encoder, "float32")
    prompts = [one.prompt for one in pairs]
    compared = texts.compare(prompts, [one.chosen for one in pairs], [one.rejected for one in pairs])
    assert compared == pytest.approx(texts.compare_records(pairs), abs=1e-5)
    assert pair_outcomes(compared).mean() > 0.9
    (told.out / "model" / "body" / "reward.json").unlink()
    with pytest.raises(DataError, match="holds no reward model"):
        load_reward(told.out / "model", tiny_encoder, "float32")
