"""The whole training step against TRL's DPOTrainer on the same tokens: losses, gradients, and both after an update."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback

from shared.models import load_causal_lm, load_tokenizer
from shared.records import PreferenceRecord
from shared.training.arguments import adapters
from shared.training.config import DpoJob, LoraConfig
from shared.training.step_order import Step
from tests.shared.training.policy_jobs import policy_job, trainer_of
from tests.shared.training.tiny_architectures import relative_differences

pytestmark = pytest.mark.slow

RATE = 1e-3
STEPS = 2


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


class Gradients(TrainerCallback):
    """Gradient of every trained parameter just before each update."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []

    def on_pre_optimizer_step(self, *args: Any, model: Any = None, **kwargs: Any) -> None:
        self.steps.append(
            {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
        )


def shift(model: Any) -> None:
    """Moves the trained weights away from the reference, so that pairs have losses and weights of their own."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter += 0.03 * torch.randn(parameter.shape, generator=generator)


def trl_steps(
    job: DpoJob, steps: Sequence[Step], folder: Path, loss_type: str, micro: int
) -> tuple[list[float], list[dict[str, Tensor]]]:
    """(losses, gradients) of TRL's trainer, which gets our tokens in the order of our steps."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    losses: list[float] = []

    class Trainer(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)  # pyright: ignore

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            losses.append(loss.item())
            return loss

    rows = []
    for step in steps:
        for example in step.examples:
            (tree,) = example.trees
            chosen, rejected = map(list, tree.completions)
            rows.append({"prompt_ids": list(tree.prompt), "chosen_ids": chosen, "rejected_ids": rejected})
    batch = len(steps[0].examples)
    watch = Gradients()
    configuration = adapters(job, "CAUSAL_LM")
    model = load_causal_lm(job.model)
    trainer = Trainer(
        model=model,
        ref_model=load_causal_lm(job.model) if configuration is None else None,
        args=DPOConfig(
            output_dir=str(folder),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=batch // micro,
            max_steps=STEPS,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            max_grad_norm=1e9,
            beta=0.1,
            loss_type=[loss_type],
            max_length=None,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
        ),
        processing_class=load_tokenizer(job.model),
        train_dataset=Dataset.from_list(rows),
        callbacks=[watch],
        peft_config=configuration,
    )
    assert trainer.model is not None
    _same_start(trainer.model)
    trainer.train()
    parts = batch // micro
    return [sum(losses[n * parts : (n + 1) * parts]) / parts for n in range(STEPS)], watch.steps


def _same_start(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if "lora" in name:
            with torch.no_grad():
                parameter.zero_()
    shift(model)


@pytest.mark.parametrize(
    ("loss", "lora", "micro"),
    [
        ("sigmoid", None, 4),
        ("sigmoid", LoraConfig(rank=4), 4),
        ("sigmoid", None, 1),
        ("ipo", None, 4),
        ("sigmoid_norm", LoraConfig(rank=4), 2),
    ],
    ids=["full", "lora", "micro-batches", "ipo", "length-normalised"],
)
@pytest.mark.parametrize("layout", ["shared", "plain"])
def test_losses_and_gradients_equal_those_of_trl(
    layout: str,
    loss: str,
    lora: LoraConfig | None,
    micro: int,
    tiny_model: Path,
    toy_pairs: list[PreferenceRecord],
    tmp_path: Path,
) -> None:
    records = toy_pairs[:8]
    job = policy_job(
        tmp_path, tiny_model, records, loss=loss, layout=layout, lora=lora, learning_rate=RATE, max_grad_norm=1e9
    )
    watch = Gradients()
    trainer = trainer_of(job, records, [watch])
    steps = [trainer.steps[number] for number in range(STEPS)]
    assert [len(step.examples) for step in steps] == [4, 4]
    trainer.budget = 200
    _same_start(trainer.model)
    losses: list[float] = []
    before = trainer.training_step

    def noted(*args: Any) -> Any:
        losses.append(float(before(*args)))
        return torch.tensor(losses[-1])

    trainer.training_step = noted  # pyright: ignore[reportAttributeAccessIssue]
    trainer.train()
    wanted_losses, wanted = trl_steps(job, steps, tmp_path / "trl", loss, micro)
    assert len(losses) == len(wanted_losses) == len(watch.steps) == len(wanted) == STEPS
    assert losses == pytest.approx(wanted_losses, rel=1e-5)
    assert len(set(losses)) == STEPS
    for ours, theirs in zip(watch.steps, wanted, strict=True):
        assert max(relative_differences(ours, theirs).values()) < 1e-4
