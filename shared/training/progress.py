"""What a training tells the outside while it runs: metrics.jsonl, and stopping when asked to."""

# ruff: noqa: ARG002  (the signatures are those of transformers and TRL)

import json
import math
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shared.durable import write_text
from shared.errors import StageError

METRICS_FILE = "metrics.jsonl"
STOPPED = 143
SECONDS_TO_STOP = 18.0


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a metrics.jsonl; a last line cut by a crash is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def keep_metrics_until(path: Path, step: int) -> None:
    """Drops the rows after `step`: they are trained, and written, again."""
    rows = [row for row in read_metrics(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


class StopSignal:
    """SIGTERM asks for a checkpoint at the end of the step; whoever takes too long ends without one.

    Args:
        seconds: time between the signal and the end of the process, whatever it is doing.
    """

    def __init__(self, seconds: float = SECONDS_TO_STOP) -> None:
        self.asked = False
        self._seconds = seconds
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        if not self.asked:
            self.asked = True
            # A step may be longer than the time left: the last complete checkpoint then stands.
            threading.Thread(target=self._give_up, daemon=True).start()

    def _give_up(self) -> None:
        time.sleep(self._seconds)
        os._exit(STOPPED)

    def agreed(self) -> bool:
        """Whether any rank was asked; every rank must call this at the same step."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self.asked
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        flag = torch.tensor(int(self.asked), device=device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag.item())


class ProgressCallback(TrainerCallback):
    """Writes every step to metrics.jsonl, stops on SIGTERM and on a loss that is no number.

    Args:
        path: metrics.jsonl.
        stop: the signal.
    """

    def __init__(self, path: Path, stop: StopSignal) -> None:
        self._path, self._stop = path, stop
        self._file: IO[str] | None = None
        self.stopped = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """One row a step: step, total steps, and every number that the trainer logs."""
        if logs is None or "loss" not in logs or not state.is_world_process_zero:
            return
        row = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
        bad = [name for name in ("loss", "grad_norm") if not math.isfinite(row.get(name, 0.0))]
        if bad:
            raise StageError(
                f"the training diverged: {bad[0]} is {row[bad[0]]} at step {state.global_step}; lower "
                "`learning_rate`, or set `precision: float32`."
            )
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps({"step": state.global_step, "total": state.max_steps, **row}) + "\n")
        self._file.flush()
        if control.should_save:  # the rows reach the disk before the checkpoint that makes them final
            os.fsync(self._file.fileno())

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Asks for a checkpoint and the end where the signal came; the last step needs none, the result follows."""
        if state.global_step >= state.max_steps:
            control.should_save = False
        elif self._stop.agreed():
            self.stopped = True
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drops the rows of steps that will be trained again."""
        if state.is_world_process_zero:
            keep_metrics_until(self._path, state.global_step)

    def close(self) -> None:
        """Closes metrics.jsonl."""
        if self._file is not None:
            self._file.close()
