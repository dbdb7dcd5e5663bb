"""Naming, finding and loading base models.

A model is named by one string, a `ModelRef`: a packaged name (``smollm2-135m-instruct``), a local folder, or a hub
id with an optional revision (``Qwen/Qwen2.5-0.5B-Instruct@main``). Only safetensors are read, and no code that comes
with a model is ever run.
"""

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from shared.digest import path_digest
from shared.errors import SystemStateError, UsageError
from shared.model_folders import loading
from shared.packaged_models import PACKAGED, Kind, quiet_transformers, source_files, unpack

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]


class ModelRef(BaseModel):
    """A parsed model name.

    Attributes:
        source: where the model comes from.
        name: packaged name, folder or hub id.
        revision: branch, tag or commit of a hub model; None is its main branch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["packaged", "folder", "hub"]
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Reads a model name.

        Args:
            text: ``smollm2-135m-instruct``, ``./my-model`` or ``organisation/name[@revision]``.

        Raises:
            UsageError: where it is none of the three, naming the nearest packaged model.
        """
        if text in PACKAGED:
            return cls(source="packaged", name=text)
        path = local_folder(text)
        if path is not None:
            if not (path / "config.json").is_file():
                kind = "an adapter" if (path / "adapter_config.json").is_file() else "no model"
                raise UsageError(f"model {text}: the folder holds {kind} (no config.json); name a full model folder.")
            return cls(source="folder", name=str(path.absolute()))
        if text.startswith((".", "/", "~")) or text.count("/") > 1:
            raise UsageError(f"model {text}: there is no such folder.")
        if HUB_ID.fullmatch(text) and ".." not in text:
            name, _, revision = text.partition("@")
            return cls(source="hub", name=name, revision=revision or None)
        # Of each name only as much as was typed, so that the beginning of a long name finds it.
        begun = {name[: len(text) + 1]: name for name in PACKAGED}
        near = get_close_matches(text.lower(), begun, n=1, cutoff=0.3)
        hint = f"did you mean {begun[near[0]]}?" if near else f"packaged models are {', '.join(PACKAGED)}."
        raise UsageError(
            f"model {text} is unknown: {hint} A hub model is named organisation/name, a folder by its path."
        )


def local_folder(text: str) -> Path | None:
    """The folder that a text names, or None where it names none (or nothing that could be a path)."""
    try:
        path = Path(text).expanduser()
        return path if path.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, an unknown ~user, a NUL character
        return None


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model on this machine.

    Attributes:
        name: as it was named.
        path: folder with config, tokenizer and safetensors.
        revision: sha256 of the packaged source file, digest of the folder, or commit of the hub model.
        kind: causal language model or encoder.
        licence: SPDX id or the terms' name; ``unknown`` where nothing states it.
        source: packaged, folder or hub.
    """

    name: str
    path: Path
    revision: str
    kind: Kind
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A row of `known_models`: size in bytes of the packaged file; pip: what installs it."""

    name: str
    installed: bool
    size: int
    licence: str
    kind: Kind
    pip: str


def known_models() -> list[KnownModel]:
    """The models that come as packages, installed or not."""
    return [
        KnownModel(model.name, bool(source_files(model)), model.size, model.licence, model.kind, model.pip)
        for model in PACKAGED.values()
    ]


def _hub_snapshot(ref: ModelRef, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    from huggingface_hub.errors import RevisionNotFoundError as NoRevision

    at = f"{ref.name}@{ref.revision}" if ref.revision else ref.name
    try:
        return Path(snapshot_download(ref.name, revision=ref.revision, allow_patterns=patterns))
    except (RepositoryNotFoundError, NoRevision) as error:
        raise UsageError(f"model {at}: the hub has no such model or revision (or it needs a login).") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise SystemStateError(
            f"model {at} is not in the local hub cache and the model hub cannot be reached: go online once, give a "
            f"local folder, or use a packaged model ({', '.join(PACKAGED)})."
        ) from error


def _kind(folder: Path) -> Kind:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"model folder {folder}: config.json cannot be read ({error}).") from error
    if not list(folder.glob("*.safetensors")):
        raise UsageError(f"model folder {folder} has no *.safetensors file; other weight formats are not read.")
    architectures = config.get("architectures") or []
    generative = any(name.endswith(("ForCausalLM", "ForConditionalGeneration")) for name in architectures)
    return "causal-lm" if generative else "encoder"


def _licence(folder: Path) -> str:
    """The `license:` line of the folder's README front matter."""
    try:
        lines = (folder / "README.md").read_text(encoding="utf-8", errors="replace").splitlines()[:60]
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("license:")), "unknown")


def model_revision(reference: str) -> str:
    """What identifies a model's content, without preparing the model; it enters the keys of stages.

    Args:
        reference: a model name (see `ModelRef.parse`).

    Returns:
        sha256 of the packaged source file, digest of the folder, or hub commit.

    Raises:
        UsageError: unknown name.
        SystemStateError: hub unreachable and the model not in its cache.
    """
    ref = ModelRef.parse(reference)
    if ref.source == "packaged":
        return PACKAGED[ref.name].sha256
    if ref.source == "folder":
        return path_digest(Path(ref.name))
    if ref.revision and COMMIT.fullmatch(ref.revision):
        return ref.revision
    return _hub_snapshot(ref, ["config.json"]).name


def resolve(reference: str, cache: Path) -> ResolvedModel:
    """Makes a model available as a local folder.

    Args:
        reference: a model name (see `ModelRef.parse`).
        cache: folder where packaged models are unpacked once.

    Returns:
        The model's folder and what is known of it.

    Raises:
        UsageError: unknown name, or a folder that is no model.
        SystemStateError: package not installed, hub unreachable, disk full.
    """
    ref = ModelRef.parse(reference)
    if ref.source == "packaged":
        model = PACKAGED[ref.name]
        folder = unpack(model, cache)
        return ResolvedModel(ref.name, folder, model.sha256, model.kind, model.licence, ref.source)
    if ref.source == "folder":
        folder = Path(ref.name)
        revision = path_digest(folder)
        return ResolvedModel(ref.name, folder, revision, _kind(folder), _licence(folder), ref.source)
    folder = _hub_snapshot(ref, [*HUB_FILES, "README.md"])
    return ResolvedModel(ref.name, folder, folder.name, _kind(folder), _licence(folder), ref.source)


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder, with a padding token (its end token where it has none)."""
    from transformers import AutoTokenizer

    with quiet_transformers(), loading(path):
        tokenizer: Any = AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_with(auto_class: Any, path: Path, dtype: "torch.dtype | None" = None, **extra: Any) -> Any:
    """`auto_class.from_pretrained` of a local folder: safetensors only, no remote code, float32 unless told.

    Raises:
        UsageError: the folder cannot be loaded.
    """
    import torch

    with quiet_transformers(), loading(path):
        return auto_class.from_pretrained(
            str(path),
            dtype=dtype or torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **extra,
        )


def load_causal_lm(path: Path, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
    """A causal language model, in evaluation mode, on the CPU; `dtype` is float32 unless given."""
    from transformers import AutoModelForCausalLM

    return load_with(AutoModelForCausalLM, path, dtype).eval()


def load_encoder(path: Path, dtype: "torch.dtype | None" = None) -> "PreTrainedModel":
    """An encoder without a head, in evaluation mode, on the CPU."""
    from transformers import AutoModel

    return load_with(AutoModel, path, dtype).eval()


def load_policy(base: Path, adapter: Path | None = None, merge: bool = False) -> "PreTrainedModel":
    """A policy: a full model folder, or a base model with a LoRA adapter over it.

    Args:
        base: model folder.
        adapter: folder of a PEFT adapter; or a full model folder, which then replaces `base`.
        merge: whether the adapter is added into the weights (faster sampling; under bf16 the small differences that
            an adapter makes are rounded, so log-probabilities are computed unmerged).

    Returns:
        The model in float32, in evaluation mode, on the CPU.
    """
    if adapter is not None and not (adapter / "adapter_config.json").is_file():
        return load_causal_lm(adapter)
    model = load_causal_lm(base)
    if adapter is None:
        return model
    from peft import PeftModel

    with_adapter: Any = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    return (with_adapter.merge_and_unload() if merge else with_adapter).eval()
