"""What both trainers are told: transformers' training arguments and PEFT's configuration, from a job."""

import json
import math
import os
from pathlib import Path
from typing import Any

from shared.device import pick_device
from shared.errors import UsageError
from shared.training.config import TrainingJob


def ranks() -> tuple[int, int]:
    """(number of this process, number of processes) of a training."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def batch_size(job: TrainingJob, pairs: int) -> int:
    """Pairs an optimizer step over all processes."""
    return min(job.config.batch_size, pairs)


def common_arguments(job: TrainingJob, pairs: int, work: Path) -> dict[str, Any]:
    """Training arguments of a job; the data are steps already (see `shared.training.step_order`).

    Args:
        job: the job.
        pairs: number of training pairs.
        work: folder of checkpoints.

    Raises:
        UsageError: where a step has fewer pairs than there are processes.
    """
    config, choice = job.config, pick_device(job.precision)
    _, world = ranks()
    if batch_size(job, pairs) < world:
        raise UsageError(f"batch_size {batch_size(job, pairs)} is less than the {world} devices: raise it.")
    steps = math.ceil(pairs / batch_size(job, pairs)) * config.epochs
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": 1,  # a step
        "gradient_accumulation_steps": 1,
        "num_train_epochs": 1,  # the steps of all epochs
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        "warmup_steps": round(config.warmup_ratio * steps),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "adamw_torch_fused" if choice.device in ("cpu", "cuda") else "adamw_torch",
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": False,  # autocast is entered where the loss is computed
        "fp16": False,
        "use_cpu": choice.device == "cpu",
        **({"gradient_checkpointing": True} if config.gradient_checkpointing else {}),
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
        "dataloader_pin_memory": False,
    }


def prepare_model(model: Any, job: TrainingJob, task: str) -> Any:
    """The model to train: dropout off (policy and reference must be comparable), adapters on where asked for.

    Args:
        model: as loaded, float32.
        job: the job.
        task: PEFT's task type.
    """
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in list(vars(module).items()):  # attention's own is a number
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
    configuration = adapters(job, task)
    if job.config.gradient_checkpointing:
        model.enable_input_require_grads()
    if configuration is None:
        return model
    from peft import get_peft_model

    adapted = get_peft_model(model, configuration)
    if pick_device(job.precision).autocast_bf16:
        _cast_frozen(adapted)
    return adapted


def _cast_frozen(model: Any) -> None:
    """Frozen matrices in bf16: what autocast would cast them to in every pass. Head and embeddings stay as they are.

    The embeddings feed the residual stream, which is kept in float32; norms and biases are small.
    """
    import torch

    inner = model.get_base_model()
    kept = {id(inner.get_output_embeddings()), id(inner.get_input_embeddings())} - {id(None)}
    for module in inner.modules():
        if isinstance(module, torch.nn.Linear) and id(module) not in kept and not module.weight.requires_grad:
            module.weight.data = module.weight.data.to(torch.bfloat16)


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
