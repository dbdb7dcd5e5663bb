"""Sampling: reproducible, batched, stopped at the turn's end."""

from pathlib import Path
from typing import Any

import pytest
import torch

from shared.generation import GenerationConfig, generate
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import PromptFormat, tokenize_prompt
from shared.records import Message

FORMAT = PromptFormat()
PROMPTS = [(Message("user", text),) for text in ("hi", "how do i sleep better?", "a walk", "what a day it was")]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    return load_causal_lm(tiny_model)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


def test_greedy_equals_stepwise_argmax_whatever_the_batch(model: Any, tokenizer: Any) -> None:
    config = GenerationConfig(max_new_tokens=8, temperature=0, batch_size=3)
    found = generate(model, tokenizer, PROMPTS, FORMAT, config, "float32")
    for prompt, (text,) in zip(PROMPTS, found, strict=True):
        ids = tokenize_prompt(FORMAT, prompt, tokenizer)
        start = len(ids)
        with torch.no_grad():
            while len(ids) - start < 8 and (len(ids) == start or ids[-1] != tokenizer.eos_token_id):
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert text == tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_a_seed_reproduces_and_another_differs(model: Any, tokenizer: Any) -> None:
    config = GenerationConfig(max_new_tokens=12, temperature=1.0, n=2, batch_size=4, seed=3)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = generate(model, tokenizer, PROMPTS, FORMAT, config, "float32")
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    assert generate(model, tokenizer, PROMPTS, FORMAT, config, "float32") == first
    other = generate(model, tokenizer, PROMPTS, FORMAT, config.model_copy(update={"seed": 4}), "float32")
    assert other != first
    assert [len(responses) for responses in first] == [2] * len(PROMPTS)
    assert any(a != b for a, b in first)


def test_it_stops_at_the_turns_end(tiny_model: Path, tokenizer: Any) -> None:
    model: Any = load_causal_lm(tiny_model)
    forward = model.forward
    end = tokenizer.eos_token_id

    def ends_at_once(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.logits[..., end] += 1e4
        return output

    model.forward = ends_at_once
    done: list[tuple[int, int]] = []
    config = GenerationConfig(max_new_tokens=5, batch_size=2)
    texts = generate(
        model, tokenizer, PROMPTS, FORMAT, config, "float32", lambda number, total: done.append((number, total))
    )
    assert texts == [[""]] * len(PROMPTS)
    assert done == [(2, 4), (4, 4)]
