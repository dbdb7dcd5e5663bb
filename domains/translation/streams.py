"""Streams: a source and the targets written while it is read, packed into one row without padding.

A stream is ``[prompt | source | branch | branch | ...]``; a branch is ``[marker | target | probes]`` with a path: how
many source units were read when each of its segments was written. One pass over the row gives every token's
log-probability, and every policy state, as decoding with a kept cache has them:

- a source token sees the prompt and the source before it;
- the *predictor* of a target token (the token before it) sees the source read when that token's segment is written,
  and the marker and target before it as they were kept: the last token of a word is computed again after every READ
  and kept with the source of the next word; all others are kept with the source of their own word;
- marker tokens but the last see no source;
- a *probe* is a predictor seen with another number of source units, at the same position, and no other token sees it.

Positions: the source follows the prompt; the marker begins `target_position` after the source's first position
whatever the source's length, so that a source that grows moves nothing. What is seen is decided by the mask and, under
sliding windows, by the distance of positions in either direction.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor

from domains.translation.tokens import SourceTokens, TargetTokens
from shared.training.trees import QUERY_BLOCK, AttentionBlock

Probes = Literal["none", "path", "grid"]
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Branch:
    """A target and the path on which it is written.

    Attributes:
        target: its tokens.
        reads: source units read when each segment is written, from 1 to |x|, non-decreasing; the last, of the end of
            the sentence, is |x|.
        probes: which policy states there are: ``none`` those in which segments are written, which cost nothing;
            ``path`` those that the path goes through, j = reads[i-1] .. reads[i] of segment i (1 .. reads[0] of the
            first); ``grid`` every j = 1 .. |x| of every segment.
    """

    target: TargetTokens
    reads: tuple[int, ...]
    probes: Probes = "none"

    def states(self, source_units: int) -> Iterator[tuple[int, int]]:
        """Yields (segment, units read j) of every policy state, segment after segment, j rising."""
        before = 1
        for segment, read in enumerate(self.reads):
            if self.probes == "none":
                yield segment, read
            else:
                grid = self.probes == "grid"
                for j in range(1 if grid else before, (source_units if grid else read) + 1):
                    yield segment, j
            before = read

    def probe_count(self, source_units: int) -> int:
        """Rows that its probes take."""
        if self.probes == "none":
            return 0
        return (source_units - 1) * len(self.reads) if self.probes == "grid" else self.reads[-1] - 1


@dataclass(frozen=True, slots=True)
class Stream:
    """A source and branches that share its prompt and source tokens."""

    source: SourceTokens
    branches: tuple[Branch, ...]

    def __post_init__(self) -> None:
        units = self.source.units
        if not (self.source.prompt and self.source.tokens and self.source.marker and self.branches):
            raise ValueError("a stream needs a prompt, a source, a marker and a branch, none of them empty")
        for branch in self.branches:
            reads = branch.reads
            if len(reads) != branch.target.segments or reads[-1] != units or reads[0] < 1 or sorted(reads) != [*reads]:
                raise ValueError(
                    f"the path {reads} is none of {branch.target.segments} segments over {units} source units: it must "
                    "rise from 1 or more to all of them"
                )

    @property
    def tokens(self) -> int:
        """Rows of the packed stream: prompt and source count once."""
        source = self.source
        shared = len(source.prompt) + len(source.tokens)
        return shared + sum(
            len(source.marker) + len(branch.target.tokens) - 1 + branch.probe_count(source.units)
            for branch in self.branches
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    """What every row of the packed row is, [T] each, on the CPU.

    Attributes:
        stream: number of its stream.
        branch: number of its branch over all streams; -1 for prompt and source.
        order: place among the rows of prompt and source, or among the kept rows of its branch (a probe has that of the
            predictor it stands for).
        limit: how many rows of prompt and source it sees.
        probe: whether it is a probe.
        position: its position id.
    """

    stream: Tensor
    branch: Tensor
    order: Tensor
    limit: Tensor
    probe: Tensor
    position: Tensor

    def to(self, device: str | torch.device) -> "_Rows":
        return _Rows(*(getattr(self, one.name).to(device) for one in fields(self)))

    def seen(self, query: Tensor, key: Tensor, window: int | None) -> Tensor:
        """Whether the row `query` sees the row `key`, elementwise."""
        shared = (self.branch[key] < 0) & (self.order[key] < self.limit[query])
        own = (self.branch[key] >= 0) & (self.branch[key] == self.branch[query]) & ~self.probe[key]
        visible = (self.stream[key] == self.stream[query]) & (shared | (own & (self.order[key] < self.order[query])))
        if window is not None:
            visible = visible & ((self.position[query] - self.position[key]).abs() < window)
        return visible | (query == key)


@dataclass(slots=True)
class PackedStreams:
    """Streams as one row of T tokens; N target tokens of B branches are predicted, M policy states are there.

    Attributes:
        input_ids: [1, T].
        position_ids: [1, T].
        predictors: place in the row of each target token's predictor, [N].
        labels: the target tokens, branch after branch, the end tokens among them, [N].
        owner: number of each label's branch over all streams, [N].
        segment: each label's segment, [N].
        states: place in the row of every policy state, branch after branch, segments and units read rising, [M].
        state_branch: its branch, [M].
        state_segment: the segment that would be written, [M].
        state_read: j, source units read, [M].
        source_units: |x| of every branch, [B]: states with j = |x| decide nothing.
        spans: of every stream the range of prompt and source, and of every branch (kept rows, probes).
    """

    input_ids: Tensor
    position_ids: Tensor
    predictors: Tensor
    labels: Tensor
    owner: Tensor
    segment: Tensor
    states: Tensor
    state_branch: Tensor
    state_segment: Tensor
    state_read: Tensor
    source_units: Tensor
    spans: list[tuple[Range, list[tuple[Range, Range]]]]
    _rows: _Rows
    _blocks: dict[int | None, list[AttentionBlock]] = field(default_factory=dict)
    _flex: dict[int | None, Any] = field(default_factory=dict)

    @property
    def branches(self) -> int:
        """Number of branches over all streams."""
        return len(self.source_units)

    @property
    def windows(self) -> set[int | None]:
        """Windows that attention was asked for so far; None: full attention."""
        return set(self._blocks)

    def to(self, device: str | torch.device) -> "PackedStreams":
        """The same on another device; itself where it is there."""
        if self.input_ids.device == torch.device(device):
            return self
        moved = {
            one.name: getattr(self, one.name).to(device)
            for one in fields(self)
            if isinstance(getattr(self, one.name), Tensor)
        }
        return PackedStreams(**moved, spans=self.spans, _rows=self._rows)

    def sees(self, window: int | None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Whether a query sees a key, as a function of (batch, head, query, key) on the streams' device."""
        rows = self._rows.to(self.input_ids.device)

        def seen(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return rows.seen(query, key, window)

        return seen

    def blocks(self, window: int | None) -> list[AttentionBlock]:
        """The blocks of attention, for full (None) or sliding-window attention over `window` positions."""
        if window not in self._blocks:
            self._blocks[window] = [
                _block(self._rows, queries, keys, window)
                for shared, branches in self.spans
                for queries, keys in _pieces(shared, branches)
            ]
        return self._blocks[window]

    def flex_mask(self, window: int | None) -> Any:
        """The same as a block mask of torch's flex attention."""
        from torch.nn.attention.flex_attention import create_block_mask

        if window not in self._flex:
            time = self.input_ids.shape[1]
            device = str(self.input_ids.device)
            self._flex[window] = create_block_mask(self.sees(window), None, None, time, time, device=device)
        return self._flex[window]


def pack_streams(streams: Sequence[Stream], target_position: int) -> PackedStreams:
    """Streams side by side in one row.

    Args:
        streams: at least one.
        target_position: tokens between the first position of a source and that of the markers.
    """
    ids: list[int] = []
    rows: dict[str, list[int]] = {one.name: [] for one in fields(_Rows)}
    labels: dict[str, list[int]] = {name: [] for name in ("predictors", "labels", "owner", "segment")}
    states: dict[str, list[int]] = {name: [] for name in ("states", "state_branch", "state_segment", "state_read")}
    units: list[int] = []
    spans: list[tuple[Range, list[tuple[Range, Range]]]] = []

    def add(tokens: Sequence[int], **columns: Sequence[int]) -> int:
        first = len(ids)
        ids.extend(tokens)
        for name, values in columns.items():
            rows[name].extend(values)
        return first

    for number, stream in enumerate(streams):
        source, prompt = stream.source, len(stream.source.prompt)
        tokens = (*source.prompt, *source.tokens)
        size = len(tokens)
        first = add(
            tokens,
            stream=[number] * size,
            branch=[-1] * size,
            order=range(size),
            limit=range(1, size + 1),
            probe=[0] * size,
            position=range(size),
        )
        ranges: list[tuple[Range, Range]] = []
        for branch in stream.branches:
            own, target, lead = len(units), branch.target, len(source.marker) - 1
            limits = [prompt + source.ends[read - 1] for read in branch.reads]
            segments = target.segment_of_tokens()
            kept = (*source.marker, *target.tokens[:-1])
            count = len(kept)
            start = add(
                kept,
                stream=[number] * count,
                branch=[own] * count,
                order=range(count),
                limit=[prompt] * lead + [limits[segment] for segment in segments],
                probe=[0] * count,
                position=range(prompt + target_position, prompt + target_position + count),
            )
            labels["predictors"] += range(start + lead, start + count)
            labels["labels"] += target.tokens
            labels["owner"] += [own] * len(target.tokens)
            labels["segment"] += segments
            after = len(ids)
            for segment, read in branch.states(source.units):
                order = lead + target.starts[segment]
                place = start + order
                if read != branch.reads[segment]:
                    place = add(
                        (kept[order],),
                        stream=[number],
                        branch=[own],
                        order=[order],
                        limit=[prompt + source.ends[read - 1]],
                        probe=[1],
                        position=[prompt + target_position + order],
                    )
                for name, value in zip(states, (place, own, segment, read), strict=True):
                    states[name].append(value)
            units.append(source.units)
            ranges.append(((start, after), (after, len(ids))))
        spans.append(((first, first + size), ranges))
    tensors = {name: torch.tensor(values) for name, values in rows.items()}
    tensors["probe"] = tensors["probe"].bool()
    columns: dict[str, Any] = {name: torch.tensor(values) for name, values in (labels | states).items()}
    return PackedStreams(
        input_ids=torch.tensor([ids]),
        position_ids=tensors["position"][None],
        source_units=torch.tensor(units),
        spans=spans,
        _rows=_Rows(**tensors),
        **columns,
    )


def _cut(span: Range) -> Iterator[Range]:
    for start in range(*span, QUERY_BLOCK):
        yield start, min(start + QUERY_BLOCK, span[1])


def _pieces(shared: Range, branches: Sequence[tuple[Range, Range]]) -> Iterator[tuple[Range, list[Range]]]:
    """Consecutive queries of a stream, with the ranges of the row outside which they see nothing."""
    for piece in _cut(shared):
        yield piece, [(shared[0], piece[1])]
    for kept, probes in branches:
        if probes[1] - kept[0] <= QUERY_BLOCK:
            yield (kept[0], probes[1]), [shared, (kept[0], probes[1])]
            continue
        for piece in _cut(kept):
            yield piece, [shared, (kept[0], piece[1])]
        for piece in _cut(probes):  # no probe sees another
            yield piece, [shared, kept, piece]


def _block(rows: _Rows, queries: Range, keys: Sequence[Range], window: int | None) -> AttentionBlock:
    """A block of attention; ends of ranges that no query sees are cut off."""
    query = torch.arange(*queries)[:, None]
    used: list[Range] = []
    masks: list[Tensor] = []
    for first, end in keys:
        seen = rows.seen(query, torch.arange(first, end)[None], window)
        columns = seen.any(0).nonzero()
        if len(columns):
            low, high = int(columns[0]), int(columns[-1]) + 1
            used.append((first + low, first + high))
            masks.append(seen[:, low:high])
    visible = torch.cat(masks, 1)
    count = queries[1] - queries[0]
    if bool(visible[:, :-count].all()) and torch.equal(
        visible[:, -count:], visible[:, -count:].new_ones(count, count).tril()
    ):
        return AttentionBlock(queries, tuple(used), None)
    return AttentionBlock(queries, tuple(used), torch.zeros(visible.shape).masked_fill_(~visible, float("-inf")))
