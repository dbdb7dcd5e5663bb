"""Which examples every optimizer step trains on, and which of them belong to this rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset


@dataclass(frozen=True, slots=True)
class Step:
    """The examples of one optimizer step that this rank trains on.

    Attributes:
        examples: this rank's share; empty where a last step has fewer examples than there are ranks.
        total: examples of the step over all ranks: what the loss is divided by.
    """

    examples: list[Any]
    total: int


class Steps(Dataset[Step]):
    """The steps of a whole training, all epochs in a row: what a resumed training skips is a number of items.

    Every step has `batch_size` examples over all ranks, but for the last of an epoch, which has those that are left.
    The order depends on (seed, epoch) alone, whatever was drawn from other generators.

    Args:
        examples: what is trained on.
        batch_size: examples a step, over all ranks.
        epochs: passes over the examples.
        seed: of the order.
        rank: this process's number.
        ranks: number of processes.
    """

    def __init__(
        self, examples: Sequence[Any], batch_size: int, epochs: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        self._examples, self._rank, self._ranks = examples, rank, ranks
        self._steps: list[list[int]] = []
        for epoch in range(epochs):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            order = torch.randperm(len(examples), generator=generator).tolist()
            self._steps += [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> Step:
        chosen = self._steps[index]
        return Step([self._examples[item] for item in chosen[self._rank :: self._ranks]], len(chosen))
