"""The counseling pipeline: its stages in the order they run.

Preferences between answers of therapists (or counsellor-style answers) become a reward model, a judge on groups of
its own, and a policy aligned with DPO; all are measured on held-out questions, and a gate decides.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from domains.counseling import card, data, evaluate, report
from domains.counseling.lint import lint_data
from domains.counseling.recipe import CounselingRecipe
from shared.domain import Domain, PipelineRequest, Policy
from shared.evaluation.best_of_n import best_of_n
from shared.evaluation.policy_stage import measure_policy
from shared.gate_stage import gate_stage
from shared.recipes import to_values
from shared.stages import Stage
from shared.training.iterative_plan import RUN, PolicyTraining, policy_stages
from shared.training.objectives.objective import build_objective
from shared.training.scorer_recipe import scorer_stage


def build(request: PipelineRequest) -> list[Stage]:
    """data, lint -> reward, judge -> reference -> align (each seed) -> policies measured -> eval -> gate -> card.

    With `align.rounds` or `align.method=grpo` other stages lead to the policies: see `shared.training.iterative_plan`.
    """
    recipe: CounselingRecipe = request.recipe
    values = to_values(recipe)
    common = {"prompt": values["prompt"], "precision": values["precision"]}
    stages = [
        _data(request, values),
        _lint(request, recipe, values),
        scorer_stage("reward", "train", values),
        scorer_stage("judge", "judge", values),
    ]
    trained: dict[str, str] = {}
    if not request.only_evaluate:
        training = PolicyTraining(recipe.align, recipe.model, values["prompt"], values["precision"], recipe.reward.body)
        aligned, trained = policy_stages(training)
        stages += aligned
    stages.append(_policy("base", recipe, values, {}, None))
    for name, stage in trained.items():
        stages.append(_policy(name, recipe, values, {"model": stage}, None))
    other = request.only_evaluate or request.champion
    if other is not None:
        stages.append(_policy(other.name, recipe, values, {}, other))
    policies = ["base", *trained, *([other.name] if other else [])]
    if recipe.evaluate.best_of > 1:
        stages.append(_best_of_n(policies, recipe, values))
    stages.append(
        Stage(
            "eval",
            evaluate.evaluate,
            config={
                "beta": build_objective(recipe.align.loss, recipe.align.beta).beta,
                "policies": policies,
                "examples": values["evaluate"]["examples"],
                **common,
            },
            inputs={
                "data": "data",
                "reward": "reward",
                "judge": "judge",
                **{f"policy-{name}": f"policy/{name}" for name in policies},
            },
            models={"reward": recipe.reward.body, "judge": recipe.judge.body},
            libraries=(*RUN, "scipy", "numpy", "scikit-learn"),
            uses_device=True,
        )
    )
    if not trained:
        return stages
    champion = other.name if other else "base"
    stages.append(gate_stage(values["gate"], champion))
    first = f"align/seed-{recipe.align.seeds[0]}"
    stages.append(
        Stage(
            "card",
            card.write_model,
            config={"recipe": values, "base": recipe.model},
            inputs={"model": first, "eval": "eval", "gate": "gate", "data": "data", "lint": "lint"},
            models={"base": recipe.model},
        )
    )
    return stages


def _data(request: PipelineRequest, values: Mapping[str, Any]) -> Stage:
    config = dict(values["data"])
    if config.get("licence") is None and request.data == SAMPLE:
        config["licence"] = SAMPLE_LICENCE
    if request.location:
        config["location"] = request.location
    files_read = {"data": request.data} if request.data is not None else {}
    return Stage("data", data.prepare, config=config, files=files_read, libraries=("pyarrow", "spacy"))


def _lint(request: PipelineRequest, recipe: CounselingRecipe, values: Mapping[str, Any]) -> Stage:
    prepared = _data(request, values)
    config = {**values["lint"], "prompt": values["prompt"], "max_length": values["align"]["max_length"]}
    return Stage(
        "lint",
        lint_data,
        config={"lint": config, "data": dict(prepared.config)},
        inputs={"data": "data"},
        files=dict(prepared.files),
        models={"base": recipe.model},
        libraries=("pyarrow", "py3langid", "rensa", "scikit-learn"),
    )


def _policy(
    name: str, recipe: CounselingRecipe, values: Mapping[str, Any], inputs: Mapping[str, str], other: Policy | None
) -> Stage:
    models = {"base": recipe.model}
    files_read: dict[str, Path] = {}
    if other is not None and other.folder is not None:
        files_read["model"] = other.folder
    elif other is not None and other.reference is not None:
        models["model"] = other.reference
    measured = {key: value for key, value in values["evaluate"].items() if key not in ("examples", "best_of")}
    return Stage(
        f"policy/{name}",
        measure_policy,
        config={**measured, "prompt": values["prompt"], "precision": values["precision"]},
        inputs={"data": "data", **inputs},
        files=files_read,
        models=models,
        libraries=RUN,
        uses_device=True,
    )


def _best_of_n(policies: Sequence[str], recipe: CounselingRecipe, values: Mapping[str, Any]) -> Stage:
    measured = values["evaluate"]
    return Stage(
        "best-of-n",
        best_of_n,
        config={
            "n": measured["best_of"],
            "prompts": measured["prompts"],
            "sampling": measured["sampling"],
            "policies": list(policies),
            "prompt": values["prompt"],
            "precision": values["precision"],
        },
        inputs={
            "data": "data",
            "reward": "reward",
            "judge": "judge",
            **{f"policy-{name}": f"policy/{name}" for name in policies},
        },
        models={"base": recipe.model, "reward": recipe.reward.body, "judge": recipe.judge.body},
        libraries=(*RUN, "numpy", "scipy"),
        uses_device=True,
    )


HERE = Path(str(files("domains.counseling")))
SAMPLE = HERE / "sample" / "preferences.jsonl"
SAMPLE_LICENCE = "CC0-1.0"

DOMAIN = Domain(
    name="counseling",
    title="Counselling answers aligned to preferences between answers",
    recipe=CounselingRecipe,
    recipes=HERE / "recipes",
    sample=SAMPLE,
    sample_licence=SAMPLE_LICENCE,
    build=build,
    headline=report.headline,
    report_sections=report.sections,
)
