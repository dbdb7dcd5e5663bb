"""Packed trees: rows, positions, what every token may see, and the cut into micro-batches."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.training import trees
from shared.training.trees import Tree, cut_by_tokens, pack

LENGTHS = st.integers(1, 11)
SHAPES = st.lists(st.tuples(LENGTHS, st.lists(LENGTHS, min_size=1, max_size=3)), min_size=1, max_size=3)


def tree(prompt: int, completions: list[int], first: int = 0) -> Tree:
    """A tree whose token ids count on from `first`."""
    ids = iter(range(first, first + prompt + sum(completions)))
    return Tree([next(ids) for _ in range(prompt)], tuple([next(ids) for _ in range(n)] for n in completions))


def test_a_row_holds_each_prompt_once_and_positions_go_on_from_it() -> None:
    packed = pack([Tree([7, 8], ([1, 2, 3], [4])), Tree([9], ([5],))])
    assert packed.input_ids.tolist() == [[7, 8, 1, 2, 3, 4, 9, 5]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 2, 0, 1]]
    assert packed.labels.tolist() == [1, 2, 3, 4, 5]
    assert packed.predictors.tolist() == [1, 2, 3, 1, 6]
    assert packed.owner.tolist() == [0, 0, 0, 1, 2]
    assert packed.place.tolist() == [0, 1, 2, 0, 0]
    assert packed.ends.tolist() == [4, 5, 7]
    assert packed.prompt_ends.tolist() == [1, 1, 6]
    assert packed.completions == 3


def test_costs_count_the_prompt_once_or_for_every_padded_row() -> None:
    one = tree(5, [3, 1, 4])
    assert (one.tokens, one.row_tokens) == (13, 27)


@pytest.mark.parametrize(("prompt", "completions"), [([], ([1],)), ([1], ()), ([1], ([2], []))])
def test_an_empty_part_is_refused(prompt: list[int], completions: tuple[list[int], ...]) -> None:
    with pytest.raises(ValueError, match="none of them empty"):
        Tree(prompt, completions)


@settings(max_examples=50, deadline=None)
@given(shapes=SHAPES, window=st.one_of(st.none(), st.integers(1, 20)), block=st.integers(1, 8))
def test_blocks_let_every_token_see_its_prompt_and_itself_and_nothing_else(
    shapes: list[tuple[int, list[int]]], window: int | None, block: int
) -> None:
    packed = pack([tree(prompt, completions) for prompt, completions in shapes])
    time = packed.input_ids.shape[1]
    seen = torch.zeros(time, time, dtype=torch.int)
    before, trees.QUERY_BLOCK = trees.QUERY_BLOCK, block
    try:
        blocks = packed.blocks(window)
    finally:
        trees.QUERY_BLOCK = before
    for one in blocks:
        first, end = one.queries
        count = end - first
        assert 0 < count <= block
        keys = torch.cat([torch.arange(*part) for part in one.keys])
        assert one.width == len(keys)
        allowed = torch.ones(count, len(keys), dtype=torch.bool)
        if one.mask is None:
            allowed[:, -count:] = torch.ones(count, count, dtype=torch.bool).tril()
        else:
            assert set(one.mask.unique().tolist()) <= {0.0, -math.inf}
            allowed = one.mask == 0
        for row in range(count):
            seen[first + row, keys[allowed[row]]] += 1

    # The plain statement: same tree, and prompt or own completion, and not later, and within the window.
    home = [
        (number, part)
        for number, (prompt, counts) in enumerate(shapes)
        for part, tokens in enumerate([prompt, *counts])
        for _ in range(tokens)
    ]
    owner, part = torch.tensor(home).T
    distance = packed.position_ids[0][:, None] - packed.position_ids[0][None]
    related = (owner[:, None] == owner[None]) & ((part[None] == 0) | (part[:, None] == part[None]))
    wanted = (related & (distance >= 0) & (distance < (window or time))).int()
    assert torch.equal(seen, wanted)
    assert packed.windows == {window}


@given(costs=st.lists(st.integers(1, 300), max_size=60), budget=st.integers(1, 400))
def test_groups_hold_every_item_once_within_the_budget(costs: list[int], budget: int) -> None:
    groups = cut_by_tokens(costs, budget)
    assert sorted(index for group in groups for index in group) == list(range(len(costs)))
    assert all(len(group) == 1 or sum(costs[index] for index in group) <= budget for group in groups)
    assert groups == sorted(sorted(group) for group in groups)
    # Any two groups together would not fit, so few are half empty: best fit never opens one that it could spare.
    filled = sorted(sum(costs[index] for index in group) for group in groups)
    assert all(a + b > budget for a, b in pairwise(filled))


def test_cutting_many_items_takes_no_quadratic_time() -> None:
    import time

    costs = [60 + (number * 7919) % 640 for number in range(40_000)]
    started = time.process_time()
    groups = cut_by_tokens(costs, 4096)
    assert time.process_time() - started < 5
    assert len(groups) <= 1.01 * sum(costs) / 4096 + 1
