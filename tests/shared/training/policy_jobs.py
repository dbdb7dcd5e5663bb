"""Jobs, records and trainers of tiny policies, with stored reference log-probabilities where a loss needs them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from shared.data.record_files import write_records
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord, Votes
from shared.training.completion_roles import Parts
from shared.training.config import DpoConfig, DpoJob
from shared.training.dpo import PolicyTrainer, dpo_trainer
from shared.training.objectives.objective import build_objective
from shared.training.reference import reference_logps, write_logps
from shared.training.step_order import Step


def rich(records: Sequence[PreferenceRecord]) -> list[PreferenceRecord]:
    """The records with all that any objective asks for."""
    return [
        replace(
            record,
            margin=0.5 + number % 3,
            weight=1.0 + 0.5 * (number % 2),
            votes=Votes(2 + number % 3, number % 2, number % 2),
            context="mind that it is late" if number % 2 else "you are brief",
            rationale="the preferred response is kind" + " and warm" * (number % 3),
        )
        for number, record in enumerate(records)
    ]


def policy_job(
    folder: Path,
    model: Path,
    records: Sequence[PreferenceRecord],
    precision: Any = "float32",
    reference_model: Path | None = None,
    **config: Any,
) -> DpoJob:
    """A job with its files in `folder`; the reference is `reference_model` (or the model), where the loss needs one."""
    settings: dict[str, Any] = {
        "learning_rate": 1e-3,
        "batch_size": 4,
        "micro_batch_tokens": 300,
        "max_length": 256,
        "lora": None,
        "scheduler": "constant",
        "warmup_ratio": 0.0,
        "save_steps": 1000,
    }
    told = DpoConfig(**(settings | config))
    objective = build_objective(told.loss, told.beta)
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "train.arrow", records)
    reference = None
    if objective.needs_reference:
        reference = folder / "reference.arrow"
        logps = reference_logps(
            reference_model or model,
            records,
            PromptFormat(),
            told.max_length,
            precision,
            Parts.of(objective),
            told.layout,
        )
        write_logps(reference, records, logps)
    return DpoJob(
        model=model,
        records=[folder / "train.arrow"],
        reference=reference,
        output=folder / "out",
        seed=1,
        precision=precision,
        config=told,
    )


def trainer_of(job: DpoJob, records: Sequence[PreferenceRecord], callbacks: Sequence[Any] = ()) -> PolicyTrainer:
    """The trainer of a job, in this process."""
    return dpo_trainer(job, records, job.output.parent / "work", list(callbacks))[0]


def policy_of(trainer: PolicyTrainer) -> Any:
    """The model in training."""
    assert trainer.model is not None
    return trainer.model


def step_gradients(trainer: PolicyTrainer, step: Step) -> tuple[float, dict[str, Tensor]]:
    """(loss of a step, its gradients), without an update."""
    model = policy_of(trainer)
    model.zero_grad()
    loss = trainer.training_step(model, {"step": step})
    return float(loss), {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
