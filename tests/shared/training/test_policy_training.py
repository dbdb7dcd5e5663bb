"""Every objective trains a policy: three steps on tiny models, with records that carry what it needs."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.models import load_policy
from shared.records import PreferenceRecord
from shared.training.config import LoraConfig
from shared.training.objectives.config import KNOWN
from shared.training.progress import ProgressCallback, StopSignal, read_metrics
from shared.training.reference import token_logps_of
from shared.training.worker import _save
from tests.shared.training.policy_jobs import policy_job, policy_of, rich, trainer_of

pytestmark = pytest.mark.slow

REWARDS = {"rewards/chosen", "rewards/rejected"}
PAIR = REWARDS | {"rewards/margins", "rewards/accuracies"}
OWN_METRICS: dict[str, set[str]] = {
    "nll": set(),
    "rationale": {"logps/rationale"},
    "rationale_dpo": PAIR | {"logps/rationale"},
    "context": {"context/margins", "context/accuracies"},
    "kto": REWARDS | {"kl"},
    "odpo": PAIR | {"offsets"},
}
WITHOUT_REFERENCE = {"simpo", "orpo", "nll", "rationale"}
SUMS: dict[str, Any] = {
    "sum": ["sigmoid", {"name": "nll", "weight": 0.2}],
    "sum of everything": ["ld_dpo", "odpo", {"name": "rationale", "weight": 0.01}, {"name": "context", "weight": 0.5}],
    "simpo and a likelihood": [{"name": "simpo", "gamma": 0.5}, {"name": "nll", "weight": 0.1}],
    "ipo on sums": {"name": "ipo", "reduction": "sum"},
    "odpo on margins": {"name": "odpo", "scale": "identity", "alpha": 0.5},
    "rationale as in the code": {"name": "rationale_dpo", "form": "sigmoid", "reduction": "mean"},
}


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def trained(
    tmp_path: Path, model: Path, records: list[PreferenceRecord], **config: Any
) -> tuple[Any, list[dict[str, float]]]:
    """(trainer after its steps, metrics of every step); the job must change the weights."""
    job = policy_job(tmp_path, model, records, **config)
    rows = tmp_path / "metrics.jsonl"
    trainer = trainer_of(job, records, [ProgressCallback(rows, StopSignal())])
    before = {
        name: value.detach().clone() for name, value in policy_of(trainer).named_parameters() if value.requires_grad
    }
    trainer.train()
    after = dict(policy_of(trainer).named_parameters())
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    assert all(bool(value.isfinite().all()) for value in after.values())
    return trainer, read_metrics(rows)


def check_rows(rows: list[dict[str, float]], steps: int) -> None:
    assert [row["step"] for row in rows] == list(range(1, steps + 1))
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert all(row["grad_norm"] > 0 for row in rows)


@pytest.mark.parametrize("loss", KNOWN)
def test_every_loss_trains_and_reports(
    loss: str, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    trainer, rows = trained(tmp_path, tiny_model, rich(toy_pairs[:6]), loss=loss, batch_size=2)
    check_rows(rows, 3)
    wanted = {"loss", "logps/chosen", "logps/rejected", *OWN_METRICS.get(loss, PAIR)}
    assert wanted <= rows[0].keys()
    assert (tmp_path / "reference.arrow").exists() == (loss not in WITHOUT_REFERENCE)
    assert trainer.layout == "shared"


@pytest.mark.parametrize("name", SUMS)
def test_sums_and_parameters_train(
    name: str, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    _, rows = trained(tmp_path, tiny_model, rich(toy_pairs[:6]), loss=SUMS[name], batch_size=2)
    check_rows(rows, 3)
    if isinstance(SUMS[name], list):
        weights = {part if isinstance(part, str) else part["name"]: 1.0 for part in SUMS[name]}
        weights |= {part["name"]: part.get("weight", 1.0) for part in SUMS[name] if isinstance(part, dict)}
        assert {f"loss/{part}" for part in weights} <= rows[0].keys()


@pytest.mark.parametrize("loss", ["sigmoid", "kto", "simpo", ["sigmoid", "rationale", "context"]], ids=str)
def test_losses_train_with_adapters(
    loss: Any, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    trainer, rows = trained(tmp_path, tiny_model, rich(toy_pairs[:6]), loss=loss, batch_size=2, lora=LoraConfig(rank=2))
    check_rows(rows, 3)
    assert all("lora" in name for name, value in policy_of(trainer).named_parameters() if value.requires_grad)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("sigmoid", math.log(2)), ("hinge", 1.0), ("kto", 0.5), ("ipo", 25.0), ("ld_dpo", math.log(2))],
)
def test_the_first_loss_is_that_of_the_reference(
    loss: str, expected: float, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    """Before the first update log-ratios are 0: a role, sign or division mixed up would show."""
    _, rows = trained(tmp_path, tiny_model, toy_pairs[:6], loss=loss, batch_size=6, micro_batch_tokens=200)
    assert rows[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert rows[0]["rewards/chosen"] == pytest.approx(0, abs=1e-4)


def test_training_raises_the_chosen_over_the_rejected(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    _, rows = trained(tmp_path, tiny_model, toy_pairs, epochs=6, learning_rate=2e-3)
    assert rows[-1]["rewards/accuracies"] == 1.0
    assert rows[-1]["loss"] < 0.5 < rows[0]["loss"]


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["full", "lora"])
def test_the_saved_policy_is_the_trained_one_and_names_no_attention_of_ours(
    lora: LoraConfig | None, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    records = toy_pairs[:6]
    job = policy_job(tmp_path, tiny_model, records, lora=lora, learning_rate=1e-2)
    job = job.model_copy(update={"save_merged": lora is not None})
    trainer = trainer_of(job, records)
    trainer.train()
    assert trainer.layout == "shared"
    examples = [example.trees[0] for example in trainer.steps._examples]
    from shared.training.pair_examples import PairTrees

    given = [PairTrees("", (tree,), False) for tree in examples]
    wanted = token_logps_of(policy_of(trainer), given, ("chosen", "rejected"), "shared", "float32")
    _save(trainer, job, None)
    saved = [*job.output.rglob("*.json")]
    assert saved
    for path in saved:
        assert "valign_trees" not in path.read_text(encoding="utf-8"), path
        json.loads(path.read_text(encoding="utf-8"))
    places = [job.output] if lora is None else [job.output, job.output / "merged"]
    for place in places:
        policy = load_policy(tiny_model, place)
        found = token_logps_of(policy, given, ("chosen", "rejected"), "plain", "float32")
        for one, other in zip(found, wanted, strict=True):
            for role in ("chosen", "rejected"):
                assert one[role] == pytest.approx(other[role], abs=1e-4)
        ids: Any = policy.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=3, do_sample=False)  # pyright: ignore
        assert ids.shape[1] <= 6
