"""Reference log-probabilities of the training pairs, as a stage: computed once, reused by every training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from shared.data.record_files import read_records
from shared.durable import write_json
from shared.errors import DataError
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord
from shared.stages import StageContext
from shared.training.completion_roles import Parts
from shared.training.config import DpoConfig
from shared.training.objectives.objective import build_objective
from shared.training.pair_difficulty import difficulty_report
from shared.training.reference import RowLogps, reference_logps, write_logps

SPLITS = ("train", "validation")


def reference_config(align: DpoConfig, prompt: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """The stage's config: what log-probabilities depend on, and nothing else of the training.

    Beta, learning rate, epochs and most losses do not enter it: changing them uses the same artifact. A loss that asks
    for other completions (KTO's mismatched ones, a contrasting prompt) has an artifact of its own.
    """
    return {
        "prompt": prompt,
        "precision": precision,
        "max_length": align.max_length,
        "layout": align.layout,
        "parts": asdict(Parts.of(build_objective(align.loss, align.beta))),
    }


def reference(context: StageContext) -> dict[str, float]:
    """Writes log pi_ref of every response: ``train.arrow``, ``validation.arrow`` where there are such pairs, and
    ``difficulty.json``.

    Config: see `reference_config`. Input ``data``, model ``base``.

    Returns:
        ``reference/pairs``, ``reference/ranking_accuracy`` (share of pairs the reference ranks right) and
        ``reference/difficulty`` (mean of log pi_ref(y_l|x) - log pi_ref(y_w|x), nats).
    """
    config = context.config
    found: dict[str, Sequence[PreferenceRecord]] = {}
    for split in SPLITS:
        path = context.inputs["data"] / f"{split}.arrow"
        found[split] = read_records(path) if path.is_file() else []
    if not found["train"]:
        raise DataError("no training pair is left after splitting: give more questions, or a larger train fraction.")
    parts = Parts(**config["parts"])
    everything = [record for split in SPLITS for record in found[split]]
    logps = reference_logps(
        context.models["base"],
        everything,
        PromptFormat.model_validate(config["prompt"]),
        config["max_length"],
        config["precision"],
        parts,
        config["layout"],
        on_progress=lambda done, total: context.progress(done, total, "reference log-probabilities"),
    )
    count = len(found["train"])
    by_split: dict[str, list[RowLogps]] = {"train": logps[:count], "validation": logps[count:]}
    for split in SPLITS:
        if found[split]:
            write_logps(context.out / f"{split}.arrow", found[split], by_split[split])
    report = difficulty_report(found["train"], by_split["train"])
    write_json(context.out / "difficulty.json", report)
    return {
        "reference/pairs": float(count),
        "reference/ranking_accuracy": report["ranking_accuracy"],
        "reference/difficulty": report["mean"],
    }
