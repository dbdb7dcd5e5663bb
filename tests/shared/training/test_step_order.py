"""Which examples a step has: exactly the batch, over all ranks and epochs, in an order of seed and epoch alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.training.step_order import Steps

SIZES = {
    "count": st.integers(1, 40),
    "batch_size": st.integers(1, 12),
    "epochs": st.integers(1, 3),
    "seed": st.integers(0, 4),
    "ranks": st.integers(1, 5),
}


@given(**SIZES)
def test_every_step_holds_the_batch_over_all_ranks_and_every_epoch_each_example_once(
    count: int, batch_size: int, epochs: int, seed: int, ranks: int
) -> None:
    shares = [Steps(range(count), batch_size, epochs, seed, rank, ranks) for rank in range(ranks)]
    an_epoch = -(-count // batch_size)
    assert {len(share) for share in shares} == {epochs * an_epoch}
    for epoch in range(epochs):
        seen: list[int] = []
        for number in range(an_epoch):
            parts = [share[epoch * an_epoch + number] for share in shares]
            examples = [example for part in parts for example in part.examples]
            last = number == an_epoch - 1
            expected = count - (an_epoch - 1) * batch_size if last else batch_size
            assert len(examples) == len(set(examples)) == expected
            assert {part.total for part in parts} == {expected}
            sizes = [len(part.examples) for part in parts]
            assert max(sizes) - min(sizes) <= 1
            seen += examples
        assert sorted(seen) == list(range(count))


@given(**SIZES)
def test_steps_are_the_same_however_many_ranks_share_them(
    count: int, batch_size: int, epochs: int, seed: int, ranks: int
) -> None:
    alone = Steps(range(count), batch_size, epochs, seed)
    shares = [Steps(range(count), batch_size, epochs, seed, rank, ranks) for rank in range(ranks)]
    for number in range(len(alone)):
        together = {example for share in shares for example in share[number].examples}
        assert together == set(alone[number].examples)


def order(seed: int, epochs: int = 2) -> list[list[int]]:
    steps = Steps(range(30), 4, epochs, seed)
    return [steps[number].examples for number in range(len(steps))]


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    first = order(0)
    torch.manual_seed(99)
    torch.rand(7)
    assert order(0) == first
    assert order(0, epochs=3)[:16] == first  # more epochs change nothing in those before
    assert order(1) != first
    assert first[:8] != first[8:]
    assert first[0] != [0, 1, 2, 3]
