"""Is a model folder whole? Looked at before anything is run, without loading a weight or a library."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import UsageError

LONGEST_HEADER = 100 * 2**20  # what the safetensors format allows
LARGEST_JSON = 64 * 2**20


def check_model_folder(folder: Path) -> None:
    """Checks what can be seen without loading: JSON files parse, shards are there and as long as their headers say.

    Args:
        folder: a local folder with config.json.

    Raises:
        UsageError: naming the file that is missing, damaged or a link.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UsageError(
                f"model folder {folder}: {path.name} is a link: give a folder of plain files (`cp -rL` makes one)."
            )
    if not isinstance(_read_json(folder, "config.json").get("model_type"), str):
        raise UsageError(f"model folder {folder}: config.json names no model_type: copy the model again.")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UsageError(f"model folder {folder} has no *.safetensors file; other weight formats are not read.")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        if (folder / name).is_file():
            _read_json(folder, name)
    for index in folder.glob("*.safetensors.index.json"):
        shards = _read_json(folder, index.name).get("weight_map")
        if not isinstance(shards, dict):
            raise UsageError(f"model folder {folder}: {index.name} has no weight_map: copy the model again.")
        if missing := sorted({str(name) for name in shards.values()} - {path.name for path in weights}):
            raise UsageError(f"model folder {folder}: {missing[0]} is missing: copy the model again.")
    for path in weights:
        _check_weights(folder, path)


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer of a model folder brings a chat template."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    named = folder / "tokenizer_config.json"
    return named.is_file() and bool(_read_json(folder, named.name).get("chat_template"))


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Around a library's loading of a model folder: what only the library finds becomes one sentence.

    Raises:
        UsageError: the folder cannot be loaded (another architecture, sizes that do not fit its config).
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        from shared.durable import is_full

        if is_full(error) or "out of memory" in str(error).lower():
            raise
        lines = str(error).strip().splitlines()
        problem = f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
        raise UsageError(
            f"model folder {folder} cannot be loaded ({problem}): copy the model again, or name another."
        ) from error


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        if path.stat().st_size > LARGEST_JSON:
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UsageError(
            f"model folder {folder}: {name} cannot be read ({reason}): copy the model again, or mend the file."
        ) from error
    if not isinstance(value, dict):
        raise UsageError(f"model folder {folder}: {name} holds no JSON object: copy the model again.")
    return value


def _check_weights(folder: Path, path: Path) -> None:
    """Eight bytes say how long the header is, the header where each tensor ends."""
    damaged = UsageError(
        f"model folder {folder}: {path.name} is damaged or was copied in part ({path.stat().st_size} bytes): copy the "
        "model again."
    )
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length <= LONGEST_HEADER else None
        if not isinstance(header, dict):
            raise damaged
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        if path.stat().st_size != 8 + length + max(ends, default=0):
            raise damaged
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise damaged from error
    except OSError as error:
        raise UsageError(f"model folder {folder}: {path.name} cannot be read ({error.strerror}).") from error
