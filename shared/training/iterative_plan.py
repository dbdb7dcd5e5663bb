"""The stages that train a policy, from a recipe: one training a seed, rounds of them, or GRPO.

Without rounds: ``reference``, ``align/seed-0``, ... With two rounds, from the base model::

    sample/round-1 -> score/round-1 -> pairs/round-1 -> reference/round-1 -> align/round-1/seed-0
    sample/round-2/seed-0 -> score/... -> pairs/... -> reference/... -> align/seed-0

With a `start` (``sft``) the first trainings, samples and references are of that policy in place of the base.

What does not depend on a seed is done once for all; the last round's policy has the name that the rest of a pipeline
uses. Every stage has a key of its own, so a run that was killed goes on where it stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.stages import Stage
from shared.training.align_stage import align
from shared.training.config import DpoConfig
from shared.training.grpo_job import grpo, grpo_job_config
from shared.training.iterative_recipe import AlignRecipe
from shared.training.iterative_stages import align_round, pair_round, reference_round, sample_round, score_round
from shared.training.reference_stage import reference, reference_config
from shared.training.sft_config import SftConfig
from shared.training.sft_stage import sft

TRAINED = ("torch", "transformers", "trl", "peft", "accelerate")
RUN = ("torch", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class PolicyTraining:
    """What all trainings of a pipeline have in common.

    Attributes:
        recipe: the `align` part of the recipe.
        base: model reference of the base model.
        prompt: prompt format as JSON values.
        precision: see `shared.device.pick_device`.
        reward_body: model reference of the reward model's body; the stage ``reward`` trained it.
        start: the stage of a trained policy (e.g. ``sft``) that trainings start from and refer to in place of the base;
            None: the base. Every policy that comes of it is one of the base model all the same.
    """

    recipe: AlignRecipe
    base: str
    prompt: Mapping[str, Any]
    precision: str
    reward_body: str
    start: str | None = None


def supervised_stage(training: PolicyTraining, config: SftConfig, seed: int = 0, name: str = "sft") -> Stage:
    """The stage that trains the policy to start from, on demonstrations (see `shared.training.sft_stage.sft`)."""
    return Stage(
        name,
        sft,
        config={
            "sft": config.model_dump(mode="json"),
            "seed": seed,
            "prompt": training.prompt,
            "precision": training.precision,
            "base": training.base,
        },
        inputs={"data": "data"},
        models={"base": training.base},
        libraries=TRAINED,
        uses_device=True,
    )


def policy_stages(training: PolicyTraining) -> tuple[list[Stage], dict[str, str]]:
    """The stages after ``data``, ``reward`` and `training.start` that end with a policy for every seed.

    Returns:
        (stages in the order they run, the stage of each policy by its name ``seed-0``, ...).
    """
    recipe = training.recipe
    named = {f"seed-{seed}": f"align/seed-{seed}" for seed in recipe.seeds}
    if recipe.method == "grpo":
        return [_grpo(training, seed) for seed in recipe.seeds], named
    stages: dict[str, Stage] = {}
    if not recipe.rounds or recipe.on_policy.start == "given":
        stages["reference"] = _reference(training, "reference", "data", training.start)
    for seed in recipe.seeds:
        policy = training.start
        if not recipe.rounds or recipe.on_policy.start == "given":
            policy = f"align/round-0/seed-{seed}" if recipe.rounds else f"align/seed-{seed}"
            stages[policy] = _align(training, policy, seed, "data", "reference", training.start)
        for number in range(1, recipe.rounds + 1):
            last = number == recipe.rounds
            name = f"align/seed-{seed}" if last else f"align/round-{number}/seed-{seed}"
            suffix = f"round-{number}" + ("" if policy == training.start else f"/seed-{seed}")
            for stage in _round(training, number, suffix, policy):
                stages.setdefault(stage.name, stage)
            stages[name] = _align(training, name, seed, f"pairs/{suffix}", f"reference/{suffix}", policy)
            policy = name
    return list(stages.values()), named


def _round(training: PolicyTraining, number: int, suffix: str, policy: str | None) -> list[Stage]:
    config = training.recipe.on_policy.model_dump(mode="json")
    from_policy = {"policy": policy} if policy else {}
    common = {"prompt": training.prompt, "precision": training.precision}
    return [
        Stage(
            f"sample/{suffix}",
            sample_round,
            config={
                **common,
                "sampling": config["sampling"],
                "prompts": config["prompts"],
                "kl_samples": config["kl_samples"],
                "round": number,
            },
            inputs={"data": "data", **from_policy},
            models={"base": training.base},
            libraries=RUN,
            uses_device=True,
        ),
        Stage(
            f"score/{suffix}",
            score_round,
            config={"precision": training.precision},
            inputs={"data": "data", "samples": f"sample/{suffix}", "reward": "reward"},
            models={"reward": training.reward_body},
            libraries=RUN,
            uses_device=True,
        ),
        Stage(
            f"pairs/{suffix}",
            pair_round,
            config={"pairing": config["pairing"], "given_share": config["given_share"], "round": number},
            inputs={"data": "data", "samples": f"sample/{suffix}", "scores": f"score/{suffix}"},
            libraries=("pyarrow",),
        ),
        _reference(
            training,
            f"reference/{suffix}",
            f"pairs/{suffix}",
            policy if config["reference"] == "previous" else training.start,
        ),
    ]


def _reference(training: PolicyTraining, name: str, pairs: str, policy: str | None) -> Stage:
    dpo = DpoConfig.model_validate(training.recipe.objective())
    return Stage(
        name,
        reference_round if policy else reference,
        config=reference_config(dpo, training.prompt, training.precision),
        inputs={"data": pairs, **({"policy": policy} if policy else {})},
        models={"base": training.base},
        libraries=RUN,
        uses_device=True,
    )


def _align(
    training: PolicyTraining, name: str, seed: int, pairs: str, reference_stage: str, policy: str | None
) -> Stage:
    return Stage(
        name,
        align_round if policy else align,
        config={
            "prompt": training.prompt,
            "precision": training.precision,
            "align": training.recipe.objective(),
            "seed": seed,
            "base": training.base,
        },
        inputs={"data": pairs, "reference": reference_stage, **({"policy": policy} if policy else {})},
        models={"base": training.base},
        libraries=TRAINED,
        uses_device=True,
    )


def _grpo(training: PolicyTraining, seed: int) -> Stage:
    return Stage(
        f"align/seed-{seed}",
        grpo,
        config=grpo_job_config(training.recipe.grpo, training.prompt, training.precision, training.base, seed),
        inputs={"data": "data", "reward": "reward", **({"policy": training.start} if training.start else {})},
        models={"base": training.base, "reward": training.reward_body},
        libraries=TRAINED,
        uses_device=True,
    )
