"""Policies between rounds: the one to go on from as a plain model, and two rounds' adapters as one."""

import json
import shutil
from pathlib import Path

from shared.durable import disk_errors, write_json
from shared.errors import StageError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


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
    from shared.models import load_policy, load_tokenizer

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


def join_adapters(first: Path, second: Path) -> None:
    """Makes an adapter that was trained over (base + first) one over base, in place: `second` then holds both.

    The sum of two low-rank updates is one of the summed rank: s1 B1 A1 + s2 B2 A2 = [s1 B1, s2 B2] [A1; A2].

    Args:
        first: adapter folder of the earlier round.
        second: adapter folder of the later round; its weights and config are replaced.

    Raises:
        StageError: where the two adapt different layers.
    """
    import torch
    from safetensors.torch import load_file, save_file

    configs = [json.loads((folder / CONFIG).read_text(encoding="utf-8")) for folder in (first, second)]
    weights = [load_file(folder / WEIGHTS) for folder in (first, second)]
    if set(weights[0]) != set(weights[1]):
        raise StageError("two rounds adapt different layers, so they are no one adapter: run with --fresh.")
    scales = [_scale(config) for config in configs]
    joined = {}
    for name in weights[0]:
        old, new = weights[0][name], weights[1][name]
        if ".lora_A." in name:
            joined[name] = torch.cat([old, new], dim=0).contiguous()
        elif ".lora_B." in name:
            joined[name] = torch.cat([scales[0] * old, scales[1] * new], dim=1).contiguous()
        else:
            raise StageError(f"the adapter's weight {name} is no low-rank one: rounds need LoRA or all weights.")
    rank = configs[0]["r"] + configs[1]["r"]
    changed = {**configs[1], "r": rank, "lora_alpha": rank, "use_rslora": False}
    with disk_errors(second):
        save_file(joined, second / WEIGHTS, metadata={"format": "pt"})
        write_json(second / CONFIG, changed)


def _scale(config: dict) -> float:
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise StageError("adapters with a rank of their own a layer cannot be joined: leave rank_pattern out.")
    return config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"])
