"""SimulDPO's steps: what a step is divided by, what is learned, and how a training that diverges ends."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from domains.translation.pair_files import write_pairs
from domains.translation.path_pairs import path_pairs
from domains.translation.path_reference import reference_of, write_path_reference
from domains.translation.policy import SimulPolicy, load_policy
from domains.translation.records import SentencePair
from domains.translation.simul_dpo import SimulDpoTrainer
from domains.translation.simul_dpo_config import SimulDpoConfig
from shared.errors import StageError
from shared.models import load_tokenizer
from shared.training.config import LoraConfig
from shared.training.custom_job import CustomJob, DomainConfig, custom_training
from shared.training.progress import ProgressCallback, StopSignal, read_metrics
from shared.training.step_order import Step
from tests.domains.translation.path_cases import FORMAT, path_pairs_of, saved_policy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_on_cpu")]


@pytest.fixture
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def trainer_of(
    model: Path,
    work: Path,
    lora: LoraConfig | None = None,
    records: Sequence[SentencePair] | None = None,
    **changes: Any,
) -> SimulDpoTrainer:
    """A trainer on toy pairs with their reference, all of them in a step."""
    records = path_pairs_of(8) if records is None else records
    config = SimulDpoConfig.model_validate({"batch_size": len(records), "learning_rate": 3e-3, **changes})
    folder = saved_policy(work / "sft", model, lora)
    write_pairs(work / "pairs.arrow", records)
    examples, _ = path_pairs(records, FORMAT, load_tokenizer(folder), config.max_length)
    rows = reference_of(load_policy(model, folder), examples, "float32")
    write_path_reference(work / "reference.arrow", [one.id for one in examples], rows)
    job = CustomJob(
        model=model,
        output=work / "out",
        precision="float32",
        builder="domains.translation.simul_dpo:trainer",
        files={"pairs": work / "pairs.arrow", "reference": work / "reference.arrow", "sft": folder},
        config=DomainConfig(**config.model_dump(mode="json")),
    )
    return custom_training(job, work, [ProgressCallback(work / "metrics.jsonl", StopSignal())]).trainer


def policy_of(trainer: SimulDpoTrainer) -> SimulPolicy:
    policy: Any = trainer.accelerator.unwrap_model(trainer.model)
    return policy


def step_of(trainer: SimulDpoTrainer, step: Step) -> tuple[float, dict[str, torch.Tensor]]:
    """(loss, gradients) of a step."""
    policy_of(trainer).zero_grad()
    loss = float(trainer.training_step(trainer.model, {"step": step}))
    named = policy_of(trainer).named_parameters()
    return loss, {name: value.grad.clone() for name, value in named if value.grad is not None}


def differences(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    assert found.keys() == expected.keys()
    size = max(float(one.norm()) for one in expected.values())
    return max(float((found[name] - one).norm()) for name, one in expected.items()) / size


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
def test_the_policy_starts_at_its_reference(lora: LoraConfig | None, tiny_model: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_model, tmp_path, lora, form="none")
    loss, gradients = step_of(trainer, trainer.steps[0])
    assert loss == pytest.approx(0.693147, abs=1e-4)  # log 2: no margin yet
    for example in trainer.steps[0].examples:
        _, metrics = trainer.losses(policy_of(trainer), [example])
        for side in ("chosen", "rejected"):
            for part in ("translation", "policy"):
                stored = getattr(example.reference, f"{side}_{part}")
                assert float(metrics[f"logps/{side}_{part}"]) == pytest.approx(stored, abs=1e-4)
    trained = {name for name in gradients if "lora_" in name}
    assert (trained == set(gradients) - {"confidence.weight", "confidence.bias"}) == (lora is not None)
    assert float(gradients["confidence.weight"].norm()) > 0


@pytest.mark.parametrize("form", ["offset", "explicit"])
def test_cutting_a_step_or_sharing_it_out_changes_nothing(form: str, tiny_model: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_model, tmp_path, form=form, alpha=3.0, sft_weight=0.5)
    with torch.no_grad():  # away from the reference
        for parameter in policy_of(trainer).parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    step = trainer.steps[0]
    trainer.budget = 100_000
    loss, whole = step_of(trainer, step)
    metrics = dict(trainer._metrics)
    trainer.budget = 16
    cut_loss, cut = step_of(trainer, step)
    assert cut_loss == pytest.approx(loss, rel=1e-5)
    assert differences(cut, whole) < 1e-4
    assert trainer._metrics == pytest.approx(metrics, rel=1e-4, abs=1e-5)
    parts = [step_of(trainer, Step(step.examples[rank::2], step.total)) for rank in range(2)]
    assert sum(one for one, _ in parts) == pytest.approx(loss, rel=1e-5)
    assert differences({name: parts[0][1][name] + parts[1][1][name] for name in whole}, whole) < 1e-4


def trained(trainer: SimulDpoTrainer, work: Path) -> list[dict[str, float]]:
    trainer.train()
    return read_metrics(work / "metrics.jsonl")


def test_faster_chosen_paths_lower_the_expected_latency(tiny_model: Path, tmp_path: Path) -> None:
    rows = trained(trainer_of(tiny_model, tmp_path, LoraConfig(rank=4), form="none", epochs=12), tmp_path)
    found = [row["latency/expected"] for row in rows if "latency/expected" in row]
    assert len(rows) == 12
    assert len(found) == 2  # at steps 1 and 11
    assert found[-1] < found[0] - 0.02
    assert rows[-1]["rewards/accuracies"] == 1.0
    assert rows[-1]["rewards/margins_policy"] > 0
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert {"logps/chosen_policy", "logps/rejected_translation", "latency/chosen"} <= rows[0].keys()


def opposed(count: int) -> list[SentencePair]:
    """Every text twice: once its fast path is chosen, once its slow one."""
    fast = [pair for pair in path_pairs_of(2 * count) if pair.rejected_text == pair.target_text]
    slow = [
        dataclasses.replace(pair, id=f"{pair.id}-slow", target_path=pair.rejected_path, rejected_path=pair.target_path)
        for pair in fast
    ]
    return [*fast, *slow]


@pytest.mark.slow
def test_opposed_preferences_settle_where_the_offset_puts_them(tiny_model: Path, tmp_path: Path) -> None:
    """With m the gap of latencies, ``-log s(z - alpha m) - log s(-z + alpha m)`` is least at z = alpha m."""
    ends = []
    for alpha in (0.0, 1.0, 2.0):
        work = tmp_path / f"{alpha}"
        settings: dict[str, Any] = {"form": "offset", "alpha": alpha, "epochs": 40, "latency_steps": 1, "beta": 0.3}
        trainer = trainer_of(tiny_model, work, records=opposed(3), most_fall=None, **settings)
        row = trained(trainer, work)[-1]
        fast = [one for one in trainer.steps[0].examples if one.latency_chosen < one.latency_rejected]
        _, metrics = trainer.losses(policy_of(trainer), fast)
        gap = sum(one.latency_rejected - one.latency_chosen for one in fast) / len(fast)
        assert float(metrics["rewards/margins"].mean()) == pytest.approx(alpha * gap, abs=0.1)
        ends.append(row["latency/expected"])
    assert ends[0] > ends[1] > ends[2]


def test_a_larger_alpha_of_the_explicit_form_gives_a_lower_latency(tiny_model: Path, tmp_path: Path) -> None:
    ends = []
    for alpha in (0.0, 2.0, 10.0):
        work = tmp_path / f"{alpha}"
        trainer = trainer_of(tiny_model, work, form="explicit", alpha=alpha, epochs=8, most_fall=None)
        ends.append(trained(trainer, work)[-1]["latency/expected"])
    assert ends[0] > ends[1] > ends[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "explicit", "alpha": 1e5, "learning_rate": 0.05}, "diverged at step"),
        ({"form": "explicit", "alpha": 1e5, "learning_rate": 0.05, "most_fall": None}, "everything is written after"),
        ({"form": "explicit", "alpha": 1e5, "learning_rate": 0.05, "least_latency": None}, "less likely by"),
        ({"form": "explicit", "alpha": 1e308}, "the loss is inf"),
    ],
)
def test_an_alpha_that_diverges_ends_with_its_name(
    changes: dict[str, Any], message: str, tiny_model: Path, tmp_path: Path
) -> None:
    trainer = trainer_of(tiny_model, tmp_path, epochs=40, save_steps=10, **changes)
    with pytest.raises(StageError, match=message) as caught:
        trainer.train()
    assert "align.alpha" in str(caught.value)
    assert "at step" in str(caught.value)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_the_config_refuses_what_does_not_fit() -> None:
    for wrong, message in (({"lora": {}}, "continues the supervised"), ({"layout": "plain"}, "mask of their own")):
        with pytest.raises(ValueError, match=message):
            SimulDpoConfig.model_validate(wrong)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(
    lora: LoraConfig | None, tiny_model: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"form": "explicit", "alpha": 1.0, "epochs": 6, "save_steps": 3}
    rows = trained(trainer_of(tiny_model, tmp_path, lora, **settings), tmp_path)
    resumed = trainer_of(tiny_model, tmp_path, lora, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert resumed.state.global_step == 6
    again = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in again] == [1, 2, 3, 4, 5, 6]
    for row, other in zip(again, rows, strict=True):
        for name in ("loss", "latency/expected", "logps/chosen_policy"):
            assert row[name] == pytest.approx(other[name], rel=1e-6), (row["step"], name)
