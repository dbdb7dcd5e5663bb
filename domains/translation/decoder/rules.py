"""Read rules: when a simultaneous translator waits for more source (READ) and when it writes its next segment (WRITE).

A rule is asked in a policy state (segment i counted from 0, j source units read) while source remains; where none
remains there is nothing to decide. One model serves all rules:

- `Threshold`: the policy's own confidence c_ij, WRITE where it reaches a threshold (SM2, ACL 2024); optionally within a
  range of lags, as LSG has one;
- `LatencyPrompt`: the same under an instruction that asks for a latency in words (EAST, arXiv:2504.09570);
- `WaitK`: k units ahead of the target (STACL, Ma et al. 2019, arXiv:1810.08398);
- `Lsg`: from the model's distributions alone, without a trained policy (LSG, AAAI 2025);
- `Offline`: the whole source first.
"""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, cast, get_args

from domains.translation.settings import LatencyWord
from shared.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from domains.translation.settings import SimulFormat
    from domains.translation.tokens import SourceTokens


@dataclass(frozen=True, slots=True)
class Threshold:
    """READ while the policy's probability of WRITE is below `threshold`, within a range of lags where one is given.

    Attributes:
        threshold: from 0 (write at once) to 1.
        low: least lag j - i of a WRITE, in source units, with segment i counted from 0; 0 sets none.
        high: lag from which every state is one of WRITE; 0 sets none. low = high is wait-k with k = low.
    """

    threshold: float = 0.5
    low: int = 0
    high: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"a threshold of {self.threshold:g}: it is a probability, from 0 to 1")
        if self.low < 0 or self.high < 0 or (self.high and self.low > self.high):
            raise ValueError(
                f"a range of lags from {self.low} to {self.high}: write the smaller one first, or 0 for none"
            )

    def __str__(self) -> str:
        lags = f",{self.low},{self.high}" if self.low or self.high else ""
        return f"threshold:{self.threshold:g}{lags}"

    def units_before(self, segment: int) -> int | None:
        """Source units that are read before the rule is asked about a segment; None: all."""
        return max(1, self.low + segment) if self.low else 1

    def writes(self, confidence: float, lag: int) -> bool:
        """Whether a state of this lag, in which the policy writes with this probability, is one of WRITE."""
        return confidence >= self.threshold or 0 < self.high <= lag


@dataclass(frozen=True, slots=True)
class LatencyPrompt:
    """`Threshold` where the instruction names the latency that is wanted; the policy must have been trained with it."""

    word: LatencyWord
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.word not in get_args(LatencyWord):
            raise ValueError(f"the latency {self.word!r}: it is one of {', '.join(get_args(LatencyWord))}")
        Threshold(self.threshold)

    def __str__(self) -> str:
        return f"latency:{self.word},{self.threshold:g}"

    def units_before(self, segment: int) -> int | None:  # noqa: ARG002
        """As `Threshold`."""
        return 1

    def writes(self, confidence: float, lag: int) -> bool:  # noqa: ARG002
        """As `Threshold`."""
        return confidence >= self.threshold


@dataclass(frozen=True, slots=True)
class WaitK:
    """Segment i, counted from 0, is written once k + i source units are read."""

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"wait-{self.k}: at least one source unit is read first")

    def __str__(self) -> str:
        return f"wait-k:{self.k}"

    def units_before(self, segment: int) -> int | None:
        """k + i."""
        return self.k + segment

    def writes(self, confidence: float, lag: int) -> bool:  # noqa: ARG002
        """Always, once as many units are read."""
        return True


@dataclass(frozen=True, slots=True)
class Offline:
    """Everything is read before anything is written."""

    def __str__(self) -> str:
        return "offline"

    def units_before(self, segment: int) -> int | None:  # noqa: ARG002
        """All."""
        return None

    def writes(self, confidence: float, lag: int) -> bool:  # noqa: ARG002
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class Lsg:
    """WRITE where the source read since wait-1 has changed the next token, or where the model is sure of it.

    ``KL[p(.|x_<=j) || p(.|x_<=i+1)] > delta`` or ``max p(.|x_<=j) > alpha``, with segment i counted from 0 and i + 1
    the units that wait-1 has read (`domains.translation.decoder.lsg`). Outside a range of lags j - i nothing is
    compared: READ below `low`, WRITE from `high` on.

    Attributes:
        delta: nats.
        alpha: a probability.
        low: least lag, in source units; at least 1.
        high: largest lag.
    """

    delta: float = 9.0
    alpha: float = 0.6
    low: int = 1
    high: int = 9

    def __post_init__(self) -> None:
        if not (self.delta >= 0 and 0 < self.alpha <= 1 and math.isfinite(self.delta)):
            raise ValueError(
                f"delta {self.delta:g} and alpha {self.alpha:g}: nats from 0 on, and a probability above 0"
            )
        if not 1 <= self.low <= self.high:
            raise ValueError(f"a range of lags from {self.low} to {self.high}: it begins at 1 or more")

    def __str__(self) -> str:
        return f"lsg:{self.delta:g},{self.alpha:g},{self.low},{self.high}"

    def units_before(self, segment: int) -> int | None:
        """low + i."""
        return self.low + segment

    def writes(self, confidence: float, lag: int) -> bool:  # noqa: ARG002
        """Never by the confidence: the decoder compares distributions."""
        return False

    def compares(self, segment: int, read: int) -> bool:
        """Whether the lag is within the range in which distributions are compared; above it is WRITE."""
        return read - segment < self.high


ReadRule = Threshold | LatencyPrompt | WaitK | Offline | Lsg

_RULES: dict[str, type[ReadRule]] = {
    "threshold": Threshold,
    "latency": LatencyPrompt,
    "wait-k": WaitK,
    "offline": Offline,
    "lsg": Lsg,
}
_FORMS = "threshold:0.5 or threshold:C,LOW,HIGH, wait-k:3, offline, lsg:DELTA,ALPHA,LOW,HIGH or latency:WORD,THRESHOLD"


def parse_rule(text: str) -> ReadRule:
    """Reads a rule as `str` of it writes it; numbers at the end may be left out.

    Args:
        text: ``threshold:0.5``, ``wait-k:3``, ``offline``, ``lsg:9,0.6,1,9`` or ``latency:low,0.5``.

    Raises:
        UsageError: it names no rule, or numbers that the rule cannot have.
    """
    name, _, numbers = text.strip().partition(":")
    kind = _RULES.get(name)
    given = [part.strip() for part in numbers.split(",")] if numbers else []
    if kind is None or len(given) > len(fields(kind)):
        raise UsageError(f"the read rule {text!r} is unknown: write {_FORMS}.")
    try:
        values = [
            one if field.name == "word" else int(one) if field.type is int else float(one)
            for one, field in zip(given, fields(kind), strict=False)
        ]
        return kind(*cast("list", values))
    except ValueError as error:
        raise UsageError(f"the read rule {text!r} cannot be used ({error}): write {_FORMS}.") from error
    except TypeError as error:  # a number without a default is missing
        raise UsageError(f"the read rule {text!r} lacks a value: write {_FORMS}.") from error


def rule_source(rule: ReadRule, form: "SimulFormat", tokenizer: "PreTrainedTokenizerBase", text: str) -> "SourceTokens":
    """Tokens of a source sentence for a rule: `LatencyPrompt` has its word in the instruction, all others do not.

    Raises:
        UsageError: a latency word for a policy whose instruction has none.
    """
    return form.source(tokenizer, text, rule.word) if isinstance(rule, LatencyPrompt) else form.source(tokenizer, text)
