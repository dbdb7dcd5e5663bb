"""Two processes on the CPU (gloo) train as one does: the same loss curve, gradient norms and weights."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from shared.errors import UsageError
from shared.records import PreferenceRecord
from shared.training.config import DpoJob, LoraConfig
from shared.training.launch import _devices, launch
from shared.training.progress import read_metrics
from tests.shared.training.policy_jobs import policy_job


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    monkeypatch.delenv("VALIGN_RANKS", raising=False)


def worker(job: DpoJob, work: Path, ranks: int) -> list[dict[str, float]]:
    """Metrics of a job that so many processes trained."""
    work.mkdir()
    (work / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "shared.training.worker", str(work / "job.json"), str(work)]
    done = subprocess.run(
        [*command, *(["--ranks", str(ranks)] if ranks > 1 else [])],
        env={**os.environ, "VALIGN_PARENT": str(os.getpid())},
        cwd=work,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return read_metrics(work / "metrics.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "lora"),
    [("sigmoid", None), ("sigmoid", LoraConfig(rank=4)), ("kto", None), ("kto", LoraConfig(rank=4))],
    ids=["full", "lora", "kto", "kto lora"],
)
def test_two_ranks_give_the_curve_of_one(
    loss: str, lora: LoraConfig | None, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    """Nine pairs in steps of four: the last step of an epoch has one pair, so that one rank has none."""
    records = toy_pairs[:9]
    curves, weights = [], []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        job = policy_job(folder, tiny_model, records, loss=loss, lora=lora, epochs=2, micro_batch_tokens=150)
        curves.append(worker(job, folder / "work", ranks))
        (file,) = job.output.glob("*.safetensors")
        weights.append(load_file(file))
    one, two = curves
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(two, one, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
        assert ours.keys() == theirs.keys()
        for name in ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-4)
    assert one[0]["loss"] != pytest.approx(one[-1]["loss"], rel=1e-3)  # it is no flat curve that they share
    assert weights[0].keys() == weights[1].keys()
    # AdamW's first steps are the signs of gradients: an entry that is all but 0 may go either way.
    for name, value in weights[0].items():
        assert float((weights[1][name] - value).norm()) < 0.02 * 1e-3 * 6 * value.numel() ** 0.5, name


@pytest.mark.slow
def test_launch_starts_as_many_ranks_as_told_and_hears_of_their_mistakes(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALIGN_RANKS", "2")
    seen: list[tuple[int, int]] = []
    job = policy_job(tmp_path, tiny_model, toy_pairs[:5])
    result = launch(job, tmp_path / "work", on_progress=lambda step, total, metrics: seen.append((step, total)))
    assert seen == [(1, 2), (2, 2)]
    assert (result.steps, result.pairs) == (2, 5)
    small = policy_job(tmp_path / "small", tiny_model, toy_pairs[:5], batch_size=1)
    with pytest.raises(UsageError, match="batch_size 1 is less than the 2 devices"):
        launch(small, tmp_path / "work-small")


def test_the_number_of_ranks_is_that_of_the_environment(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job: Any = DpoJob(model=tiny_model, records=[tmp_path], output=tmp_path, precision="float32")
    assert _devices(job) == 1
    monkeypatch.setenv("VALIGN_RANKS", "3")
    assert _devices(job) == 3
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("VALIGN_RANKS", wrong)
        with pytest.raises(UsageError, match=f"VALIGN_RANKS={wrong} is no number of processes"):
            _devices(job)
    monkeypatch.setenv("VALIGN_RANKS", " ")
    assert _devices(job) == 1
