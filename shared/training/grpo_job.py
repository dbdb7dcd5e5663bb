"""GRPO as a job of the training child, and as a stage."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.data.record_files import read_records, write_records
from shared.durable import write_json
from shared.errors import DataError
from shared.stages import StageContext
from shared.training.config import TrainingJob, _Job
from shared.training.custom_job import CustomJob
from shared.training.grpo_config import GrpoConfig
from shared.training.iterative_policies import from_policy, policy_of_base
from shared.training.launch import launch
from shared.training.stage_results import keep_training_facts


class GrpoJob(_Job):
    """A GRPO training; `records` hold the prompts, their responses are not read.

    Attributes:
        reward: folder of the reward model.
        reward_base: folder of the model that the reward's adapter was trained on.
        config: the recipe's part.
    """

    kind: Literal["grpo"] = "grpo"
    reward: Path
    reward_base: Path | None = None
    config: GrpoConfig = GrpoConfig()


# Every job of the training child, as its worker reads it.
ChildJob = Annotated[TrainingJob | GrpoJob | CustomJob, Field(discriminator="kind")]


def grpo_job_config(
    config: GrpoConfig, prompt: Mapping[str, Any], precision: str, base: str, seed: int
) -> dict[str, Any]:
    """The config of a GRPO stage."""
    return {
        "grpo": config.model_dump(mode="json"),
        "prompt": prompt,
        "precision": precision,
        "base": base,
        "seed": seed,
    }


def grpo(context: StageContext) -> dict[str, float]:
    """Trains a policy by GRPO on the training prompts with the trained reward model.

    Config: see `grpo_job_config`. Inputs ``data`` and ``reward``, and where it goes on from a trained policy
    ``policy``, which then is the reference too; models ``base`` and ``reward`` (the reward's body). Writes ``model/``,
    a policy of the base, training facts, curves.

    Returns:
        ``align/reward_first``, ``align/reward_last`` (means over up to 5 steps), ``align/prompts``, ``align/truncated``
        (prompts that were cut), ``align/steps`` and the last training metrics.
    """
    config = context.config
    started, before = from_policy(context)
    # One record a prompt: a question with several pairs is not asked several times as often.
    prompts = context.work / "prompts.arrow"
    first = {}
    for record in read_records(context.inputs["data"] / "train.arrow"):
        first.setdefault(json.dumps([[one.role, one.content] for one in record.prompt]), record)
    if not first:
        raise DataError("no training prompt is left after splitting: give more questions, or a larger train fraction.")
    write_records(prompts, first.values())
    job = GrpoJob(
        model=started.models["base"],
        model_name=config["base"],
        records=[prompts],
        output=context.out / "model",
        seed=config["seed"],
        precision=config["precision"],
        prompt=config["prompt"],
        reward=context.inputs["reward"] / "model",
        reward_base=context.models.get("reward"),
        config=GrpoConfig.model_validate(config["grpo"]),
    )
    launched: Any = launch
    result = launched(
        job,
        context.work,
        context.tracking,
        lambda step, total, metrics: context.progress(step, total, "training"),
    )
    policy_of_base(job.model, before, job.output)
    keep_training_facts(result, context.work, context.out)
    rows = [json.loads(line) for line in (context.out / "curves.jsonl").read_text(encoding="utf-8").splitlines()]
    rewards = [row["reward"] for row in rows]
    summary = {"first": sum(rewards[:5]) / len(rewards[:5]), "last": sum(rewards[-5:]) / len(rewards[-5:])}
    write_json(context.out / "rewards.json", summary)
    counts = {
        "prompts": float(result.pairs),
        "truncated": float(result.truncated),
        "steps": float(result.steps),
        "reward_first": summary["first"],
        "reward_last": summary["last"],
    }
    return {f"align/{name}": value for name, value in {**result.metrics, **counts}.items()}
