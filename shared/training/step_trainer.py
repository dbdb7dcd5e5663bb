"""The training loop's step: exactly the pairs of the batch, cut into micro-batches by a token budget.

transformers' Trainer owns the loop, the optimizer, the schedule and the processes. Ours are the batches, the losses
and the sum of gradients over processes: a micro-batch only bounds memory, and the loss of a step is the sum over its
pairs divided by their number, however they are cut and on how many ranks they are.
"""

# ruff: noqa: ARG002  (the signatures are those of transformers)

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer

from shared.device import DeviceChoice
from shared.training.checkpoints import CompleteCheckpoints
from shared.training.step_order import Step, Steps
from shared.training.trees import cut_by_tokens

Losses = tuple[Tensor, dict[str, Tensor]]


class StepTrainer(CompleteCheckpoints, Trainer):
    """What trainings of policies and of reward models share.

    Attributes:
        steps: the training's steps.
        budget: most tokens of a micro-batch.
        choice: device and number format.
        noted: what is logged with the present step beside its metrics.
    """

    steps: Steps
    budget: int
    choice: DeviceChoice

    @abstractmethod
    def cost(self, example: Any) -> int:
        """Tokens that an example takes of the budget."""

    @abstractmethod
    def losses(self, model: Any, examples: Sequence[Any]) -> Losses:
        """(loss of every item, weighted, with gradient; metrics by name, detached): one micro-batch, one forward pass.

        An example may be several items (a pair is two for KTO); a step is divided by `items` of its examples.
        """

    def items(self, examples: int) -> float:
        """What a step of so many examples, over all ranks, is divided by: their number of items."""
        return examples

    def before_step(self, model: Any, examples: Sequence[Any]) -> None:
        """Called with all of this rank's examples before a step; every rank calls it."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The steps in their order. The processes' shares are cut here, not by accelerate, which would pad them."""
        return DataLoader(self.steps, batch_size=1, shuffle=False, collate_fn=_only)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Adds the gradients of a step; returns this rank's part of its loss, scaled so that ranks average to it."""
        step: Step = inputs["step"]
        inner = self.accelerator.unwrap_model(model)  # its wrapper would add gradients over ranks a micro-batch
        inner.train()
        self.before_step(inner, step.examples)
        total = self.items(step.total)
        loss = torch.zeros((), dtype=torch.float64)
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for group in cut_by_tokens([self.cost(example) for example in step.examples], self.budget):
            with self.choice.autocast():
                losses, metrics = self.losses(inner, [step.examples[index] for index in group])
            part = losses.sum() / total
            part.backward()
            loss += part.detach().double().cpu()
            for name, values in metrics.items():
                defined = values[~values.isnan()]
                sums[name][0] += float(defined.double().sum())
                sums[name][1] += len(defined)
        if self.args.world_size > 1:
            _add_over_ranks(inner)
        self._keep(sums)
        return (loss * self.args.world_size).float().to(self.args.device)

    def _keep(self, sums: dict[str, list[float]]) -> None:
        if self.args.world_size > 1:
            gathered: list[Any] = [None] * self.args.world_size
            torch.distributed.all_gather_object(gathered, dict(sums))
            names = sorted({name for one in gathered for name in one})
            sums = {name: [sum(one.get(name, (0.0, 0.0))[i] for one in gathered) for i in (0, 1)] for name in names}
        self._metrics = {name: total / count for name, (total, count) in sums.items() if count}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the step's metrics to what is logged."""
        if "loss" in logs:
            logs |= {name: value for name, value in {**self._metrics, **self.noted}.items() if name not in logs}
            self.noted = {}
        super().log(logs, start_time)

    noted: dict[str, float] = {}  # noqa: RUF012  (replaced, never changed)
    _metrics: dict[str, float] = {}  # noqa: RUF012

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted here: benchmarks do."""
        return 0


def _only(batch: list[Step]) -> dict[str, Step]:
    return {"step": batch[0]}


def _add_over_ranks(model: Any) -> None:
    """Sums the gradients of all ranks; a rank without a gradient gives zeros."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            torch.distributed.all_reduce(parameter.grad)
