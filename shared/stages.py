"""What a stage is: a plain function of its context, and all that its result depends on.

This module imports none of ours, so that stages do not depend on the machinery that runs them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

StageFunction = Callable[["StageContext"], "dict[str, float]"]


@dataclass(frozen=True)
class StageContext:
    """What a stage function may use; everything else it touched would be invisible to its key.

    Attributes:
        config: the stage's part of the recipe, JSON values.
        inputs: folder of each input artifact, read only.
        files: files from outside the store, read only.
        models: local folder of each base model.
        out: empty folder to write the artifact to.
        work: folder that survives a crash (checkpoints).
        tracking: ``{"tracking_uri": ..., "run_id": ...}`` of the stage's MLflow run, for a training child; or None.
        progress: called with (done, total, text) for long work.
    """

    config: Mapping[str, Any]
    inputs: Mapping[str, Path]
    files: Mapping[str, Path]
    models: Mapping[str, Path]
    out: Path
    work: Path
    tracking: Mapping[str, str] | None = None
    progress: Callable[[int, int, str], None] = lambda done, total, text: None


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline.

    Attributes:
        name: ``data``, ``align/seed-0``; the part before ``/`` names its folder in the store.
        run: function of the context that writes files to ``context.out`` and returns metrics.
        config: JSON values that the result depends on.
        inputs: local name -> name of an earlier stage.
        files: local name -> file or folder from outside; its content enters the key.
        models: local name -> model reference; its revision enters the key.
        libraries: distributions whose versions enter the key.
        uses_device: device and number format enter the key.
    """

    name: str
    run: StageFunction
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    uses_device: bool = False
