"""Attention over packed trees against a dense softmax under a mask: values, gradients, refusals."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.training import tree_attention as module
from shared.training.tree_attention import TreesUnsupported, tree_attention
from shared.training.trees import PackedTrees, Tree, pack
from tests.shared.training.tiny_architectures import nothing_kept, short_blocks

LAYER: Any = SimpleNamespace(is_causal=True)


def packed_trees(*shapes: tuple[int, tuple[int, ...]]) -> PackedTrees:
    return pack([Tree([1] * prompt, tuple([2] * count for count in counts)) for prompt, counts in shapes])


def dense(query: Tensor, key: Tensor, value: Tensor, packed: PackedTrees, window: int | None, scale: float) -> Tensor:
    """softmax(Q K' scale + mask) V with the whole [time, time] matrix, [1, time, heads, size]."""
    time = query.shape[2]
    positions = packed.position_ids[0]
    allowed = torch.zeros(time, time, dtype=torch.bool)
    for (first, end), completions in packed.segments:
        for start, last in [(first, end), *completions]:
            allowed[start:last, first:end] = True
            allowed[start:last, start:last] = True
    distance = positions[:, None] - positions[None]
    allowed &= (distance >= 0) & (torch.arange(time)[:, None] >= torch.arange(time)[None])
    if window is not None:
        allowed &= distance < window
    group = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(group, 1) for part in (key, value))
    scores = (query @ key.transpose(-1, -2)) * scale
    return (scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ value).transpose(1, 2)


def inputs(time: int, heads: int, kv_heads: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, count, time, 6, generator=generator, dtype=dtype).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "computed again"])
@pytest.mark.parametrize("window", [None, 1, 3, 6, 40])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (3, 1)])
def test_values_and_gradients_equal_dense_attention(
    heads: int, kv_heads: int, window: int | None, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = packed_trees((5, (9, 1)), (1, (4,)), (11, (2, 7, 3)))
    given = inputs(packed.input_ids.shape[1], heads, kv_heads)
    outer = torch.randn(1, given[0].shape[2], heads, 6, dtype=torch.float64)
    expected = dense(given[0], given[1], given[2], packed, window, 0.3)
    wanted = torch.autograd.grad((expected * outer).sum(), given)
    with short_blocks(monkeypatch):
        packed.blocks(window)
    if not kept:
        monkeypatch.setattr(module, "KEPT_BYTES", 0)
    found, weights = tree_attention(
        LAYER, given[0], given[1], given[2], None, scaling=0.3, sliding_window=window, trees=packed
    )
    assert weights is None
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad((found * outer).sum(), given), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_probabilities_are_kept_only_within_the_limit_and_never_without_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = packed_trees((5, (9, 3)))
    given = inputs(packed.input_ids.shape[1], 4, 2, torch.float32)

    def kept() -> int:
        out, _ = tree_attention(LAYER, given[0], given[1], given[2], None, trees=packed)
        node: Any = out.grad_fn
        while "TreeAttention" not in type(node).__name__:
            node = node.next_functions[0][0]
        return node.saved_tensors[-1].numel()

    assert kept() == 4 * (5 * 5 + 9 * 14 + 3 * 8)
    with nothing_kept(monkeypatch):
        assert kept() == 0
    with torch.no_grad():
        out, _ = tree_attention(LAYER, given[0], given[1], given[2], None, trees=packed)
    assert out.grad_fn is None


def test_the_scale_defaults_to_one_over_the_root_of_the_head_size() -> None:
    packed = packed_trees((4, (3, 2)))
    query, key, value = inputs(9, 2, 2)
    found, _ = tree_attention(LAYER, query, key, value, None, trees=packed)
    torch.testing.assert_close(found, dense(query, key, value, packed, None, 6**-0.5))


def test_low_precision_keys_get_gradients_of_their_own_kind() -> None:
    """Under autocast queries and keys come in float32 (they were rotated), values in bf16."""
    packed = packed_trees((4, (3, 2)))
    exact = inputs(9, 4, 2)
    given = [part.detach().to(torch.float32).requires_grad_() for part in exact[:2]]
    given.append(exact[2].detach().to(torch.bfloat16).requires_grad_())
    found, _ = tree_attention(LAYER, given[0], given[1], given[2], None, trees=packed)
    assert found.dtype == torch.bfloat16
    found.sum().backward()
    assert [None if part.grad is None else part.grad.dtype for part in given] == [part.dtype for part in given]
    expected = dense(exact[0], exact[1], exact[2], packed, None, 6**-0.5)
    torch.testing.assert_close(found.double(), expected, rtol=0.03, atol=0.03)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"trees": None}, "does not pass the packed trees"),
        ({"attention_mask": torch.zeros(1)}, "does not pass the packed trees"),
        ({"s_aux": torch.zeros(2)}, "s_aux"),
        ({"softcap": 50.0}, "softcap"),
        ({"position_bias": torch.zeros(1)}, "position_bias"),
        ({"dropout": 0.1}, "dropout"),
        ({"is_causal": False}, "not causal"),
        ({"module": SimpleNamespace(is_causal=False)}, "not causal"),
        ({"module": SimpleNamespace(is_sliding=True)}, "do not name their window"),
    ],
)
def test_what_trees_do_not_have_is_refused(given: dict[str, Any], reason: str) -> None:
    packed = packed_trees((4, (3, 2)))
    query, key, value = inputs(9, 2, 2)
    named: dict[str, Any] = {"module": LAYER, "attention_mask": None, "trees": packed, **given}
    with pytest.raises(TreesUnsupported, match=reason):
        tree_attention(query=query, key=key, value=value, **named)
    tree_attention(LAYER, query, key, value, None, trees=packed, softcap=None, s_aux=None, is_causal=True)
