"""A training whose trainer a domain builds, as a job of the training child.

The child, its resuming, checkpoints, signals and tracking are those of every other job; what is trained, and on what,
is the builder's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from shared.training.config import OptimisationConfig, _Job


class DomainConfig(OptimisationConfig):
    """What every training has, and beside it whatever the builder's own `OptimisationConfig` checks."""

    model_config = ConfigDict(extra="allow")


class CustomJob(_Job):
    """A training that a domain builds.

    Attributes:
        builder: ``package.module:function`` of a `Builder`.
        files: what it reads, by name: files or folders. Their content decides whether a checkpoint can be resumed,
            where they lie does not.
        settings: what else it is told; it checks them.
        config: the recipe's part, the dump of a subclass of `OptimisationConfig`; the builder checks its own fields.
        records: empty; preference records are not read.
    """

    kind: Literal["custom"] = "custom"
    builder: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    files: dict[str, Path] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    config: DomainConfig = DomainConfig()
    records: list[Path] = Field(default_factory=list, max_length=0)


@dataclass(frozen=True, slots=True)
class CustomTraining:
    """What a builder gives.

    Attributes:
        trainer: a `shared.training.step_trainer.StepTrainer`, ready to train, with ``save_result(folder)``, which
            every rank calls.
        examples: how many it trains on.
        truncated: how many were cut or left out because they are too long.
        tokens: tokens of an epoch.
        before_saving: called when the training has ended; puts the weights that are to be kept into the model and
            returns their step. None: the last ones are kept.
    """

    trainer: Any
    examples: int
    truncated: int
    tokens: int
    before_saving: Callable[[], int] | None = None


# Called with (job, work folder, callbacks for the trainer); it may raise any `shared.errors.ValignError`.
Builder = Callable[[CustomJob, Path, list[Any]], CustomTraining]


def custom_training(job: CustomJob, work: Path, callbacks: list[Any]) -> CustomTraining:
    """Builds the training that a job names.

    Args:
        job: the job.
        work: folder of checkpoints.
        callbacks: for the trainer.
    """
    module, _, name = job.builder.partition(":")
    builder: Builder = getattr(import_module(module), name)
    return builder(job, work, callbacks)
