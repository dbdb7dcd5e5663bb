"""Engines of sampling: which is taken, llama.cpp against PyTorch, and the boundary to vLLM."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import SystemStateError, UsageError
from shared.generation import GenerationConfig, sample
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import PromptFormat
from shared.records import Message
from shared.sampling.decoding import Written
from shared.sampling.engines import choose, engines_at_hand, measurements_file
from shared.sampling.gguf_file import write_gguf
from shared.sampling.settings import rows_of

FORMAT = PromptFormat()
PROMPTS = [(Message("user", text),) for text in ("hi", "how do i sleep better?", "a walk")]


class FakeEngine:
    """Writes zeros, so many seconds a token."""

    def __init__(self, name: str, seconds: float, ready: float = 0.0) -> None:
        time.sleep(ready)
        self.name, self._seconds = name, seconds

    def write(self, prompts: Any, rows: Any, config: Any, end_ids: Any, **_: Any) -> list[Written]:
        assert list(end_ids) == []
        time.sleep(self._seconds * len(rows) * config.max_new_tokens)
        return [Written([0] * config.max_new_tokens) for _ in rows]

    def close(self) -> None:
        pass


def test_auto_takes_the_engine_that_is_done_first_and_measures_once(tiny_model: Path) -> None:
    model = load_causal_lm(tiny_model)
    opened: list[str] = []

    def make(name: str) -> FakeEngine:
        opened.append(name)
        # The second is faster a token, but takes long to get ready.
        return FakeEngine(name, 4e-4) if name == "transformers" else FakeEngine(name, 1e-5, ready=0.5)

    prompts = [[1, 2, 3]] * 4
    config = GenerationConfig(max_new_tokens=10, engine="auto", n=1)
    at_hand = ["transformers", "llama.cpp"]
    few, many = rows_of(prompts, 1, 0), rows_of(prompts, 2_000, 0)
    name, why = choose(make, at_hand, model, config, prompts, few)
    assert name == "transformers"
    assert "tokens/s" in why
    assert opened == at_hand
    assert choose(make, at_hand, model, config, prompts, many)[0] == "llama.cpp"
    assert opened == at_hand  # nothing was measured again
    other = config.model_copy(update={"batch_size": 2})
    choose(make, at_hand, model, other, prompts, few)
    assert len(opened) == 4
    assert len(json.loads(measurements_file().read_text())) == 2


def test_one_engine_at_hand_is_taken_without_measuring(tiny_model: Path) -> None:
    config = GenerationConfig(engine="auto")

    def refuse(name: str) -> Any:
        raise AssertionError(name)

    found = choose(refuse, ["transformers"], load_causal_lm(tiny_model), config, [[1]], rows_of([[1]], 1, 0))
    assert found == ("transformers", "the only one at hand")


def test_an_engine_that_cannot_run_the_model_is_passed_over(tiny_model: Path) -> None:
    def make(name: str) -> FakeEngine:
        if name == "llama.cpp":
            raise UsageError("this architecture has no GGUF form")
        return FakeEngine(name, 0.0)

    found = choose(
        make,
        ["transformers", "llama.cpp"],
        load_causal_lm(tiny_model),
        GenerationConfig(),
        [[1]],
        rows_of([[1]], 1, 0),
    )
    assert found[0] == "transformers"


@pytest.mark.parametrize("engine", ["llama.cpp", "vllm"])
def test_a_named_engine_that_is_missing_says_how_to_install_it(
    tiny_model: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.sampling.engines.importlib.util.find_spec", lambda name: None)
    config = GenerationConfig(engine=engine)
    with pytest.raises(SystemStateError, match=f"{engine} is not installed: run `pip install"):
        sample(load_causal_lm(tiny_model), load_tokenizer(tiny_model), PROMPTS, FORMAT, config, "float32")


def random_model(kind: str) -> Any:
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    torch.manual_seed(0)
    config, model = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }[kind]
    made = model(
        config(
            vocab_size=96,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=256,
            tie_word_embeddings=kind != "qwen2",
        )
    )
    for name, weight in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    return made.eval()


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_llama_cpp_gives_the_log_probabilities_of_transformers(kind: str) -> None:
    pytest.importorskip("llama_cpp")
    from shared.sampling.llama_cpp_engine import LlamaCppEngine

    model = random_model(kind)
    config = GenerationConfig(max_new_tokens=6, temperature=1.0, n=2, batch_size=5, seed=1)
    prompts = [[3, 4, 5, 6, 7], [9, 8], [11, 12, 13, 14, 15, 16, 17]]
    rows = rows_of(prompts, 2, 1)
    engine = LlamaCppEngine(model, None, config, weights="f32")
    try:
        written = engine.write(prompts, rows, config, [95], with_logps=True)
        assert engine.write(prompts, rows, config, [95], with_logps=True) == written
    finally:
        engine.close()
    for row, one in zip(rows, written, strict=True):
        ids = [*prompts[row.prompt], *one.tokens]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, len(prompts[row.prompt]) - 1 : -1].double()
        oracle = logits.log_softmax(-1)[range(len(one.tokens)), one.tokens]
        assert one.logps == pytest.approx(oracle.tolist(), abs=2e-3)


def test_llama_cpp_draws_what_pytorch_draws(tiny_model: Path) -> None:
    """One seed, two engines: float32 weights and our own random numbers give the same responses."""
    pytest.importorskip("llama_cpp")
    from shared.sampling.engines import TorchEngine
    from shared.sampling.llama_cpp_engine import LlamaCppEngine

    model, tokenizer = load_causal_lm(tiny_model), load_tokenizer(tiny_model)
    config = GenerationConfig(max_new_tokens=8, temperature=0.8, top_p=0.9, n=3, batch_size=4)
    prompts = [[4, 5, 6], [7, 8, 9, 10]]
    rows = rows_of(prompts, 3, 0)
    from shared.device import DeviceChoice

    first = TorchEngine(model, tokenizer, DeviceChoice("cpu", False, "CPU"))
    second = LlamaCppEngine(model, tokenizer, config, weights="f32")
    try:
        theirs = second.write(prompts, rows, config, [2])
    finally:
        second.close()
    ours = first.write(prompts, rows, config, [2])
    assert [one.tokens for one in theirs] == [one.tokens for one in ours]
    assert not [path for path in measurements_file().parent.iterdir() if path.name.startswith("gguf-")]


def test_the_gguf_file_holds_the_weights_in_llama_cpps_layout(tmp_path: Path) -> None:
    import gguf

    model = random_model("llama")
    write_gguf(model, tmp_path / "model.gguf", "f32")
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    stored = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    assert "output.weight" not in stored  # tied to the embedding
    assert np.array_equal(stored["token_embd.weight"], weights["model.embed_tokens.weight"])
    assert np.array_equal(stored["blk.1.ffn_down.weight"], weights["model.layers.1.mlp.down_proj.weight"])
    ours, theirs = weights["model.layers.0.self_attn.q_proj.weight"], stored["blk.0.attn_q.weight"]
    # Rows i and i + half of a head (16 rows) become neighbours.
    assert np.array_equal(theirs[:4], ours[[0, 8, 1, 9]])
    assert np.array_equal(theirs[16:18], ours[[16, 24]])


def test_a_model_without_gguf_form_is_refused(tmp_path: Path) -> None:
    model = random_model("llama")
    model.config.architectures = ["GPT2LMHeadModel"]
    with pytest.raises(UsageError, match="use engine transformers"):
        write_gguf(model, tmp_path / "model.gguf", "f32")
    scaled = random_model("llama")
    scaled.config.rope_parameters = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}
    with pytest.raises(UsageError, match="llama3 position scaling"):
        write_gguf(scaled, tmp_path / "model.gguf", "f32")


def test_vllm_is_asked_for_token_ids_with_a_seed_a_response(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in at the import boundary: what vLLM would be told, and how its answer is read."""
    told: dict[str, Any] = {}

    class SamplingParams:
        def __init__(self, **values: Any) -> None:
            self.__dict__.update(values)

    class LLM:
        def __init__(self, **values: Any) -> None:
            told["llm"] = values
            told["files"] = {path.name for path in Path(values["model"]).iterdir()}

        def generate(self, prompts: Any, params: Any, use_tqdm: bool) -> list[Any]:
            told["prompts"], told["params"] = prompts, params
            outputs = []
            for number in range(len(prompts)):
                tokens = [70 + number, 2] if number % 2 else [71]
                logprobs = [
                    {token: SimpleNamespace(logprob=-0.5), 3: SimpleNamespace(logprob=-9.0)} for token in tokens
                ]
                reason = "stop" if number % 2 else "length"
                one = SimpleNamespace(token_ids=tuple(tokens), finish_reason=reason, logprobs=logprobs)
                outputs.append(SimpleNamespace(outputs=[one]))
            return outputs

    fake: Any = SimpleNamespace(LLM=LLM, SamplingParams=SamplingParams)
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.setattr("shared.sampling.engines.importlib.util.find_spec", lambda name: name == "vllm" or None)
    config = GenerationConfig(max_new_tokens=5, n=2, top_p=0.9, stop=("END",), engine="vllm", seed=3)
    model, tokenizer = load_causal_lm(tiny_model), load_tokenizer(tiny_model)
    found = sample(model, tokenizer, PROMPTS, FORMAT, config, "float32", with_logps=True)
    assert (found.engine, found.why) == ("vllm", "named")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= told["files"]
    assert told["llm"]["trust_remote_code"] is False
    assert len(told["prompts"]) == 6
    assert told["prompts"][0] == told["prompts"][1]
    assert len({one.seed for one in told["params"]}) == 6
    assert (told["params"][0].max_tokens, told["params"][0].top_p, told["params"][0].stop) == (5, 0.9, ["END"])
    assert told["params"][0].stop_token_ids == [2]
    last = found.responses[0][1]
    assert (last.finish_reason, last.tokens, last.logps) == ("stop", (71, 2), (-0.5, -0.5))
    assert found.responses[0][0].finish_reason == "length"
    assert not Path(told["llm"]["model"]).exists()


def test_only_installed_engines_of_the_device_are_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.device import DeviceChoice

    monkeypatch.setattr("shared.sampling.engines.importlib.util.find_spec", lambda name: True)
    assert engines_at_hand(DeviceChoice("cpu", True, "")) == ["transformers", "llama.cpp"]
    assert engines_at_hand(DeviceChoice("cuda", True, "")) == ["transformers", "vllm"]
    monkeypatch.setattr("shared.sampling.engines.importlib.util.find_spec", lambda name: None)
    assert engines_at_hand(DeviceChoice("cpu", True, "")) == ["transformers"]
