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


CASES: dict[str, dict[str, Any]] = {
    "full": {"loss": "sigmoid"},
    "lora": {"loss": "sigmoid", "lora": LoraConfig(rank=4)},
    "kto": {"loss": "kto"},
    "kto lora": {"loss": "kto", "lora": LoraConfig(rank=4)},
}


@pytest.fixture(scope="module")
def trained(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int], tuple[list[dict[str, float]], dict[str, Any]]]:
    """(metrics, weights) by case and number of processes.

    Nine pairs in steps of four: the last step of an epoch has one pair, so that one rank has none.
    """
    found = {}
    for ranks in (1, 2):
        jobs: dict[str, DpoJob] = {}
        root = tmp_path_factory.mktemp(f"ranks-{ranks}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VALIGN_DEVICE", "cpu")
            for name, config in CASES.items():
                job = policy_job(root / name, tiny_model, toy_pairs[:9], epochs=2, micro_batch_tokens=150, **config)
                (root / name / "work").mkdir()
                (root / name / "work" / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
                jobs[name] = job
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        done = subprocess.run(
            [
                *(sys.executable, "-P", *(torchrun if ranks > 1 else [])),
                *(str(Path(__file__).with_name("jobs_in_turn.py")), *(str(root / name / "work") for name in CASES)),
            ],
            env={**os.environ, "VALIGN_DEVICE": "cpu", "OMP_NUM_THREADS": "1"},
            cwd=root,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        for name, job in jobs.items():
            (file,) = job.output.glob("*.safetensors")
            found[name, ranks] = read_metrics(root / name / "work" / "metrics.jsonl"), load_file(file)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_give_the_curve_of_one(case: str, trained: Any) -> None:
    (one, weights), (two, others) = trained[case, 1], trained[case, 2]
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(two, one, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
        assert ours.keys() == theirs.keys()
        for name in ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-4)
    assert one[0]["loss"] != pytest.approx(one[-1]["loss"], rel=1e-3)  # it is no flat curve that they share
    assert weights.keys() == others.keys()
    # AdamW's first steps are the signs of gradients: an entry that is all but 0 may go either way.
    for name, value in weights.items():
        assert float((others[name] - value).norm()) < 0.02 * 1e-3 * 6 * value.numel() ** 0.5, name


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
