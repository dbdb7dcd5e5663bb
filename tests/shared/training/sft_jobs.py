"""Supervised trainings of tiny policies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.records import PreferenceRecord
from shared.training.custom_job import CustomJob, DomainConfig
from shared.training.demonstrations import Demonstration, of_preferences, write_demonstrations
from shared.training.sft import SftTrainer, trainer
from shared.training.sft_config import SftConfig


def demonstrations_of(records: Sequence[PreferenceRecord]) -> list[Demonstration]:
    """Both responses of every pair under its prompt, of different weights."""
    found = []
    for record in records:
        (one,) = of_preferences([record])
        found += [one, Demonstration(f"{one.id}-2", one.group_id, one.source, one.prompt, record.rejected, weight=0.5)]
    return found


def sft_job(
    folder: Path,
    model: Path,
    demonstrations: Sequence[Demonstration],
    held_out: Sequence[Demonstration] = (),
    **config: Any,
) -> CustomJob:
    """A job with its files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"train": folder / "train.arrow"}
    write_demonstrations(files["train"], demonstrations)
    if held_out:
        files["held_out"] = folder / "held_out.arrow"
        write_demonstrations(files["held_out"], held_out)
    told: dict[str, Any] = {
        "examples": "demonstrations",
        "learning_rate": 1e-3,
        "batch_size": 4,
        "micro_batch_tokens": 300,
        "max_length": 256,
        "lora": None,
        "scheduler": "constant",
        "warmup_ratio": 0.0,
        "save_steps": 1000,
    }
    return CustomJob(
        model=model,
        model_name="tiny",
        output=folder / "out",
        seed=1,
        precision="float32",
        builder="shared.training.sft:trainer",
        files=files,
        config=DomainConfig(**SftConfig.model_validate(told | config).model_dump(mode="json")),
    )


def sft_trainer(job: CustomJob) -> SftTrainer:
    """The trainer of a job, in this process."""
    return trainer(job, job.output.parent / "work", []).trainer
