"""Batches, sampling, limits, the number of head calls, and scoring of what was decoded."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch

from domains.translation.decoder.cache import kept_layers
from domains.translation.decoder.decode import decode, repeating
from domains.translation.decoder.hypothesis import Decoded
from domains.translation.decoder.rules import Lsg, Offline, Threshold, WaitK
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.path_logps import path_logps
from domains.translation.policy import SimulPolicy
from domains.translation.streams import Branch, Stream, pack_streams
from domains.translation.tokens import SourceTokens
from domains.translation.units import split_units
from shared.errors import UsageError
from shared.training.layouts import use_layout

Make = Callable[..., SimulPolicy]
SHORT = DecodingConfig(batch_size=4, tokens_per_source_token=0.5, extra_tokens=6)


def sources_of(policy: SimulPolicy, tokenizer: Any, texts: list[str]) -> list[SourceTokens]:
    return [policy.format.source(tokenizer, text) for text in texts]


def without_times(some: list[Decoded]) -> list[Any]:
    return [(one.text, one.units, one.delays, one.tokens, one.starts, one.reads, one.cut) for one in some]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_neighbours_and_order_change_nothing(
    temperature: float, make_policy: Make, simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy("gemma3")
    sources = sources_of(policy, simul_tokenizer, source_texts(9))
    config = SHORT.model_copy(update={"temperature": temperature, "seed": 3})

    def run(some: list[SourceTokens], batch: int) -> list[Any]:
        config_here = config.model_copy(update={"batch_size": batch})
        return without_times(decode(policy, simul_tokenizer, some, Threshold(0.5), config_here))

    alone = [run([source], 1)[0] for source in sources]
    assert run(sources, 16) == alone
    assert run(sources, 2) == alone
    assert run(sources[::-1], 4) == alone[::-1]


def test_samples_differ_by_seed_and_between_equal_sentences(
    make_policy: Make, simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy()
    sources = sources_of(policy, simul_tokenizer, source_texts(1)) * 4
    found = {
        one.tokens
        for seed in (0, 1)
        for one in decode(
            policy, simul_tokenizer, sources, Offline(), SHORT.model_copy(update={"temperature": 1.0, "seed": seed})
        )
    }
    assert len(found) == 8
    greedy = decode(policy, simul_tokenizer, sources, Offline(), SHORT)
    assert len({one.tokens for one in greedy}) == 1


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3"])
def test_float32_follows_float64(family: str, make_policy: Make, simul_tokenizer: Any, source_texts: Any) -> None:
    policy = make_policy(family)
    sources = sources_of(policy, simul_tokenizer, source_texts(5))
    exact = decode(policy, simul_tokenizer, sources, Threshold(0.5), SHORT, with_logps=True)
    found = decode(policy.float(), simul_tokenizer, sources, Threshold(0.5), SHORT, with_logps=True)
    assert without_times(found) == without_times(exact)
    for one, other in zip(found, exact, strict=True):
        assert one.logps == pytest.approx(other.logps, abs=1e-4)
        values = [[value for _, _, value in some.confidences] for some in (one, other)]
        assert values[0] == pytest.approx(values[1], abs=1e-4)


class Calls:
    """Rows that went through the language-model head, and passes through the body."""

    def __init__(self, policy: SimulPolicy) -> None:
        self.head = self.body = 0
        model: Any = policy.model
        model.get_output_embeddings().register_forward_hook(self._head)
        model.model.register_forward_hook(self._body)

    def _head(self, _module: Any, inputs: Any, _output: Any) -> None:
        self.head += inputs[0].shape[0]

    def _body(self, *_: Any) -> None:
        self.body += 1


def test_reading_needs_no_language_model_head(make_policy: Make, simul_tokenizer: Any) -> None:
    policy = make_policy(target="char", source="char")
    with torch.no_grad():
        policy.confidence.bias.fill_(-1e3)  # READ in every state
    [source] = sources_of(policy, simul_tokenizer, ["你好吗我们今天很高兴见到"])
    calls = Calls(policy)
    [found] = decode(policy, simul_tokenizer, [source], Threshold(0.5), SHORT)
    assert source.units == 12
    assert {read for _, read, _ in found.confidences} == set(range(1, 12))
    assert set(found.delays) == {12}
    assert calls.head == len(found.tokens)
    # The prefix; every unit; every written token but the last.
    assert calls.body == 1 + 12 + len(found.tokens) - (not found.cut)


def test_a_word_costs_one_prediction_more_where_a_read_follows(
    make_policy: Make, simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy("qwen2")
    checked = 0
    for source in sources_of(policy, simul_tokenizer, source_texts(8)):
        for rule in (WaitK(1), Offline()):
            policy = make_policy("qwen2")
            calls = Calls(policy)
            [found] = decode(policy, simul_tokenizer, [source], rule, SHORT.model_copy(update={"extra_tokens": 60}))
            reads = [0, *found.reads]
            waits = [len(range(first, last)) for first, last in pairwise(reads[1:])]
            if found.cut or max(waits, default=0) > 1:
                continue  # cut, or ends were predicted too early
            assert calls.head == len(found.tokens) + sum(waits)
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("unit", ["word", "char"])
def test_packed_streams_score_what_was_decoded(
    family: str, unit: str, make_policy: Make, simul_tokenizer: Any, source_texts: Any
) -> None:
    """The decoder's own log-probabilities and confidences are those of training's one pass over the row."""
    policy = make_policy(family, target=unit, source=unit)
    sources = sources_of(policy, simul_tokenizer, source_texts(12, unit))
    config = DecodingConfig(batch_size=5, temperature=1.0, tokens_per_source_token=4)
    decoded = decode(policy, simul_tokenizer, sources, Threshold(0.5), config, with_logps=True)
    kept = [(source, one) for source, one in zip(sources, decoded, strict=True) if not one.cut]
    assert sum(len(set(one.reads)) > 1 for _, one in kept) >= 2
    streams = [Stream(source, (Branch(one.target(), one.reads, "path"),)) for source, one in kept]
    with use_layout(policy.model, "auto"), torch.no_grad():
        terms = policy.terms(pack_streams(streams, policy.format.target_position))
        scores = path_logps(terms, streams)
    assert terms.logps.tolist() == pytest.approx([logp for _, one in kept for logp in one.logps], abs=1e-9)
    packed, found = terms.packed, torch.sigmoid(terms.write_logits).tolist()
    states = zip(packed.state_branch.tolist(), packed.state_segment.tolist(), packed.state_read.tolist(), strict=True)
    scored = dict(zip(states, found, strict=True))
    for number, (source, one) in enumerate(kept):
        visited = {(segment, read): value for segment, read, value in one.confidences}
        assert bool(visited) == (source.units > 1)
        for (segment, read), value in visited.items():
            assert scored[number, segment, read] == pytest.approx(value, abs=1e-9)
        policy_part = 0.0
        before = 1
        for segment, read in enumerate(one.reads):
            for j in range(before, read):
                policy_part += torch.log1p(-torch.tensor(visited[segment, j], dtype=torch.float64)).item()
            if read < source.units:
                policy_part += torch.log(torch.tensor(visited[segment, read], dtype=torch.float64)).item()
            before = read
        assert float(scores.policy[number]) == pytest.approx(policy_part, abs=1e-8)


def test_delays_follow_the_reads(make_policy: Make, simul_tokenizer: Any, source_texts: Any) -> None:
    policy = make_policy("gemma3")
    sources = sources_of(policy, simul_tokenizer, source_texts(8))
    for rule in (Threshold(0.5), WaitK(2), Lsg(delta=0.1, alpha=0.9)):
        for source, one in zip(sources, decode(policy, simul_tokenizer, sources, rule, SHORT), strict=True):
            assert len(one.units) == len(one.delays) == len(one.elapsed_ms)
            assert list(one.units) == split_units(one.text, "word")
            assert sorted(one.delays) == list(one.delays)
            assert sorted(one.elapsed_ms) == list(one.elapsed_ms)
            assert all(1 <= delay <= source.units for delay in one.delays)
            assert one.source_units == source.units
            assert "</s>" not in one.text
            if not one.cut:
                assert one.target().path_of_reads(one.reads) == one.delays
                assert one.reads[-1] == source.units
            if isinstance(rule, WaitK):
                assert all(read >= min(2 + segment, source.units) for segment, read in enumerate(one.reads))


def test_a_translation_without_end_is_cut_and_an_empty_source_stays_empty(
    make_policy: Make, simul_tokenizer: Any
) -> None:
    policy = make_policy()
    with torch.no_grad():
        policy.model.get_output_embeddings().weight[2] = 0
    sources = sources_of(policy, simul_tokenizer, ["ab cd ef", "", "g"])
    config = DecodingConfig(tokens_per_source_token=1, extra_tokens=7, temperature=1.0)
    found = decode(policy, simul_tokenizer, sources, WaitK(1), config)
    assert [one.cut for one in found] == [True, False, True]
    assert [len(one.tokens) for one in found] == [len(sources[0].tokens) + 7, 0, len(sources[2].tokens) + 7]
    assert (found[1].text, found[1].units, found[1].source_units) == ("", (), 0)
    with pytest.raises(ValueError, match="never ended"):
        found[0].target()


def test_repetition_guard() -> None:
    assert repeating([1, 2, 3, 1, 2], 3) == [3]
    assert repeating([5, 5], 2) == [5]
    assert repeating([4, 6, 4], 1) == [4, 6, 4]
    assert repeating([1], 3) == []


def test_guarded_translations_repeat_no_bigram(make_policy: Make, simul_tokenizer: Any, source_texts: Any) -> None:
    policy = make_policy()
    sources = sources_of(policy, simul_tokenizer, source_texts(4))
    config = SHORT.model_copy(update={"no_repeat_ngram": 2, "extra_tokens": 30})
    for one in decode(policy, simul_tokenizer, sources, Threshold(0.5), config):
        pairs = list(pairwise(one.tokens))
        assert len(pairs) == len(set(pairs)) > 3


def test_the_policy_is_left_as_it_was(make_policy: Make, simul_tokenizer: Any) -> None:
    policy = make_policy("gemma3").train()
    before = policy.model.config._attn_implementation
    sources = sources_of(policy, simul_tokenizer, ["ab cd"])
    told: list[tuple[int, int]] = []
    decode(
        policy, simul_tokenizer, sources * 3, Offline(), SHORT, on_progress=lambda done, all_: told.append((done, all_))
    )
    assert policy.training
    assert policy.model.config._attn_implementation == before
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_other_attention_is_refused_in_one_sentence() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM, MambaConfig, MambaForCausalLM

    from domains.translation.decoder.kept_states import KeptStates

    small: dict[str, Any] = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2}
    capped = Gemma2ForCausalLM(
        Gemma2Config(**small, intermediate_size=16, num_attention_heads=2, num_key_value_heads=1, head_dim=8)
    ).eval()
    with pytest.raises(UsageError, match=r"gemma2 models cannot be decoded .* \(its attention has softcap\)"):  # noqa: SIM117
        with kept_layers(capped):
            KeptStates(capped, [1, 2], [3], 4, 1)
    other = MambaForCausalLM(MambaConfig(**small, state_size=4)).eval()
    with pytest.raises(UsageError, match="mamba models cannot be decoded"):  # noqa: SIM117
        with kept_layers(other):
            KeptStates(other, [1, 2], [3], 4, 1)
