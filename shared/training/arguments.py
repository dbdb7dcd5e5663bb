"""What both trainers are told: transformers' training arguments and PEFT's configuration, from a job."""

import json
import math
import os
from pathlib import Path
from typing import Any

from shared.device import pick_device
from shared.errors import UsageError
from shared.training.config import TrainingJob


def common_arguments(job: TrainingJob, pairs: int, work: Path) -> dict[str, Any]:
    """Training arguments of a job.

    Args:
        job: the job.
        pairs: number of training pairs.
        work: folder of checkpoints.

    Raises:
        UsageError: where batch_size is not a multiple of micro_batch_size times the number of devices.
    """
    config, choice = job.config, pick_device(job.precision)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    batch_size = min(config.batch_size, pairs) if ranks == 1 else config.batch_size
    micro = min(config.micro_batch_size, max(1, batch_size // ranks))
    if ranks == 1 and batch_size < config.batch_size:
        micro = math.gcd(micro, batch_size)
    if batch_size % (micro * ranks):
        raise UsageError(
            f"batch_size {batch_size} is no multiple of micro_batch_size {micro} times {ranks} devices: change one."
        )
    steps = math.ceil(pairs / batch_size) * config.epochs
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch_size // (micro * ranks),
        "num_train_epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        "warmup_steps": round(config.warmup_ratio * steps),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "adamw_torch",
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": choice.autocast_bf16,
        "use_cpu": choice.device == "cpu",
        "gradient_checkpointing": config.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "save_total_limit": None,
        # Every step is logged, so that the rows do not depend on where a training was resumed.
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": choice.device == "cuda",
        "disable_dropout": True,
    }


def _last_blocks(job: TrainingJob, most: int | None) -> list[int] | None:
    """Indices of the last transformer blocks, or None for all."""
    if most is None:
        return None
    config = json.loads((job.model / "config.json").read_text(encoding="utf-8"))
    blocks = int(config.get("num_hidden_layers") or config["text_config"]["num_hidden_layers"])
    return list(range(max(0, blocks - most), blocks))


def adapters(job: TrainingJob, task: str) -> Any:
    """PEFT's LoRA configuration of a job, or None where all weights are trained. `task`: PEFT's task type."""
    lora = job.config.lora
    if lora is None:
        return None
    from peft import LoraConfig as PeftLora

    return PeftLora(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        layers_to_transform=_last_blocks(job, lora.last_blocks),
        task_type=task,
        # The head of a reward model is new: it is trained whole, whatever the family calls it.
        modules_to_save=["score", "classifier"] if task == "SEQ_CLS" else None,
    )
