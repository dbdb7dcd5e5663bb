"""Attention over packed trees: every completion sees its prompt and itself, nothing else.

On a GPU it is torch's flex attention with the trees' mask. Elsewhere only blocks below the diagonal are computed, as
plain matrix products (which CPUs run several times faster than their fused attention kernels at these sizes), with
softmax in float32 inside the kernel. Probabilities are kept for the backward pass where they are small, and computed
again where they are not.

It is registered with transformers as the attention implementation ``valign_trees``; a model gets there the packed
trees as the keyword argument ``trees`` of its forward pass.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from shared.training.trees import AttentionBlock, PackedTrees

IMPLEMENTATION = "valign_trees"
KEPT_BYTES = 64 * 2**20  # probabilities of one layer that are kept for the backward pass


class TreesUnsupported(Exception):  # noqa: N818 (told to the caller that chooses a layout, never to a user)
    """The architecture asks attention for something that trees do not have."""


@lru_cache(maxsize=64)
def _triangle(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    hidden = torch.ones(size, size, dtype=torch.bool, device=device).triu(1)
    return torch.zeros(size, size, dtype=dtype, device=device).masked_fill_(hidden, float("-inf"))


def _rows(values: Tensor, ranges: tuple[tuple[int, int], ...]) -> Tensor:
    """Keys or values of a block, [kv heads, keys, size], from those of the row, [kv heads, time, size]."""
    parts = [values[:, first:end] for first, end in ranges]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _folded(values: Tensor, block: AttentionBlock, kv_heads: int) -> Tensor:
    """Queries of a block, the heads that share keys side by side: [kv heads, group x queries, size]."""
    first, end = block.queries
    return values[:, first:end].reshape(kv_heads, -1, values.shape[-1])


def _probabilities(queries: Tensor, keys: Tensor, block: AttentionBlock, out: Tensor | None = None) -> Tensor:
    """softmax of the scores, [kv heads, group x queries, keys]."""
    scores = torch.bmm(queries, keys.transpose(1, 2))
    count = block.queries[1] - block.queries[0]
    by_head = scores.view(keys.shape[0], -1, count, keys.shape[1])
    if block.mask is None:
        by_head[..., -count:].add_(_triangle(count, scores.dtype, scores.device))
    else:
        by_head.add_(block.mask.to(scores.device, scores.dtype))
    return torch.softmax(scores, -1, out=out)


class _TreeAttention(torch.autograd.Function):
    """softmax(Q K' / scale + mask) V over the blocks; [heads, time, size] in and [time, heads, size] out."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, blocks: Any, keep: bool) -> Tensor:
        ctx.dtypes = query.dtype, key.dtype
        query, key, value = query.to(value.dtype) * scale, key.to(value.dtype).contiguous(), value.contiguous()
        heads, time, _ = query.shape
        kv_heads, size = value.shape[0], value.shape[-1]
        out = torch.empty(time, heads, size, dtype=value.dtype, device=value.device)
        needed = heads * sum((block.queries[1] - block.queries[0]) * block.width for block in blocks)
        keep = keep and needed * value.element_size() <= KEPT_BYTES
        kept = torch.empty(needed if keep else 0, dtype=value.dtype, device=value.device)
        at = 0
        for block in blocks:
            folded = _folded(query, block, kv_heads)
            place = None
            if keep:
                place = kept[at : at + heads * (block.queries[1] - block.queries[0]) * block.width]
                at += place.numel()
                place = place.view(kv_heads, -1, block.width)
            probabilities = _probabilities(folded, _rows(key, block.keys), block, place)
            result = torch.bmm(probabilities, _rows(value, block.keys))
            _scatter(out, block, result, kv_heads)
        ctx.save_for_backward(query, key, value, kept)
        ctx.blocks, ctx.scale = blocks, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        query, key, value, kept = ctx.saved_tensors
        outer = gradients[0].to(value.dtype).transpose(0, 1)
        kv_heads = key.shape[0]
        for_query = torch.empty(query.shape[1], query.shape[0], query.shape[2], dtype=value.dtype, device=value.device)
        wide = torch.promote_types(value.dtype, torch.float32)
        for_key = torch.zeros(key.shape, dtype=wide, device=key.device)
        for_value = torch.zeros(value.shape, dtype=wide, device=value.device)
        at = 0
        for block in ctx.blocks:
            folded, keys, values = _folded(query, block, kv_heads), _rows(key, block.keys), _rows(value, block.keys)
            if kept.numel():
                size = query.shape[0] * (block.queries[1] - block.queries[0]) * block.width
                probabilities = kept[at : at + size].view(kv_heads, -1, block.width)
                at += size
            else:
                probabilities = _probabilities(folded, keys, block)
            incoming = _folded(outer, block, kv_heads)
            _add(for_value, block, torch.bmm(probabilities.transpose(1, 2), incoming))
            for_probabilities = torch.bmm(incoming, values.transpose(1, 2))
            for_scores = torch._softmax_backward_data(for_probabilities, probabilities, -1, probabilities.dtype)
            _scatter(for_query, block, torch.bmm(for_scores, keys), kv_heads)
            _add(for_key, block, torch.bmm(for_scores.transpose(1, 2), folded))
        back = (for_query.transpose(0, 1) * ctx.scale).to(ctx.dtypes[0])
        return back, for_key.to(ctx.dtypes[1]), for_value.to(value.dtype), None, None, None


def _scatter(out: Tensor, block: AttentionBlock, result: Tensor, kv_heads: int) -> None:
    """Writes [kv heads, group x queries, size] to the block's rows of [time, heads, size]."""
    first, end = block.queries
    count, size = end - first, result.shape[-1]
    target = out[first:end].view(count, kv_heads, -1, size)
    target.copy_(result.view(kv_heads, -1, count, size).permute(2, 0, 1, 3))


def _add(total: Tensor, block: AttentionBlock, gradient: Tensor) -> None:
    at = 0
    for first, end in block.keys:
        total[:, first:end] += gradient[:, at : at + end - first]
        at += end - first


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    trees: PackedTrees | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls in every layer.

    Args:
        module: the layer's attention.
        query: [1, heads, time, size], with positions applied.
        key: [1, kv heads, time, size].
        value: [1, kv heads, time, size].
        attention_mask: none; the trees say what is seen.
        scaling: factor of the scores; 1 / sqrt(size) where none.
        dropout: must be 0.
        sliding_window: positions that a token sees, its own counted; None: all.
        trees: the packed trees.
        kwargs: what other implementations take. Sinks and soft caps are refused.

    Returns:
        ([1, time, heads, size], None).

    Raises:
        TreesUnsupported: the layer asks for what is not there.
    """
    if trees is None or attention_mask is not None or query.shape[0] != 1:
        raise TreesUnsupported("it does not pass the packed trees on to its attention")
    asked = [name for name in ("s_aux", "softcap", "position_bias") if kwargs.get(name) is not None]
    if asked or dropout:
        raise TreesUnsupported(f"its attention has {asked[0] if asked else 'dropout'}")
    if sliding_window is None and getattr(module, "is_sliding", False):
        raise TreesUnsupported("its sliding-window layers do not name their window")
    if kwargs.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        raise TreesUnsupported("its attention is not causal")
    if query.is_cuda:
        return _flex_attention(query, key, value, scaling, sliding_window, trees).transpose(1, 2), None
    keep = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    blocks = trees.blocks(sliding_window)
    result: Any = _TreeAttention.apply(query[0], key[0], value[0], scale, blocks, keep)
    return result[None], None


@lru_cache(maxsize=1)
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)


def _flex_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float | None, window: int | None, trees: PackedTrees
) -> Tensor:
    """The same on CUDA, as one fused kernel that skips blocks in which nothing is seen: [1, heads, time, size]."""
    mask = trees.flex_mask(window)
    attend = _compiled_flex()
    return attend(query.to(value.dtype), key.to(value.dtype), value, block_mask=mask, scale=scale, enable_gqa=True)


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """Trees need no mask tensor."""


AttentionInterface.register(IMPLEMENTATION, tree_attention)
AttentionMaskInterface.register(IMPLEMENTATION, _no_mask)
