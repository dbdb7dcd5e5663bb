"""Tokenised pairs, the order in which they are trained on, and their batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler


def pad_right(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Rows of token ids padded on the right to the longest, [rows, time]."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *([value] * (longest - len(row)))] for row in rows], dtype=torch.long)


class LengthSortedSampler(Sampler[int]):
    """A shuffled order in which neighbours have similar lengths, so that batches hold little padding.

    The pairs are shuffled, cut into windows of 4 batches, sorted by length inside each window, and the batches are
    shuffled. The order depends on (seed, epoch) alone, whatever was drawn from other generators, so a resumed training
    sees the batches that an uninterrupted one sees.

    Args:
        lengths: tokens of every pair.
        batch_size: pairs an optimizer step.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = list(lengths), batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order = torch.randperm(len(self._lengths), generator=generator).tolist()
        window = 4 * self._batch_size
        batches: list[list[int]] = []
        for start in range(0, len(order), window):
            part = sorted(order[start : start + window], key=lambda index: -self._lengths[index])
            batches += [part[i : i + self._batch_size] for i in range(0, len(part), self._batch_size)]
        # A short batch stays last: otherwise the ones after it would straddle two of these.
        short = [batch for batch in batches if len(batch) < self._batch_size]
        full = [batch for batch in batches if len(batch) == self._batch_size]
        for place in torch.randperm(len(full), generator=generator).tolist():
            yield from full[place]
        for batch in short:
            yield from batch


@dataclass(frozen=True)
class PolicyCollator:
    """Rows of a DPO batch: chosen responses first, then rejected ones, each after its prompt.

    Args:
        pad_id: id that fills the rows on the right.
    """

    pad_id: int

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Tensors input_ids and completion_mask [2 pairs, time]; reference log-probabilities and weight [pairs]."""
        sides = [(pair["prompt_ids"], pair[side]) for side in ("chosen_ids", "rejected_ids") for pair in pairs]
        batch = {
            "input_ids": pad_right([[*prompt, *response] for prompt, response in sides], self.pad_id),
            "completion_mask": pad_right([[0] * len(prompt) + [1] * len(response) for prompt, response in sides], 0),
            "weight": torch.tensor([pair.get("weight", 1.0) for pair in pairs], dtype=torch.float32),
        }
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in pairs[0]:
                batch[name] = torch.tensor([pair[name] for pair in pairs], dtype=torch.float32)
        return batch


@dataclass(frozen=True)
class ScoreCollator:
    """Rows of a reward batch: chosen responses first, then rejected ones.

    Args:
        pad_id: id that fills the rows on the right.
        encoder: whether the model takes an attention mask and token types (a causal one needs neither, see
            `completion_logps`).
    """

    pad_id: int
    encoder: bool

    def model_inputs(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """What the model takes for rows with ``ids`` and ``types``, [rows, time]."""
        inputs = {"input_ids": pad_right([row["ids"] for row in rows], self.pad_id)}
        if self.encoder:
            inputs["attention_mask"] = pad_right([[1] * len(row["ids"]) for row in rows], 0)
            inputs["token_type_ids"] = pad_right([row["types"] for row in rows], 0)
        return inputs

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """The model's inputs [2 pairs, time]; margin and weight [pairs]."""
        rows = [
            {"ids": pair[f"{side}_ids"], "types": pair[f"{side}_types"]}
            for side in ("chosen", "rejected")
            for pair in pairs
        ]
        return {
            **self.model_inputs(rows),
            "margin": torch.tensor([pair["margin"] for pair in pairs], dtype=torch.float32),
            "weight": torch.tensor([pair["weight"] for pair in pairs], dtype=torch.float32),
        }
