"""Policies between trainings: the one to go on from as a plain model, and what was trained over it as a policy of the
base again.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.durable import disk_errors, write_json
from shared.errors import StageError
from shared.stages import StageContext

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def from_policy(context: StageContext) -> tuple[StageContext, Path | None]:
    """The context with the policy of input ``policy`` in place of the base, and that policy's folder (None without)."""
    policy = context.inputs.get("policy")
    if policy is None:
        return context, None
    started = plain_policy(context.models["base"], policy / "model", context.work / "start")
    inputs: Mapping[str, Path] = {name: path for name, path in context.inputs.items() if name != "policy"}
    return replace(context, inputs=inputs, models={**context.models, "base": started}), policy / "model"


def plain_policy(base: Path, policy: Path, target: Path) -> Path:
    """A trained policy as a plain model folder: itself where it is one, else base and adapter added, in `target`.

    Args:
        base: folder of the base model.
        policy: what a training saved: an adapter of `base`, or a whole model.
        target: folder to make; one that is there already is used.

    Returns:
        The folder: float32 safetensors and tokenizer.

    Raises:
        SystemStateError: no space is left.
    """
    from transformers.utils import logging as transformers_logging

    from shared.models import load_policy, load_tokenizer

    transformers_logging.disable_progress_bar()  # it would stand between the lines of the run
    if not (policy / CONFIG).is_file():
        return policy
    if not target.is_dir():
        making = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(making, ignore_errors=True)
        with disk_errors(target):
            load_policy(base, policy, merge=True).save_pretrained(making)
            load_tokenizer(base).save_pretrained(making)
            making.rename(target)
    return target


def policy_of_base(started: Path, before: Path | None, trained: Path) -> None:
    """Makes what was trained from a policy a policy of the base, in place, as any training leaves it.

    Two adapters become one. An adapter over a whole model has no base to name, so it is added into that model.

    Args:
        started: plain model folder that the training started from (`from_policy`'s base).
        before: folder of the policy that it was made of; None: it is the base, and nothing is to be done.
        trained: what the training saved.

    Raises:
        StageError: an adapter is no low-rank one.
        SystemStateError: no space is left.
    """
    if before is None or not (trained / CONFIG).is_file():
        return
    if (before / CONFIG).is_file():
        join_adapters(before, trained)
        return
    whole = plain_policy(started, trained, trained.with_name(f"{trained.name}-whole"))
    shutil.rmtree(trained)
    whole.rename(trained)


def join_adapters(first: Path, second: Path) -> None:
    """Makes an adapter that was trained over (base + first) one over base, in place: `second` then holds both.

    The sum of two low-rank updates is one of the summed rank: s1 B1 A1 + s2 B2 A2 = [s1 B1, s2 B2] [A1; A2]. Where
    only one of the two adapts a layer, the other's part is 0.

    Args:
        first: adapter folder of the earlier training.
        second: adapter folder of the later one; its weights and config are replaced.

    Raises:
        StageError: where one is not low-rank alone.
    """
    import torch
    from safetensors.torch import load_file, save_file

    configs = [json.loads((folder / CONFIG).read_text(encoding="utf-8")) for folder in (first, second)]
    weights = [load_file(folder / WEIGHTS) for folder in (first, second)]
    scales = [_scale(config) for config in configs]
    ranks = [int(config["r"]) for config in configs]
    joined = {}
    for name in dict.fromkeys([*weights[0], *weights[1]]):
        parts = [
            _part(name, one, rank, weights[0].get(name, weights[1].get(name)))
            for one, rank in zip(weights, ranks, strict=True)
        ]
        if ".lora_A." in name:
            joined[name] = torch.cat(parts, dim=0).contiguous()
        else:
            scaled = [scale * part for scale, part in zip(scales, parts, strict=True)]
            joined[name] = torch.cat(scaled, dim=1).contiguous()
    rank = sum(ranks)
    changed = {**configs[1], "r": rank, "lora_alpha": rank, "use_rslora": False}
    if set(weights[0]) != set(weights[1]):
        # Both adapters' layers, each by its full name.
        modules = {name.partition(".lora_")[0].removeprefix("base_model.model.") for name in joined}
        changed |= {"target_modules": sorted(modules), "layers_to_transform": None}
    with disk_errors(second):
        save_file(joined, second / WEIGHTS, metadata={"format": "pt"})
        write_json(second / CONFIG, changed)


def _part(name: str, weights: Mapping[str, "Tensor"], rank: int, like: Any) -> "Tensor":
    """An adapter's matrix, or zeros of its rank where it does not adapt that layer; `like`: the other's."""
    import torch

    if ".lora_A." not in name and ".lora_B." not in name:
        raise StageError(f"the adapter's weight {name} is no low-rank one: rounds need LoRA or all weights.")
    if name in weights:
        return weights[name]
    shape = (rank, like.shape[1]) if ".lora_A." in name else (like.shape[0], rank)
    return torch.zeros(shape, dtype=like.dtype)


def _scale(config: dict) -> float:
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise StageError("adapters with a rank of their own a layer cannot be joined: leave rank_pattern out.")
    return config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"])
