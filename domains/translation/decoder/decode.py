"""Simultaneous decoding with a kept cache, in batches whose sentences are in different READ and WRITE states.

Each pass through the model computes what every sentence of the batch asks for: source units with the last token once
more (READ), the token just written (WRITE), or a probe. The confidence head is evaluated on what comes out; the
language-model head, most of the work of a small model with a large vocabulary, only where a token is to be predicted.
A sentence that ends makes place for the next one, and where there is none its row leaves the cache.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from domains.translation.decoder.cache import kept_layers
from domains.translation.decoder.hypothesis import Decoded, Hypothesis, Prediction, Work
from domains.translation.decoder.kept_states import KeptStates
from domains.translation.decoder.lsg import calls_for_write
from domains.translation.decoder.rules import Lsg, ReadRule
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.decoder.words import words_of
from domains.translation.tokens import SourceTokens
from shared.sampling.decoding import DROP_SHARE, draw
from shared.sampling.settings import GenerationConfig, rows_of
from shared.training.token_logps import head_settings, without_adapter_wrapper

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from domains.translation.policy import SimulPolicy

    Numbers = np.random.Generator


class States(Protocol):
    """What computes hidden states: `KeptStates`, or re-encoding, which benchmarks compare with it."""

    def compute(self, work: Sequence[tuple[int, Work]]) -> Tensor:
        """Last hidden states of the marker or target tokens of some rows, [rows, size]."""
        ...


class Decoder:
    """A policy under a read rule.

    Args:
        policy: on its device.
        tokenizer: of the policy.
        rule: when to read.
        config: limits, sampling, batch.
        with_logps: whether log-probabilities of the written tokens are given.
    """

    def __init__(
        self,
        policy: "SimulPolicy",
        tokenizer: "PreTrainedTokenizerBase",
        rule: ReadRule,
        config: DecodingConfig,
        with_logps: bool = False,
    ) -> None:
        assert policy.format.target_unit is not None
        self.policy, self.rule, self.config = policy, rule, config
        self.model = without_adapter_wrapper(policy.model)
        self._head = self.model.get_output_embeddings()
        self._scale, self._softcap = head_settings(self.model)
        self._words = words_of(tokenizer, policy.format.target_unit)
        self._tables = self._words.on(policy.device, self.model.config.get_text_config().vocab_size)
        self._with_logps = with_logps
        self._draws = GenerationConfig(temperature=config.temperature, top_p=config.top_p, top_k=config.top_k)

    def hypothesis(self, prompt: Sequence[int], marker: Sequence[int]) -> Hypothesis:
        """A sentence of which nothing is read yet."""
        return Hypothesis(tuple(prompt), tuple(marker), self.rule, self._words, self.config, calls_for_write)

    def states(self, prompt: Sequence[int], marker: Sequence[int], rows: int) -> KeptStates:
        """A cache for sentences with this prompt and marker."""
        return KeptStates(self.model, prompt, marker, self.policy.format.target_position, rows)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The policy set for decoding: evaluation mode, no gradients, attention over the kept cache.

        Raises:
            UsageError: an architecture that does not fit.
        """
        training = self.policy.training
        self.policy.eval()
        try:
            with torch.inference_mode(), kept_layers(self.model):
                yield
        finally:
            self.policy.train(training)

    def advance(self, states: States, rows: Sequence[tuple[int, Hypothesis, Work]], numbers: Sequence[Any]) -> None:
        """One pass through the model.

        Args:
            states: what computes.
            rows: (row, hypothesis, what it asks for).
            numbers: each row's random numbers; not used when greedy.
        """
        hidden = states.compute([(row, work) for row, _, work in rows])
        confidences = torch.sigmoid(self.policy.write_logits(hidden)).tolist()
        asking = [at for at, (row, one) in enumerate(zip(rows, confidences, strict=True)) if row[1].computed(one)]
        if not asking:
            return
        asked = [rows[at][1] for at in asking]
        logits = self._logits(hidden if len(asking) == len(rows) else hidden[asking])
        compares = isinstance(self.rule, Lsg)
        logps = logits.log_softmax(-1) if compares or self._with_logps else None
        tokens = self._drawn(logits, asked, [numbers[at] for at in asking])
        found = None if logps is None else logps.gather(-1, tokens[:, None]).squeeze(-1).tolist()
        for at, (one, token) in enumerate(zip(asked, tokens.tolist(), strict=True)):
            logp = found[at] if found is not None and self._with_logps else None
            one.predicted(Prediction(token, logp, logps[at].clone() if compares and logps is not None else None))

    def _logits(self, hidden: Tensor) -> Tensor:
        """Logits after hidden states [rows, size], float32 or wider, [rows, V]."""
        logits = self._head(hidden)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self._scale != 1:
            logits = logits * self._scale
        return torch.tanh(logits / self._softcap) * self._softcap if self._softcap else logits

    def _drawn(self, logits: Tensor, asked: Sequence[Hypothesis], numbers: Sequence[Any]) -> Tensor:
        """Tokens [rows]: such as may begin a segment where one begins."""
        refused = self._tables.never.expand_as(logits)
        bound = torch.tensor([one.at_boundary for one in asked], device=logits.device)
        if bool(bound.any()):
            refused = refused | (bound[:, None] & ~self._tables.begins)
        allowed = logits.masked_fill(refused, float("-inf"))
        if self.config.no_repeat_ngram:
            for row, one in enumerate(asked):
                allowed[row, repeating(one.tokens, self.config.no_repeat_ngram)] = float("-inf")
        if not self.config.temperature:
            return allowed.argmax(-1)
        uniforms = [0.0 if one.probing else own.random() for one, own in zip(asked, numbers, strict=True)]
        return draw(allowed, torch.tensor(uniforms, dtype=torch.float64, device=logits.device), self._draws)


def repeating(tokens: Sequence[int], length: int) -> list[int]:
    """Tokens that would complete a sequence of `length` tokens which stands in `tokens` already."""
    before = length - 1
    last = list(tokens[len(tokens) - before :])
    return [
        tokens[at + before]
        for at in range(len(tokens) - before)
        if len(last) == before and list(tokens[at : at + before]) == last
    ]


def numbers_of_key(key: int) -> "Numbers":
    """Random numbers in [0, 1), one after the other (Philox, keyed)."""
    import numpy as np

    return np.random.Generator(np.random.Philox(key=key))


def decode(
    policy: "SimulPolicy",
    tokenizer: "PreTrainedTokenizerBase",
    sources: Sequence[SourceTokens],
    rule: ReadRule,
    config: DecodingConfig,
    *,
    with_logps: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Decoded]:
    """Translates sentences while they are read.

    Args:
        policy: on its device, in the number format to decode in.
        tokenizer: of the policy.
        sources: tokens of the sentences (`domains.translation.decoder.rules.rule_source`); the same sentence may come
            several times, and is then sampled anew each time.
        rule: when to read and when to write.
        config: limits, sampling, batch.
        with_logps: whether log-probabilities of the written tokens are given.
        on_progress: called with (sentences done, sentences in all).

    Returns:
        One `Decoded` a source, in their order.

    Raises:
        UsageError: the policy's architecture cannot be decoded so.
    """
    decoder = Decoder(policy, tokenizer, rule, config, with_logps)
    keys = rows_of([[*one.prompt, *one.tokens, *one.marker] for one in sources], 1, config.seed)
    found: list[Decoded | None] = [None] * len(sources)
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for number, source in enumerate(sources):
        groups.setdefault((source.prompt, source.marker), []).append(number)
    done = 0
    with decoder.ready():
        for group in groups.values():
            # The longest first: those that take the place of ended ones then fit their slots.
            order = sorted(group, key=lambda number: (-len(sources[number].tokens), number))
            for number, one in _decoded(decoder, [(number, sources[number], keys[number].key) for number in order]):
                found[number] = one
                done += 1
                if on_progress is not None:
                    on_progress(done, len(sources))
    return [one for one in found if one is not None]


def _decoded(decoder: Decoder, sources: Sequence[tuple[int, SourceTokens, int]]) -> Iterator[tuple[int, Decoded]]:
    """Yields (number, translation) of (number, source, key of its random numbers) as they end."""
    waiting = deque(sources)
    prompt, marker = sources[0][1].prompt, sources[0][1].marker
    batch = min(decoder.config.batch_size, len(sources))
    states = decoder.states(prompt, marker, batch)
    rows: list[tuple[int, Hypothesis, Any] | None] = [None] * batch

    def next_sentence() -> tuple[int, Hypothesis, Any] | None:
        if not waiting:
            return None
        number, source, key = waiting.popleft()
        hypothesis = decoder.hypothesis(prompt, marker)
        hypothesis.add_source(source)
        return number, hypothesis, numbers_of_key(key)

    for row in range(batch):
        rows[row] = next_sentence()
    while any(rows):
        running = []
        for row, one in enumerate(rows):
            while one is not None and (work := one[1].work()) is None:
                yield one[0], one[1].decoded()
                one = rows[row] = next_sentence()
                states.restart(row)
            if one is not None:
                running.append((row, one, work))
        if not running:
            return
        ended = len(rows) - len(running)
        if ended * DROP_SHARE >= len(rows):
            states.keep_rows([row for row, _, _ in running])
            rows = [one for _, one, _ in running]
            running = [(row, one, work) for row, (_, one, work) in enumerate(running)]
        decoder.advance(states, [(row, one[1], work) for row, one, work in running], [one[2] for _, one, _ in running])
