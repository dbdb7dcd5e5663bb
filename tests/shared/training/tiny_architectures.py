"""Tiny random models of many families, trees to run through them, and log-probabilities the slow and obvious way."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.training import token_logps, tree_attention, trees
from shared.training.trees import Tree

WORDS = 67
WINDOW = 6
_SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,  # large enough that attention decides what comes out
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

TREE_FAMILIES = ("llama", "qwen2", "qwen3", "gemma3")
PLAIN_FAMILIES = {
    "gemma2": "softcap",
    "gpt_oss": "s_aux",
    "mamba": "linear attention layers",
    "falcon_h1": "hybrid layers",
    "lfm2": "conv layers",
    "bloom": "cannot be replaced",
    "gpt_neo": "cannot be replaced",
    "llama4": "chunked attention layers",
}


def tiny(family: str, tied: bool = False, seed: int = 0) -> Any:
    """A random causal language model in evaluation mode, float32."""
    import transformers as t

    small: dict[str, Any] = {**_SIZES, "tie_word_embeddings": tied}
    three = {**small, "num_hidden_layers": 3, "head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8}
    mixed = ["sliding_attention", "full_attention", "sliding_attention"]
    heads: dict[str, Any] = {"vocab_size": WORDS, "hidden_size": 32, "n_layer": 2, "n_head": 4}
    known: dict[str, Any] = {
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**small)),
        "qwen2": lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**small)),
        "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**small, head_dim=8)),
        "gemma3": lambda: t.Gemma3ForCausalLM(t.Gemma3TextConfig(**three, layer_types=mixed)),
        "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**small, sliding_window=WINDOW)),
        "gemma2": lambda: t.Gemma2ForCausalLM(t.Gemma2Config(**three)),
        "gpt_oss": lambda: t.GptOssForCausalLM(
            t.GptOssConfig(
                **small,
                head_dim=8,
                sliding_window=WINDOW,
                num_local_experts=2,
                num_experts_per_tok=1,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            )
        ),
        "mamba": lambda: t.MambaForCausalLM(
            t.MambaConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, state_size=4, tie_word_embeddings=tied)
        ),
        "falcon_h1": lambda: t.FalconH1ForCausalLM(
            t.FalconH1Config(
                **small,
                mamba_d_ssm=32,
                mamba_n_heads=4,
                mamba_d_head=8,
                mamba_d_state=8,
                mamba_n_groups=1,
                mamba_chunk_size=8,
            )
        ),
        "lfm2": lambda: t.Lfm2ForCausalLM(t.Lfm2Config(**small, layer_types=["conv", "full_attention"])),
        "bloom": lambda: t.BloomForCausalLM(t.BloomConfig(**heads, initializer_range=0.3)),
        "gpt_neo": lambda: t.GPTNeoForCausalLM(
            t.GPTNeoConfig(
                vocab_size=WORDS,
                hidden_size=32,
                num_layers=2,
                num_heads=4,
                attention_types=[[["global", "local"], 1]],
                window_size=WINDOW,
                max_position_embeddings=256,
                initializer_range=0.3,
            )
        ),
        "llama4": lambda: t.Llama4ForCausalLM(
            t.Llama4TextConfig(
                **small, head_dim=8, intermediate_size_mlp=48, num_local_experts=2, attention_chunk_size=8
            )
        ),
    }
    torch.manual_seed(seed)
    return known[family]().eval()


def with_adapters(model: Any) -> Any:
    """LoRA on attention and feed-forward, with weights that are not zero."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def in_float64(model: Any) -> Any:
    """The model in float64 throughout: transformers' norms compute in float32 whatever comes in, these do not."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            _make_exact(module, 1.0 if type(module).__name__.startswith("Gemma") else 0.0)
    return model.double()


def _make_exact(norm: Any, offset: float) -> None:
    eps = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps

    def forward(values: Tensor) -> Tensor:
        return (offset + norm.weight) * values * torch.rsqrt(values.square().mean(-1, keepdim=True) + eps)

    norm.forward = forward


def ragged_trees(seed: int = 0) -> list[Tree]:
    """Trees of 1 to 4 completions, with prompts and completions of one token and such beyond every window."""
    draw = random.Random(seed)

    def some(count: int) -> list[int]:
        return draw.choices(range(3, WORDS), k=count)

    shapes = [(9, (7, 11)), (1, (5, 1)), (13, (1,)), (3, (2, 9, 1, 14)), (6, (4, 4, 8)), (2, (1, 1))]
    return [Tree(some(prompt), tuple(some(count) for count in counts)) for prompt, counts in shapes]


def naive_logps(model: Any, given: list[Tree]) -> Tensor:
    """Log-probability of every completion token by one call of the whole model a completion: all logits, no padding."""
    found = []
    for tree in given:
        for completion in tree.completions:
            ids = torch.tensor([[*tree.prompt, *completion]])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
            logps = torch.log_softmax(logits, -1)[len(tree.prompt) - 1 : -1]
            found.append(logps.gather(1, torch.tensor(completion)[:, None])[:, 0])
    return torch.cat(found)


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """Gradient of every trained parameter, those the loss does not reach left out."""
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def relative_differences(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, float]:
    """Norm of the difference over the norm, of every tensor."""
    assert found.keys() == wanted.keys()
    assert wanted
    return {
        name: float((found[name].double() - value.double()).norm() / value.double().norm())
        for name, value in wanted.items()
    }


@contextmanager
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Attention and head compute their probabilities again in the backward pass."""
    with monkeypatch.context() as patch:
        patch.setattr(tree_attention, "KEPT_BYTES", 0)
        patch.setattr(token_logps, "KEPT_BYTES", 0)
        yield


@contextmanager
def short_blocks(monkeypatch: pytest.MonkeyPatch, size: int = 4) -> Iterator[None]:
    """Attention in blocks of so few queries that every prompt and completion has several."""
    with monkeypatch.context() as patch:
        patch.setattr(trees, "QUERY_BLOCK", size)
        yield
