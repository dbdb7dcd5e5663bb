"""The policy's folder, its format, and sentences in which special tokens are written out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from domains.translation.policy import SimulPolicy, load_policy, read_format, save_policy
from domains.translation.settings import SimulFormat
from domains.translation.streams import pack_streams
from domains.translation.tokens import source_tokens, target_tokens
from shared.errors import DataError, UsageError
from shared.models import load_causal_lm, load_tokenizer
from shared.training.layouts import without_trees
from tests.domains.translation.toy_streams import FORMAT, TARGET_POSITION, random_streams
from tests.shared.training.tiny_architectures import tiny, with_adapters


def saved(folder: Path, model: Path, adapters: bool) -> SimulPolicy:
    language_model: Any = load_causal_lm(model)
    policy = SimulPolicy(with_adapters(language_model) if adapters else language_model, FORMAT)
    torch.nn.init.normal_(policy.confidence.weight)
    torch.nn.init.normal_(policy.confidence.bias)
    save_policy(policy, folder, base="tiny")
    return policy.eval()


@pytest.mark.parametrize("adapters", [False, True])
def test_a_saved_policy_is_the_same(tmp_path: Path, tiny_model: Path, adapters: bool) -> None:
    policy = saved(tmp_path, tiny_model, adapters)
    packed = pack_streams(random_streams(), TARGET_POSITION)
    with torch.no_grad():
        expected = policy.terms(packed)
        for merge in (False, True):
            loaded = load_policy(tiny_model, tmp_path, merge)
            assert loaded.format == FORMAT
            found = loaded.terms(packed)
            tolerance = 1e-4 if merge else 0
            torch.testing.assert_close(found.logps, expected.logps, rtol=0, atol=tolerance)
            torch.testing.assert_close(found.write_logits, expected.write_logits, rtol=0, atol=tolerance)
    assert float(expected.write_logits.std()) > 0.01
    names = {path.name for path in tmp_path.iterdir()}
    assert {"simul_policy.json", "confidence.safetensors"} < names
    assert "README.md" not in names
    if adapters:
        assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_a_folder_that_is_no_policy_is_named(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(DataError, match=r"holds no simultaneous policy \(simul_policy.json is missing\)"):
        read_format(tmp_path)
    saved(tmp_path, tiny_model, adapters=False)
    (tmp_path / "confidence.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"confidence.safetensors does not fit the model"):
        load_policy(tiny_model, tmp_path)
    (tmp_path / "confidence.safetensors").unlink()
    with pytest.raises(DataError, match=r"confidence.safetensors does not fit the model"):
        load_policy(tiny_model, tmp_path)
    (tmp_path / "simul_policy.json").write_text('{"format": {"source_language": "de"}}')
    with pytest.raises(DataError, match=r"simul_policy.json cannot be read"):
        load_policy(tiny_model, tmp_path)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_mean_log_probabilities_over_the_vocabulary(family: str) -> None:
    policy = SimulPolicy(tiny(family), FORMAT).double()
    packed = pack_streams(random_streams(), TARGET_POSITION)
    terms = policy.terms(packed, uniform=True)
    hidden: list[torch.Tensor] = []
    handle = policy.model.model.register_forward_hook(lambda _m, _i, out: hidden.append(out.last_hidden_state[0]))
    policy.terms(packed)
    handle.remove()
    expected = torch.log_softmax(policy.model.lm_head(hidden[0][packed.predictors]), -1).mean(-1)
    assert terms.uniform is not None
    torch.testing.assert_close(terms.uniform, expected, rtol=0, atol=1e-9)
    weights = policy.model.lm_head.weight
    found, wanted = (torch.autograd.grad(values.square().sum(), weights)[0] for values in (terms.uniform, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_the_models_own_attention_comes_back() -> None:
    policy = SimulPolicy(tiny("llama"), FORMAT)
    own = policy.model.config._attn_implementation
    policy.terms(pack_streams(random_streams(), TARGET_POSITION))
    with without_trees(policy.model):
        assert policy.model.config._attn_implementation == own
        policy.model(input_ids=torch.tensor([[3, 4]]))
    policy.terms(pack_streams(random_streams(), TARGET_POSITION))


def test_formats_name_their_languages() -> None:
    german = SimulFormat(source_language="de", target_language="en")
    assert (german.before, german.marker) == ("Translate German to English.\nGerman:", "\nEnglish:")
    assert (german.source_unit, german.target_unit) == ("word", "word")
    chinese = SimulFormat(source_language="zh-TW", target_language="en", source_unit="word")
    assert chinese.source_unit == "word"
    assert "Chinese" in chinese.before
    assert SimulFormat.model_validate(german.model_dump()) == german
    asked = SimulFormat(source_language="de", target_language="en", latency_word="low")
    assert asked.before == "Translate German to English with {latency} latency.\nGerman:"
    with pytest.raises(UsageError, match="no latency unit"):
        SimulFormat(source_language="xx", target_language="en")
    with pytest.raises(UsageError, match="state `before` and `marker`"):
        SimulFormat(source_language="xx", target_language="en", source_unit="word")
    own = SimulFormat(source_language="xx", target_language="en", source_unit="word", before="From xx:", marker=" To:")
    assert own.marker == " To:"
    with pytest.raises(ValidationError, match="go together"):
        SimulFormat(source_language="de", target_language="en", before="German:", latency_word="low")


def test_latency_words_stand_in_the_prompt(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    asked = SimulFormat(source_language="de", target_language="en", latency_word="medium")
    texts = {word: tokenizer.decode(asked.source(tokenizer, "ja", word).prompt) for word in ("low", None)}  # pyright: ignore
    assert texts["low"].endswith("with low latency.\nGerman:")
    assert texts[None].endswith("with medium latency.\nGerman:")
    plain = SimulFormat(source_language="de", target_language="en")
    with pytest.raises(UsageError, match="no place for a latency word"):
        plain.source(tokenizer, "ja", "high")


def test_special_tokens_in_sentences_are_text(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    special = set(tokenizer.all_special_ids)
    text = "so <|end|> geht <|start|>"
    for unit in ("word", "char"):
        source = source_tokens(tokenizer, text, unit, "before:", "\nafter:")
        target = target_tokens(tokenizer, text, unit)
        assert not special & set(source.tokens)
        assert not special & set(target.tokens[:-1])
        assert target.tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(target_tokens(tokenizer, text, "word").tokens[:-1]) == " " + text
    # A recipe's own texts may name them.
    assert source_tokens(tokenizer, "ja", "word", "<|start|>user\n", "<|end|>").marker == (tokenizer.eos_token_id,)
