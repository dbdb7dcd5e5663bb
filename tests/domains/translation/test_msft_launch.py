"""Fine-tuning in the training child: results, resuming after a kill to the same bits, what its digest is of."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from domains.translation.msft_stage import train_msft
from domains.translation.pair_files import write_pairs
from domains.translation.policy import load_policy
from domains.translation.streams import pack_streams
from shared.errors import DataError, StageError
from shared.stages import StageContext
from shared.training.checkpoints import latest_complete_checkpoint
from shared.training.launch import _prepare, launch
from shared.training.progress import read_metrics
from tests.domains.translation.path_cases import FORMAT, path_pairs_of
from tests.domains.translation.test_msft import built, job_of
from tests.training_children import kill_child_at

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def started(*arguments: Any, **named: Any) -> Any:
    launched: Any = launch  # its argument is a job of any kind
    return launched(*arguments, **named)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("lora", [None, {"rank": 4}], ids=["all weights", "adapters"])
def test_a_killed_training_resumes_to_the_same_bits(tmp_path: Path, tiny_model: Path, lora: Any) -> None:
    settings = {"epochs": 20, "save_steps": 3, "lora": lora, "scheduler": "cosine"}
    whole = job_of(tmp_path / "whole", tiny_model, path_pairs_of(12), **settings)
    result = started(whole, tmp_path / "work-whole")
    assert (result.steps, result.pairs, result.truncated) == (60, 12, 0)
    assert result.metrics["loss_last"] < result.metrics["loss_first"]
    # The same content elsewhere continues: where files lie is no part of the job.
    cut = job_of(tmp_path / "cut", tiny_model, path_pairs_of(12), **settings)
    work = tmp_path / "work"
    with pytest.raises(StageError, match="continues from"):
        started(cut, work, on_progress=kill_child_at(7))
    at = latest_complete_checkpoint(work)
    assert at is not None
    head = (at / "confidence.safetensors").read_bytes()
    moved = cut.model_copy(update={"files": {"pairs": shutil.move(cut.files["pairs"], tmp_path / "moved.arrow")}})
    again = started(moved, work)
    assert again.resumed_from == int(at.name.partition("-")[2])
    assert read_metrics(work / "metrics.jsonl") == read_metrics(tmp_path / "work-whole" / "metrics.jsonl")
    assert contents(moved.output) == contents(whole.output)
    assert contents(moved.output)["confidence.safetensors"] != head
    names = set(contents(moved.output))
    weights = "adapter_model.safetensors" if lora else "model.safetensors"
    assert {weights, "confidence.safetensors", "simul_policy.json", "tokenizer.json"} <= names
    assert not {"training_args.bin", "README.md"} & names


def test_the_stage_learns_and_its_policy_loads(tmp_path: Path, tiny_model: Path) -> None:
    data, out, work = tmp_path / "data", tmp_path / "out", tmp_path / "work"
    for folder in (data, out, work):
        folder.mkdir()
    pairs = path_pairs_of(12)
    write_pairs(data / "train.arrow", pairs)
    msft = {"epochs": 8, "batch_size": 4, "learning_rate": 3e-3, "lora": None, "save_steps": 100}
    seen: list[tuple[int, int]] = []
    metrics = train_msft(
        StageContext(
            config={
                "msft": {**msft, "prefixes": {"shape": "mixed"}},
                "seed": 1,
                "format": FORMAT.model_dump(mode="json"),
                "precision": "float32",
                "base": "tiny",
            },
            inputs={"data": data},
            files={},
            models={"base": tiny_model},
            out=out,
            work=work,
            progress=lambda done, total, _text: seen.append((done, total)),
        )
    )
    assert seen[-1] == (24, 24)
    assert (metrics["sft/sentences"], metrics["sft/steps"], metrics["sft/left_out"]) == (12, 24, 0)
    rows = read_metrics(out / "curves.jsonl")
    for name in ("loss_full", "loss_prefix", "nll_prefix"):
        assert rows[-1][name] < rows[0][name]
    assert rows[0]["confidence"] == pytest.approx(0.5, abs=1e-6)
    assert rows[-1]["confidence"] != pytest.approx(0.5, abs=1e-3)
    assert json.loads((out / "training.json").read_text())["pairs"] == 12
    # The saved policy gives the losses that the trainer's own would.
    policy = load_policy(tiny_model, out / "model")
    drawn = built(job_of(tmp_path / "again", tiny_model, pairs)).steps[0].examples
    with torch.no_grad():
        streams = [stream for one in drawn for stream in one.streams]
        terms = policy.terms(pack_streams(streams, policy.format.target_position))
    assert -float(terms.logps.mean()) < rows[0]["nll_prefix"]


def test_the_digest_is_of_contents(tmp_path: Path, tiny_model: Path) -> None:
    pairs = path_pairs_of(4)

    def mark(job: Any) -> str:
        _prepare(job, tmp_path / "work")
        return (tmp_path / "work" / "job.sha256").read_text()

    first = mark(job_of(tmp_path / "a", tiny_model, pairs))
    assert mark(job_of(tmp_path / "b", tiny_model, pairs)) == first
    assert mark(job_of(tmp_path / "b", tiny_model, pairs, learning_rate=1e-4)) != first
    other = job_of(tmp_path / "c", tiny_model, [*pairs[:-1], replace(pairs[-1], target_text="neu", target_path=None)])
    assert mark(other) != first
    renamed = job_of(tmp_path / "a", tiny_model, pairs)
    renamed.files = {"others": renamed.files["pairs"]}
    assert mark(renamed) != first
    other_prefixes = job_of(tmp_path / "a", tiny_model, pairs, prefixes={"count": 1})
    assert mark(other_prefixes) != first


def test_a_mistake_in_the_child_is_one_sentence(tmp_path: Path, tiny_model: Path) -> None:
    bare = [replace(pair, target_path=None) for pair in path_pairs_of(4)]
    job = job_of(tmp_path, tiny_model, bare, prefixes={"shape": "gold"})
    with pytest.raises(DataError, match=r"toy.de:1: prefixes.shape gold asks for a path"):
        started(job, tmp_path / "work")


def test_two_processes_learn_the_same(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = job_of(tmp_path / "one", tiny_model, path_pairs_of(6), lora={"rank": 2}, epochs=2)
    started(one, tmp_path / "work-one")
    monkeypatch.setenv("VALIGN_RANKS", "2")
    two = job_of(tmp_path / "two", tiny_model, path_pairs_of(6), lora={"rank": 2}, epochs=2)
    started(two, tmp_path / "work-two")
    curves = [read_metrics(tmp_path / work / "metrics.jsonl") for work in ("work-one", "work-two")]
    assert len(curves[0]) == len(curves[1]) == 4
    for alone, shared in zip(*curves, strict=True):
        for name in ("loss", "grad_norm", "nll_full", "nll_prefix", "confidence"):
            assert shared[name] == pytest.approx(alone[name], rel=2e-4)
