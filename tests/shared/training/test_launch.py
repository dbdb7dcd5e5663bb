"""The training child: results, resume after kill -9, SIGTERM, crashes. Real child processes, a tiny model."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.data.record_files import write_records
from shared.errors import DataError, StageError
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord
from shared.training.checkpoints import latest_complete_checkpoint
from shared.training.config import DpoConfig, DpoJob, LoraConfig, RewardConfig, RewardJob, TrainingResult
from shared.training.launch import launch
from shared.training.progress import read_metrics
from shared.training.reference import reference_logps, write_logps
from tests.training_children import kill_child_at, training_children

pytestmark = pytest.mark.slow

MakeJob = Callable[..., DpoJob]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def job_maker(folder: Path, model: Path, pairs: list[PreferenceRecord]) -> MakeJob:
    """Makes jobs whose files lie in a folder."""
    records, reference = folder / "train.arrow", folder / "reference.arrow"
    write_records(records, pairs)
    write_logps(reference, pairs, reference_logps(model, pairs, PromptFormat(), 256, "float32"))

    def make(output: str = "out", **config: Any) -> DpoJob:
        settings: dict[str, Any] = {
            "learning_rate": 1e-3,
            "epochs": 3,
            "batch_size": 4,
            "micro_batch_tokens": 200,
            "max_length": 256,
            "lora": None,
            "save_steps": 3,
        }
        return DpoJob(
            model=model,
            model_name="tiny",
            records=[records],
            reference=reference,
            output=folder / output,
            seed=1,
            precision="float32",
            config=DpoConfig(**(settings | config)),
        )

    return make


@pytest.fixture
def make_job(tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord]) -> MakeJob:
    return job_maker(tmp_path, tiny_model, toy_pairs)


@pytest.fixture(scope="module")
def whole(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, float]], dict[str, bytes]]:
    """(metrics, weights) of a training that nobody stopped, 120 steps.

    Long enough that a signal comes before the end on a fast machine too.
    """
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("VALIGN_DEVICE", "cpu")
        job = job_maker(folder, tiny_model, toy_pairs)(epochs=20)
        launch(job, folder / "work")
    return read_metrics(folder / "work" / "metrics.jsonl"), weights(job.output)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_dpo_lora_trains_and_reports(make_job: MakeJob, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    job = make_job(lora=LoraConfig(rank=4), epochs=2, save_steps=100)
    result = launch(job, tmp_path / "work", on_progress=lambda step, total, metrics: seen.append((step, total)))
    assert seen == [(step, 12) for step in range(1, 13)]
    assert (result.steps, result.pairs, result.truncated, result.resumed_from) == (12, 24, 0, None)
    assert result.metrics["loss_last"] < result.metrics["loss_first"]
    files = {path.name for path in job.output.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= files
    assert not {"training_args.bin", "README.md"} & files
    config = json.loads((job.output / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    first = read_metrics(tmp_path / "work" / "metrics.jsonl")[0]
    # Before the first update the policy is the reference: the loss is log 2, the implicit rewards are 0.
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert first["rewards/chosen"] == pytest.approx(0, abs=1e-3)


def mlflow_run(folder: Path) -> tuple[Any, str]:
    """(client of a new database, id of a run in it)."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.create_experiment("toy", artifact_location=(folder / "artifacts").as_uri())
    return client, client.create_run(experiment).info.run_id


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_a_stopped_training_resumes_to_the_same_curve_and_weights(
    make_job: MakeJob,
    whole: tuple[list[dict[str, float]], dict[str, bytes]],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """The curve in metrics.jsonl and, after kill -9, that in MLflow, which gets every point once."""
    work, tracking = tmp_path / "work", None
    if number == signal.SIGKILL:
        client, run = mlflow_run(tmp_path)
        tracking = {"tracking_uri": client.tracking_uri, "run_id": run}
    job = make_job(epochs=20)
    with pytest.raises(StageError, match=r"run again|continues from"):
        launch(job, work, tracking, kill_child_at(8, number))
    assert not job.output.exists()
    at = latest_complete_checkpoint(work)
    assert at is not None
    result = launch(job, work, tracking)
    assert result.resumed_from == int(at.name.partition("-")[2])
    if number == signal.SIGTERM:
        assert (result.resumed_from or 0) >= 8
    assert result.steps == 120
    rows = read_metrics(work / "metrics.jsonl")
    assert rows == whole[0]
    assert weights(job.output) == whole[1] != {}
    assert not list(work.rglob("training_args.bin"))
    assert "run_id" not in (work / "job.json").read_text()
    if number == signal.SIGKILL:
        curve = client.get_metric_history(run, "train/loss")
        assert [(point.step, point.value) for point in sorted(curve, key=lambda point: point.step)] == [
            (row["step"], row["loss"]) for row in rows
        ]


def test_a_killed_parent_takes_the_child_with_it(make_job: MakeJob, tmp_path: Path) -> None:
    job, work = make_job(epochs=50), tmp_path / "work"
    work.mkdir()
    (tmp_path / "job.json").write_text(job.model_dump_json())
    code = (
        "import sys; from pathlib import Path; from shared.training.config import DpoJob; "
        "from shared.training.launch import launch; "
        "launch(DpoJob.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "job.json"), str(work)])
    try:
        deadline = time.monotonic() + 120
        while not read_metrics(work / "metrics.jsonl"):
            assert time.monotonic() < deadline
            assert parent.poll() is None
            time.sleep(0.1)
        [child] = training_children(parent.pid)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_exception_in_the_parent_ends_the_child(make_job: MakeJob, tmp_path: Path) -> None:
    def interrupt(step: int, total: int, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        launch(make_job(epochs=200), tmp_path / "work", on_progress=interrupt)
    assert time.monotonic() - started < 90
    assert training_children(os.getpid()) == []
    assert latest_complete_checkpoint(tmp_path / "work") is not None  # SIGTERM came first


def test_a_users_mistake_in_the_child_keeps_its_kind(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(max_length=32)  # the reference was computed on longer texts
    with pytest.raises(DataError, match="other tokens of the record pair-"):
        launch(job, tmp_path / "work")
    with pytest.raises(DataError, match=r"the record pair-.* has no votes"):
        launch(make_job(loss="soft_labels"), tmp_path / "work")


def test_a_crash_shows_the_last_line(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job()
    job.records[0].write_bytes(b"no arrow file")
    with pytest.raises((StageError, DataError)):
        launch(job, tmp_path / "work")


def test_another_job_starts_anew_in_the_same_folder(make_job: MakeJob, tmp_path: Path) -> None:
    work = tmp_path / "work"
    launch(make_job(epochs=1, save_steps=2), work)
    assert list(work.glob("checkpoint-*"))
    result = launch(make_job(epochs=1, save_steps=2, beta=0.3), work)
    assert result.resumed_from is None


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
@pytest.mark.parametrize("body", ["tiny_model", "tiny_encoder"])
def test_reward_models_learn_and_load(
    body: str,
    lora: LoraConfig | None,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    toy_pairs: list[PreferenceRecord],
) -> None:
    from shared.rewards.bradley_terry import RewardModel

    records = tmp_path / "train.arrow"
    write_records(records, toy_pairs)
    base = request.getfixturevalue(body)
    config = RewardConfig(learning_rate=5e-3, epochs=6, batch_size=4, max_length=64, lora=lora)
    job = RewardJob(model=base, records=[records], output=tmp_path / "rm", precision="float32", config=config)
    result: TrainingResult = launch(job, tmp_path / "work")
    assert result.pairs == len(toy_pairs)
    assert result.truncated > 0  # cut, counted, and none dropped
    assert result.steps == 36
    model = RewardModel.load(job.output, base, precision="float32")
    prompts = [record.prompt for record in toy_pairs]
    chosen, rejected = [r.chosen for r in toy_pairs], [r.rejected for r in toy_pairs]
    odds = model.compare(prompts, chosen, rejected)
    assert (odds > 0).mean() > 0.9
    assert odds == pytest.approx(-model.compare(prompts, rejected, chosen), abs=1e-4)
    assert model.score(prompts, chosen, batch_size=3) == pytest.approx(model.score(prompts, chosen), abs=1e-4)


def test_two_threads_may_train_at_once(make_job: MakeJob, tmp_path: Path) -> None:
    results: list[TrainingResult] = []
    jobs = [make_job(f"out-{number}", epochs=1) for number in range(2)]
    threads = [
        threading.Thread(target=lambda n=number: results.append(launch(jobs[n], tmp_path / f"work-{n}")))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert weights(jobs[0].output) == weights(jobs[1].output)
