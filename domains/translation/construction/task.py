"""What a mode of construction works with."""

from dataclasses import dataclass
from pathlib import Path

from domains.translation.construction.candidates import LoadedPolicy, Progress
from domains.translation.construction.config import ConstructionConfig
from domains.translation.settings import SimulFormat
from shared.device import Precision, pick_device
from shared.errors import UsageError


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be constructed, and with what.

    Attributes:
        config: the recipe's part.
        format: languages and units.
        seed: of sampling and random choices.
        loaded: the supervised policy, where the mode uses it.
        base: folder of the base model, where there is one.
        precision: see `shared.device.pick_device`.
        progress: called with (done, total, text).
    """

    config: ConstructionConfig
    format: SimulFormat
    seed: int
    loaded: LoadedPolicy | None
    base: Path | None
    precision: Precision
    progress: Progress

    def policy(self) -> LoadedPolicy:
        """The policy. Raises UsageError where there is none."""
        if self.loaded is None:
            raise UsageError("preferences are to be built with the supervised policy, and the stage has none.")
        return self.loaded

    def base_model(self) -> Path:
        """The base model's folder. Raises UsageError where there is none."""
        if self.base is None:
            raise UsageError("construction.alignment is states, and the stage has no base model: use another method.")
        return self.base

    def device(self) -> str:
        """Where models run."""
        return pick_device(self.precision).device
