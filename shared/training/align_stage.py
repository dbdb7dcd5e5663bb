"""Aligning a policy with preference pairs, as a stage."""

from shared.stages import StageContext
from shared.training.config import DpoConfig, DpoJob
from shared.training.launch import launch
from shared.training.stage_results import keep_training_facts


def align(context: StageContext) -> dict[str, float]:
    """Trains a policy on the training pairs with stored reference log-probabilities.

    Config: ``align`` (DpoConfig), ``seed``, ``prompt``, ``precision``, ``base`` (the reference that a saved adapter
    names as its base). Inputs ``data`` and ``reference``, model ``base``. Writes ``model/``, training facts, curves.

    Returns:
        ``align/loss_last``, ``align/pairs``, ``align/truncated``, ``align/steps`` and the last training metrics.
    """
    config = context.config
    validation = context.inputs["data"] / "validation.arrow"
    watched = context.inputs["reference"] / "validation.arrow"  # there where validation pairs are
    align = DpoConfig.model_validate(config["align"])
    job = DpoJob(
        model=context.models["base"],
        model_name=config["base"],
        records=[context.inputs["data"] / "train.arrow"],
        reference=context.inputs["reference"] / "train.arrow",
        output=context.out / "model",
        seed=config["seed"],
        precision=config["precision"],
        prompt=config["prompt"],
        config=align,
        validation=validation if watched.is_file() else None,
        validation_reference=watched if watched.is_file() else None,
    )
    result = launch(
        job,
        context.work,
        context.tracking,
        lambda step, total, metrics: context.progress(step, total, "training"),
    )
    keep_training_facts(result, context.work, context.out)
    counts = {"pairs": result.pairs, "truncated": result.truncated, "steps": result.steps}
    return {f"align/{name.removeprefix('align/')}": value for name, value in {**result.metrics, **counts}.items()}
