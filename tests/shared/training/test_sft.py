"""Supervised fine-tuning: the loss against torch's cross-entropy, weights, means, shared prompts, held-out loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import cross_entropy

from shared.errors import DataError
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import PromptFormat, tokenize_completion, tokenize_prompt
from shared.records import Message, PreferenceRecord
from shared.training.demonstrations import Demonstration
from shared.training.sft import SftTrainer, sft_examples
from shared.training.sft_config import SftConfig, SftStoppingConfig
from shared.training.step_order import Step
from tests.shared.training.sft_jobs import demonstrations_of, sft_job, sft_trainer
from tests.shared.training.tiny_architectures import relative_differences

FORMAT = PromptFormat()


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def gradients_of(found: SftTrainer, step: Step) -> tuple[float, dict[str, Tensor]]:
    model: Any = found.model
    model.zero_grad()
    loss = found.training_step(model, {"step": step})
    return float(loss), {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def by_cross_entropy(model: Any, folder: Path, given: list[Demonstration], mean: str, smoothing: float) -> Tensor:
    """The loss of a step as a row a response, by torch."""
    tokenizer = load_tokenizer(folder)
    total, divisor = torch.zeros(()), 0.0
    for one in given:
        prompt = tokenize_prompt(FORMAT, one.prompt, tokenizer)
        response = tokenize_completion(FORMAT, one.response, tokenizer)
        assert response[-1] == tokenizer.eos_token_id  # the turn's end is learnt
        ids = torch.tensor([prompt + response])
        logits = model(ids).logits[0, len(prompt) - 1 : -1]
        losses = cross_entropy(logits, ids[0, len(prompt) :], reduction="none", label_smoothing=smoothing)
        total = total + one.weight * (losses.sum() if mean == "tokens" else losses.mean())
        divisor += one.weight * (len(response) if mean == "tokens" else 1)
    return total / divisor


@pytest.mark.parametrize("mean", ["tokens", "responses"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("layout", ["shared", "plain"])
def test_a_step_is_torchs_cross_entropy(
    mean: str, smoothing: float, layout: str, tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    given = demonstrations_of(toy_pairs[:4])
    found = sft_trainer(sft_job(tmp_path, tiny_model, given, mean=mean, label_smoothing=smoothing, layout=layout))
    loss, gradients = gradients_of(found, found.steps[0])
    model = load_causal_lm(tiny_model)
    expected = by_cross_entropy(model, tiny_model, given, mean, smoothing)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-6)
    expected.backward()
    wanted = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert gradients.keys() == wanted.keys()
    assert max(relative_differences(gradients, wanted).values()) < 1e-4
    # Micro-batches bound memory and change nothing.
    found.budget = 16
    cut_loss, cut = gradients_of(found, found.steps[0])
    assert cut_loss == pytest.approx(loss, rel=1e-6)
    assert max(relative_differences(cut, gradients).values()) < 1e-4
    weights = sum(one.weight for one in given)
    assert found.items(4) == pytest.approx(weights) or mean == "tokens"


def test_responses_share_their_prompt(tiny_model: Path, toy_pairs: list[PreferenceRecord]) -> None:
    tokenizer = load_tokenizer(tiny_model)
    prompt = (Message("user", "one " * 10),)
    given = [Demonstration(str(n), "g", "s", prompt, "word " * (n + 1)) for n in range(5)]
    given.insert(2, Demonstration("other", "h", "s", toy_pairs[0].prompt, "yes"))
    given.append(replace(given[0], weight=0.0))
    found = sft_examples(given, FORMAT, tokenizer, 256, 3)
    assert [len(one.weights) for one in found] == [3, 2, 1]
    assert found[0].tree.prompt == found[1].tree.prompt
    assert [one.cut for one in found] == [0, 0, 0]
    alone = sft_examples(given, FORMAT, tokenizer, 256, 1)
    assert len(alone) == 6
    saved = sum(one.tree.tokens for one in alone) - sum(one.tree.tokens for one in found)
    assert saved == 3 * len(found[0].tree.prompt)
    short = sft_examples(given, FORMAT, tokenizer, 40, 8)
    assert [one.cut for one in short] == [5, 1]
    assert all(len(one.tree.prompt) + len(text) <= 40 for one in short for text in one.tree.completions)


def test_the_held_out_loss_is_the_trainings_without_smoothing(
    tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path
) -> None:
    given, other = demonstrations_of(toy_pairs[:4]), demonstrations_of(toy_pairs[4:9])
    job = sft_job(
        tmp_path, tiny_model, given, other, mean="responses", label_smoothing=0.2, stopping={"evaluate_steps": 1}
    )
    found = sft_trainer(job)
    examples = sft_examples(other, FORMAT, load_tokenizer(tiny_model), 256, 8)
    measured = found.held_out(examples)
    model = load_causal_lm(tiny_model)
    with torch.no_grad():
        assert measured["loss"] == pytest.approx(
            float(by_cross_entropy(model, tiny_model, other, "responses", 0.0)), rel=1e-6
        )
        even = [replace(one, weight=1.0) for one in other]
        assert measured["nll"] == pytest.approx(
            float(by_cross_entropy(model, tiny_model, even, "tokens", 0.0)), rel=1e-6
        )


def test_mistakes_are_one_sentence(tiny_model: Path, toy_pairs: list[PreferenceRecord], tmp_path: Path) -> None:
    given = demonstrations_of(toy_pairs[:2])
    with pytest.raises(DataError, match="there is no demonstration to train on"):
        sft_trainer(sft_job(tmp_path / "a", tiny_model, [replace(one, weight=0.0) for one in given]))
    with pytest.raises(DataError, match=r"data\.fractions\.validation"):
        sft_trainer(sft_job(tmp_path / "b", tiny_model, given, stopping={"evaluate_steps": 1}))
    with pytest.raises(ValidationError, match="evaluate_steps"):
        SftStoppingConfig(patience=1)
    with pytest.raises(ValidationError, match="label_smoothing"):
        SftConfig(label_smoothing=1.0)
