"""Training a Bradley-Terry scorer, as a stage."""

from shared.stages import StageContext
from shared.training.config import RewardConfig, RewardJob
from shared.training.launch import launch
from shared.training.stage_results import keep_training_facts


def train_reward(context: StageContext) -> dict[str, float]:
    """Trains a scorer on one split of the data.

    Config: ``reward`` (RewardConfig), ``seed``, ``split``, ``prompt``, ``precision``, ``body`` (the reference that the
    saved model names as its base). Input ``data``, model ``body``. Writes ``model/``, training facts and curves.

    Returns:
        ``reward/loss_last`` and the like, ``reward/pairs``, ``reward/truncated``, ``reward/steps``.
    """
    config = context.config
    job = RewardJob(
        model=context.models["body"],
        model_name=config["body"],
        records=[context.inputs["data"] / f"{config['split']}.arrow"],
        output=context.out / "model",
        seed=config["seed"],
        precision=config["precision"],
        prompt=config["prompt"],
        config=RewardConfig.model_validate(config["reward"]),
    )
    result = launch(
        job,
        context.work,
        context.tracking,
        lambda step, total, metrics: context.progress(step, total, "training"),
    )
    keep_training_facts(result, context.work, context.out)
    counts = {"pairs": result.pairs, "truncated": result.truncated, "steps": result.steps}
    return {f"reward/{name.removeprefix('reward/')}": value for name, value in {**result.metrics, **counts}.items()}
