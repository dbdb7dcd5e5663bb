"""What a training stage leaves beside the model: curves, facts of the training, and (apart) what varies by machine."""

import json
import shutil
from pathlib import Path

from shared.durable import write_json
from shared.training.config import TrainingResult

# These differ between two equal trainings; they are kept in timing.json, which does not enter an artifact's digest.
VARYING = {"output", "seconds", "peak_memory", "resumed_from", "device", "threads"}


def keep_training_facts(result: TrainingResult, work: Path, out: Path) -> None:
    """Writes ``training.json``, ``curves.jsonl`` and ``timing.json`` to the artifact.

    Args:
        result: of `shared.training.launch.launch`.
        work: the stage's work folder, with metrics.jsonl.
        out: the artifact's folder.
    """
    facts = result.model_dump(mode="json")
    write_json(out / "training.json", {key: value for key, value in facts.items() if key not in VARYING})
    write_json(out / "timing.json", {key: value for key, value in facts.items() if key in VARYING - {"output"}})
    shutil.copyfile(work / "metrics.jsonl", out / "curves.jsonl")


def read_curves(folder: Path) -> list[dict[str, float]]:
    """Rows of curves.jsonl: step, and every metric of that step."""
    lines = (folder / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
