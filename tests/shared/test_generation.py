"""Sampling: what is drawn, what a seed fixes, how responses end; the engine of PyTorch."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.generation import GenerationConfig, generate, sample
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import PromptFormat, tokenize_prompt
from shared.records import Message
from shared.sampling.decoding import batches_of, draw, inverse_cdf
from shared.sampling.settings import rows_of
from shared.sampling.weights import sampling_copy

FORMAT = PromptFormat()
PROMPTS = [(Message("user", text),) for text in ("hi", "how do i sleep better?", "a walk", "what a day it was")]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    return load_causal_lm(tiny_model)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


def ending(model: Any, token: int) -> Any:
    """The model, made to prefer a token above all."""
    forward = model.forward

    def ends_at_once(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.logits[..., token] += 1e4
        return output

    model.forward = ends_at_once
    return model


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


def test_neither_batch_nor_order_nor_other_prompts_change_a_response(model: Any, tokenizer: Any) -> None:
    def written(prompts: list[Any], **changes: Any) -> list[list[str]]:
        config = GenerationConfig(max_new_tokens=16, temperature=1.0, top_p=0.9, n=3, batch_size=5, seed=7)
        return generate(model, tokenizer, prompts, FORMAT, config.model_copy(update=changes), "float32")

    whole = written(PROMPTS)
    assert written(PROMPTS, batch_size=1) == whole
    assert written(PROMPTS, batch_size=64) == whole
    assert written(PROMPTS[::-1]) == whole[::-1]
    assert written(PROMPTS[1:2]) == whole[1:2]
    assert [one[:2] for one in whole] == written(PROMPTS, n=2)
    twice = written([PROMPTS[0], PROMPTS[0]])
    assert twice[0] == whole[0]
    assert twice[1] != twice[0]  # the same prompt again is answered anew


def test_log_probabilities_are_those_of_the_policy(model: Any, tokenizer: Any) -> None:
    config = GenerationConfig(max_new_tokens=9, temperature=0.5, top_p=0.8, n=2, batch_size=3, seed=1)
    found = sample(model, tokenizer, PROMPTS, FORMAT, config, "float32", with_logps=True)
    for prompt, responses in zip(PROMPTS, found.responses, strict=True):
        before = tokenize_prompt(FORMAT, prompt, tokenizer)
        for one in responses:
            assert one.logps is not None
            with torch.no_grad():
                logits = model(torch.tensor([[*before, *one.tokens]])).logits[0, len(before) - 1 : -1].double()
            oracle = logits.log_softmax(-1)[range(len(one.tokens)), list(one.tokens)]
            assert one.logps == pytest.approx(oracle.tolist(), abs=1e-4)
    assert sample(model, tokenizer, PROMPTS[:1], FORMAT, config, "float32").responses[0][0].logps is None


def test_it_stops_at_the_turns_end(tiny_model: Path, tokenizer: Any) -> None:
    model = ending(load_causal_lm(tiny_model), tokenizer.eos_token_id)
    done: list[tuple[int, int]] = []
    config = GenerationConfig(max_new_tokens=5, batch_size=2)
    found = sample(
        model,
        tokenizer,
        PROMPTS,
        FORMAT,
        config,
        "float32",
        on_progress=lambda number, total: done.append((number, total)),
    )
    assert [one.text for (one,) in found.responses] == [""] * len(PROMPTS)
    assert all(one.finish_reason == "stop" for (one,) in found.responses)
    assert all(one.tokens == (tokenizer.eos_token_id,) for (one,) in found.responses)
    assert done == [(2, 4), (4, 4)]


def test_a_stop_string_ends_a_response_and_is_left_out(tiny_model: Path, tokenizer: Any) -> None:
    letter = tokenizer("a", add_special_tokens=False)["input_ids"][0]
    model = ending(load_causal_lm(tiny_model), letter)
    config = GenerationConfig(max_new_tokens=9, batch_size=2, temperature=0)
    (uncut,) = sample(model, tokenizer, PROMPTS[:1], FORMAT, config, "float32").responses
    assert (uncut[0].text, uncut[0].finish_reason, len(uncut[0].tokens)) == ("a" * 9, "length", 9)
    stopped = config.model_copy(update={"stop": ("aaa", "q")})
    (cut,) = sample(model, tokenizer, PROMPTS[:1], FORMAT, stopped, "float32").responses
    assert (cut[0].text, cut[0].finish_reason, len(cut[0].tokens)) == ("", "stop", 3)


def test_a_prompt_longer_than_the_context_loses_its_beginning_and_says_so(model: Any, tokenizer: Any) -> None:
    config = GenerationConfig(max_new_tokens=4, temperature=0)
    long = (Message("user", "x" * 600),)
    found = sample(model, tokenizer, [long, PROMPTS[0]], FORMAT, config, "float32").responses
    assert [responses[0].prompt_cut for responses in found] == [True, False]


def test_bf16_samples_follow_the_float32_policy(model: Any, tokenizer: Any) -> None:
    config = GenerationConfig(max_new_tokens=6, temperature=1.0, n=2)
    rounded = sample(model, tokenizer, PROMPTS, FORMAT, config, "bf16", with_logps=True)
    for prompt, responses in zip(PROMPTS, rounded.responses, strict=True):
        before = tokenize_prompt(FORMAT, prompt, tokenizer)
        for one in responses:
            with torch.no_grad():
                logits = model(torch.tensor([[*before, *one.tokens]])).logits[0, len(before) - 1 : -1]
            exact = logits.log_softmax(-1)[range(len(one.tokens)), list(one.tokens)]
            assert one.logps == pytest.approx(exact.tolist(), abs=0.1)
    assert next(model.parameters()).dtype == torch.float32


def test_the_copy_has_the_adapter_in_its_weights_and_leaves_the_policy_alone(tiny_model: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = load_causal_lm(tiny_model)
    adapted: Any = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    adapted.eval()
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        expected, plain = adapted(ids).logits, base
        made = sampling_copy(adapted, torch.float32)
        assert not [name for name, _ in made.named_parameters() if "lora" in name]
        assert torch.allclose(made(ids).logits, expected, atol=1e-5)
        with adapted.disable_adapter():
            assert not torch.allclose(plain(ids).logits, expected, atol=1e-2)
    assert all(torch.equal(value, before[name]) for name, value in adapted.state_dict().items())
    # Weights that did not change are the same tensors, not copies.
    embedding = made.get_input_embeddings().weight
    assert embedding.data_ptr() == adapted.get_input_embeddings().weight.data_ptr()


@pytest.mark.parametrize(("top_p", "top_k"), [(1.0, 0), (0.7, 0), (1.0, 3), (0.8, 4)])
def test_tokens_are_drawn_with_their_probabilities(top_p: float, top_k: int) -> None:
    logits = torch.tensor([2.0, 0.5, 1.5, -1.0, 1.0, 0.0, -3.0])
    config = GenerationConfig(temperature=0.8, top_p=top_p, top_k=top_k)
    count = 40_000
    uniforms = torch.from_numpy(np.random.default_rng(0).random(count))
    drawn = draw(logits.expand(count, -1), uniforms, config)
    exact = np.exp(logits.double().numpy() / 0.8)
    order = np.argsort(-exact)
    kept = order[: top_k or len(order)]
    share = exact[kept] / exact[kept].sum()
    kept = kept[np.concatenate([[0.0], share.cumsum()[:-1]]) < top_p]
    expected = np.zeros(len(exact))
    expected[kept] = exact[kept] / exact[kept].sum()
    seen = np.bincount(drawn.numpy(), minlength=len(exact)) / count
    error = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(seen - expected) <= 5 * error + 1e-12).all()


@pytest.mark.slow
def test_a_nucleus_wider_than_the_likeliest_tokens_is_sorted_whole() -> None:
    logits = torch.zeros(20_000, 2_000)  # flat: a nucleus of 0.9 holds 1,800 tokens
    uniforms = torch.linspace(0, 1, 20_001, dtype=torch.float64)[:-1]
    drawn = draw(logits, uniforms, GenerationConfig(temperature=1.0, top_p=0.9))
    assert len(drawn.unique()) == pytest.approx(1_800, abs=2)


def test_rounding_that_swaps_like_tokens_changes_no_draw() -> None:
    logits = torch.randn(1, 200, generator=torch.Generator().manual_seed(0)) * 0.01
    config = GenerationConfig(temperature=1.0, top_p=0.95)
    uniforms = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noisy = logits + 1e-6 * torch.randn(1, 200, generator=torch.Generator().manual_seed(2))
    first, second = (draw(one.expand(500, -1), uniforms, config) for one in (logits, noisy))
    assert (first == second).float().mean() > 0.99


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=30).filter(lambda row: sum(row) > 0.01),
    st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None, max_examples=60)
def test_inverse_cdf_gives_a_token_with_probability_at_the_right_place(row: list[float], uniform: float) -> None:
    probabilities = torch.tensor([row], dtype=torch.float64)
    found = int(inverse_cdf(probabilities, torch.tensor([uniform], dtype=torch.float64)))
    assert row[found] > 0
    total = math.fsum(row)
    assert sum(row[:found]) <= uniform * total + 1e-9
    assert sum(row[: found + 1]) >= uniform * total - 1e-9


def test_samples_of_a_prompt_are_read_together() -> None:
    prompts = [[1] * 3, [1] * 9, [1] * 5]
    rows = rows_of(prompts, 4, 0)
    batches = batches_of(rows, prompts, 6, 4)  # six rows hold the four samples of one prompt
    assert [[rows[i].prompt for i in batch] for batch in batches] == [[1] * 4, [2] * 4, [0] * 4]
    assert sorted(number for batch in batches for number in batch) == list(range(12))
