"""Sampling from other architectures: sliding windows, biases, untied heads; and measures of diversity."""

from typing import Any

import pytest
import torch

from shared.sampling.decoding import decode
from shared.sampling.diversity import distinct_n, sample_metrics, self_bleu
from shared.sampling.settings import GenerationConfig, rows_of


def random_model(kind: str) -> Any:
    from transformers import (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    torch.manual_seed(0)
    common: dict[str, Any] = {
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
    }
    if kind == "gemma3":
        layers = ["sliding_attention", "full_attention", "sliding_attention"]
        config = Gemma3TextConfig(**common, head_dim=8, sliding_window=6, layer_types=layers)
        made: Any = Gemma3ForCausalLM(config)
    elif kind == "qwen2":
        made = Qwen2ForCausalLM(Qwen2Config(**common, tie_word_embeddings=False))
    else:
        made = LlamaForCausalLM(LlamaConfig(**common))
    # Logits of a random model are flat; larger weights make greedy choices clear of rounding.
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(4) if weight.ndim > 1 else None
    return made.eval()


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3"])
def test_tokens_are_those_of_the_whole_forward_pass(kind: str) -> None:
    """Ragged prompts around the window's size, repeated and dropped rows: logits as without a cache."""
    model = random_model(kind)
    prompts = [[5, 6, 7], [8] * 3 + [9, 10, 11, 12, 13, 14], [20, 21, 22, 23, 24]]
    config = GenerationConfig(max_new_tokens=12, temperature=1.0, n=3, batch_size=9)
    rows = rows_of(prompts, 3, 2)
    ends = list(range(40, 60))  # many, so that rows end at different places
    with torch.inference_mode():
        written = decode(model, prompts, rows, config, ends, 0, with_logps=True)
        assert len({len(one.tokens) for one in written}) > 2
        for row, one in zip(rows, written, strict=True):
            before = prompts[row.prompt]
            logits = model(torch.tensor([[*before, *one.tokens]])).logits[0, len(before) - 1 : -1]
            exact = logits.log_softmax(-1)[range(len(one.tokens)), one.tokens]
            assert one.logps == pytest.approx(exact.tolist(), abs=2e-4)
            assert (one.tokens[-1] in ends) == (one.finish_reason == "stop")
            assert not set(one.tokens[:-1]) & set(ends)


def test_diversity_of_equal_and_of_different_responses() -> None:
    assert distinct_n(["a b c", "a b c"], 1) == 0.5
    assert distinct_n(["a b", "c d"], 2) == 1.0
    assert distinct_n(["a", "b"], 2) is None
    same = self_bleu(["the cat sat on the mat", "the cat sat on the mat"])
    other = self_bleu(["the cat sat on the mat", "a dog ran through some park"])
    assert same == pytest.approx(1.0)
    assert other is not None
    assert other < 0.2
    assert self_bleu(["alone", " "]) is None
    found = sample_metrics([["a b", "a b"], ["", "c d e"]])
    assert found["words"] == pytest.approx(7 / 4)
    assert found["empty"] == 0.25
    assert found["distinct_1"] == pytest.approx((0.5 + 1.0) / 2)
