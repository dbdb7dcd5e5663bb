"""Trees: one prompt and the completions that share it, packed into one row without padding.

A pair costs its prompt once: ``[prompt | chosen | rejected]``. Positions go on from the prompt's last for each
completion, and attention (`shared.training.tree_attention`) hides the completions from each other, so every
completion has the log-probabilities it has alone after its prompt. Trees of any shape stand side by side in one row.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

QUERY_BLOCK = 128  # queries that are attended at once: larger blocks waste work above the diagonal


@dataclass(frozen=True, slots=True)
class Tree:
    """Token ids of one prompt and of the completions that follow it.

    Attributes:
        prompt: at least one token.
        completions: each with at least one token.
    """

    prompt: Sequence[int]
    completions: tuple[Sequence[int], ...]

    def __post_init__(self) -> None:
        if not self.prompt or not self.completions or not all(self.completions):
            raise ValueError("a tree needs a prompt and at least one completion, none of them empty")

    @property
    def tokens(self) -> int:
        """Tokens of the packed tree: the prompt counts once."""
        return len(self.prompt) + sum(len(completion) for completion in self.completions)

    @property
    def row_tokens(self) -> int:
        """Tokens of the same completions as rows of their own, padded to the longest."""
        return len(self.completions) * (len(self.prompt) + max(len(completion) for completion in self.completions))


@dataclass(frozen=True, slots=True)
class AttentionBlock:
    """Consecutive queries of one segment, and the keys that they may see.

    Attributes:
        queries: [first, end) in the row.
        keys: one or two ranges [first, end) in the row, in the order of their positions; the last ends with the
            block's own tokens.
        mask: what is added to the scores, [queries, keys]; None: only the upper triangle of the last square is hidden.
    """

    queries: tuple[int, int]
    keys: tuple[tuple[int, int], ...]
    mask: Tensor | None

    @property
    def width(self) -> int:
        """Number of keys."""
        return sum(end - first for first, end in self.keys)


@dataclass(slots=True)
class PackedTrees:
    """Trees as one row of T tokens; N tokens of C completions are predicted.

    Attributes:
        input_ids: [1, T].
        position_ids: [1, T]; a completion's go on from its prompt's.
        predictors: place in the row of the token before each completion token, [N].
        labels: the completion tokens, completion after completion, [N].
        owner: which completion a label belongs to, [N].
        place: its place within the completion, [N].
        ends: place in the row of each completion's last token, [C].
        prompt_ends: place in the row of the last prompt token of each completion, [C].
        segments: first and end in the row of every prompt with its completions' ranges.
    """

    input_ids: Tensor
    position_ids: Tensor
    predictors: Tensor
    labels: Tensor
    owner: Tensor
    place: Tensor
    ends: Tensor
    prompt_ends: Tensor
    segments: list[tuple[tuple[int, int], list[tuple[int, int]]]]
    _blocks: dict[int | None, list[AttentionBlock]] = field(default_factory=dict)
    _flex: dict[int | None, Any] = field(default_factory=dict)

    @property
    def completions(self) -> int:
        """Number of completions."""
        return len(self.ends)

    @property
    def windows(self) -> set[int | None]:
        """Windows that attention was asked for so far; None: full attention."""
        return set(self._blocks)

    def to(self, device: str | torch.device) -> "PackedTrees":
        """The same on another device."""
        moved = {
            name: getattr(self, name).to(device)
            for name in (
                "input_ids",
                "position_ids",
                "predictors",
                "labels",
                "owner",
                "place",
                "ends",
                "prompt_ends",
            )
        }
        return PackedTrees(**moved, segments=self.segments)

    def blocks(self, window: int | None) -> list[AttentionBlock]:
        """The blocks of attention, for full (None) or sliding-window attention over the last `window` positions."""
        if window not in self._blocks:
            self._blocks[window] = [
                block for prompt, completions in self.segments for block in _tree_blocks(prompt, completions, window)
            ]
        return self._blocks[window]

    def sees(self, window: int | None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Whether a query sees a key, as a function of (batch, head, query, key) on the trees' device."""
        device, time = self.input_ids.device, self.input_ids.shape[1]
        tree = torch.zeros(time, dtype=torch.long)
        segment = torch.zeros(time, dtype=torch.long)
        for number, (prompt, completions) in enumerate(self.segments):
            tree[prompt[0] : completions[-1][1]] = number
            for place, (first, end) in enumerate(completions, 1):
                segment[first:end] = place
        tree, segment, position = tree.to(device), segment.to(device), self.position_ids[0]

        def seen(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            near = (tree[query] == tree[key]) & (position[key] <= position[query])
            if window is not None:
                near = near & (position[query] - position[key] < window)
            return near & ((segment[key] == 0) | (segment[key] == segment[query]))

        return seen

    def flex_mask(self, window: int | None) -> Any:
        """The same as a block mask of torch's flex attention."""
        from torch.nn.attention.flex_attention import create_block_mask

        if window not in self._flex:
            time = self.input_ids.shape[1]
            self._flex[window] = create_block_mask(
                self.sees(window), None, None, time, time, device=str(self.input_ids.device)
            )
        return self._flex[window]


def pack(trees: Sequence[Tree]) -> PackedTrees:
    """Trees side by side in one row, each completion behind its prompt."""
    ids: list[int] = []
    positions: list[int] = []
    predictors: list[int] = []
    labels: list[int] = []
    owner: list[int] = []
    place: list[int] = []
    ends: list[int] = []
    prompt_ends: list[int] = []
    segments: list[tuple[tuple[int, int], list[tuple[int, int]]]] = []
    for tree in trees:
        first = len(ids)
        ids += tree.prompt
        positions += range(len(tree.prompt))
        after_prompt = len(ids)
        ranges: list[tuple[int, int]] = []
        for completion in tree.completions:
            start = len(ids)
            ids += completion
            positions += range(len(tree.prompt), len(tree.prompt) + len(completion))
            predictors += [after_prompt - 1, *range(start, len(ids) - 1)]
            labels += completion
            owner += [len(ends)] * len(completion)
            place += range(len(completion))
            ends.append(len(ids) - 1)
            prompt_ends.append(after_prompt - 1)
            ranges.append((start, len(ids)))
        segments.append(((first, after_prompt), ranges))
    return PackedTrees(
        torch.tensor([ids]),
        torch.tensor([positions]),
        torch.tensor(predictors),
        torch.tensor(labels),
        torch.tensor(owner),
        torch.tensor(place),
        torch.tensor(ends),
        torch.tensor(prompt_ends),
        segments,
    )


def _tree_blocks(
    prompt: tuple[int, int], completions: Sequence[tuple[int, int]], window: int | None
) -> Iterator[AttentionBlock]:
    for start in range(*prompt, QUERY_BLOCK):
        end = min(start + QUERY_BLOCK, prompt[1])
        yield _block((start, end), [(prompt[0], end)], [0], start - prompt[0], window)
    length = prompt[1] - prompt[0]
    for first, last in completions:
        for start in range(first, last, QUERY_BLOCK):
            end = min(start + QUERY_BLOCK, last)
            yield _block((start, end), [prompt, (first, end)], [0, length], length + start - first, window)


def _block(
    queries: tuple[int, int], keys: list[tuple[int, int]], offsets: list[int], position: int, window: int | None
) -> AttentionBlock:
    """A block whose first query stands at `position`; `offsets` are the positions at which the key ranges begin."""
    if window is None or position + queries[1] - queries[0] <= window:
        return AttentionBlock(queries, tuple(keys), None)
    seen, places = [], []
    for (first, end), offset in zip(keys, offsets, strict=True):
        skipped = max(0, position - window + 1 - offset)  # no query of the block sees further back
        if first + skipped < end:
            seen.append((first + skipped, end))
            places.append(torch.arange(offset + skipped, offset + end - first))
    of_queries = torch.arange(position, position + queries[1] - queries[0])[:, None]
    of_keys = torch.cat(places)[None]
    hidden = (of_keys > of_queries) | (of_keys <= of_queries - window)
    mask = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))
    return AttentionBlock(queries, tuple(seen), mask)


def cut_by_tokens(costs: Sequence[int], budget: int) -> list[list[int]]:
    """Items in as few groups as best-fit-decreasing finds, each of at most `budget`; a larger item stands alone.

    Args:
        costs: tokens of every item.
        budget: most tokens of a group.

    Returns:
        Indices of the items of each group, in order; the groups by their first item.
    """
    groups: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (tokens left, group), sorted: the tightest that fits is found by bisection
    for item in sorted(range(len(costs)), key=lambda index: (-costs[index], index)):
        tightest = bisect_left(rooms, (costs[item], 0))
        if tightest < len(rooms):
            room, number = rooms.pop(tightest)
        else:
            room, number = budget, len(groups)
            groups.append([])
        groups[number].append(item)
        insort(rooms, (room - costs[item], number))
    return sorted(sorted(group) for group in groups)
