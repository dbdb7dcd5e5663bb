"""Reward models on packed trees give the losses and gradients of the rows they replace."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.device import pick_device
from shared.records import PreferenceRecord
from shared.training.config import LoraConfig, RewardConfig, RewardJob
from shared.training.reward import reward_trainer


def job_of(folder: Path, model: Path, layout: str, kind: str, lora: bool, max_length: int) -> RewardJob:
    config: dict[str, Any] = {"kind": kind, "layout": layout, "max_length": max_length, "batch_size": 4}
    return RewardJob(
        model=model,
        records=[folder / "train.arrow"],
        output=folder / "out",
        precision="float32",
        config=RewardConfig(**config, lora=LoraConfig(rank=2) if lora else None),
    )


@pytest.mark.parametrize(("kind", "lora"), [("bradley-terry", False), ("bradley-terry", True), ("gpm", False)])
@pytest.mark.parametrize("max_length", [256, 40])
def test_trees_and_rows_agree(
    tiny_model: Path,
    toy_pairs: Sequence[PreferenceRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    lora: bool,
    max_length: int,
) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    found = {}
    for layout in ("plain", "shared"):
        job = job_of(tmp_path, tiny_model, layout, kind, lora, max_length)
        trainer, *_ = reward_trainer(job, toy_pairs[:5], tmp_path / layout, [])
        assert trainer.pair_loss.shared == (layout == "shared")
        model: Any = trainer.model.double()
        pairs = trainer.steps[0].examples
        losses, metrics = trainer.pair_loss(model, pairs)
        losses.sum().backward()
        gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        found[layout] = losses.detach(), metrics, gradients
    plain, shared = found["plain"], found["shared"]
    torch.testing.assert_close(shared[0], plain[0], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(shared[1], plain[1], rtol=1e-6, atol=1e-7)
    assert shared[2].keys() == plain[2].keys()
    for name, gradient in plain[2].items():
        torch.testing.assert_close(shared[2][name], gradient, rtol=1e-4, atol=1e-7)  # norms are float32


def test_a_shared_prompt_costs_its_tokens_once(
    tiny_model: Path, toy_pairs: Sequence[PreferenceRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    assert pick_device("float32").device == "cpu"
    costs = {}
    for layout in ("plain", "shared"):
        job = job_of(tmp_path, tiny_model, layout, "bradley-terry", False, 256)
        trainer, *_ = reward_trainer(job, toy_pairs[:2], tmp_path / layout, [])
        pair = trainer.steps[0].examples[0]
        costs[layout] = trainer.cost(pair)
    assert costs["plain"] - costs["shared"] == len(pair.chosen.prompt_ids)
