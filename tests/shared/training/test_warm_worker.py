"""The process that is forked for trainings: the same bits as a process of its own, exits, signals, restarts."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.records import PreferenceRecord
from shared.training import launch as launching
from shared.training.launch import launch
from shared.training.progress import read_metrics
from shared.training.warm_worker import WarmWorker, can_be_forked
from tests.shared.training.test_launch import job_maker
from tests.training_children import training_children

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not can_be_forked(), reason="Linux only")]


@pytest.fixture(autouse=True)
def _cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


@pytest.fixture(scope="module")
def worker() -> Iterator[WarmWorker]:
    found = WarmWorker({**launching._environment(), "OMP_NUM_THREADS": "1", "VALIGN_DEVICE": "cpu"})
    yield found
    found.close()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_forked_training_has_the_bits_of_one_in_its_own_process(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = job_maker(tmp_path, tiny_model, toy_pairs)
    parents: list[int] = []

    def look(step: int, _total: int, _metrics: dict[str, float]) -> None:
        if step == 1:
            parents.extend(parent_of(child) for child in training_children(os.getpid()))

    launch(make("warm"), tmp_path / "warm-work", on_progress=look)
    monkeypatch.setattr(launching, "can_be_forked", lambda: False)
    launch(make("cold"), tmp_path / "cold-work", on_progress=look)
    assert parents[0] != os.getpid()
    assert parents[1] == os.getpid()
    rows = [
        [(row["step"], row["loss"]) for row in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("warm-work", "cold-work")
    ]
    assert rows[0] == rows[1]
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("warm", "cold")]
    assert files[0] == files[1]


def test_exit_codes_output_and_environment_are_the_trainings_own(worker: WarmWorker, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = worker.start([str(tmp_path / "no-job.json"), str(tmp_path)], log, tmp_path, launching._environment())
    assert child is not None
    assert worker.busy
    assert child.wait(60) == 1
    assert child.poll() == 1
    assert not worker.busy
    assert "no-job.json" in log.read_text().splitlines()[-1]
    assert Path.cwd() != tmp_path


def test_another_environment_asks_for_another_process(worker: WarmWorker) -> None:
    here = launching._environment()
    assert worker.serves(here)
    assert worker.serves({**here, "VALIGN_HOME": "/elsewhere", "PYTEST_CURRENT_TEST": "x"})
    assert not worker.serves({**here, "OMP_NUM_THREADS": "7"})


def test_it_hands_a_signal_on_and_tells_of_the_child_that_it_took(worker: WarmWorker, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "job.json")  # whoever reads it waits
    child = worker.start([str(tmp_path / "job.json"), str(tmp_path)], tmp_path / "log", tmp_path, os.environ)
    assert child is not None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    os.kill(worker._process.pid, signal.SIGTERM)
    assert child.wait(30) == -signal.SIGTERM
    assert worker.serves(launching._environment())


def test_it_ends_with_its_parents_pipe_and_takes_the_child_along(tmp_path: Path) -> None:
    worker = WarmWorker(launching._environment())
    os.mkfifo(tmp_path / "job.json")
    child = worker.start([str(tmp_path / "job.json"), str(tmp_path)], tmp_path / "log", tmp_path, os.environ)
    assert child is not None
    worker.close()
    end = time.monotonic() + 10
    while Path(f"/proc/{child.pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_that_was_killed_is_an_exit_like_any_other(tmp_path: Path) -> None:
    worker = WarmWorker(launching._environment())
    os.mkfifo(tmp_path / "job.json")
    child = worker.start([str(tmp_path / "job.json"), str(tmp_path)], tmp_path / "log", tmp_path, os.environ)
    assert child is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    assert not worker.serves(launching._environment())
    assert worker.start([], tmp_path / "log", tmp_path, os.environ) is None
    worker.close()
