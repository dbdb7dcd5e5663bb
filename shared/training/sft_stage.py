"""Supervised fine-tuning of a policy, as a stage."""

from pathlib import Path
from typing import Any

from shared.errors import DataError
from shared.stages import StageContext
from shared.training.custom_job import CustomJob, DomainConfig
from shared.training.iterative_policies import from_policy, policy_of_base
from shared.training.launch import launch
from shared.training.sft_config import SftConfig
from shared.training.stage_results import keep_training_facts

BUILDER = "shared.training.sft"  # a module's name: its code enters the stage's key
TRAIN, HELD_OUT = "demonstrations-train.arrow", "demonstrations-validation.arrow"


def sft(context: StageContext) -> dict[str, float]:
    """Trains a policy on demonstrations: what later stages take as the policy to start from, sample and refer to.

    Config: ``sft`` (SftConfig), ``seed``, ``prompt``, ``precision``, ``base`` (what a saved adapter names as its base).
    Input ``data``, with ``train.arrow`` and ``validation.arrow`` (preference records), or where `sft.examples` is
    ``demonstrations`` ``demonstrations-train.arrow`` and ``demonstrations-validation.arrow`` (or the files ``train``
    and ``held_out``, see `shared.training.demonstrations.read_demonstrations`); optionally ``policy``, another
    training's artifact to go on from. Model ``base``. Writes ``model/`` (an adapter of the base, or a whole model),
    training facts, curves.

    Returns:
        ``sft/loss_first``, ``sft/loss_last`` (means over up to 5 steps), ``sft/responses``, ``sft/truncated``,
        ``sft/steps``, the last training metrics, and ``sft/best_step`` where evaluation chose it.
    """
    started, before = from_policy(context)
    config = started.config
    told = SftConfig.model_validate(config["sft"])
    job = CustomJob(
        model=started.models["base"],
        model_name=config["base"],
        output=started.out / "model",
        seed=config["seed"],
        precision=config["precision"],
        prompt=config["prompt"],
        builder=f"{BUILDER}:trainer",
        files=_files(started, told),
        config=DomainConfig(**told.model_dump(mode="json")),
    )
    launched: Any = launch
    result = launched(
        job,
        started.work,
        started.tracking,
        lambda step, total, metrics: started.progress(step, total, "training"),
    )
    policy_of_base(started.models["base"], before, job.output)
    keep_training_facts(result, started.work, started.out)
    counts = {"responses": result.pairs, "truncated": result.truncated, "steps": result.steps}
    if result.best_step is not None:
        counts["best_step"] = result.best_step
    return {f"sft/{name.removeprefix('sft/')}": float(value) for name, value in {**result.metrics, **counts}.items()}


def _files(context: StageContext, config: SftConfig) -> dict[str, Path]:
    if context.files:
        return {name: path for name, path in context.files.items() if name in ("train", "held_out")}
    names = (TRAIN, HELD_OUT) if config.examples == "demonstrations" else ("train.arrow", "validation.arrow")
    train, held_out = (context.inputs["data"] / name for name in names)
    if not train.is_file():
        raise DataError(f"the data stage wrote no {train.name}: set sft.examples to chosen, or run data again.")
    watched = config.stopping.evaluate_steps is not None and held_out.is_file()
    return {"train": train, **({"held_out": held_out} if watched else {})}
