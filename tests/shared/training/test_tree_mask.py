"""The mask that flex attention gets on a GPU sees what the blocks of the CPU's attention see."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.training import trees as module
from shared.training.tree_attention import tree_attention
from shared.training.trees import Tree, pack

LENGTHS = st.integers(1, 9)


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.lists(st.tuples(LENGTHS, st.lists(LENGTHS, min_size=1, max_size=3)), min_size=1, max_size=3),
    window=st.sampled_from([None, 1, 3, 6]),
)
def test_mask_and_blocks_see_the_same(shapes: list[tuple[int, list[int]]], window: int | None) -> None:
    trees = pack([Tree([1] * prompt, tuple([2] * size for size in sizes)) for prompt, sizes in shapes])
    time = trees.input_ids.shape[1]
    rows, columns = torch.arange(time)[:, None], torch.arange(time)[None]
    expected = trees.sees(window)(rows, rows, rows, columns)
    found = torch.zeros(time, time, dtype=torch.bool)
    for block in trees.blocks(window):
        keys = torch.cat([torch.arange(*span) for span in block.keys])
        count = block.queries[1] - block.queries[0]
        seen = torch.ones(count, block.width, dtype=torch.bool)
        if block.mask is None:
            seen[:, -count:] = seen[:, -count:].tril()
        else:
            seen = block.mask == 0
        found[block.queries[0] : block.queries[1], keys] = seen
    assert torch.equal(found, expected)


@pytest.mark.parametrize("window", [None, 5])
def test_attention_equals_flex_attention(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn.attention.flex_attention import flex_attention

    monkeypatch.setattr(module, "QUERY_BLOCK", 4)
    trees = pack([Tree([1] * 6, ([2] * 9, [3] * 3)), Tree([1] * 2, ([2],))])
    time = trees.input_ids.shape[1]
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, time, 16, generator=generator) for heads in (4, 2, 2))
    expected = flex_attention(query, key, value, block_mask=trees.flex_mask(window), enable_gqa=True)
    found, _ = tree_attention(torch.nn.Module(), query, key, value, None, sliding_window=window, trees=trees)
    torch.testing.assert_close(found.transpose(1, 2), expected, rtol=1e-5, atol=1e-5)
