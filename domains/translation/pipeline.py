"""The translation pipeline: its stages in the order they run.

Parallel text becomes a policy that translates while it reads (MSFT), preferences between its own translations or given
ones, and a policy aligned with SimulDPO; all systems are decoded on held-out sentences, scored by quality and latency,
and a gate decides.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from domains.translation import card, report
from domains.translation.adapters import data_files
from domains.translation.base_stage import translate_with_base
from domains.translation.construction.stage import construct
from domains.translation.data import prepare
from domains.translation.decode_stage import decode_policy
from domains.translation.evaluate import evaluate
from domains.translation.lint import lint_data
from domains.translation.msft_stage import train_msft
from domains.translation.paths_stage import align_paths
from domains.translation.preference_stage import KINDS, measure_preferences
from domains.translation.recipe import TranslationRecipe
from domains.translation.settings import LatencyWord
from domains.translation.simul_dpo_stage import align, path_reference
from domains.translation.simuleval_stage import check_with_simuleval
from domains.translation.systems import (
    ABLATION,
    ALIGNED,
    BASE,
    PROMPTED,
    SFT,
    WAIT_K,
    bounded_rules,
    plan_systems,
    rules_of,
)
from shared.domain import Domain, PipelineRequest, Policy
from shared.gate_stage import gate_stage
from shared.recipes import to_values
from shared.stages import Stage

RUN = ("torch", "transformers", "peft")
TRAINED = (*RUN, "accelerate")
WORDS = get_args(LatencyWord)
REFERENCE_TOKENS = 4096  # without gradients a pass needs little memory


def build(request: PipelineRequest) -> list[Stage]:
    """data, lint, base -> sft, pairs, reference, align (each seed) -> decode -> preferences, eval -> gate -> card.

    Beside them the trained baselines: SimulDPO without latency, wait-k tuned, a latency prompt (`baselines`).
    """
    recipe: TranslationRecipe = request.recipe
    values = to_values(recipe)
    seeds = recipe.align.seeds
    stages = [_data(request, values), _lint(request, recipe, values), _base(recipe, values)]
    policies: dict[str, dict[int, str | Policy]] = {}
    if not request.only_evaluate:
        stages.append(_paths(recipe))
        for seed in seeds:
            stages += _trained(recipe, values, seed)
        for name in _trained_policies(recipe):
            policies[name] = {seed: f"{name}/seed-{seed}" for seed in seeds}
    other = request.only_evaluate or request.champion
    if other is not None:
        policies[other.name] = {0: other}
    measured = recipe.evaluate
    bounded = bounded_rules(measured.shown, recipe.baselines.wait_k, measured.lag_width)
    systems = plan_systems(
        list(policies), measured.thresholds, recipe.baselines.wait_k, recipe.baselines.lsg, WORDS, bounded
    )
    decoded = {}
    for name, by_seed in policies.items():
        for number, (seed, source) in enumerate(by_seed.items()):
            rules = rules_of(name, systems, number == 0)
            if name == ALIGNED:  # the shown threshold first: its traces are kept
                shown = f"threshold:{recipe.evaluate.shown:g}"
                rules = (shown, *(rule for rule in rules if rule != shown))
            stage = _decode(name, seed, source, rules, recipe, values)
            decoded[f"decode-{name}@{seed}"] = stage.name
            stages.append(stage)
    first = next(name for name in (ALIGNED, "model") if name in policies)
    if recipe.evaluate.simuleval:
        stages.append(_simuleval(policies[first], first, recipe, values))
    if SFT in policies:
        stages.append(_preferences(recipe, values, seeds[0]))
    stages.append(_eval(systems, seeds, decoded, recipe, values))
    if request.only_evaluate:
        return stages
    stages.append(gate_stage(values["gate"], other.name if other else SFT))
    stages.append(
        Stage(
            "card",
            card.write_model,
            config={"recipe": values, "base": recipe.model},
            inputs={
                "model": f"{ALIGNED}/seed-{seeds[0]}",
                "sft": f"{SFT}/seed-{seeds[0]}",
                "pairs": f"pairs/seed-{seeds[0]}",
                "eval": "eval",
                "gate": "gate",
                "data": "data",
                "lint": "lint",
            },
            models={"base": recipe.model},
        )
    )
    return stages


def _trained_policies(recipe: TranslationRecipe) -> list[str]:
    wanted = {
        SFT: True,
        ALIGNED: True,
        ABLATION: recipe.baselines.alpha_zero,
        WAIT_K: recipe.baselines.wait_k_tuned,
        PROMPTED: recipe.baselines.latency_prompt,
    }
    return [name for name, there in wanted.items() if there]


def _data(request: PipelineRequest, values: Mapping[str, Any]) -> Stage:
    config = dict(values["data"])
    if config.get("licence") is None and request.data == SAMPLE:
        config["licence"] = SAMPLE_LICENCE
    if request.location:
        config["location"] = request.location
    files_read = dict(data_files(request.data, request.recipe.data)) if request.data is not None else {}
    return Stage("data", prepare, config=config, files=files_read, libraries=("pyarrow", "spacy"))


def _lint(request: PipelineRequest, recipe: TranslationRecipe, values: Mapping[str, Any]) -> Stage:
    prepared = _data(request, values)
    return Stage(
        "lint",
        lint_data,
        config={"lint": values["lint"], "data": dict(prepared.config)},
        inputs={"data": "data"},
        files=dict(prepared.files),
        models={"base": recipe.model},
        libraries=("pyarrow", "py3langid", "rensa", "scikit-learn", "sil-thot"),
    )


def _base(recipe: TranslationRecipe, values: Mapping[str, Any]) -> Stage:
    decoding = recipe.evaluate.decoding
    return Stage(
        "base",
        translate_with_base,
        config={
            "languages": _languages(recipe),
            "sentences": values["evaluate"]["sentences"],
            "shots": recipe.evaluate.shots,
            "max_new_tokens": decoding.most_tokens(64),
            "batch_size": decoding.batch_size,
            "precision": values["precision"],
        },
        inputs={"data": "data"},
        models={"base": recipe.model},
        libraries=RUN,
        uses_device=True,
    )


def _languages(recipe: TranslationRecipe) -> dict[str, Any]:
    return recipe.data.languages().model_dump(mode="json")


def _paths(recipe: TranslationRecipe) -> Stage:
    by_states = recipe.paths == "states"
    return Stage(
        "paths",
        align_paths,
        config={
            "format": recipe.rows().model_dump(mode="json"),
            "alignment": recipe.paths,
            "rejected": recipe.sft.rendering == "rejected",
            **({"precision": recipe.precision} if by_states else {}),
        },
        inputs={"data": "data"},
        models={"base": recipe.model} if by_states else {},
        libraries=RUN if by_states else ("sil-thot", "jieba"),
        uses_device=by_states,
    )


def _trained(recipe: TranslationRecipe, values: Mapping[str, Any], seed: int) -> list[Stage]:
    """The trainings of one seed."""
    sft, pairs, reference = f"{SFT}/seed-{seed}", f"pairs/seed-{seed}", f"reference/seed-{seed}"
    common = {"format": recipe.rows().model_dump(mode="json"), "precision": values["precision"]}
    stages = [
        _msft(sft, values["sft"], seed, recipe, common),
        Stage(
            pairs,
            construct,
            config={"construction": values["construction"], "seed": seed, **common},
            inputs={"data": "paths", "sft": sft},
            models={"base": recipe.model},
            libraries=(*RUN, "sacrebleu", "sil-thot", "jieba", "py3langid"),
            uses_device=True,
        ),
        Stage(
            reference,
            path_reference,
            config={
                "micro_batch_tokens": REFERENCE_TOKENS,
                "max_length": recipe.align.max_length,
                "precision": values["precision"],
            },
            inputs={"pairs": pairs, "sft": sft},
            models={"base": recipe.model},
            libraries=RUN,
            uses_device=True,
        ),
    ]
    objective = {name: value for name, value in values["align"].items() if name != "seeds"}
    trained = {ALIGNED: objective}
    if recipe.baselines.alpha_zero:
        trained[ABLATION] = {**objective, "form": "none", "alpha": 0.0}
    for name, config in trained.items():
        stages.append(
            Stage(
                f"{name}/seed-{seed}",
                align,
                config={"align": config, "seed": seed, "base": recipe.model, "precision": values["precision"]},
                inputs={"pairs": pairs, "reference": reference, "sft": sft},
                models={"base": recipe.model},
                libraries=TRAINED,
                uses_device=True,
            )
        )
    if recipe.baselines.wait_k_tuned:
        tuned = {**values["sft"], "policy": "wait-k"}
        stages.append(_msft(f"{WAIT_K}/seed-{seed}", tuned, seed, recipe, common))
    if recipe.baselines.latency_prompt:
        asked = {**common, "format": recipe.rows("medium").model_dump(mode="json")}
        prompted = {**values["sft"], "policy": "latency-prompt"}
        stages.append(_msft(f"{PROMPTED}/seed-{seed}", prompted, seed, recipe, asked))
    return stages


def _msft(
    name: str, config: Mapping[str, Any], seed: int, recipe: TranslationRecipe, common: Mapping[str, Any]
) -> Stage:
    return Stage(
        name,
        train_msft,
        config={"msft": dict(config), "seed": seed, "base": recipe.model, **common},
        inputs={"data": "paths"},
        models={"base": recipe.model},
        libraries=TRAINED,
        uses_device=True,
    )


def _decode(
    name: str,
    seed: int,
    source: str | Policy,
    rules: Sequence[str],
    recipe: TranslationRecipe,
    values: Mapping[str, Any],
) -> Stage:
    given, inputs, models = _policy(source, recipe)
    evaluated = values["evaluate"]
    return Stage(
        f"decode/{name}" + (f"/seed-{seed}" if isinstance(source, str) else ""),
        decode_policy,
        config={
            "rules": list(rules),
            "decoding": evaluated["decoding"],
            "languages": _languages(recipe),
            "sentences": evaluated["sentences"],
            "timed": evaluated["timed"] if name in (ALIGNED, "model") and seed in (0, recipe.align.seeds[0]) else 0,
            "precision": values["precision"],
        },
        inputs={"data": "data", **inputs},
        files=given,
        models=models,
        libraries=RUN,
        uses_device=True,
    )


def _policy(source: str | Policy, recipe: TranslationRecipe) -> tuple[dict[str, Path], dict[str, str], dict[str, str]]:
    """(files, inputs, models) by which a stage finds a policy.

    Raises:
        UsageError: a base model is to be evaluated, which has no read/write policy.
    """
    from shared.errors import UsageError

    models = {"base": recipe.model}
    if isinstance(source, str):
        return {}, {"policy": source}, models
    if source.folder is None:
        raise UsageError(
            f"{source.reference} is a base model without a read/write policy: name a registered translation model "
            "(valign-translation@champion) or a folder of one."
        )
    return {"policy": source.folder}, {}, models


def _simuleval(
    by_seed: Mapping[int, str | Policy], name: str, recipe: TranslationRecipe, values: Mapping[str, Any]
) -> Stage:
    seed = next(iter(by_seed))
    given, inputs, models = _policy(by_seed[seed], recipe)
    decoded = f"decode/{name}" + (f"/seed-{seed}" if isinstance(by_seed[seed], str) else "")
    return Stage(
        "simuleval",
        check_with_simuleval,
        config={
            "sentences": values["evaluate"]["simuleval"],
            "decoding": values["evaluate"]["decoding"],
            "languages": _languages(recipe),
            "precision": values["precision"],
        },
        inputs={"data": "data", "decoded": decoded, **inputs},
        files=given,
        models=models,
        libraries=(*RUN, "simuleval", "sacrebleu"),
        uses_device=True,
    )


def _preferences(recipe: TranslationRecipe, values: Mapping[str, Any], seed: int) -> Stage:
    by_states = recipe.construction.alignment == "states"
    return Stage(
        "preferences",
        measure_preferences,
        config={
            "languages": _languages(recipe),
            "shown": recipe.evaluate.shown,
            "sentences": values["evaluate"]["sentences"],
            "alignment": recipe.construction.alignment,
            "comparisons": KINDS,
            **({"precision": recipe.precision} if by_states else {}),
        },
        inputs={
            "data": "data",
            "before": f"decode/{SFT}/seed-{seed}",
            "after": f"decode/{ALIGNED}/seed-{seed}",
        },
        models={"base": recipe.model},
        libraries=("sacrebleu", "sil-thot", "spacy", "jieba", "numpy", "scipy", *(RUN if by_states else ())),
        uses_device=by_states,
    )


def _eval(
    systems: Sequence[Any],
    seeds: Sequence[int],
    decoded: Mapping[str, str],
    recipe: TranslationRecipe,
    values: Mapping[str, Any],
) -> Stage:
    evaluated = values["evaluate"]
    kept = ("sentences", "shown", "thresholds", "latency_price", "source_ms_per_unit", "comet", "examples", "resamples")
    return Stage(
        "eval",
        evaluate,
        config={
            "systems": [{"name": one.name, "policy": one.policy, "rules": list(one.rules)} for one in systems],
            "seeds": list(seeds),
            "languages": _languages(recipe),
            "precision": values["precision"],
            **{name: evaluated[name] for name in kept},
        },
        inputs={"data": "data", BASE: BASE, **decoded},
        libraries=("numpy", "scipy", "sacrebleu"),
    )


HERE = Path(str(files("domains.translation")))
SAMPLE = HERE / "sample" / "pairs.jsonl"
SAMPLE_LICENCE = "CC0-1.0"

DOMAIN = Domain(
    name="translation",
    title="Simultaneous translation tuned to preferences and latency",
    recipe=TranslationRecipe,
    recipes=HERE / "recipes",
    sample=SAMPLE,
    sample_licence=SAMPLE_LICENCE,
    build=build,
    headline=report.headline,
    report_sections=report.sections,
    data_files=lambda path, recipe: data_files(path, recipe.data),
)
