"""Extractors by the name of an installed domain: new texts are scored, what is missing or has changed is told."""

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from shared.domain import Domain
from shared.errors import DataError, UsageError
from shared.records import PreferenceRecord
from shared.rewards import extraction
from shared.rewards.feature_fit import fit_features
from shared.rewards.feature_network import FeatureReward
from shared.rewards.feature_rows import Extract, features_of_records
from shared.rewards.loading import load_reward
from shared.rewards.pair_targets import pair_targets
from shared.rewards.principles import weigh_principles
from shared.rewards.protocol import ScalarReward
from shared.rewards.settings import FeatureConfig, PrinciplesConfig
from shared.training.config import RewardConfig

MODULE = """
def extract(prompts, responses):
    return [{"letters": float(len(text)), "words": float(len(text.split()))} for text in responses]
"""


class _Point:
    """An entry point of a domain that only extracts."""

    value = "shop_features"

    def __init__(self, made: Callable[[], Extract] | None) -> None:
        self.made = made

    def load(self) -> Domain:
        nothing: Any = None
        return Domain(
            name="shop",
            title="shop",
            recipe=BaseModel,
            recipes=Path(),
            sample=Path(),
            sample_licence="none",
            build=nothing,
            headline=nothing,
            report_sections=nothing,
            extract=self.made,
        )


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the features of an installed domain ``shop``; ``bare`` is one that extracts nothing."""
    import importlib

    (tmp_path / "plugin").mkdir()
    path = tmp_path / "plugin" / "shop_features.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(str(path.parent))
    points = {"shop": _Point(lambda: importlib.import_module("shop_features").extract), "bare": _Point(None)}
    monkeypatch.setattr("shared.domain.installed_domains", lambda: points)
    extraction.extractor.cache_clear()
    yield path
    extraction.extractor.cache_clear()
    sys.modules.pop("shop_features", None)


@pytest.fixture
def pairs(toy_pairs: list[PreferenceRecord]) -> list[PreferenceRecord]:
    def scored(text: str) -> dict[str, float]:
        return {"letters": float(len(text)), "words": float(len(text.split()))}

    return [replace(one, scores_chosen=scored(one.chosen), scores_rejected=scored(one.rejected)) for one in toy_pairs]


def saved(pairs: list[PreferenceRecord], folder: Path, name: str | None) -> Path:
    config, names = FeatureConfig(extractor=name), ["scores.letters", "scores.words"]
    sides = [features_of_records(pairs, side, names) for side in ("chosen", "rejected")]
    network = fit_features(names, sides[0], sides[1], pair_targets(pairs, RewardConfig()), config).network
    if name is not None:
        network.settings.extractor_code = extraction.check_extractor(name, pairs, names)
    network.save(folder)
    return folder


def test_new_texts_are_scored_by_name(shop: Path, pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    model = load_reward(saved(pairs, tmp_path / "model", "shop"))
    assert isinstance(model, ScalarReward)
    of_records = model.score_records(pairs, "chosen")
    of_texts = model.score([one.prompt for one in pairs], [one.chosen for one in pairs])
    assert of_texts == pytest.approx(of_records)
    assert model.rank(pairs[0].prompt, ["a", "b c d e"]).order


def test_what_is_given_goes_before_the_name(shop: Path, pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    model = load_reward(
        saved(pairs, tmp_path, "shop"), extract=lambda _, texts: [{"letters": 1.0, "words": 1.0}] * len(texts)
    )
    assert isinstance(model, FeatureReward)
    assert len(set(model.score([pairs[0].prompt] * 2, ["a", "much longer text"]).tolist())) == 1


def test_principles_name_an_extractor_too(shop: Path, pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    weigh_principles(pairs, PrinciplesConfig(weights={"words": 1.0}, tau=1.0, extractor="shop")).save(tmp_path)
    model = load_reward(tmp_path)
    assert isinstance(model, ScalarReward)
    assert model.score([pairs[0].prompt], ["three words here"]).tolist() == [3.0]


def test_records_are_judged_where_the_domain_is_not_installed(
    shop: Path, pairs: list[PreferenceRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(pairs, tmp_path, "shop")
    extraction.extractor.cache_clear()
    monkeypatch.setattr("shared.domain.installed_domains", dict)
    model = load_reward(folder)
    assert model.compare_records(pairs).shape == (len(pairs),)
    with pytest.raises(UsageError, match="extracted by the domain 'shop', which is not installed"):
        model.compare([pairs[0].prompt], ["a"], ["b"])


def test_mistakes_are_told_before_anything_is_trained(shop: Path, pairs: list[PreferenceRecord]) -> None:
    with pytest.raises(UsageError, match="'bare' extracts no scores"):
        extraction.check_extractor("bare", pairs, ["scores.words"])
    with pytest.raises(UsageError, match="which is not installed"):
        extraction.check_extractor("nowhere", pairs, ["scores.words"])
    with pytest.raises(DataError, match=r"gives no score 'given\.expert', which the reward model reads"):
        extraction.check_extractor("shop", pairs, ["scores.words", "scores.given.expert"])
    assert extraction.check_extractor("shop", pairs, ["text.words"]) == extraction.extractor_code("shop")


def test_records_that_were_scored_otherwise_are_told(
    shop: Path, pairs: list[PreferenceRecord], caplog: pytest.LogCaptureFixture
) -> None:
    other = [replace(one, scores_chosen={**one.scores_chosen, "words": 99.0}) for one in pairs]
    with caplog.at_level(logging.WARNING):
        extraction.check_extractor("shop", other, ["scores.words", "scores.letters"])
    assert caplog.messages == ["The extractor of shop gives other scores 'words' than the training records carry."]


def test_an_edit_of_a_feature_changes_the_digest_and_is_told(
    shop: Path, pairs: list[PreferenceRecord], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved(pairs, tmp_path / "model", "shop")
    before = extraction.extractor_code("shop")
    shop.write_text("# a comment\n" + MODULE)
    assert extraction.extractor_code("shop") == before
    shop.write_text(MODULE.replace("len(text.split())", "1 + len(text.split())"))
    assert extraction.extractor_code("shop") != before
    with caplog.at_level(logging.WARNING):
        load_reward(folder).compare([pairs[0].prompt], ["a"], ["b"])
    assert ["has changed since" in message for message in caplog.messages] == [True]
