"""A language model in every fold: whom it may see, how its scores enter the other features, and a real training."""

import json

import numpy as np
import pytest

from domains.ecommerce.reward_study import lm_reward
from domains.ecommerce.reward_study.config import LmStudy, RewardStudyConfig
from domains.ecommerce.reward_study.lm_reward import LmTraining, held_out_scores, lm_scores
from domains.ecommerce.reward_study.pairs import product_folds, study_pairs
from domains.ecommerce.reward_study.stage import STUDY_FILE, reward_study, reward_study_stage
from shared.data.record_files import write_records
from shared.durable import write_text
from shared.errors import DataError
from shared.prompts import PromptFormat
from shared.recipes import to_values
from shared.rewards.bradley_terry import load_scorer
from shared.rewards.rows import scorer_tokenizer
from shared.rewards.settings import SETTINGS_FILE, ScorerSettings
from shared.stages import StageContext


@pytest.fixture
def recorded(monkeypatch):
    """Replaces training and scoring; the scores name their training. Returns what was asked."""
    calls = {}

    def scores(pairs, train, wanted, name, seed, training):
        calls[name] = (train, wanted, seed)
        return np.stack([np.full(len(wanted), float(len(calls))), np.zeros(len(wanted))])

    monkeypatch.setattr(lm_reward, "_scores", scores)
    return calls


@pytest.mark.parametrize("lm_folds", [2, 4])
def test_no_model_scores_a_product_that_it_saw_nor_sees_the_fold(recorded, toy_preferences, tmp_path, lm_folds):
    pairs = study_pairs(toy_preferences(80, 40), ["train"] * 80)
    folds = product_folds(pairs.groups, 4, 0)
    config = LmStudy(folds=lm_folds, inner_folds=2)
    told = []
    found = lm_scores(pairs, folds, LmTraining(tmp_path, config, {}, "auto", tmp_path), lambda *one: told.append(one))
    assert len(recorded) == 3 * lm_folds
    assert len({seed for _, _, seed in recorded.values()}) == 3 * lm_folds
    coarse = folds % lm_folds
    for name, (train, wanted, _) in recorded.items():
        seen = {pairs.groups[place] for place in train}
        assert not seen & {pairs.groups[place] for place in wanted}
        assert not np.any(coarse[train] == int(name.split("-")[1]))
    assert np.isfinite(found.margins).all()
    assert found.margins.shape == (1, 80)
    assert found.stacked is not None
    assert found.stacked.chosen.shape == (4, 80, 1)
    assert np.isfinite(found.stacked.chosen).all()
    for fold in range(4):
        here = folds == fold
        np.testing.assert_array_equal(found.stacked.sides(fold)[0][here, 0], found.held_out[0][here])
        other = coarse != fold % lm_folds
        assert not np.any(found.stacked.sides(fold)[0][other, 0] == found.held_out[0][other])
    assert told[-1] == (3 * lm_folds, 3 * lm_folds, "language model")


def test_without_inner_folds_the_model_stands_alone(recorded, toy_preferences, tmp_path):
    pairs = study_pairs(toy_preferences(40, 20), ["train"] * 40)
    folds = product_folds(pairs.groups, 4, 0)
    training = LmTraining(tmp_path, LmStudy(folds=4, inner_folds=0), {}, "auto", tmp_path)
    assert lm_scores(pairs, folds, training, lambda *one: None).stacked is None
    assert len(recorded) == 4


def test_a_finished_training_is_not_done_again(toy_preferences, tmp_path):
    pairs = study_pairs(toy_preferences(4, 4), ["train"] * 4)
    (tmp_path / "fold-0").mkdir()
    write_text(tmp_path / "fold-0" / "scores.json", "[[1.0, 2.0], [3.0, 4.0]]")
    training = LmTraining(tmp_path / "no-model", LmStudy(), {}, "auto", tmp_path)
    found = lm_reward._scores(pairs, np.array([0, 1]), np.array([2, 3]), "fold-0", 0, training)
    assert found.tolist() == [[1, 2], [3, 4]]


def save_scorer(folder, encoder):
    """A Bradley-Terry model with a random head."""
    tokenizer = scorer_tokenizer(encoder)
    load_scorer(encoder, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = ScorerSettings(body="encoder", prompt=PromptFormat(), max_length=64)
    write_text(folder / SETTINGS_FILE, settings.model_dump_json())


def study_context(tmp_path, records, config, **inputs):
    features, out = tmp_path / "features", tmp_path / "out"
    for folder in (features, out):
        folder.mkdir()
    for split, found in records.items():
        write_records(features / f"{split}.arrow", found)
    values = {"prompt": to_values(PromptFormat()), "precision": "float32"}
    return features, out, values


def test_a_model_that_was_trained_before_is_measured_on_what_it_has_not_seen(
    toy_preferences, tiny_encoder, tmp_path, quick
):
    records = toy_preferences(48, 24)
    features, out, values = study_context(tmp_path, {"train": records[:24], "test": records[24:]}, None)
    save_scorer(tmp_path / "reward" / "model", tiny_encoder)
    config = RewardStudyConfig.model_validate(quick(sets=["given", "lm", "all", "length"]))
    stage = reward_study_stage(
        "reward-study", config, values, features="features", reward_lm="reward-lm", reward_body="tiny"
    )
    assert stage.models == {"lm": "tiny"}
    inputs = {"features": features, "reward-lm": tmp_path / "reward"}
    reward_study(StageContext(stage.config, inputs, {}, {"lm": tiny_encoder}, out, tmp_path / "work"))
    report = json.loads((out / STUDY_FILE).read_text())
    assert report["sets"]["lm"]["estimates"]["accuracy"]["n"] == 24
    assert report["sets"]["given"]["estimates"]["accuracy"]["n"] == 48
    assert report["differences"]["accuracy"]["length"]["lm"]["n"] == 24
    assert "all" in report["skipped"]
    pairs = study_pairs(records, ["train"] * 48)
    with pytest.raises(DataError, match="holds no reward model"):
        held_out_scores(tmp_path, pairs, (), None, "float32")


@pytest.mark.slow
def test_models_are_trained_in_every_fold_and_join_the_other_features(
    toy_preferences, tiny_encoder, tmp_path, quick, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    records = toy_preferences(48, 24)
    features, out, values = study_context(tmp_path, {"train": records}, None)
    training = {"lora": None, "epochs": 4, "batch_size": 8, "max_length": 48, "learning_rate": 5e-3}
    lm = {"folds": 2, "inner_folds": 2, "body": "tiny", "training": training}
    config = RewardStudyConfig.model_validate(quick(sets=["both", "lm", "all"], lm=lm))
    stage = reward_study_stage("reward-study", config, values, features="features", reward_lm="reward-lm")
    assert "reward-lm" not in stage.inputs
    work = tmp_path / "work"
    context = StageContext(stage.config, {"features": features}, {}, {"lm": tiny_encoder}, out, work)
    metrics = reward_study(context)
    assert metrics["reward-study/lm/accuracy"] > 0.9  # every preferred summary begins with "good"
    assert metrics["reward-study/all/accuracy"] > metrics["reward-study/both/accuracy"]
    report = json.loads((out / STUDY_FILE).read_text())
    assert report["sets"]["all"]["features"][-1] == "lm"
    names = ["fold-0", "fold-0-0", "fold-0-1", "fold-1", "fold-1-0", "fold-1-1"]
    assert sorted(path.name for path in (work / "lm").iterdir()) == names
    assert sorted(path.name for path in (work / "lm" / "fold-0").iterdir()) == ["scores.json"]
