"""Decoding with a kept cache against decoding without any: every step computes the whole row under the dense mask."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from domains.translation.decoder.decode import decode
from domains.translation.decoder.rules import LatencyPrompt, Lsg, Offline, ReadRule, Threshold, WaitK, rule_source
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.decoder.words import words_of
from domains.translation.policy import SimulPolicy
from domains.translation.tokens import SourceTokens
from shared.sampling.decoding import draw
from shared.sampling.settings import GenerationConfig, rows_of

pytestmark = pytest.mark.slow

FAMILIES = ("llama", "qwen2", "qwen3", "gemma3")
RULES: tuple[ReadRule, ...] = (
    Threshold(0.5),
    Threshold(0.9),
    Threshold(0.0),
    Threshold(0.5, 2, 4),
    WaitK(1),
    WaitK(3),
    Offline(),
    Lsg(delta=0.05, alpha=0.5, low=1, high=4),
    Lsg(delta=0.3, alpha=0.9, low=2, high=3),
)


class Dense:
    """One sentence, written without a cache and without `Hypothesis`."""

    def __init__(
        self, policy: SimulPolicy, tokenizer: Any, source: SourceTokens, rule: ReadRule, config: DecodingConfig
    ) -> None:
        self.policy, self.source, self.rule, self.config = policy, source, rule, config
        self.model: Any = policy.model
        self.words = words_of(tokenizer, policy.format.target_unit or "word")
        self.tokens: list[int] = []
        self.limits = [0] * (len(source.marker) - 1)  # units that each kept marker and target token sees
        self.starts: list[int] = []
        self.reads: list[int] = []
        self.confidences: list[tuple[int, int, float]] = []
        self.logps: list[float] = []
        self.cut = False
        self.numbers: Iterator[float] = iter(())

    def state(self, limit: int) -> torch.Tensor:
        """Last hidden state of the last token, seen with `limit` units."""
        source, units = self.source, self.source.units
        before = len(source.prompt)
        there = source.ends[units - 1]
        ids = [*source.prompt, *source.tokens, *source.marker, *self.tokens]
        limits = [*self.limits, limit]
        shift = before + self.policy.format.target_position
        positions = [*range(before + there), *range(shift, shift + len(limits))]
        assert len(ids) == len(positions)
        seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
        for row, last in enumerate(limits, before + there):
            seen[row, before + (source.ends[last - 1] if last else 0) : before + there] = False
        place = torch.tensor(positions)
        near = (place[:, None] - place[None]).abs() < (getattr(self.model.config, "sliding_window", None) or 10**6)
        masks = {
            name: torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, torch.finfo(torch.float64).min)[
                None, None
            ]
            for name, mask in (("full_attention", seen), ("sliding_attention", seen & near))
        }
        mapped = self.model.config.model_type != "llama"
        return self.model.model(
            input_ids=torch.tensor([ids]),
            position_ids=place[None],
            attention_mask=masks if mapped else masks["full_attention"],
            use_cache=False,
        ).last_hidden_state[0, -1]

    def confidence(self, state: torch.Tensor) -> float:
        return float(torch.sigmoid(self.policy.confidence(state)))

    def distribution(self, state: torch.Tensor) -> torch.Tensor:
        return self.model.lm_head(state).log_softmax(-1)

    def next_token(self, state: torch.Tensor, begins: bool) -> int:
        logits = self.model.lm_head(state).detach().clone()
        known = len(self.words.never)
        logits[known:] = -torch.inf
        logits[:known][self.words.never | (begins & ~self.words.begins)] = -torch.inf
        size = self.config.no_repeat_ngram
        if size:
            for at in range(len(self.tokens) - size + 1):
                if self.tokens[at : at + size - 1] == self.tokens[len(self.tokens) - size + 1 :]:
                    logits[self.tokens[at + size - 1]] = -torch.inf
        if self.config.temperature == 0:
            return int(logits.argmax())
        settings = GenerationConfig(temperature=self.config.temperature, top_p=self.config.top_p)
        return int(draw(logits[None], torch.tensor([next(self.numbers)], dtype=torch.float64), settings))

    def most(self, read: int) -> int:
        return self.config.most_tokens(self.source.ends[read - 1])

    def writes(self, segment: int, read: int, state: torch.Tensor) -> bool:
        rule = self.rule
        if isinstance(rule, WaitK):
            return read - segment >= rule.k
        if isinstance(rule, Offline):
            return False
        lag = read - segment
        if isinstance(rule, Threshold) and (lag < rule.low > 0 or lag >= rule.high > 0):
            return lag >= rule.low
        if not isinstance(rule, Lsg):
            return self.confidence(state) >= rule.threshold
        if not rule.low <= lag < rule.high:
            return lag >= rule.high
        now, wait_1 = self.distribution(state), self.distribution(self.state(segment + 1))
        return bool(now.exp().max() > rule.alpha or (now.exp() * (now - wait_1)).sum() > rule.delta)

    @torch.no_grad()
    def run(self) -> None:
        read, units, pending = 1, self.source.units, None
        while True:
            segment, state = len(self.starts), self.state(read)
            if read < units:
                self.confidences.append((segment, read, self.confidence(state)))
            if len(self.tokens) >= self.most(read):
                if read == units:
                    self.cut = True
                    return
                read, pending = read + 1, None
                continue
            if read < units and not isinstance(self.rule, Lsg) and not self.writes(segment, read, state):
                read, pending = read + 1, None
                continue
            if isinstance(self.rule, Lsg) and read < units and read - segment < self.rule.low:
                read, pending = read + 1, None
                continue
            token = self.next_token(state, True) if pending is None else pending
            if read < units and (self.words.ends[token] or not self.writes(segment, read, state)):
                read, pending = read + 1, None
                continue
            self.starts.append(len(self.tokens))
            self.reads.append(read)
            pending = None
            while True:
                self.logps.append(float(self.distribution(state)[token]))
                self.limits.append(read)  # the predictor of this token is kept so
                self.tokens.append(token)
                if self.words.ends[token]:
                    return
                if self.words.unit == "char" and self.words.is_complete(self.tokens[self.starts[-1] :]):
                    break
                if len(self.tokens) >= self.most(read):
                    break
                state = self.state(read)
                token = self.next_token(state, False)
                if self.words.unit == "char" and not self.words.ends[token]:
                    continue
                if self.words.begins[token]:
                    pending = token
                    break


def dense(
    policy: SimulPolicy, tokenizer: Any, sources: list[SourceTokens], rule: ReadRule, config: DecodingConfig
) -> list[Dense]:
    keys = rows_of([[*one.prompt, *one.tokens, *one.marker] for one in sources], 1, config.seed)
    found = []
    for source, key in zip(sources, keys, strict=True):
        one = Dense(policy, tokenizer, source, rule, config)
        one.numbers = iter(key.uniforms(500).tolist())
        one.run()
        found.append(one)
    return found


def check(policy: SimulPolicy, tokenizer: Any, texts: list[str], rule: ReadRule, config: DecodingConfig) -> list[Any]:
    sources = [rule_source(rule, policy.format, tokenizer, text) for text in texts]
    expected = dense(policy, tokenizer, sources, rule, config)
    found = decode(policy, tokenizer, sources, rule, config, with_logps=True)
    for one, other in zip(found, expected, strict=True):
        assert list(one.tokens) == other.tokens
        assert list(one.starts) == other.starts
        assert list(one.reads) == other.reads
        assert one.cut == other.cut
        assert list(one.logps) == pytest.approx(other.logps, abs=1e-9)
        asked = {(segment, read): value for segment, read, value in other.confidences}
        # Rules that are not asked below a lag pass states over.
        assert not isinstance(rule, Threshold) or rule.low or len(one.confidences) == len(asked)
        for segment, read, value in one.confidences:
            assert value == pytest.approx(asked[segment, read], abs=1e-9)
    return found


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_kept_cache_decodes_as_the_dense_mask(
    family: str, rule: ReadRule, make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy(family)
    config = DecodingConfig(batch_size=3, tokens_per_source_token=0.5, extra_tokens=6)
    found = check(policy, simul_tokenizer, source_texts(7), rule, config)
    assert len({one.tokens for one in found}) > 1
    assert any(len(one.starts) > 1 for one in found)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_characters_decode_as_the_dense_mask(
    family: str, rule: ReadRule, make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy(family, target="char", source="char")
    config = DecodingConfig(batch_size=4, tokens_per_source_token=0.4, extra_tokens=5)
    found = check(policy, simul_tokenizer, source_texts(6, "char"), rule, config)
    assert any(one.units for one in found)


@pytest.mark.parametrize("unit", ["word", "char"])
def test_sampling_with_a_repetition_guard_decodes_as_the_dense_mask(
    unit: str, make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy("gemma3", target=unit)
    config = DecodingConfig(
        batch_size=3, temperature=0.7, top_p=0.9, seed=5, no_repeat_ngram=2, tokens_per_source_token=0.5
    )
    for rule in (Threshold(0.5), Lsg(delta=0.1, alpha=0.9)):
        check(policy, simul_tokenizer, source_texts(5), rule, config)


def test_a_latency_word_changes_the_prompt_only(
    make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy("qwen2")
    policy.format = policy.format.model_copy(update={"before": "To {latency}:", "latency_word": "low"})
    texts = source_texts(4)
    config = DecodingConfig(tokens_per_source_token=0.5, extra_tokens=5)
    low = check(policy, simul_tokenizer, texts, LatencyPrompt("low", 0.5), config)
    high = check(policy, simul_tokenizer, texts, LatencyPrompt("high", 0.5), config)
    assert [one.tokens for one in low] != [one.tokens for one in high]
