"""Checkpoints are complete or do not exist."""

from pathlib import Path

import pytest

from shared.training.checkpoints import MANIFEST, SAVING, complete, is_complete, latest_complete_checkpoint, rotate


def make(work: Path, step: int) -> Path:
    folder = work / SAVING / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(200)))
    (folder / "training_args.bin").write_bytes(b"pickle")
    (folder / "optimizer.pt").write_text(f"step {step}")
    complete(folder, step)
    return work / f"checkpoint-{step}"


def test_a_completed_checkpoint_has_no_pickled_arguments(tmp_path: Path) -> None:
    folder = make(tmp_path, 4)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "optimizer.pt", MANIFEST}
    assert is_complete(folder)
    assert latest_complete_checkpoint(tmp_path) == folder


@pytest.mark.parametrize("damage", ["flip", "remove", "add", "manifest", "no manifest"])
def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path: Path, damage: str) -> None:
    older, newer = make(tmp_path, 4), make(tmp_path, 10)
    weights = newer / "model.safetensors"
    if damage == "flip":
        content = bytearray(weights.read_bytes())
        content[77] ^= 1
        weights.write_bytes(bytes(content))
    elif damage == "remove":
        weights.unlink()
    elif damage == "add":
        (newer / "rng_state.pth").write_bytes(b"not listed")
    elif damage == "manifest":
        (newer / MANIFEST).write_text("{")
    else:
        (newer / MANIFEST).unlink()
    assert latest_complete_checkpoint(tmp_path) == older
    assert not newer.exists()


def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    half = tmp_path / SAVING / "checkpoint-7"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    assert latest_complete_checkpoint(tmp_path) is None
    assert not (tmp_path / SAVING).exists()


def test_rotation_keeps_the_newest_two(tmp_path: Path) -> None:
    for step in (9, 10, 100, 2):
        make(tmp_path, step)
    (tmp_path / "checkpoint-notes").mkdir()
    rotate(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == [
        "checkpoint-10",
        "checkpoint-100",
        "checkpoint-notes",
    ]
