"""Order and layout of batches."""

from hypothesis import given
from hypothesis import strategies as st

from shared.training.batches import LengthSortedSampler, PolicyCollator, ScoreCollator


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=80),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_sampler_visits_every_pair_once_and_depends_on_seed_and_epoch_only(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    def order() -> list[int]:
        sampler = LengthSortedSampler(lengths, batch_size, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert sorted(order()) == list(range(len(lengths)))
    assert order() == order()


def test_sampler_shuffles_and_holds_less_padding_than_chance() -> None:
    lengths = [(number * 37) % 400 + 20 for number in range(64)]
    first = LengthSortedSampler(lengths, 8, 0)
    one = list(first)
    first.set_epoch(1)
    two = list(first)
    assert one != two
    assert list(LengthSortedSampler(lengths, 8, 1)) != one

    def padded(order: list[int]) -> int:
        return sum(8 * max(lengths[i] for i in order[start : start + 8]) for start in range(0, 64, 8))

    assert padded(one) < 0.85 * padded(list(range(64)))


def test_policy_rows_are_prompt_response_padding() -> None:
    pairs = [
        {"prompt_ids": [7, 8], "chosen_ids": [1, 2, 3], "rejected_ids": [4]},
        {"prompt_ids": [9], "chosen_ids": [5], "rejected_ids": [6, 6], "weight": 1.0},
    ]
    batch = PolicyCollator(0)(pairs)
    assert batch["input_ids"].tolist() == [[7, 8, 1, 2, 3], [9, 5, 0, 0, 0], [7, 8, 4, 0, 0], [9, 6, 6, 0, 0]]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 0, 0]]


def test_encoder_rows_carry_mask_and_types() -> None:
    pair = {"chosen_ids": [1, 2], "chosen_types": [0, 1], "rejected_ids": [3], "rejected_types": [0]}
    pair |= {"margin": 0.5, "weight": 2.0}
    batch = ScoreCollator(9, encoder=True)([pair])
    assert batch["input_ids"].tolist() == [[1, 2], [3, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1], [0, 0]]
    assert (batch["margin"].item(), batch["weight"].item()) == (0.5, 2.0)
