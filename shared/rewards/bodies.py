"""Model folders under a reward model: what kind of body they hold, and which one an adapter belongs to."""

import json
from pathlib import Path

from shared.errors import SystemStateError, UsageError


def check_positions(path: Path, name: str, max_length: int) -> None:
    """That an encoder has a learned position for every token a row may have; decoders compute theirs.

    Args:
        path: model folder.
        name: what the user calls the model.
        max_length: most tokens of a row.

    Raises:
        UsageError: it has fewer.
    """
    if not is_encoder(path):
        return
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    positions = config.get("max_position_embeddings")
    if positions and "roberta" in config.get("model_type", ""):
        positions -= config.get("pad_token_id", 1) + 1  # its positions start behind the padding token's
    if positions and max_length > positions:
        raise UsageError(
            f"training.max_length is {max_length}, and the encoder {name} reads at most {positions} tokens: set it to "
            f"{positions} or less, or choose another body."
        )


def is_encoder(path: Path) -> bool:
    """Whether a model folder holds an encoder, told by its architectures."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    names = config.get("architectures") or []
    return not any(name.endswith(("ForCausalLM", "ForConditionalGeneration")) for name in names)


def adapter_base(folder: Path, base: Path | None) -> Path:
    """The folder of the base model of a saved adapter.

    Args:
        folder: what was saved, with adapter_config.json.
        base: the base model's folder, if it is known; else the one that the adapter names.

    Raises:
        SystemStateError: where there is no model.
    """
    if base is None:
        named = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        base = Path(named.get("base_model_name_or_path") or "")
    if not (base / "config.json").is_file():
        raise SystemStateError(f"{folder} holds an adapter, and its base model is not at {base}: give its folder.")
    return base
