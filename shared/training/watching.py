"""Looking at a model while it is trained: held-out metrics, the best weights, early stop and a KL budget."""

# ruff: noqa: ARG002  (the signatures are those of transformers)

import json
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shared.durable import disk_errors, write_text
from shared.errors import StageError
from shared.training.config import StoppingConfig
from shared.training.step_trainer import StepTrainer

log = logging.getLogger(__name__)

HISTORY_FILE = "evaluations.jsonl"
BEST_FILE = "best-{}.safetensors"
SMALLER_IS_BETTER = ("loss",)


class Watch(TrainerCallback):
    """Evaluates every `evaluate_steps` steps and at the end.

    Args:
        trainer: of the model.
        evaluate: gives the metrics of the model as it is, `config.metric` among them, and ``kl`` where there is a
            budget; every rank calls it.
        config: when, and what is best.
        work: folder for the history and the best weights; both survive a crash, and what came after the checkpoint
            that is resumed is dropped and evaluated again.
    """

    def __init__(
        self,
        trainer: StepTrainer,
        evaluate: Callable[[], dict[str, float]],
        config: StoppingConfig,
        work: Path,
    ) -> None:
        self._trainer, self._evaluate, self._config, self._work = trainer, evaluate, config, work

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forgets evaluations of steps that will be trained again."""
        self._rows = [row for row in _history(self._work) if row["step"] <= state.global_step]
        self._saved = state.global_step
        if state.is_world_process_zero:
            write_text(self._work / HISTORY_FILE, "".join(json.dumps(row) + "\n" for row in self._rows))
            self._drop_weights()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Weights that only an earlier checkpoint would have needed can go."""
        self._saved = state.global_step
        if state.is_world_process_zero:
            self._drop_weights()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Evaluates where it is time, keeps the best weights, and ends the training where the rules say so."""
        every = self._config.evaluate_steps
        last = state.global_step >= state.max_steps
        if every is None or not (last or state.global_step % every == 0):
            return control
        row = self._of_all_ranks({"step": float(state.global_step), **self._evaluate()})
        self._rows.append(row)
        self._trainer.noted = {f"eval/{name}": value for name, value in row.items() if name != "step"}
        best, since = self._best(self._rows)
        if state.is_world_process_zero:
            if best == state.global_step:
                model = self._trainer.accelerator.unwrap_model(self._trainer.model)
                _write_weights(model, self._work / BEST_FILE.format(best))
                self._drop_weights()
            write_text(self._work / HISTORY_FILE, "".join(json.dumps(one) + "\n" for one in self._rows))
        reason = self._reason(row, since)
        if reason and not last:
            log.info("step %d: the training ends early: %s", state.global_step, reason)
            control.should_training_stop = True
        return control

    def _allowed(self, row: dict[str, float]) -> bool:
        budget = self._config.kl_budget
        return budget is None or row["kl"] <= budget

    def _best(self, rows: Sequence[dict[str, float]]) -> tuple[int | None, int]:
        """(step of the best evaluation, evaluations since): a later one is better by `least_gain` at least."""
        best, value, since = None, -math.inf, 0
        for row in rows:
            if self._allowed(row) and self._value(row) > value + self._config.least_gain:
                best, value, since = int(row["step"]), self._value(row), 0
            else:
                since += 1
        return best, since

    def _of_all_ranks(self, row: dict[str, float]) -> dict[str, float]:
        """The first rank's row: sampling on a GPU need not agree to the last bit, and all ranks must stop together."""
        if self._trainer.args.world_size == 1:
            return row
        told = [row]
        torch.distributed.broadcast_object_list(told, src=0)
        return told[0]

    def _drop_weights(self) -> None:
        """Removes the weights that are no longer the best, nor would be once the last checkpoint is resumed."""
        kept = {self._best(self._rows)[0], self._best([row for row in self._rows if row["step"] <= self._saved])[0]}
        for step, path in _kept_weights(self._work).items():
            if step not in kept:
                path.unlink()

    def _value(self, row: dict[str, float]) -> float:
        sign = -1.0 if self._config.metric in SMALLER_IS_BETTER else 1.0
        return sign * row[self._config.metric]

    def _reason(self, row: dict[str, float], since: int) -> str | None:
        if not self._allowed(row):
            return f"the KL divergence is {row['kl']:.3f} nats a token, over the budget of {self._config.kl_budget:g}"
        patience = self._config.patience
        if patience is None or since < patience:
            return None
        return f"no better {self._config.metric} in {since} evaluations"


def keep_best(trainer: StepTrainer, work: Path) -> int:
    """Puts the best weights back into the model at the end of a training.

    Returns:
        Their step.

    Raises:
        StageError: no evaluation stayed within the KL budget.
    """
    kept = _kept_weights(work)
    if not kept:
        raise StageError(
            "no evaluation of the training stayed within stopping.kl_budget: lower `learning_rate`, raise `beta` or "
            "the budget, or evaluate earlier (stopping.evaluate_steps)."
        )
    from safetensors.torch import load_file

    step = max(kept)  # a later one was written because it is better
    trainer.accelerator.unwrap_model(trainer.model).load_state_dict(load_file(str(kept[step])), strict=False)
    return step


def _kept_weights(work: Path) -> dict[int, Path]:
    """Files of best weights by step."""
    return {int(path.stem.rpartition("-")[2]): path for path in work.glob(BEST_FILE.format("*"))}


def _write_weights(model: Any, path: Path) -> None:
    """The trained weights, whole or not at all."""
    from safetensors.torch import save_file

    wanted = {name: value.detach().contiguous() for name, value in model.named_parameters() if value.requires_grad}
    place = path.with_suffix(".writing")
    with disk_errors(path):
        save_file(wanted, str(place))
        place.replace(path)


def _history(work: Path) -> list[dict[str, float]]:
    path = work / HISTORY_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
