"""A damaged model folder is found before anything is loaded, whatever is damaged."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import UsageError
from shared.model_folders import check_model_folder, has_chat_template, loading
from shared.models import load_causal_lm, load_tokenizer


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that may be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def change(path: Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_sound_folder_passes_with_and_without_template(model, tiny_encoder):
    check_model_folder(model)
    check_model_folder(tiny_encoder)
    assert has_chat_template(model)
    (model / "chat_template.jinja").unlink()
    assert not has_chat_template(model)
    change(model / "tokenizer_config.json", chat_template="{{ messages }}")
    assert has_chat_template(model)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json holds no JSON object"),
        (lambda folder: change(folder / "config.json", model_type=None), "names no model_type"),
        (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff"), "tokenizer.json cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no *.safetensors file"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors is damaged"),
        (lambda folder: os.truncate(folder / "model.safetensors", 50_000), "copied in part (50000 bytes)"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 99), "model.safetensors is damaged"),
        (lambda folder: (folder / "more.safetensors").symlink_to(folder / "model.safetensors"), "is a link"),
    ],
)
def test_what_is_damaged_is_named(model, damage, words):
    damage(model)
    with pytest.raises(UsageError) as caught:
        check_model_folder(model)
    assert words in str(caught.value)
    assert str(model) in str(caught.value)


def test_a_shard_that_is_missing(model):
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(UsageError, match=r"model-00002-of-00002\.safetensors is missing"):
        check_model_folder(model)


def test_what_only_the_library_finds(model):
    change(model / "config.json", hidden_size=64)
    check_model_folder(model)
    with pytest.raises(UsageError, match=r"cannot be loaded \(.*copy the model again") as caught:
        load_causal_lm(model)
    assert "\n" not in str(caught.value)
    (model / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_tokenizer(model)


def test_an_error_that_is_no_fault_of_the_folder_passes(model):
    with pytest.raises(RuntimeError, match="out of memory"), loading(model):
        raise RuntimeError("CUDA out of memory")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_the_bytes_only_usage_errors(tiny_model, tmp_path, data):
    name = data.draw(st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]))
    folder = tmp_path / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tiny_model, folder)
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(content) - 1, 2_000)))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    (folder / name).write_bytes(content)
    message = name
    try:
        check_model_folder(folder)
        has_chat_template(folder)
    except UsageError as error:
        message = str(error)
    assert name in message
    assert "\n" not in message
