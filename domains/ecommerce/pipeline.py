"""The e-commerce pipeline: its stages in the order they run.

Preferences between summaries of product reviews become a reward of named features (domain knowledge as definitions,
signs and prior weights), a judge on products of its own, a supervised policy, and a policy trained on that reward.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from domains.ecommerce import card, evaluate, report
from domains.ecommerce.data import prepare
from domains.ecommerce.demonstrations_stage import demonstrations
from domains.ecommerce.factors import extractor
from domains.ecommerce.feature_stage import features
from domains.ecommerce.lint import lint_data
from domains.ecommerce.recipe import EcommerceRecipe
from domains.ecommerce.reward_study.stage import reward_study_stage
from domains.ecommerce.rubrics.stage import rubric_stage
from domains.ecommerce.sources import data_files
from domains.ecommerce.summary_metrics import write_summaries
from shared.domain import Domain, PipelineRequest, Policy
from shared.gate_stage import gate_stage
from shared.recipes import to_values
from shared.stages import Stage
from shared.training.iterative_plan import RUN, TRAINED, PolicyTraining, policy_stages
from shared.training.scorer_recipe import scorer_stage
from shared.training.sft_stage import sft

MEASURED_BY = ("spacy", "nltk", "vaderSentiment", "torch", "transformers")


def build(request: PipelineRequest) -> list[Stage]:
    """data, lint -> features -> reward, judge, reward-study -> sft -> align -> summaries -> eval -> gate -> card."""
    recipe: EcommerceRecipe = request.recipe
    values = to_values(recipe)
    stages = [_data(request, values), _lint(request, recipe, values), _features(values)]
    scored = "features"
    if recipe.judge_features is not None:
        scored = "judge-features"
        stages.append(rubric_stage(scored, recipe.judge_features, features="features"))
    stages += [scorer_stage("reward", "train", values, scored), scorer_stage("judge", "judge", values)]
    if recipe.reward_study is not None:
        stages.append(reward_study_stage("reward-study", recipe.reward_study, values, features=scored))
    policies: dict[str, str | Policy] = {"base": recipe.model}
    if not request.only_evaluate:
        start = None
        if recipe.sft is not None:
            stages += _supervised(recipe, values)
            start = "sft"
        training = PolicyTraining(
            recipe.align, recipe.model, values["prompt"], values["precision"], recipe.reward.body, start
        )
        aligned, trained = policy_stages(training)
        stages += [_scoring(one) for one in aligned]
        policies |= trained
        if start:
            policies[start] = start
    other = request.only_evaluate or request.champion
    if other is not None:
        policies[other.name] = other
    stages += [_summaries(name, policy, recipe, values) for name, policy in policies.items()]
    stages.append(_eval(list(policies), recipe, values, scored))
    if request.only_evaluate:
        return stages
    champion = other.name if other else "base"
    stages.append(gate_stage(values["gate"], champion))
    stages.append(
        Stage(
            "card",
            card.write_model,
            config={"recipe": values, "base": recipe.model},
            inputs={
                "model": f"align/seed-{recipe.align.seeds[0]}",
                "eval": "eval",
                "gate": "gate",
                "data": "data",
                "lint": "lint",
            },
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
    return Stage(
        "data",
        prepare,
        config=config,
        files=data_files(request.data, request.recipe.data),
        libraries=("pyarrow", "spacy"),
    )


def _lint(request: PipelineRequest, recipe: EcommerceRecipe, values: Mapping[str, Any]) -> Stage:
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


def _features(values: Mapping[str, Any]) -> Stage:
    return Stage(
        "features",
        features,
        config=values["features"],
        inputs={"data": "data"},
        libraries=("pyarrow", *MEASURED_BY),
    )


def _supervised(recipe: EcommerceRecipe, values: Mapping[str, Any]) -> list[Stage]:
    assert recipe.sft is not None
    learned = recipe.sft.examples == "demonstrations"
    stages = []
    if learned:
        stages.append(
            Stage(
                "demonstrations",
                demonstrations,
                config={
                    "learn_from": list(recipe.sft.learn_from),
                    "summary_prompt": values["data"]["summary_prompt"],
                },
                inputs={"data": "data"},
                libraries=("pyarrow",),
            )
        )
    stages.append(
        Stage(
            "sft",
            sft,
            config={
                "sft": to_values(recipe.sft.training()),
                "seed": recipe.sft.seed,
                "prompt": values["prompt"],
                "precision": values["precision"],
                "base": recipe.model,
            },
            inputs={"data": "demonstrations" if learned else "data"},
            models={"base": recipe.model},
            libraries=TRAINED,
            uses_device=True,
        )
    )
    return stages


def _scoring(stage: Stage) -> Stage:
    """A stage that calls the reward model on new summaries depends on what its features are measured with."""
    if "reward" not in stage.inputs:
        return stage
    return replace(stage, libraries=(*stage.libraries, *MEASURED_BY))


def _summaries(name: str, policy: str | Policy, recipe: EcommerceRecipe, values: Mapping[str, Any]) -> Stage:
    inputs: dict[str, str] = {}
    models = {"base": recipe.model}
    given: dict[str, Path] = {}
    if isinstance(policy, Policy):
        if policy.folder is not None:
            given["model"] = policy.folder
        elif policy.reference is not None:
            models["model"] = policy.reference
    elif name != "base":
        inputs["model"] = policy
    evaluated = values["evaluate"]
    return Stage(
        f"summaries/{name}",
        write_summaries,
        config={
            "products": evaluated["products"],
            "sampling": evaluated["sampling"],
            "prompt": values["prompt"],
            "summary_prompt": values["data"]["summary_prompt"],
            "precision": values["precision"],
        },
        inputs={"data": "data", **inputs},
        files=given,
        models=models,
        libraries=RUN,
        uses_device=True,
    )


def _eval(policies: list[str], recipe: EcommerceRecipe, values: Mapping[str, Any], scored: str) -> Stage:
    evaluated = values["evaluate"]
    return Stage(
        "eval",
        evaluate.evaluate,
        config={
            "policies": policies,
            **{name: evaluated[name] for name in ("threshold", "factors", "examples")},
            "costs": values["features"]["costs"],
            "prompt": values["prompt"],
            "summary_prompt": values["data"]["summary_prompt"],
            "precision": values["precision"],
        },
        inputs={
            "data": "data",
            "features": scored,
            "reward": "reward",
            "judge": "judge",
            **{f"summaries-{name}": f"summaries/{name}" for name in policies},
        },
        models={"reward": recipe.reward.body, "judge": recipe.judge.body},
        libraries=(*RUN, "scipy", "numpy", "scikit-learn", "rouge-score", *MEASURED_BY),
        uses_device=True,
    )


HERE = Path(str(files("domains.ecommerce")))
SAMPLE = HERE / "sample" / "reviews.jsonl"
SAMPLE_LICENCE = "CC0-1.0"

DOMAIN = Domain(
    name="ecommerce",
    title="Summaries of product reviews by a reward of named features",
    recipe=EcommerceRecipe,
    recipes=HERE / "recipes",
    sample=SAMPLE,
    sample_licence=SAMPLE_LICENCE,
    build=build,
    headline=report.headline,
    report_sections=report.sections,
    data_files=lambda path, recipe: data_files(path, recipe.data),
    extract=extractor,
)
