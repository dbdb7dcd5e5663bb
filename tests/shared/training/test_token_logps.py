"""Response log-probabilities against a naive computation on all logits, values and gradients."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import DataError
from shared.models import load_causal_lm, load_policy, load_tokenizer
from shared.prompts import PromptFormat, tokenize_pair
from shared.records import PreferenceRecord
from shared.training import token_logps
from shared.training.reference import PairLogps, read_logps, read_token_logps, response_logps, write_logps
from shared.training.token_logps import _TokenLogps, plain_token_logps


def naive(model: Any, prompt: list[int], response: list[int]) -> float:
    ids = torch.tensor([prompt + response])
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double()
    logps = torch.log_softmax(logits, dim=-1)
    return sum(logps[len(prompt) - 1 + at, token].item() for at, token in enumerate(response))


def test_response_logps_equal_the_naive_sum(tiny_model: Path, toy_pairs: list[PreferenceRecord]) -> None:
    model, tokenizer = load_causal_lm(tiny_model), load_tokenizer(tiny_model)
    format = PromptFormat()
    found = response_logps(model, tokenizer, toy_pairs, format, 128, precision="float32")
    with torch.no_grad():
        for record, pair in zip(toy_pairs, found, strict=True):
            prompt, chosen, rejected, _ = tokenize_pair(format, record, tokenizer, 128)
            assert sum(pair["chosen"]) == pytest.approx(naive(model, prompt, chosen), rel=1e-5)
            assert sum(pair["rejected"]) == pytest.approx(naive(model, prompt, rejected), rel=1e-5)
            assert (len(pair["chosen"]), len(pair["rejected"])) == (len(chosen), len(rejected))


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(0, 9),
    train_head=st.booleans(),
    softcap=st.sampled_from([None, 2.0]),
    scale=st.sampled_from([1.0, 0.5]),
    seed=st.integers(0, 100),
    kept=st.sampled_from([0, 2**20]),
)
def test_gradients_equal_those_of_autograd_in_float64(
    tokens: int, train_head: bool, softcap: float | None, scale: float, seed: int, kept: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 6, generator=generator).requires_grad_()
    weight = torch.randn(11, 6, generator=generator).requires_grad_(train_head)
    bias = torch.randn(11, generator=generator).requires_grad_(train_head)
    labels = torch.randint(11, (tokens,), generator=generator)
    outer = torch.randn(tokens, generator=generator)

    exact = [value.detach().double().requires_grad_() for value in (hidden, weight, bias)]
    logits = (exact[0] @ exact[1].T + exact[2]) * scale
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    expected = torch.log_softmax(logits, dim=-1).gather(1, labels[:, None])[:, 0]
    wanted = torch.autograd.grad((expected * outer).sum(), exact)

    before = token_logps.MATRIX_TOKENS, token_logps.SOFTMAX_TOKENS, token_logps.KEPT_BYTES
    token_logps.MATRIX_TOKENS, token_logps.SOFTMAX_TOKENS = 4, 3  # several chunks, the last one short
    token_logps.KEPT_BYTES = kept
    try:
        logps: Any = _TokenLogps.apply(hidden, weight, bias, labels, scale, softcap, True)
        torch.testing.assert_close(logps.double(), expected, rtol=1e-5, atol=1e-5)
        (logps * outer).sum().backward()
    finally:
        token_logps.MATRIX_TOKENS, token_logps.SOFTMAX_TOKENS, token_logps.KEPT_BYTES = before
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad.double(), wanted[0], rtol=1e-4, atol=1e-5)
    if train_head:
        assert weight.grad is not None
        assert bias.grad is not None
        torch.testing.assert_close(weight.grad.double(), wanted[1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(bias.grad.double(), wanted[2], rtol=1e-4, atol=1e-5)
    else:
        assert weight.grad is None


def test_padding_and_neighbours_change_nothing(tiny_model: Path) -> None:
    model = load_causal_lm(tiny_model)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 250, (2, 20), generator=generator)
    mask = torch.zeros_like(ids)
    mask[0, 5:12], mask[1, 8:20] = 1, 1
    ids[0, 12:] = 0
    with torch.no_grad():
        both = plain_token_logps(model, ids, mask)
        alone = plain_token_logps(model, ids[:1, :12], mask[:1, :12])
    torch.testing.assert_close(both[:7], alone, rtol=1e-5, atol=1e-5)


def test_logps_file_round_trip(tmp_path: Path, toy_pairs: list[PreferenceRecord]) -> None:
    path = tmp_path / "reference.arrow"
    values = [
        {"chosen": [-1.25 - number, -0.5], "rejected": [-0.25] * (1 + number)} for number in range(len(toy_pairs))
    ]
    write_logps(path, toy_pairs, values)
    assert read_logps(path) == {
        record.id: PairLogps(sum(row["chosen"]), sum(row["rejected"]), len(row["chosen"]), len(row["rejected"]))
        for record, row in zip(toy_pairs, values, strict=True)
    }
    tokens = read_token_logps(path, ["rejected"])
    assert [tokens[record.id]["rejected"].tolist() for record in toy_pairs] == [row["rejected"] for row in values]
    with pytest.raises(DataError, match="cannot be read"):
        read_token_logps(path, ["mismatched"])


def test_load_policy_with_an_adapter(tiny_model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted: Any = get_peft_model(
        load_causal_lm(tiny_model),  # pyright: ignore[reportArgumentType]
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    ids, mask = torch.arange(5, 25)[None], torch.ones(1, 20, dtype=torch.long)
    with torch.no_grad():
        wanted = plain_token_logps(adapted.eval(), ids, mask)
        for merge in (False, True):
            policy = load_policy(tiny_model, tmp_path / "adapter", merge)
            torch.testing.assert_close(plain_token_logps(policy, ids, mask), wanted, rtol=1e-5, atol=1e-4)
        assert not torch.allclose(plain_token_logps(load_policy(tiny_model), ids, mask), wanted)
