"""Random policies of three architectures whose tokens make words and characters, and sources for them."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from domains.translation.policy import SimulPolicy
from domains.translation.settings import SimulFormat

sys.path.append(str(Path(__file__).parents[4]))  # the benchmark's re-encoding serves the tests too

WORD_PIECES = ["a", "b", "c", "d", "e", "ing", "er", ".", ","]
CHARACTERS = "你好吗我们今天很高兴见到"


def make_tokenizer() -> Any:
    """Bytes, beginnings and ends of words, and Chinese characters as whole tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def shown(text: str) -> str:
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)  # pyright: ignore
        return byte_level.pre_tokenize_str(text)[0][0]

    pieces = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pieces += [shown(" " + letter * 2) for letter in "klmnopqrstuvwxyz"]
    pieces += [shown(" " + letter) for letter in "KLMNOPQRSTUVWXYZ"]
    pieces += [shown(piece) for piece in WORD_PIECES if len(piece) > 1]
    pieces += [shown(character) for character in CHARACTERS] + [shown("我们")]
    inner = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    inner.decoder = decoders.ByteLevel()  # pyright: ignore
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def _config(family: str, words: int) -> Any:
    from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config, Qwen3Config

    common: dict[str, Any] = {
        "vocab_size": words,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if family == "gemma3":
        types = ["sliding_attention", "full_attention", "sliding_attention"]
        return Gemma3TextConfig(**common, head_dim=8, sliding_window=7, layer_types=types, query_pre_attn_scalar=8)
    if family == "qwen3":
        return Qwen3Config(**common, head_dim=8)
    return {"llama": LlamaConfig, "qwen2": Qwen2Config}[family](**common)


@pytest.fixture(scope="session")
def simul_tokenizer() -> Any:
    """See `make_tokenizer`."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def make_policy(simul_tokenizer: Any) -> Callable[..., SimulPolicy]:
    """(family, target unit, source unit, target_position, seed) to a random policy in float64.

    Tokens that begin words, end tokens, and bytes of characters come about as often as real ones do.
    """
    from transformers import AutoModelForCausalLM

    def make(
        family: str = "llama", target: str = "word", source: str = "word", target_position: int = 20, seed: int = 4
    ) -> SimulPolicy:
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(_config(family, len(simul_tokenizer) + 5))
        form = SimulFormat(
            source_language="zh" if source == "char" else "de",
            target_language="zh" if target == "char" else "en",
            target_position=target_position,
            before="To:",
            marker="\n=:",
        )
        policy = SimulPolicy(model, form)
        torch.nn.init.normal_(policy.confidence.weight, std=0.5)
        policy.eval().double()
        # A bias on the head would be simpler, but not every family has one: the embedding of rare tokens is shortened.
        with torch.no_grad():
            head = model.get_output_embeddings().weight
            texts = [simul_tokenizer.decode([token]) for token in range(len(simul_tokenizer))]
            for token, text in enumerate(texts):
                common = len(text.strip()) > 1 or any(one in CHARACTERS for one in text) or text in WORD_PIECES
                head[token] *= 1.0 if common or token == 2 else 0.6
        return policy

    return make


@pytest.fixture(scope="session")
def source_texts() -> Callable[[int, str, int], list[str]]:
    """(count, unit, seed) to sentences of 1 to 9 units."""

    def make(count: int, unit: str = "word", seed: int = 0) -> list[str]:
        draw = random.Random(seed)
        if unit == "char":
            return ["".join(draw.choices(CHARACTERS, k=draw.randint(1, 9))) for _ in range(count)]
        return [
            " ".join("".join(draw.choices("abcdefgh", k=draw.randint(1, 5))) for _ in range(draw.randint(1, 9)))
            for _ in range(count)
        ]

    return make
