"""Random streams for tiny models, and what a branch has alone, by a dense mask written from its definition."""

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from domains.translation.settings import SimulFormat
from domains.translation.streams import Branch, Probes, Stream
from domains.translation.tokens import SourceTokens, TargetTokens

WORDS = 67
TARGET_POSITION = 12
FORMAT = SimulFormat(source_language="de", target_language="en", target_position=TARGET_POSITION)


def random_source(draw: random.Random, units: int, marker: int = 2) -> SourceTokens:
    sizes = [draw.randint(1, 3) for _ in range(units)]

    def some(count: int) -> tuple[int, ...]:
        return tuple(draw.choices(range(3, WORDS), k=count))

    return SourceTokens(some(draw.randint(1, 4)), some(sum(sizes)), tuple(accumulate(sizes)), some(marker))


def random_target(draw: random.Random, segments: int) -> TargetTokens:
    """`segments` words of 1 to 3 tokens, and the end."""
    sizes = [draw.randint(1, 3) for _ in range(segments)]
    tokens = (*draw.choices(range(3, WORDS), k=sum(sizes)), 2)
    return TargetTokens(tokens, (0, *accumulate(sizes)), (*range(1, segments + 1), segments))


def random_branch(draw: random.Random, target: TargetTokens, units: int, probes: Probes) -> Branch:
    reads = sorted(draw.randint(1, units) for _ in range(target.segments - 1))
    return Branch(target, (*reads, units), probes)


def random_streams(seed: int = 0) -> list[Stream]:
    """Streams of one to four branches with all kinds of probes, one source longer than `TARGET_POSITION`."""
    draw = random.Random(seed)
    kinds: Sequence[Probes] = ("none", "path", "grid")
    streams = []
    for units, marker, branches in ((5, 2, 3), (1, 1, 2), (9, 3, 4), (3, 1, 1)):
        source = random_source(draw, units, marker)
        target = random_target(draw, draw.randint(1, 5))
        streams.append(
            Stream(
                source,
                tuple(
                    random_branch(
                        draw, target if number % 2 else random_target(draw, number + 1), units, kinds[number % 3]
                    )
                    for number in range(branches)
                ),
            )
        )
    return streams


def alone(
    model: Any, source: SourceTokens, branch: Branch, window: int | None, state: tuple[int, int] | None = None
) -> Tensor:
    """Last hidden states of marker and target, each branch by itself, under a dense mask.

    Args:
        model: with its own attention.
        source: of the branch.
        branch: its probes are not read.
        window: of its sliding layers.
        state: (segment, units read): the row is cut behind that segment's predictor, which sees so many units.

    Returns:
        [marker + target - 1, size], or the one state [size].
    """
    lead, segments = len(source.marker) - 1, branch.target.segment_of_tokens()
    rows = [0] * lead + [source.ends[branch.reads[segment] - 1] for segment in segments]
    if state is not None:
        at = lead + branch.target.starts[state[0]]
        rows = [*rows[:at], source.ends[state[1] - 1]]
    kept = [*source.marker, *branch.target.tokens[:-1]][: len(rows)]
    prompt, size = len(source.prompt), len(source.prompt) + len(source.tokens)
    time = size + len(kept)
    ids = torch.tensor([[*source.prompt, *source.tokens, *kept]])
    positions = torch.tensor([[*range(size), *range(prompt + TARGET_POSITION, prompt + TARGET_POSITION + len(kept))]])
    seen = torch.ones(time, time, dtype=torch.bool).tril()
    for row, limit in enumerate(rows):
        seen[size + row, prompt + limit : size] = False
    near = (positions[0][:, None] - positions[0][None]).abs() < (window or 10**9)

    def mask(visible: Tensor) -> Tensor:
        return torch.zeros(1, 1, time, time, dtype=torch.float64).masked_fill_(~visible, float("-inf"))

    masks = {"full_attention": mask(seen), "sliding_attention": mask(seen & near)}
    types = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    given = (
        masks if types != {"full_attention"} or model.config.model_type == "gemma3_text" else masks["full_attention"]
    )
    hidden = model.model(input_ids=ids, position_ids=positions, attention_mask=given, use_cache=False)
    states = hidden.last_hidden_state[0, size:]
    return states if state is None else states[-1]
