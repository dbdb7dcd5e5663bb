"""Which prefixes a sentence is learned under in a step: drawn from (seed, step, sentence) and nothing else.

So a resumed training draws what an uninterrupted one draws, on any number of processes.

A *staircase* is the path of a policy that acts at random: after k units, uniform in 1 .. |x|, it writes with
probability p and reads otherwise, with (1 - p) / p = |x| / segments, so that source and target end together in the
mean. Its runs of READs are geometric: wait-k with jitter, as the paths are on which a threshold decodes.

Under a *latency prompt* (after EAST, arXiv:2504.09570, whose data an LLM cut into chunks for each level; the paths
here are ours) the five words stand for lags of 1, 3, 5, 7 and 9 units: the pair's own path with lag - 1 units more
where it has one, wait-k with k = lag otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, get_args

from domains.translation.msft_config import MsftConfig, Shape
from domains.translation.settings import LatencyWord
from domains.translation.streams import Branch, Stream
from domains.translation.tokens import SourceTokens, TargetTokens
from shared.training.step_order import Step, Steps

LAGS: dict[LatencyWord, int] = dict(zip(get_args(LatencyWord), (1, 3, 5, 7, 9), strict=True))
Reads = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MsftExample:
    """A sentence pair as tokens.

    Attributes:
        id: of the record.
        source: its tokens.
        target: its tokens.
        gold: source units read before each segment on the pair's own path, or None.
        weight: factor of its loss.
        prompts: prompt tokens with each latency word, for the kind ``latency-prompt``.
    """

    id: str
    source: SourceTokens
    target: TargetTokens
    gold: Reads | None
    weight: float
    prompts: dict[LatencyWord, tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class DrawnSentence:
    """A sentence with what it is learned under in a step.

    Attributes:
        example: the pair.
        streams: for ``simul`` one, whose first branch has the whole source; for ``wait-k`` one; for ``latency-prompt``
            one a path, each with its own prompt.
    """

    example: MsftExample
    streams: tuple[Stream, ...]

    @property
    def tokens(self) -> int:
        """Rows that it takes."""
        return sum(stream.tokens for stream in self.streams)


class PrefixSteps(Steps):
    """Steps of `MsftExample` whose items are `DrawnSentence`; arguments as those of `Steps`, and the config."""

    def __init__(
        self,
        examples: Sequence[MsftExample],
        batch_size: int,
        epochs: int,
        seed: int,
        rank: int,
        ranks: int,
        config: MsftConfig,
    ) -> None:
        super().__init__(examples, batch_size, epochs, seed, rank, ranks)
        self._seed, self._config = seed, config

    def __getitem__(self, index: int) -> Step:
        step = super().__getitem__(index)
        drawn: list[Any] = [
            drawn_sentence(example, self._config, Random(f"{self._seed}/{index}/{example.id}"))
            for example in step.examples
        ]
        return Step(drawn, step.total)


def drawn_sentence(example: MsftExample, config: MsftConfig, draw: Random) -> DrawnSentence:
    """A sentence with prefixes drawn for it.

    Args:
        example: the pair.
        config: what is drawn.
        draw: the generator.
    """
    source, target, count = example.source, example.target, config.prefixes.count
    units, segments = source.units, target.segments
    if config.policy == "wait-k":
        lags = [config.wait_k or draw.randint(1, units) for _ in range(count)]
        paths = [Branch(target, wait_k_reads(k, units, segments)) for k in lags]
        return DrawnSentence(example, (Stream(source, tuple(paths)),))
    if config.policy == "latency-prompt":
        assert example.prompts is not None
        words = draw.sample(list(LAGS), min(count, len(LAGS)))
        return DrawnSentence(
            example,
            tuple(
                Stream(
                    replace(source, prompt=example.prompts[word]),
                    (Branch(target, lagging_reads(example.gold, LAGS[word], units, segments), "path"),),
                )
                for word in words
            ),
        )
    whole = Branch(target, (units,) * segments)
    shapes: list[Shape] = [config.prefixes.shape] * count
    if config.prefixes.shape == "mixed":
        known: list[Shape] = ["constant", "staircase", *(["gold"] if example.gold is not None else [])]
        shapes = [draw.choice(known) for _ in range(count)]
    prefixes = [
        Branch(
            target,
            _prefix_reads(shape, example, draw),
            "path" if shape == "gold" and config.decisions == "path" else "none",
        )
        for shape in shapes
    ]
    return DrawnSentence(example, (Stream(source, (whole, *prefixes)),))


def _prefix_reads(shape: Shape, example: MsftExample, draw: Random) -> Reads:
    units, segments = example.source.units, example.target.segments
    if shape == "gold":
        assert example.gold is not None
        return example.gold
    if shape == "constant":
        return (*[draw.randint(1, units)] * (segments - 1), units)
    return staircase_reads(units, segments, draw)


def wait_k_reads(k: int, units: int, segments: int) -> Reads:
    """Segment i, from 0, is written once k + i units are read (STACL, arXiv:1810.08398); the end after all of them."""
    return (*(min(k + segment, units) for segment in range(segments - 1)), units)


def staircase_reads(units: int, segments: int, draw: Random) -> Reads:
    """A random path, see the module.

    Args:
        units: |x|.
        segments: of the target, the end among them.
        draw: the generator.
    """
    read = draw.randint(1, units)
    writes = segments / (units + segments)
    reads = []
    for _ in range(segments - 1):
        reads.append(read)
        while read < units and draw.random() >= writes:
            read += 1
    return (*reads, units)


def lagging_reads(gold: Reads | None, lag: int, units: int, segments: int) -> Reads:
    """The pair's own path with ``lag - 1`` units more, or wait-k with k = lag where it has none."""
    if gold is None:
        return wait_k_reads(lag, units, segments)
    return tuple(min(read + lag - 1, units) for read in gold)
