"""Float32 master weights under bf16 autocast take every small update; bf16 weights would lose most of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from shared.records import PreferenceRecord
from shared.training.dpo import PolicyTrainer
from tests.shared.training.policy_jobs import policy_job, policy_of, trainer_of

STEPS, LEARNING_RATE = 50, 5e-7


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


class UpdateNorm(TrainerCallback):
    """Norm of (weights - first weights) after every step."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_train_begin(self, *args: Any, model: Any = None, **kwargs: Any) -> None:
        self._first = [parameter.detach().clone() for parameter in model.parameters()]

    def on_step_end(self, *args: Any, model: Any = None, **kwargs: Any) -> None:
        moved = [now.detach().double() - then for now, then in zip(model.parameters(), self._first, strict=True)]
        self.norms.append(float(torch.cat([one.flatten() for one in moved]).norm()))


def update_norms(trainer: PolicyTrainer, watch: UpdateNorm) -> list[float]:
    trainer.train()
    assert len(watch.norms) == STEPS
    return watch.norms


@pytest.mark.slow
def test_fifty_small_updates_under_autocast_are_as_large_as_in_float32(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    norms: dict[str, list[float]] = {}
    for name in ("float32", "bf16 autocast", "bf16 weights"):
        precision = "float32" if name == "float32" else "bf16"
        records = toy_pairs[:20]
        job = policy_job(tmp_path, tiny_model, records, precision, batch_size=2, epochs=5, learning_rate=LEARNING_RATE)
        watch = UpdateNorm()
        trainer = trainer_of(job, records, [watch])
        assert {parameter.dtype for parameter in policy_of(trainer).parameters()} == {torch.float32}
        assert trainer.choice.autocast_bf16 == (precision == "bf16")
        if name == "bf16 weights":
            policy_of(trainer).to(torch.bfloat16)
        norms[name] = update_norms(trainer, watch)
    assert norms["float32"][-1] > 0.5 * LEARNING_RATE * STEPS  # something was learned
    for step in (0, 9, STEPS - 1):
        assert norms["bf16 autocast"][step] == pytest.approx(norms["float32"][step], rel=0.05)
    # The same test on bf16 weights fails, and by far: it can tell the two apart.
    assert abs(norms["bf16 weights"][-1] / norms["float32"][-1] - 1) > 0.3
