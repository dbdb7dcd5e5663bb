"""What stands in reward.json, of every kind; and folders that hold no reward model."""

from pathlib import Path

import pytest

from shared.errors import DataError, SystemStateError
from shared.prompts import PromptFormat
from shared.rewards.bradley_terry import RewardModel
from shared.rewards.feature_network import FeatureNetwork
from shared.rewards.general_preference import GeneralPreferenceModel
from shared.rewards.loading import load_reward
from shared.rewards.settings import (
    SETTINGS_FILE,
    EnsembleSettings,
    FeatureSettings,
    GpmConfig,
    GpmSettings,
    PrinciplesSettings,
    RewardSettings,
    ScorerSettings,
    read_settings,
)

KINDS: list[RewardSettings] = [
    ScorerSettings(body="encoder", prompt=PromptFormat(style="plain"), max_length=64),
    GpmSettings(body="causal-lm", prompt=PromptFormat(), max_length=64, gpm=GpmConfig(k=3, tau=1)),
    FeatureSettings(features=["scores.a"], hidden=[2], activation="relu", signs={"scores.a": "+"}),
    PrinciplesSettings(weights={"a": 1.0}, tau=2.0),
    EnsembleSettings(members=["x", "y"], combine="min", penalty=1.0, zeros=[0.5, 0.1]),
]


@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one.kind)
def test_settings_are_read_back(settings: RewardSettings, tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text(settings.model_dump_json())
    assert read_settings(tmp_path) == settings


def test_a_model_saved_before_there_were_kinds_is_bradley_terry(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text('{"body": "encoder", "prompt": {"style": "plain"}, "max_length": 32}')
    assert isinstance(read_settings(tmp_path), ScorerSettings)


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"kind": "unknown"}', '{"kind": "gpm", "body": "encoder"}', "\x00"]
)
def test_no_reward_model_is_one_sentence(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / SETTINGS_FILE).write_text(text)
    with pytest.raises(DataError, match="holds no reward model"):
        load_reward(tmp_path)


def test_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text(PrinciplesSettings(weights={"a": 1.0}, tau=1).model_dump_json())
    for load in (RewardModel.load, GeneralPreferenceModel.load, FeatureNetwork.load):
        with pytest.raises(DataError, match="kind principles"):
            load(tmp_path)


def test_an_adapter_without_its_base_is_told(tiny_encoder: Path, tmp_path: Path) -> None:
    from shared.rewards.rows import scorer_tokenizer

    scorer_tokenizer(tiny_encoder).save_pretrained(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text(KINDS[1].model_dump_json().replace("causal-lm", "encoder"))
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "nowhere"}')
    with pytest.raises(SystemStateError, match="base model is not at nowhere"):
        load_reward(tmp_path)
