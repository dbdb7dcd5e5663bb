"""Starting a training in a child process, watching it, and ending it with its parent.

A crash, a cancel or a leak on a GPU stays in the child. What it did is kept in the work folder, and starting the same
job there again continues from the last complete checkpoint.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from shared import errors
from shared.device import pick_device
from shared.digest import file_digest, json_digest, path_digest
from shared.durable import write_json
from shared.errors import StageError, UsageError, ValignError
from shared.training.config import TrainingJob, TrainingResult
from shared.training.warm_worker import WarmChild, WarmWorker, can_be_forked

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int, dict[str, float]], None]
WORKER = "shared.training.worker"
LOG = "child.log"
SECONDS_TO_END = 20.0
SECONDS_BETWEEN_LOOKS = 0.25
TAIL_CHARACTERS = 4000


class _MetricsTail:
    """Reads the rows that were added to a metrics.jsonl since the last look."""

    def __init__(self, path: Path) -> None:
        self._path, self._place, self.step = path, 0, 0

    def new_rows(self) -> Iterator[dict[str, float]]:
        if not self._path.is_file():
            return
        if self._path.stat().st_size < self._place:
            self._place = 0  # it was cut back to the checkpoint that is resumed
        with self._path.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._place += len(line)
                row = json.loads(line)
                self.step = int(row["step"])
                yield row


@contextmanager
def _curves(
    tracking: Mapping[str, str] | None, every: int
) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """What sends (step, steps in all, metrics) to the MLflow run; points that it holds are not sent again.

    From here and not from the child, which would have to import MLflow: two seconds of every training.
    """
    if tracking is None:
        yield lambda step, total, row: None
        return
    from shared.tracking import TrainerTracking

    sender = TrainerTracking(tracking["tracking_uri"], tracking["run_id"])

    def send(step: int, total: int, row: Mapping[str, float]) -> None:
        if step % every == 0 or step in (1, total):
            sender.log_metrics({f"train/{name}": value for name, value in row.items()}, step)

    try:
        yield send
    finally:
        sender.close()


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "VALIGN_PARENT": str(os.getpid()),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",  # the model is a local folder: nothing is to be fetched
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def _devices(job: TrainingJob) -> int:
    """Processes to train with: one a CUDA device, or as many as VALIGN_RANKS says."""
    told = os.environ.get("VALIGN_RANKS", "").strip()
    if told:
        if not told.isdecimal() or int(told) < 1:
            raise UsageError(f"VALIGN_RANKS={told} is no number of processes: set it to 1 or more, or unset it.")
        return int(told)
    if pick_device(job.precision).device != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


def _prepare(job: TrainingJob, work: Path) -> Path:
    """Writes the job file; what an other job left in the work folder is removed."""
    work.mkdir(parents=True, exist_ok=True)
    described = json.loads(job.model_dump_json())
    given = [getattr(job, name, None) for name in ("reference", "validation", "validation_reference")]
    files = [*job.records, *(path for path in given if path is not None)]
    named = {name: path_digest(path) for name, path in sorted(getattr(job, "files", {}).items())}
    places = ("output", "records", "reference", "validation", "validation_reference", "files")
    same = {name: value for name, value in described.items() if name not in places}
    digest = json_digest({**same, "files": [*(file_digest(path) for path in files), *named.items()]})
    mark = work / "job.sha256"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != digest:
        for leftover in [*work.glob("checkpoint-*"), work / ".saving"]:
            shutil.rmtree(leftover, ignore_errors=True)
        (work / "metrics.jsonl").unlink(missing_ok=True)
        mark.write_text(digest, encoding="utf-8")
    for name in ("result.json", "failure.json"):
        (work / name).unlink(missing_ok=True)
    if job.output.exists():
        shutil.rmtree(job.output)
    write_json(work / "job.json", described)
    return work / "job.json"


_warm: list[WarmWorker] = []  # at most one, for all trainings of this process
_starting = threading.Lock()  # a warm worker has one child at a time; of two threads one starts a process of its own


def _start(arguments: list[str], work: Path, log_file: IO[bytes], warm: bool) -> "subprocess.Popen[bytes] | WarmChild":
    """The child, forked from a process that has imported everything where that can be, in a group of its own."""
    environment = _environment()
    if warm and can_be_forked() and _starting.acquire(blocking=False):
        try:
            if (child := _forked(arguments, work, environment)) is not None:
                return child
        finally:
            _starting.release()
    return subprocess.Popen(
        [sys.executable, "-P", "-m", WORKER, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log_file,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=work,
        process_group=0,
    )


def _forked(arguments: list[str], work: Path, environment: Mapping[str, str]) -> WarmChild | None:
    if _warm and _warm[0].busy:
        return None
    if _warm and not _warm[0].serves(environment):
        _warm.pop().close()
    if not _warm:
        _warm.append(WarmWorker(environment))
    child = _warm[0].start(arguments, work / LOG, work, environment)
    if child is None:
        _warm.pop().close()
    return child


def _end(child: "subprocess.Popen[bytes] | WarmChild") -> None:
    """SIGTERM to the child's group, 20 s for a checkpoint, then SIGKILL."""
    for number, seconds in ((signal.SIGTERM, SECONDS_TO_END), (signal.SIGKILL, 10.0)):
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended: its code is read below
                os.killpg(child.pid, number)
        try:
            child.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            log.warning("The training did not end within %.0f s of %s.", seconds, signal.Signals(number).name)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """In a main thread that has no handler of its own, SIGTERM becomes SystemExit, so that the child is ended."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _failure(code: int, work: Path, log_start: int, step: int) -> ValignError:
    told = work / "failure.json"
    if told.is_file():
        row = json.loads(told.read_text(encoding="utf-8"))
        return getattr(errors, row["error"], StageError)(row["message"])
    with (work / LOG).open("rb") as file:
        file.seek(max(log_start, file.seek(0, os.SEEK_END) - TAIL_CHARACTERS))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    if code in (143, -signal.SIGTERM):
        return StageError(f"the training was stopped by a signal after step {step}; run again to continue it.")
    if code == -signal.SIGKILL:
        return StageError(
            f"the training was killed after step {step}, perhaps because memory ran out: lower `micro_batch_tokens` or "
            "`max_length` and run again; it continues from the last checkpoint."
        )
    last = lines[-1] if lines else "no output"
    return StageError(f"the training ended with code {code} after step {step}: {last} (see {work / LOG}).")


def launch(
    job: TrainingJob,
    work: Path,
    tracking: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingResult:
    """Trains a job in a child process and waits for it.

    Several CUDA devices get one process each (the environment variable VALIGN_RANKS sets another number, on any
    device). On any exception here (also KeyboardInterrupt) and on SIGTERM the child is asked to write a checkpoint and
    ended within 20 s; when this process is killed outright, so is the child.

    Args:
        job: what to train.
        work: folder that is kept between starts: checkpoints, metrics.jsonl, child.log.
        tracking: ``{"tracking_uri", "run_id"}`` of the MLflow run that gets the training's curves, or None.
        on_progress: called with (step, steps in all, metrics) for every step.

    Returns:
        What was done; the trained model lies in ``job.output``.

    Raises:
        StageError: where the child crashed, diverged or was stopped.
        ValignError: a user's mistake that the child found (`UsageError`, `DataError`, `SystemStateError`).
    """
    job_file = _prepare(job, work)
    arguments = [str(job_file), str(work)]
    if (devices := _devices(job)) > 1:
        arguments += ["--ranks", str(devices)]
    warm = devices == 1 and pick_device(job.precision).device == "cpu"
    tail = _MetricsTail(work / "metrics.jsonl")
    with (
        _sigterm_raises(),
        (work / LOG).open("ab") as child_log,
        _curves(tracking, job.config.logging_steps) as send,
    ):
        log_start = child_log.tell()
        child = _start(arguments, work, child_log, warm)
        try:
            code: int | None = None
            while code is None:
                try:
                    code = child.wait(SECONDS_BETWEEN_LOOKS)
                except subprocess.TimeoutExpired:
                    code = None
                for row in tail.new_rows():
                    step, total = int(row.pop("step")), int(row.pop("total"))
                    send(step, total, row)
                    if on_progress is not None:
                        on_progress(step, total, row)
        finally:
            _end(child)
    result = work / "result.json"
    if code != 0 or not result.is_file():
        raise _failure(code, work, log_start, tail.step)
    return TrainingResult.model_validate_json(result.read_text(encoding="utf-8"))
