"""Padded rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pad_right(rows: Sequence[Sequence[int]], value: int) -> "Tensor":
    """Rows of token ids padded on the right to the longest, [rows, time]."""
    import torch

    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *([value] * (longest - len(row)))] for row in rows], dtype=torch.long)
