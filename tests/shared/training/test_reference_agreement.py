"""At the first step the policy is the stored reference, up to rounding: the bound is stated and held.

The reference pass and the training cut their batches differently, and the number format is the recipe's. In float32 a
response is off by less than 1e-4 nats; under bf16 autocast every token's error is a rounding of its own, so that sums
grow like the root of the number of tokens.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from shared.records import Message, PreferenceRecord
from shared.training.config import LoraConfig
from shared.training.dpo import PolicyTrainer
from shared.training.layouts import token_logps
from tests.shared.training.policy_jobs import policy_job, policy_of, trainer_of

FLOAT32_NATS = 1e-4  # a response
BF16_NATS = 0.02  # a response, times the root of its tokens


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def differences(trainer: PolicyTrainer, budget: int) -> list[tuple[float, int]]:
    """(|policy - stored reference| of a response in nats, its tokens), all responses, under a budget of tokens."""
    from shared.training.trees import cut_by_tokens

    examples = [example for number in range(len(trainer.steps)) for example in trainer.steps[number].examples]
    model = policy_of(trainer)
    model.train()
    found = []
    for group in cut_by_tokens([trainer.cost(example) for example in examples], budget):
        part = [examples[index] for index in group]
        with torch.no_grad(), trainer.choice.autocast():
            logps = token_logps(model, [example.trees[0] for example in part], trainer.layout)
        sums = iter(logps.sums().double().tolist())
        for example in part:
            for role, completion in zip(("chosen", "rejected"), example.trees[0].completions, strict=True):
                found.append((abs(next(sums) - example.reference[role]), len(completion)))
    return found


def worst(found: Sequence[tuple[float, int]], precision: str) -> float:
    """The largest difference as a share of the bound."""
    if precision == "float32":
        return max(nats for nats, _ in found) / FLOAT32_NATS
    return max(nats / math.sqrt(tokens) for nats, tokens in found) / BF16_NATS


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
@pytest.mark.parametrize("layout", ["shared", "plain"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_policy_starts_at_the_stored_reference(
    precision: str,
    layout: str,
    lora: LoraConfig | None,
    tiny_model: Path,
    toy_pairs: list[PreferenceRecord],
    tmp_path: Path,
) -> None:
    job = policy_job(tmp_path, tiny_model, toy_pairs, precision, layout=layout, lora=lora)
    trainer = trainer_of(job, toy_pairs)
    assert trainer.choice.autocast_bf16 == (precision == "bf16")
    for budget in (16, 300, 100_000):
        assert worst(differences(trainer, budget), precision) < 1


def test_the_bound_notices_another_policy(tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    job = policy_job(tmp_path, tiny_model, toy_pairs, "bf16")
    trainer = trainer_of(job, toy_pairs)
    with torch.no_grad():
        for parameter in policy_of(trainer).parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    assert worst(differences(trainer, 300), "bf16") > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "lora"), [("float32", None), ("bf16", LoraConfig(rank=8))], ids=["float32-full", "bf16-lora"]
)
def test_a_real_model_starts_at_the_stored_reference(
    precision: str, lora: LoraConfig | None, packaged_cache: Path, real_data: Path, tmp_path: Path
) -> None:
    from shared.models import resolve

    model = resolve("smollm2-135m-instruct", packaged_cache).path
    records = counsel_pairs(real_data, 5)
    job = policy_job(tmp_path, model, records, precision, lora=lora, max_length=384, batch_size=5)
    trainer = trainer_of(job, records)
    assert trainer.layout == "shared"
    for budget in (400, 2000):
        found = differences(trainer, budget)
        assert len(found) == 10
        assert sum(tokens for _, tokens in found) > 1000
        assert worst(found, precision) < 1


def counsel_pairs(folder: Path, count: int) -> list[PreferenceRecord]:
    """Answers to one question, the one with more upvotes as the chosen."""
    answers: dict[str, list[tuple[int, str]]] = {}
    with (folder / "counseling" / "counsel_chat.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = row["answerText"]
            if 200 < len(text) < 1500:
                answers.setdefault(row["questionText"][:600], []).append((int(row["upvotes"]), text))
    pairs = []
    for number, (question, given) in enumerate(answers.items()):
        given.sort()
        if question and len(given) > 1 and given[-1][0] > given[0][0]:
            pairs.append(
                PreferenceRecord(
                    f"p{number}", f"g{number}", "c:1", (Message("user", question),), given[-1][1], given[0][1]
                )
            )
        if len(pairs) == count:
            break
    return pairs
