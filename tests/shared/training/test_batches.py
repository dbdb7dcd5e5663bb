"""Padded rows."""

from shared.training.batches import pad_right


def test_rows_are_padded_on_the_right_to_the_longest() -> None:
    assert pad_right([[7, 8, 9], [5], [1, 2]], 0).tolist() == [[7, 8, 9], [5, 0, 0], [1, 2, 0]]
    assert pad_right([[], [4]], -1).tolist() == [[-1], [4]]
