"""What the card stages of all domains read from their inputs: the model's files, its base, its lineage."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.stages import StageContext


def read_json(folder: Path, name: str) -> Any:
    """A JSON file of an artifact."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


def copy_model(source: Path, out: Path) -> int:
    """Puts the files of a trained model into the final folder; returns their number.

    Artifacts never change: where the file system allows it, a file gets a second name, which costs no space.
    """
    copied = 0
    for path in sorted(source.rglob("*")):
        if path.is_file():
            target = out / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target)
            except OSError:
                shutil.copyfile(path, target)
            copied += 1
    return copied


def base_facts(reference: str) -> dict[str, str]:
    """Name, revision and licence of a base model."""
    from shared.home import models_folder
    from shared.models import resolve

    found = resolve(reference, models_folder())
    return {"name": found.name, "revision": found.revision, "licence": found.licence}


def dropped_notes(summary: Mapping[str, Any]) -> list[str]:
    """What a data stage left out, in words."""
    return [f"{count} rows left out: {reason}" for reason, count in (summary.get("dropped") or {}).items()]


def lineage(context: StageContext) -> list[tuple[str, str]]:
    """(stage, key) of the model's artifacts: the inputs of this stage and the inputs of those."""
    found: dict[str, str] = {}
    for folder in context.inputs.values():
        manifest = read_json(folder, "manifest.json")
        for one in [*manifest["inputs"].values(), manifest]:
            found.setdefault(one["key"], one["stage"])
    return [(stage, key) for key, stage in found.items()]
