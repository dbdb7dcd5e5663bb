"""Supervised fine-tuning of a simultaneous policy, as a stage."""

from typing import Any

from domains.translation.msft_config import MsftConfig
from domains.translation.settings import SimulFormat
from shared.stages import StageContext
from shared.training.custom_job import CustomJob, DomainConfig
from shared.training.launch import launch
from shared.training.stage_results import keep_training_facts

BUILDER = "domains.translation.msft:trainer"


def train_msft(context: StageContext) -> dict[str, float]:
    """Trains a policy on the training pairs.

    Config: ``msft`` (MsftConfig), ``seed``, ``format`` (SimulFormat), ``precision``, ``base`` (what a saved adapter
    names as its base). Input ``data``; optionally ``start``, a policy to be trained on. Model ``base``. Writes
    ``model/``, training facts, curves.

    Returns:
        ``sft/loss_first``, ``sft/loss_last`` (means over up to 5 steps), ``sft/sentences``, ``sft/left_out`` (empty or
        too long), ``sft/steps`` and the last training metrics.
    """
    config = context.config
    msft, format = MsftConfig.model_validate(config["msft"]), SimulFormat.model_validate(config["format"])
    files = {"pairs": context.inputs["data"] / "train.arrow"}
    if "start" in context.inputs:
        files["start"] = context.inputs["start"] / "model"
    job = CustomJob(
        model=context.models["base"],
        model_name=config["base"],
        output=context.out / "model",
        seed=config["seed"],
        precision=config["precision"],
        builder=BUILDER,
        files=files,
        settings={"format": format.model_dump(mode="json")},
        config=DomainConfig(**msft.model_dump(mode="json")),
    )
    started: Any = launch
    result = started(
        job,
        context.work,
        context.tracking,
        lambda step, total, metrics: context.progress(step, total, "training"),
    )
    keep_training_facts(result, context.work, context.out)
    counts = {"sentences": result.pairs, "left_out": result.truncated, "steps": result.steps}
    return {f"sft/{name}": value for name, value in {**result.metrics, **counts}.items()}
