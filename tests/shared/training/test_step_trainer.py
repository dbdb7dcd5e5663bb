"""The training step: micro-batches bound memory and change nothing, a step is divided by its own pairs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from shared.errors import DataError, UsageError
from shared.records import PreferenceRecord
from shared.training.config import LoraConfig
from shared.training.dpo import PolicyTrainer
from shared.training.progress import ProgressCallback, StopSignal, read_metrics
from shared.training.step_order import Step
from tests.shared.training.policy_jobs import policy_job, policy_of, rich, step_gradients, trainer_of
from tests.shared.training.tiny_architectures import relative_differences

pytestmark = pytest.mark.usefixtures("_on_cpu")


@pytest.fixture
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def forward_passes(trainer: PolicyTrainer) -> list[int]:
    """Tokens of every forward pass from now on."""
    passes: list[int] = []
    embeddings = policy_of(trainer).get_input_embeddings()
    embeddings.register_forward_hook(lambda module, args, out: passes.append(args[0].numel()))
    return passes


@pytest.mark.parametrize("loss", ["sigmoid", "kto", "ld_dpo", "rationale_dpo"])
@pytest.mark.parametrize("layout", ["shared", "plain"])
def test_any_token_budget_gives_the_same_loss_and_gradients(
    loss: str, layout: str, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    records = rich(toy_pairs[:7])
    job = policy_job(tmp_path, tiny_model, records, loss=loss, layout=layout, batch_size=7, learning_rate=1e-2)
    trainer = trainer_of(job, records)
    with torch.no_grad():  # away from the reference, where losses and weights matter
        for parameter in policy_of(trainer).parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    step = trainer.steps[0]
    assert (len(step.examples), step.total) == (7, 7)
    trainer.budget = 100_000
    passes = forward_passes(trainer)
    loss_whole, whole = step_gradients(trainer, step)
    in_one = len(passes)
    metrics = dict(trainer._metrics)
    for budget in (16, 260, 520):
        trainer.budget = budget
        passes.clear()
        loss_cut, cut = step_gradients(trainer, step)
        assert len(passes) > in_one
        assert loss_cut == pytest.approx(loss_whole, rel=1e-5)
        assert max(relative_differences(cut, whole).values()) < 1e-4
        assert trainer._metrics == pytest.approx(metrics, rel=1e-4, abs=1e-5)
    trainer.budget = 16
    passes.clear()
    step_gradients(trainer, step)
    assert len(passes) == (14 if loss == "kto" else 7)  # below one pair's tokens every pair stands alone


def test_a_budget_is_kept(tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    job = policy_job(tmp_path, tiny_model, toy_pairs, batch_size=24, micro_batch_tokens=400)
    trainer = trainer_of(job, toy_pairs)
    passes = forward_passes(trainer)
    step_gradients(trainer, trainer.steps[0])
    assert max(passes) <= 400
    assert sum(passes) == sum(trainer.cost(example) for example in trainer.steps[0].examples)


def test_a_step_is_the_mean_over_its_own_pairs(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    """Gradients of a step of three equal the mean of the three pairs' own, also where the batch is larger."""
    records = toy_pairs[:3]
    job = policy_job(tmp_path, tiny_model, records, batch_size=8)
    trainer = trainer_of(job, records)
    step = trainer.steps[0]
    assert step.total == 3
    loss, whole = step_gradients(trainer, step)
    parts = [step_gradients(trainer, Step([example], 1)) for example in step.examples]
    assert loss == pytest.approx(sum(one for one, _ in parts) / 3, rel=1e-6)
    mean = {name: torch.stack([part[name] for _, part in parts]).mean(0) for name in whole}
    assert max(relative_differences(whole, mean).values()) < 1e-4


def test_ranks_add_up_to_the_whole_step(tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    """The shares of a step, each divided by the whole step's number, have its loss and gradients as their sum."""
    job = policy_job(tmp_path, tiny_model, toy_pairs[:5], batch_size=5)
    trainer = trainer_of(job, toy_pairs[:5])
    examples = trainer.steps[0].examples
    loss, whole = step_gradients(trainer, Step(examples, 5))
    parts = [step_gradients(trainer, Step(examples[rank::2], 5)) for rank in range(2)]
    assert loss == pytest.approx(sum(one for one, _ in parts), rel=1e-6)
    together = {name: parts[0][1][name] + parts[1][1][name] for name in whole}
    assert max(relative_differences(together, whole).values()) < 1e-4


def test_a_share_without_examples_adds_nothing(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    job = policy_job(tmp_path, tiny_model, toy_pairs[:4])
    trainer = trainer_of(job, toy_pairs[:4])
    loss, found = step_gradients(trainer, Step([], 1))
    assert (loss, found) == (0.0, {})


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
def test_training_counts_every_pair_and_the_last_step_is_short(
    lora: LoraConfig | None,
    checkpointing: bool,
    tiny_model: Path,
    toy_pairs: list[PreferenceRecord],
    tmp_path: Path,
) -> None:
    records = toy_pairs[:10]
    job = policy_job(
        tmp_path, tiny_model, records, epochs=2, lora=lora, gradient_checkpointing=checkpointing, micro_batch_tokens=150
    )
    rows = tmp_path / "metrics.jsonl"
    trainer = trainer_of(job, records, [ProgressCallback(rows, StopSignal())])
    taken: list[int] = []
    before = trainer.training_step

    def counted(model: Any, inputs: Any, *args: Any) -> Any:
        taken.append(len(inputs["step"].examples))
        return before(model, inputs, *args)

    trainer.training_step = counted  # pyright: ignore[reportAttributeAccessIssue]
    trainer.train()
    assert taken == [4, 4, 2, 4, 4, 2]
    metrics = read_metrics(rows)
    assert [row["step"] for row in metrics] == list(range(1, 7))
    assert metrics[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert {"rewards/chosen", "rewards/margins", "logps/chosen", "grad_norm", "learning_rate"} <= metrics[0].keys()


def test_gradient_checkpointing_trains_to_the_same_weights(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    records, ends = toy_pairs[:8], []
    for checkpointing in (False, True):
        job = policy_job(tmp_path, tiny_model, records, gradient_checkpointing=checkpointing)
        trainer = trainer_of(job, records)
        assert trainer.layout == "shared"
        trainer.train()
        assert policy_of(trainer).is_gradient_checkpointing is checkpointing
        ends.append({name: value.detach() for name, value in policy_of(trainer).named_parameters()})
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-6)


def test_pair_weights_scale_loss_and_gradients(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    from dataclasses import replace

    heavy = [replace(record, weight=2.5) for record in toy_pairs[:4]]
    (light_loss, light), (heavy_loss, of_heavy) = (
        step_gradients(trainer, trainer.steps[0])
        for trainer in (
            trainer_of(policy_job(tmp_path, tiny_model, records), records) for records in (toy_pairs[:4], heavy)
        )
    )
    assert heavy_loss == pytest.approx(2.5 * light_loss, rel=1e-6)
    assert max(relative_differences(of_heavy, {name: 2.5 * value for name, value in light.items()}).values()) < 1e-5


def test_mistakes_are_told_before_training(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = policy_job(tmp_path, tiny_model, toy_pairs)
    with pytest.raises(DataError, match="sigmoid needs reference log-probabilities"):
        trainer_of(job.model_copy(update={"reference": None}), toy_pairs)
    other = policy_job(tmp_path / "other", tiny_model, toy_pairs[1:])
    with pytest.raises(DataError, match="has no row for the record pair-0"):
        trainer_of(job.model_copy(update={"reference": other.reference}), toy_pairs)
    shorter = job.model_copy(update={"config": job.config.model_copy(update={"max_length": 40})})
    with pytest.raises(DataError, match="other tokens of the record"):
        trainer_of(shorter, toy_pairs)
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(UsageError, match="batch_size 4 is less than the 5 devices"):
        trainer_of(job, toy_pairs)
