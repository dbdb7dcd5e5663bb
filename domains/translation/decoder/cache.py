"""Keys and values of sentences that are being translated, and attention over them under the kept-cache mask.

Every row of the cache is a sentence; its slots are filled in the order of computation: prompt, marker, then source and
target tokens as they come. What a slot is stands beside it (`rank`, `unit`, `position`), so rows may be in different
states: one reads three source tokens, another writes a word. All tokens of a step go through the model as one row
without padding; only attention, a small part of the work, sees rows of different length side by side.

A token sees the slots of lower rank whose source unit it may see, and itself. Ranks go prompt, source, target, and a
target token's source limit is what was read when it was computed, hence:

- source tokens see the prompt and the source before them, never the target;
- a target token sees prompt, marker and target before it *as they were kept*, and the source read so far;
- when its last token is computed again after a READ, its slot is overwritten;
- a probe (the last token with another limit) stands in a slot that the next token overwrites, seen by itself alone.

The attention is registered with transformers as ``valign_kept``; a model gets a `Step` where tree attention has its
trees (`shared.training.token_logps.packed_states`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from shared.errors import UsageError

IMPLEMENTATION = "valign_kept"
EMPTY = 2**62  # rank of a slot that nobody sees
TARGET = 2**31  # rank of the first marker token: above every source token
ROOM = 128  # slots at first; more are added as they are needed


class KeptUnsupported(Exception):  # noqa: N818 (told to `kept_attention`, which names the model to the user)
    """The architecture asks attention for something that the cache does not have."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that is computed.

    Attributes:
        id: of the vocabulary.
        position: its position id.
        rank: what it sees, and who sees it (see the module).
        unit: source unit that it belongs to, from 1; 0 in prompt, marker and target.
        limit: source units that it sees.
        slot: where its key stands.
    """

    id: int
    position: int
    rank: int
    unit: int
    limit: int
    slot: int


@dataclass(slots=True)
class Step:
    """Tokens of several rows that go through the model together, T in all, at most Q of one row.

    Attributes:
        input_ids: [1, T].
        position_ids: [1, T].
        cache: where keys and values go.
        row: [T].
        slot: [T].
        padded: place of each token in [rows, Q]; None where each row has one token, in order.
        queries: Q.
        used: slots of the longest row.
        seen: whether a token sees a slot of its row without windows, [T, used].
        distance: of their positions, [T, used].
    """

    input_ids: Tensor
    position_ids: Tensor
    cache: "KeptCache"
    row: Tensor
    slot: Tensor
    padded: Tensor | None
    queries: int
    used: int
    seen: Tensor
    distance: Tensor
    _masks: dict[tuple[int | None, torch.dtype], Tensor | None] = field(default_factory=dict)

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores, [rows, Q, used]; None where everything is seen."""
        key = (window, dtype)
        if key not in self._masks:
            seen = self.seen if window is None else self.seen & (self.distance < window)
            self._masks[key] = None if bool(seen.all()) else self._laid_out(seen, dtype)
        return self._masks[key]

    def _laid_out(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        rows = self.cache.rows
        made = torch.zeros((rows * self.queries, self.used), dtype=dtype, device=seen.device)
        made[slice(None) if self.padded is None else self.padded] = torch.zeros_like(seen, dtype=dtype).masked_fill_(
            ~seen, float("-inf")
        )
        return made.view(rows, self.queries, self.used)


class KeptCache:
    """Keys and values of `rows` sentences.

    Args:
        rows: sentences.
        device: of the model.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self.rows = rows
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self._device = device
        self._rank = torch.full((rows, ROOM), EMPTY, device=device)
        self._unit = torch.zeros((rows, ROOM), dtype=torch.long, device=device)
        self._position = torch.zeros((rows, ROOM), dtype=torch.long, device=device)
        self._used = [0] * rows

    def step(self, work: Sequence[tuple[int, Sequence[NewToken]]]) -> Step:
        """Makes place for tokens.

        Args:
            work: (row, its tokens); a row at most once.
        """
        tokens = [(row, token) for row, some in work for token in some]
        for row, some in work:
            self._used[row] = max(self._used[row], *(token.slot + 1 for token in some))
        used = max(self._used)
        self._make_room(used)
        columns = [
            [row, token.slot, token.id, token.position, token.rank, token.unit, token.limit] for row, token in tokens
        ]
        row, slot, ids, position, rank, unit, limit = torch.tensor(columns, device=self._device).unbind(1)
        self._rank[row, slot], self._unit[row, slot], self._position[row, slot] = rank, unit, position
        keys = (row, slice(0, used))
        seen = (self._rank[keys] < rank[:, None]) & (self._unit[keys] <= limit[:, None])
        seen[torch.arange(len(tokens), device=self._device), slot] = True
        distance = (self._position[keys] - position[:, None]).abs()
        distance[torch.arange(len(tokens), device=self._device), slot] = 0
        queries = max(len(some) for _, some in work)
        padded = None
        if queries > 1 or [row for row, _ in work] != list(range(self.rows)):
            places = [at * queries + number for at, some in work for number in range(len(some))]
            padded = torch.tensor(places, device=self._device)
        return Step(ids[None], position[None], self, row, slot, padded, queries, used, seen, distance)

    def store(self, layer: int, key: Tensor, value: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Writes a layer's keys and values [kv heads, T, size]; gives all rows' [rows, kv heads, used, size]."""
        if layer not in self.keys:
            for buffers, states in ((self.keys, key), (self.values, value)):
                shape = (self.rows, states.shape[0], self._rank.shape[1], states.shape[-1])
                buffers[layer] = torch.zeros(shape, dtype=value.dtype, device=value.device)
        keys, values = self.keys[layer], self.values[layer]
        keys[step.row, :, step.slot] = key.transpose(0, 1).to(keys.dtype)
        values[step.row, :, step.slot] = value.transpose(0, 1)
        return keys[:, :, : step.used], values[:, :, : step.used]

    def repeated(self, rows: int) -> "KeptCache":
        """A cache of `rows` rows, each as the first of this one."""
        return self._selected(torch.zeros(rows, dtype=torch.long, device=self._device), self._used[:1] * rows)

    def kept_rows(self, rows: Sequence[int]) -> "KeptCache":
        """A cache of some of the rows."""
        return self._selected(torch.tensor(list(rows), device=self._device), [self._used[row] for row in rows])

    def restart(self, row: int, slots: int) -> None:
        """Forgets all of a row but its first `slots`."""
        self._rank[row, slots:] = EMPTY
        self._used[row] = slots

    def _selected(self, index: Tensor, used: list[int]) -> "KeptCache":
        made = KeptCache(0, self._device)
        made.rows, made._used = len(used), used
        made._rank, made._unit, made._position = (
            states.index_select(0, index) for states in (self._rank, self._unit, self._position)
        )
        made.keys = {layer: states.index_select(0, index) for layer, states in self.keys.items()}
        made.values = {layer: states.index_select(0, index) for layer, states in self.values.items()}
        return made

    def _make_room(self, slots: int) -> None:
        has = self._rank.shape[1]
        if slots <= has:
            return
        more = max(slots, has + has // 2) - has
        pad = torch.nn.functional.pad
        self._rank = pad(self._rank, (0, more), value=EMPTY)
        self._unit, self._position = pad(self._unit, (0, more)), pad(self._position, (0, more))
        for buffers in (self.keys, self.values):
            for layer in buffers:
                buffers[layer] = pad(buffers[layer], (0, 0, 0, more))


def kept_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    trees: Step | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls in every layer.

    Args:
        module: the layer's attention.
        query: [1, heads, T, size], with positions applied.
        key: [1, kv heads, T, size].
        value: [1, kv heads, T, size].
        attention_mask: none; the step says what is seen.
        scaling: factor of the scores; 1 / sqrt(size) where none.
        dropout: must be 0.
        sliding_window: a key is seen only at a smaller distance of positions than this; None: at any.
        trees: the step, under the name that `packed_states` gives it.
        kwargs: what other implementations take. Sinks and soft caps are refused.

    Returns:
        ([1, T, heads, size], None).

    Raises:
        KeptUnsupported: the layer asks for what is not there.
    """
    kept, layer = trees, getattr(module, "layer_idx", None)
    if kept is None or layer is None or attention_mask is not None or query.shape[0] != 1:
        raise KeptUnsupported("it does not pass the step on to its attention")
    asked = [name for name in ("s_aux", "softcap", "position_bias") if kwargs.get(name) is not None]
    if asked or dropout:
        raise KeptUnsupported(f"its attention has {asked[0] if asked else 'dropout'}")
    if sliding_window is None and getattr(module, "is_sliding", False):
        raise KeptUnsupported("its sliding-window layers do not name their window")
    if kwargs.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        raise KeptUnsupported("its attention is not causal")
    keys, values = kept.cache.store(layer, key[0], value[0], kept)
    rows, kv_heads, used, size = keys.shape
    heads, tokens = query.shape[1], query.shape[2]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    flat = query[0].transpose(0, 1).to(keys.dtype) * scale  # [T, heads, size]
    if kept.padded is not None:
        laid = flat.new_zeros((rows * kept.queries, heads, size))
        laid[kept.padded] = flat
        flat = laid
    grouped = flat.view(rows, kept.queries, kv_heads, -1, size).permute(0, 2, 3, 1, 4)
    folded = grouped.reshape(rows * kv_heads, -1, size)  # heads that share keys, side by side
    scores = torch.bmm(folded, keys.reshape(-1, used, size).transpose(1, 2))
    mask = kept.mask(sliding_window, scores.dtype)
    if mask is not None:
        scores.view(rows, -1, kept.queries, used).add_(mask[:, None])
    wide = torch.promote_types(scores.dtype, torch.float32)
    probabilities = torch.softmax(scores, -1, dtype=wide).to(values.dtype)
    result = torch.bmm(probabilities, values.reshape(-1, used, values.shape[-1]))
    laid = result.view(rows, heads, kept.queries, -1).transpose(1, 2).reshape(rows * kept.queries, heads, -1)
    out = laid if kept.padded is None else laid[kept.padded]
    return out.view(1, tokens, heads, -1), None


@contextmanager
def kept_layers(model: Any) -> Iterator[None]:
    """The model with this attention for a while; its own returns afterwards.

    Args:
        model: transformers model without PEFT's wrapper.

    Raises:
        UsageError: the architecture does not fit.
    """
    own = model.config._attn_implementation
    config = model.config.get_text_config()
    types = set(getattr(config, "layer_types", None) or ["full_attention"])
    if other := types - {"full_attention", "sliding_attention"}:
        raise refusal(config.model_type, f"it has {', '.join(sorted(other)).replace('_', ' ')} layers")
    try:
        model.set_attn_implementation(IMPLEMENTATION)
        yield
    except KeptUnsupported as error:
        raise refusal(config.model_type, str(error)) from error
    finally:
        model.set_attn_implementation(own)


def refusal(name: str, reason: str) -> UsageError:
    """What a user is told whose model does not fit."""
    return UsageError(
        f"{name} models cannot be decoded with a kept cache ({reason}); take a Llama, Qwen2, Qwen3 or Gemma 3 model."
    )


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """The step says what is seen."""


AttentionInterface.register(IMPLEMENTATION, kept_attention)
AttentionMaskInterface.register(IMPLEMENTATION, _no_mask)
