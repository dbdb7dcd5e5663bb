"""The stages of SimulDPO: reference, a training in its child process, resuming, two processes, and its faults."""

import json
from pathlib import Path
from typing import Any

import pytest

from domains.translation.pair_files import write_pairs
from domains.translation.path_reference import read_path_reference
from domains.translation.policy import load_policy
from domains.translation.simul_dpo_config import SimulDpoConfig
from domains.translation.simul_dpo_stage import align, path_reference
from shared.errors import DataError, StageError
from shared.stages import StageContext
from shared.training.config import LoraConfig
from shared.training.stage_results import read_curves
from tests.domains.translation.path_cases import path_pairs_of, saved_policy

pytestmark = pytest.mark.usefixtures("_on_cpu")


@pytest.fixture
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def a_reference(model: Path, folder: Path, config: SimulDpoConfig, lora: LoraConfig | None) -> StageContext:
    """The context of a reference stage that has run."""
    for name in ("pairs", "reference"):
        (folder / name).mkdir(parents=True)
    saved_policy(folder / "sft" / "model", model, lora)
    write_pairs(folder / "pairs" / "train.arrow", path_pairs_of(8))
    inputs = {"pairs": folder / "pairs", "sft": folder / "sft"}
    context = StageContext(
        config={"precision": "float32", "max_length": config.max_length, "micro_batch_tokens": 512},
        inputs=inputs,
        files={},
        models={"base": model},
        out=folder / "reference",
        work=folder,
    )
    found = path_reference(context)
    assert found["reference/pairs"] == 8
    assert found["reference/left_out"] == 0
    assert len(read_path_reference(folder / "reference" / "train.arrow")) == 8
    return context


def training(context: StageContext, config: SimulDpoConfig, folder: Path) -> StageContext:
    """The context of an align stage from that reference."""
    (folder / "out").mkdir(parents=True)
    return StageContext(
        config={"align": config.model_dump(mode="json"), "precision": "float32", "base": "the-base", "seed": 3},
        inputs={**context.inputs, "reference": context.out},
        files={},
        models=context.models,
        out=folder / "out",
        work=folder / "work",
    )


def config_of(**changes: Any) -> SimulDpoConfig:
    return SimulDpoConfig.model_validate({"batch_size": 3, "epochs": 2, "learning_rate": 1e-3, **changes})


@pytest.mark.slow
def test_reference_and_training_make_a_policy(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of()
    before = a_reference(tiny_model, tmp_path, config, LoraConfig(rank=4))
    context = training(before, config, tmp_path / "align")
    metrics = align(context)
    assert metrics["align/steps"] == 6
    assert metrics["align/pairs"] == 8
    assert metrics["align/loss_last"] < metrics["align/loss_first"]
    first = read_curves(context.out)[0]
    assert abs(first["logps/chosen_gain_per_token"]) < 1e-5  # the reference is where training begins
    assert first["rewards/margins"] == pytest.approx(0.0, abs=1e-4)
    named = json.loads((context.out / "model" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == "the-base"
    trained, supervised = (load_policy(tiny_model, one / "model") for one in (context.out, tmp_path / "sft"))
    assert not trained.confidence.weight.equal(supervised.confidence.weight)
    assert trained.format == supervised.format


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(form="explicit", alpha=2.0)
    before = a_reference(tiny_model, tmp_path, config, None)
    curves = []
    for ranks in ("1", "2"):
        monkeypatch.setenv("VALIGN_RANKS", ranks)
        context = training(before, config, tmp_path / ranks)
        align(context)
        curves.append(read_curves(context.out))
    assert [row["step"] for row in curves[0]] == [1, 2, 3, 4, 5, 6]
    for one, two in zip(*curves, strict=True):
        for name in ("loss", "rewards/margins", "latency/expected", "logps/rejected_policy", "grad_norm"):
            assert two[name] == pytest.approx(one[name], rel=2e-3, abs=1e-4), name


@pytest.mark.slow
def test_an_alpha_that_diverges_leaves_no_model(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of(form="explicit", alpha=1e6, learning_rate=0.5, epochs=20)
    before = a_reference(tiny_model, tmp_path, config, None)
    context = training(before, config, tmp_path / "align")
    with pytest.raises(StageError, match=r"SimulDPO diverged at step \d+: .*align\.alpha \(1e\+06\)"):
        align(context)
    assert not list(context.out.iterdir())


@pytest.mark.slow
def test_a_reference_of_other_pairs_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of()
    before = a_reference(tiny_model, tmp_path, config, None)
    write_pairs(tmp_path / "pairs" / "train.arrow", path_pairs_of(8, seed=5))
    with pytest.raises(DataError, match="was computed on other tokens or another path of the record pair-0"):
        align(training(before, config, tmp_path / "align"))
