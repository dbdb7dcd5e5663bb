"""Supervised training in the training child: resuming after a kill, two processes, the best checkpoint, the stage."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.data.record_files import write_records
from shared.errors import DataError, StageError
from shared.models import load_policy, load_tokenizer
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord
from shared.stages import StageContext
from shared.training.checkpoints import latest_complete_checkpoint
from shared.training.demonstrations import write_demonstrations
from shared.training.launch import launch
from shared.training.progress import read_metrics
from shared.training.sft_stage import HELD_OUT, TRAIN, sft
from shared.training.watching import HISTORY_FILE
from tests.shared.training.sft_jobs import demonstrations_of, sft_job
from tests.training_children import kill_child_at

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def started(*arguments: Any, **named: Any) -> Any:
    launched: Any = launch  # its argument is a job of any kind
    return launched(*arguments, **named)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("lora", [None, {"rank": 4}], ids=["all weights", "adapters"])
def test_a_killed_training_resumes_to_the_same_bits(
    lora: Any, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    given, other = demonstrations_of(toy_pairs[:12]), demonstrations_of(toy_pairs[12:15])
    settings: dict[str, Any] = {
        "epochs": 20,
        "save_steps": 3,
        "lora": lora,
        "scheduler": "cosine",
        "stopping": {"evaluate_steps": 5},
    }
    whole = sft_job(tmp_path / "whole", tiny_model, given, other, **settings)
    result = started(whole, tmp_path / "work-whole")
    assert (result.steps, result.pairs, result.truncated) == (60, 24, 0)
    assert result.metrics["loss_last"] < result.metrics["loss_first"]
    cut = sft_job(tmp_path / "cut", tiny_model, given, other, **settings)
    work = tmp_path / "work"
    with pytest.raises(StageError, match="continues from"):
        started(cut, work, on_progress=kill_child_at(7))
    at = latest_complete_checkpoint(work)
    assert at is not None
    again = started(cut, work)
    assert again.resumed_from == int(at.name.partition("-")[2])
    assert read_metrics(work / "metrics.jsonl") == read_metrics(tmp_path / "work-whole" / "metrics.jsonl")
    assert (work / HISTORY_FILE).read_bytes() == (tmp_path / "work-whole" / HISTORY_FILE).read_bytes()
    assert again.best_step == result.best_step
    assert contents(cut.output) == contents(whole.output)
    weights = "adapter_model.safetensors" if lora else "model.safetensors"
    assert {weights, "tokenizer.json"} <= set(contents(cut.output))
    assert not {"training_args.bin", "README.md"} & set(contents(cut.output))


def test_two_processes_learn_the_same(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five prompts in steps of four: the last step of an epoch has one, so that one rank has none."""
    given = demonstrations_of(toy_pairs[:5])
    curves = []
    for ranks in ("1", "2"):
        monkeypatch.setenv("VALIGN_RANKS", ranks)
        job = sft_job(tmp_path / ranks, tiny_model, given, epochs=2, mean="responses", label_smoothing=0.1)
        started(job, tmp_path / f"work-{ranks}")
        curves.append(read_metrics(tmp_path / f"work-{ranks}" / "metrics.jsonl"))
    assert len(curves[0]) == len(curves[1]) == 4
    for alone, shared in zip(*curves, strict=True):
        for name in ("loss", "grad_norm", "nll"):
            assert shared[name] == pytest.approx(alone[name], rel=1e-4)
    assert curves[0][0]["loss"] != pytest.approx(curves[0][-1]["loss"], rel=1e-3)


def run_stage(folder: Path, model: Path, config: Mapping[str, Any], **inputs: Path) -> tuple[Path, dict[str, float]]:
    """The stage's artifact and metrics."""
    out, work = folder / "out", folder / "work"
    for place in (out, work):
        place.mkdir(parents=True)
    metrics = sft(
        StageContext(
            config={
                "sft": {"learning_rate": 3e-3, "batch_size": 4, "max_length": 256, "scheduler": "constant", **config},
                "seed": 0,
                "prompt": PromptFormat().model_dump(mode="json"),
                "precision": "float32",
                "base": "tiny",
            },
            inputs=inputs,
            files={},
            models={"base": model},
            out=out,
            work=work,
        )
    )
    return out, metrics


def test_the_stage_keeps_the_best_weights_and_its_policy_loads(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_records(data / "train.arrow", toy_pairs[:12])
    write_records(data / "validation.arrow", toy_pairs[12:18])
    config = {"epochs": 10, "lora": None, "learning_rate": 1e-2, "stopping": {"evaluate_steps": 3, "patience": 4}}
    out, metrics = run_stage(tmp_path / "one", tiny_model, config, data=data)
    rows = [json.loads(line) for line in (tmp_path / "one" / "work" / HISTORY_FILE).read_text().splitlines()]
    best = min(rows, key=lambda row: row["loss"])
    assert metrics["sft/best_step"] == best["step"]
    assert metrics["sft/responses"] == 12
    assert metrics["sft/loss_last"] < metrics["sft/loss_first"]
    # The loss of the saved policy on the held-out demonstrations is the best one.
    from shared.training.demonstrations import of_preferences
    from tests.shared.training.test_sft import by_cross_entropy

    policy = load_policy(tiny_model, out / "model")
    with torch.no_grad():
        found = by_cross_entropy(policy, tiny_model, of_preferences(toy_pairs[12:18]), "tokens", 0.0)
    assert float(found) == pytest.approx(best["loss"], rel=1e-5)
    load_tokenizer(out / "model")
    # A second training goes on from there: its first loss is lower than the base's.
    more = {"epochs": 1, "lora": {"rank": 2}, "examples": "demonstrations"}
    write_demonstrations(data / TRAIN, of_preferences(toy_pairs[:12]))
    again, continued = run_stage(tmp_path / "two", tiny_model, more, data=data, policy=out)
    assert continued["sft/loss_first"] < metrics["sft/loss_first"] - 0.1
    assert (again / "model" / "model.safetensors").is_file()  # an adapter over a whole model is added into it


def test_missing_files_are_named(tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with pytest.raises(DataError, match=r"wrote no demonstrations-train\.arrow: set sft.examples to chosen"):
        run_stage(tmp_path / "one", tiny_model, {"examples": "demonstrations"}, data=data)
    write_demonstrations(data / TRAIN, demonstrations_of(toy_pairs[:2]))
    assert not (data / HELD_OUT).exists()
    with pytest.raises(DataError, match=r"asks for held-out demonstrations"):
        run_stage(
            tmp_path / "two",
            tiny_model,
            {"examples": "demonstrations", "stopping": {"evaluate_steps": 1}},
            data=data,
        )
