"""What the card stages of all domains read from their inputs: the model's files, its base, its lineage."""

import importlib.metadata
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.card import CardDataset, ModelCard, render_card
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


def data_set(context: StageContext, role: str) -> CardDataset:
    """The data that the inputs ``data`` and ``lint`` tell of: its splits, what was left out, masked and found wrong.

    Args:
        context: of the card's stage.
        role: what the data were used for.
    """
    summary = read_json(context.inputs["data"], "summary.json")
    left_out = [f"{count} rows left out: {reason}" for reason, count in (summary.get("dropped") or {}).items()]
    return CardDataset(
        name=summary["name"],
        role=role,
        digest=read_json(context.inputs["data"], "manifest.json")["digest"],
        licence=summary.get("licence"),
        counts={name: split["pairs"] for name, split in summary["splits"].items()},
        notes=[*left_out, *_faults(context.inputs["lint"], summary["deidentified"])],
    )


def _faults(lint: Path, masked: Mapping[str, Any]) -> list[str]:
    """Warnings of lint, and what masking found and leaves."""
    notes = []
    for part in ("source", "splits"):
        report = read_json(lint, f"{part}.json")
        notes += [f"Lint ({part}): {one['message']}" for one in report["findings"] if one["severity"] != "info"]
    counts = ", ".join(f"{count} {entity.lower()}" for entity, count in masked["by_entity"].items()) or "nothing found"
    return [*notes, f"De-identified before storage ({counts}).", *masked["notes"]]


def write_card(context: StageContext, card: ModelCard) -> dict[str, float]:
    """Writes the final folder: the files of the input ``model`` and ``README.md``, the card.

    Returns:
        ``card/files``.
    """
    copied = copy_model(context.inputs["model"] / "model", context.out)
    (context.out / "README.md").write_text(render_card(card), encoding="utf-8")
    return {"card/files": float(copied + 1)}


def software(*names: str) -> dict[str, str]:
    """Installed versions of packages."""
    return {name: importlib.metadata.version(name) for name in names}


def lineage(context: StageContext) -> list[tuple[str, str]]:
    """(stage, key) of the model's artifacts: the inputs of this stage and the inputs of those."""
    found: dict[str, str] = {}
    for folder in context.inputs.values():
        manifest = read_json(folder, "manifest.json")
        for one in [*manifest["inputs"].values(), manifest]:
            found.setdefault(one["key"], one["stage"])
    return [(stage, key) for key, stage in found.items()]
