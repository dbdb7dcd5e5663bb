"""Evaluation while training: the history, the best weights, early stop, and the KL budget."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.data.record_files import write_records
from shared.errors import DataError, StageError
from shared.models import load_causal_lm
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord
from shared.training.config import DpoConfig, DpoJob, LoraConfig, StoppingConfig
from shared.training.launch import launch
from shared.training.reference import reference_logps, write_logps
from shared.training.watching import BEST_FILE, HISTORY_FILE

pytestmark = pytest.mark.slow
MakeJob = Callable[..., DpoJob]


@pytest.fixture
def make_job(
    tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord], monkeypatch: pytest.MonkeyPatch
) -> MakeJob:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    count = len(toy_pairs) * 3 // 4
    for name, part in (("train", toy_pairs[:count]), ("validation", toy_pairs[count:])):
        write_records(tmp_path / f"{name}.arrow", part)
        logps = reference_logps(tiny_model, part, PromptFormat(), 256, "float32")
        write_logps(tmp_path / f"{name}-reference.arrow", part, logps)

    def make(
        validation: bool = True, lora: LoraConfig | None = None, precision: str = "float32", **stopping: Any
    ) -> DpoJob:
        settings: dict[str, Any] = {"learning_rate": 5e-3, "epochs": 4, "batch_size": 4, "max_length": 256}
        return DpoJob(
            model=tiny_model,
            records=[tmp_path / "train.arrow"],
            reference=tmp_path / "train-reference.arrow",
            validation=tmp_path / "validation.arrow" if validation else None,
            validation_reference=tmp_path / "validation-reference.arrow" if validation else None,
            output=tmp_path / "out",
            precision=precision,  # pyright: ignore[reportArgumentType]
            config=DpoConfig(
                **settings, save_steps=2, lora=lora, scheduler="constant", stopping=StoppingConfig(**stopping)
            ),
        )

    return make


def history(work: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (work / HISTORY_FILE).read_text(encoding="utf-8").splitlines()]


def test_the_best_weights_are_kept_and_the_history_tells_why(make_job: MakeJob, tmp_path: Path) -> None:
    result = launch(make_job(evaluate_steps=2, metric="loss"), tmp_path / "work")
    rows = history(tmp_path / "work")
    assert [row["step"] for row in rows] == [*range(2, result.steps, 2), result.steps]
    best = min(rows, key=lambda row: row["loss"])
    assert result.best_step == best["step"]
    assert {"margin_per_token", "ranking_accuracy", "reward_accuracy"} <= set(best)
    assert (tmp_path / "work" / BEST_FILE.format(result.best_step)).is_file()
    assert any(name.startswith("eval/") for name in result.metrics)
    state = load_causal_lm(tmp_path / "out").state_dict()
    assert all(torch.isfinite(value).all() for value in state.values())


def test_a_resumed_training_keeps_the_same_best_weights(make_job: MakeJob, tmp_path: Path) -> None:
    """The best weights may be of a step after the checkpoint that is resumed: that step is trained and judged again."""
    job, work = make_job(evaluate_steps=1, metric="loss"), tmp_path / "work"
    whole = launch(job, work)
    expected, rows = load_causal_lm(tmp_path / "out").state_dict(), history(work)
    checkpoints = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for later in checkpoints[1:]:
        shutil.rmtree(later)
    resumed = launch(job, work)
    assert resumed.resumed_from == int(checkpoints[0].name.rpartition("-")[2])
    assert (resumed.best_step, history(work)) == (whole.best_step, rows)
    found = load_causal_lm(tmp_path / "out").state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert len(list(work.glob(BEST_FILE.format("*")))) <= 2


def test_an_adapter_in_bf16_is_measured_against_its_own_base(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(
        lora=LoraConfig(rank=4), precision="bf16", evaluate_steps=3, kl_budget=50.0, kl_prompts=4, kl_tokens=8
    )
    result = launch(job, tmp_path / "work")
    rows = history(tmp_path / "work")
    assert 0 <= rows[0]["kl"] < rows[-1]["kl"]  # the adapter is off for the reference, and moves away from it
    assert result.best_step == max(rows, key=lambda row: row["margin_per_token"])["step"]


def test_training_ends_early_without_a_gain(make_job: MakeJob, tmp_path: Path) -> None:
    whole = make_job(evaluate_steps=1, patience=2, least_gain=1e6)
    result = launch(whole, tmp_path / "work")
    assert result.steps == 3  # the first counts as better than nothing, two more are not
    assert result.best_step == 1


def test_a_kl_budget_ends_training_and_bounds_the_best(make_job: MakeJob, tmp_path: Path) -> None:
    result = launch(make_job(evaluate_steps=1, kl_budget=0.05, kl_prompts=4, kl_tokens=8), tmp_path / "work")
    rows = history(tmp_path / "work")
    assert rows[-1]["kl"] > 0.05
    assert all(row["kl"] <= 0.05 for row in rows[:-1])
    allowed = [row for row in rows if row["kl"] <= 0.05]
    assert result.best_step in {row["step"] for row in allowed}


def test_no_checkpoint_within_the_budget_is_an_error(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="kl_budget"):
        launch(make_job(evaluate_steps=8, kl_budget=1e-9, kl_prompts=4, kl_tokens=8), tmp_path / "work")


def test_stopping_asks_for_validation_pairs(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.fractions\.validation"):
        launch(make_job(validation=False, evaluate_steps=2), tmp_path / "work")
    with pytest.raises(ValueError, match="evaluate_steps"):
        StoppingConfig(patience=2)
