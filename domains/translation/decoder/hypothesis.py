"""One translation being written: what is read, what is written, and what is to be computed next.

No tensors are here. The decoder computes the `Work` that a hypothesis asks for, tells it the policy's confidence, and
where it wants one a prediction of the next token:

- after a READ, and in character languages after a complete character, a segment begins: the rule is asked, and only
  its WRITE asks for a prediction, of a token that may begin a segment;
- in word languages the prediction after a written token says whether its word has ended. Where it has, the rule is
  asked: WRITE uses the prediction, READ throws it away;
- an end of the sentence while source remains is a READ.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from domains.translation.decoder.rules import Lsg, ReadRule
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.decoder.words import Words
from domains.translation.tokens import SourceTokens, TargetTokens
from domains.translation.units import join_units


@dataclass(frozen=True, slots=True)
class Decoded:
    """A translation with the path on which it was written.

    Attributes:
        text: detokenised, single-spaced.
        units: its target units, U.
        delays: source units read when each unit was written, [U].
        elapsed_ms: wall-clock milliseconds from the sentence's start to each unit, [U]. Of a sentence decoded alone
            that is the time of computing; in a batch the others' time is in it, so that computation-aware latency is
            taken with ``batch_size: 1``.
        source_units: |x|.
        tokens: target tokens as written, the end token last unless the translation was cut.
        starts: first token of every segment, the end's own included.
        reads: source units read when each segment was written.
        written: target units written once each segment is written.
        confidences: (segment, units read, probability of WRITE) of every policy state that was visited with source
            remaining.
        logps: log-probability of every token in the state in which it was written, at temperature 1 over all tokens,
            nats; empty where they were not asked for.
        cut: whether it never ended and was cut at the most tokens allowed.
    """

    text: str
    units: tuple[str, ...]
    delays: tuple[int, ...]
    elapsed_ms: tuple[float, ...]
    source_units: int
    tokens: tuple[int, ...]
    starts: tuple[int, ...]
    reads: tuple[int, ...]
    written: tuple[int, ...]
    confidences: tuple[tuple[int, int, float], ...]
    logps: tuple[float, ...]
    cut: bool

    def target(self) -> TargetTokens:
        """The translation as it is scored, exactly the tokens that were written; `reads` is its path.

        Raises:
            ValueError: it was cut, or its source is empty: there is no end token.
        """
        if self.cut or not self.tokens:
            raise ValueError("a translation that never ended has no end token to be scored")
        return TargetTokens(self.tokens, self.starts, self.written)


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens of one sentence to compute: source tokens, if any, then the last marker or target token.

    Attributes:
        source: (token, its place in the source, its unit from 1) of every source token to append.
        token: the marker or target token.
        place: its place among marker and target tokens, from 0.
        limit: source units that it sees.
        again: whether it is computed again, in place of what was kept of it (if anything was).
        probe: whether it is only looked at, and kept by nobody.
    """

    source: tuple[tuple[int, int, int], ...]
    token: int
    place: int
    limit: int
    again: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """A drawn token, its log-probability (if asked for), and those of all tokens [V] (if the rule compares them)."""

    token: int
    logp: float | None
    distribution: Any = None


class Hypothesis:
    """A sentence whose source may still grow.

    Args:
        prompt: tokens before the source.
        marker: tokens between source and target.
        rule: when to read.
        words: of the target's language.
        config: its limits.
        differs: for `Lsg`: (rule, distribution now, distribution of wait-1) to whether they call for WRITE.
    """

    def __init__(
        self,
        prompt: tuple[int, ...],
        marker: tuple[int, ...],
        rule: ReadRule,
        words: Words,
        config: DecodingConfig,
        differs: Callable[[Lsg, Any, Any], bool],
    ) -> None:
        self.prompt, self.marker = prompt, marker
        self.tokens: list[int] = []
        self.logps: list[float] = []
        self.units: list[str] = []
        self.delays: list[int] = []
        self.read = 0
        self.done = self.cut = False
        self._rule, self._words, self._config, self._differs = rule, words, config, differs
        self._source: list[int] = []
        self._ends: list[int] = []
        self._finished = False
        self._starts: list[int] = []
        self._reads: list[int] = []
        self._written: list[int] = []
        self._texts: list[str] = []
        self._elapsed: list[float] = []
        self._confidences: list[tuple[int, int, float]] = []
        self._confidence = 0.0
        self._next: Literal["read", "token", "probe"] = "read"
        self._wanted = rule.units_before(0)
        self.at_boundary = False
        self._open = False  # whether a segment is being written
        self._held: Prediction | None = None
        self._baseline: tuple[int, Any] | None = None  # wait-1's distribution, and of which segment
        self._began = time.perf_counter()

    def add_unit(self, tokens: tuple[int, ...]) -> None:
        """The source grows by a unit."""
        if not self._ends:
            self._began = time.perf_counter()
        self._source += tokens
        self._ends.append(len(self._source))

    def add_source(self, source: SourceTokens) -> None:
        """The source is there as a whole."""
        self._source, self._ends = list(source.tokens), list(source.ends)
        self._began = time.perf_counter()
        self.finish_source()

    def finish_source(self) -> None:
        """The source grows no more."""
        self._finished = True
        if not self._ends:
            self.done = True  # nothing to translate

    @property
    def probing(self) -> bool:
        """Whether what it wants is a distribution, and no token is drawn."""
        return self._next == "probe"

    @property
    def _source_remains(self) -> bool:
        return not self._finished or self.read < len(self._ends)

    def work(self) -> Work | None:
        """What to compute next; None while it is done or waits for source."""
        if self.done:
            return None
        limit = self.read
        source: tuple[tuple[int, int, int], ...] = ()
        if self._next == "read":
            wanted = self._wanted
            if not self._finished and (wanted is None or len(self._ends) < wanted):
                return None
            limit = len(self._ends) if wanted is None else min(wanted, len(self._ends))
            source = tuple(
                (self._source[place], place, unit)
                for unit in range(self.read + 1, limit + 1)
                for place in range(self._ends[unit - 2] if unit > 1 else 0, self._ends[unit - 1])
            )
        probe = self._next == "probe"
        written = [*self.marker[-1:], *self.tokens[-1:]]
        return Work(
            source,
            written[-1],
            len(self.marker) - 1 + len(self.tokens),
            len(self._starts) + 1 if probe else limit,
            self._next == "read",
            probe,
        )

    def computed(self, confidence: float) -> bool:
        """Takes what came of its work.

        Args:
            confidence: probability of WRITE in the state of the computed token.

        Returns:
            Whether it wants a prediction of the next token; it may begin a segment only, if `at_boundary`.
        """
        if self._next == "probe":
            return True
        self._confidence = confidence
        if self._next == "read":
            self.read = len(self._ends) if self._wanted is None else min(self._wanted, len(self._ends))
            return self._boundary()
        if self._words.unit == "char" and self._words.is_complete(self.tokens[self._starts[-1] :]):
            return self._boundary()
        if len(self.tokens) >= self._most:
            return self._boundary()
        self.at_boundary = False
        return True

    def predicted(self, prediction: Prediction) -> None:
        """Takes the prediction that it wanted."""
        if self._next == "probe":
            self._baseline = (len(self._starts), prediction.distribution)
            assert self._held is not None
            prediction, self._held = self._held, None
        elif not self.at_boundary:
            table = self._words.ends if self._words.unit == "char" else self._words.begins
            if not table[prediction.token]:
                self._append(prediction)
                return
            if not self._boundary():
                return
        ends = bool(self._words.ends[prediction.token])
        if ends and self._source_remains:
            self._want(self.read + 1)
            return
        if self._source_remains and isinstance(self._rule, Lsg) and self._rule.compares(len(self._starts), self.read):
            decided = self._compared(self._rule, prediction)
            if decided is None:
                return
            if not decided:
                self._want(self.read + 1)
                return
        self._starts.append(len(self.tokens))
        self._reads.append(self.read)
        self._append(prediction)
        self._open = True
        if ends:
            self.done, self._open = True, False
            self._written.append(len(self.units))

    def _boundary(self) -> bool:
        """A segment may begin: whether it will, and a prediction is wanted (or used)."""
        self.at_boundary = True
        self._close()
        segment = len(self._starts)
        if self._source_remains:
            self._confidences.append((segment, self.read, self._confidence))
        if len(self.tokens) >= self._most:
            self.cut = self.done = not self._source_remains
            self._want(self.read + 1)
            return False
        if not self._source_remains:
            return True
        first = self._rule.units_before(segment)
        if first is None or self.read < first:
            self._want(first)
            return False
        if not isinstance(self._rule, Lsg) and not self._rule.writes(self._confidence, self.read - segment):
            self._want(self.read + 1)
            return False
        return True

    def _compared(self, rule: Lsg, prediction: Prediction) -> bool | None:
        """What LSG decides; None: the distribution of wait-1 is asked for first."""
        segment = len(self._starts)
        if self.read == segment + 1:
            self._baseline = (segment, prediction.distribution)
        if self._baseline is None or self._baseline[0] != segment:
            self._held, self._next = prediction, "probe"
            return None
        return self._differs(rule, prediction.distribution, self._baseline[1])

    @property
    def _most(self) -> int:
        return self._config.most_tokens(self._ends[self.read - 1])

    def _want(self, units: int | None) -> None:
        self._next, self._wanted = "read", units

    def _append(self, prediction: Prediction) -> None:
        self.tokens.append(prediction.token)
        if prediction.logp is not None:
            self.logps.append(prediction.logp)
        self._next = "token"

    def _close(self) -> None:
        """The open segment has ended: its units are there."""
        if not self._open:
            return
        self._open = False
        text, units = self._words.units(self.tokens[self._starts[-1] :])
        self._texts.append(text)
        self.units += units
        self._written.append(len(self.units))
        self.delays += [self._reads[-1]] * len(units)
        self._elapsed += [(time.perf_counter() - self._began) * 1000] * len(units)

    def decoded(self) -> Decoded:
        """What there is, once it is done."""
        # Characters count without the spaces between Latin names; the text keeps them.
        text = " ".join("".join(self._texts).split()) if self._words.unit == "char" else join_units(self.units, "word")
        return Decoded(
            text,
            tuple(self.units),
            tuple(self.delays),
            tuple(self._elapsed),
            len(self._ends),
            tuple(self.tokens),
            tuple(self._starts),
            tuple(self._reads),
            tuple(self._written),
            tuple(self._confidences),
            tuple(self.logps),
            self.cut,
        )
