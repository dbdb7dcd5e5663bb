"""The study as a stage: every feature set on the same product-grouped folds, with controls and a learning curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domains.ecommerce.reward_study.config import SETS, RewardStudyConfig, SetName
from domains.ecommerce.reward_study.cross_fit import CrossFit, Fitting, cross_fitted
from domains.ecommerce.reward_study.designs import ALL_FAMILIES, FAMILIES, TITLES, Design, designs_of, families_of
from domains.ecommerce.reward_study.learning_curve import Curve, learning_curves, usable_sizes
from domains.ecommerce.reward_study.lm_reward import LmScores, LmTraining, held_out_scores, lm_scores
from domains.ecommerce.reward_study.measures import MEASURES, differences, measure
from domains.ecommerce.reward_study.pairs import Ints, StudyPairs, product_folds, read_pairs, study_pairs
from shared.durable import write_json
from shared.errors import DataError
from shared.evaluation.intervals import Floats
from shared.recipes import to_values
from shared.stages import Stage, StageContext

STUDY_FILE = "study.json"
REWARD_LM_SPLIT = "train"


@dataclass
class Study:
    """What was found, by set.

    Attributes:
        pairs: the pairs that all sets are compared on.
        folds: the fold of each.
        fits: held-out log-odds.
        designs: what the linear sets read.
        curves: learning curves.
        left_out: pairs that lack scores, by family.
        skipped: sets that were asked for and not run, and why.
    """

    pairs: StudyPairs
    folds: Ints
    fits: dict[SetName, CrossFit] = field(default_factory=dict)
    designs: dict[SetName, Design] = field(default_factory=dict)
    curves: dict[SetName, Curve] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: dict[SetName, str] = field(default_factory=dict)


def reward_study(context: StageContext) -> dict[str, float]:
    """Compares rewards on expert preferences.

    Config: ``reward_study`` (RewardStudyConfig); with a language model also ``prompt`` and ``precision``. Input
    ``features``: record files ``<split>.arrow`` whose sides carry scores ``given.*``, ``measured.*``, ``judge.*``
    (those that are there are studied) and, as a covariate, ``tier``. Input ``reward-lm``, if given: a Bradley-Terry
    model that was trained on the split ``train``; it is measured on the other splits, unless the recipe trains one for
    every fold. Model ``lm``: the body of either.

    Writes ``study.json``: facts, ``sets`` (features, penalties, estimates), ``differences``, ``curve``, ``skipped``.

    Returns:
        ``reward-study/<set>/<measure>`` for the measures of `domains.ecommerce.reward_study.measures.MEASURES` that
        are defined; ``reward-study/pairs``, ``/products``; ``reward-study/<set>/pairs_to_level`` where a curve passes
        the level.

    Raises:
        DataError: no pairs with scores, or fewer products than folds.
        StageError: where the training of a language model failed.
    """
    config = RewardStudyConfig.model_validate(context.config["reward_study"])
    every = read_pairs(context.inputs["features"], config.splits)
    trained = _language_model(context, config)
    study = run_study(every, config, trained, context.progress)
    report = report_of(study, config)
    write_json(context.out / STUDY_FILE, report)
    return metrics_of(report)


def reward_study_stage(
    name: str,
    config: RewardStudyConfig,
    values: Mapping[str, Any],
    *,
    features: str,
    reward_lm: str | None = None,
    reward_body: str | None = None,
) -> Stage:
    """The stage.

    Args:
        name: of the stage.
        config: the recipe's part.
        values: of the whole recipe: ``prompt`` and ``precision`` are read where a language model takes part.
        features: name of the stage whose artifact holds the records with scores.
        reward_lm: name of the stage that trained a Bradley-Terry model on the split ``train``; not used where the
            recipe trains one for every fold.
        reward_body: that model's body.
    """
    reward_lm = None if config.lm is not None else reward_lm
    body = config.lm.body if config.lm is not None else reward_body if reward_lm is not None else None
    reads_text = config.lm is not None or reward_lm is not None
    text = {"prompt": values["prompt"], "precision": values["precision"]} if reads_text else {}
    return Stage(
        name,
        reward_study,
        config={"reward_study": to_values(config), **text},
        inputs={"features": features, **({"reward-lm": reward_lm} if reward_lm is not None else {})},
        models={"lm": body} if body is not None else {},
        libraries=("numpy", "scipy", "torch", *(("transformers", "peft") if reads_text else ())),
        uses_device=reads_text,
    )


def _language_model(context: StageContext, config: RewardStudyConfig) -> Any:
    """A function of (pairs, folds) that gives a language model's scores, or None where the study has none."""
    if "lm" not in config.sets and "all" not in config.sets:
        return None
    if config.lm is not None:
        training = LmTraining(
            context.models["lm"],
            config.lm,
            context.config["prompt"],
            context.config["precision"],
            context.work / "lm",
        )
        return lambda pairs, folds: lm_scores(pairs, folds, training, context.progress)
    if "reward-lm" not in context.inputs:
        return None
    folder, body = context.inputs["reward-lm"] / "model", context.models.get("lm")
    precision = context.config["precision"]
    return lambda pairs, _: held_out_scores(folder, pairs, (REWARD_LM_SPLIT,), body, precision)


def run_study(
    every: StudyPairs,
    config: RewardStudyConfig,
    language_model: Any = None,
    on_progress: Any = lambda done, total, text: None,
) -> Study:
    """Cross-fits every set that the pairs have scores for.

    Args:
        every: pairs.
        config: the recipe's part.
        language_model: function of (pairs, folds) to `LmScores`, or None.
        on_progress: called with (done, total, text).

    Raises:
        DataError: no pairs with scores, or fewer products than folds.
    """
    families = {one for name in config.sets for one in (ALL_FAMILIES if name == "all" else FAMILIES.get(name, ()))}
    found = families_of(every.records, [one for one in ALL_FAMILIES if one in families])
    if not found.complete:
        lacking = ", ".join(f"{count} lack {family}.*" for family, count in found.lacking.items())
        raise DataError(f"no pair has all scores of the study ({lacking}): score them, or lower reward_study.sets.")
    pairs = study_pairs(
        [every.records[place] for place in found.complete], [every.splits[place] for place in found.complete]
    )
    folds = product_folds(pairs.groups, config.folds, config.seed)
    study = Study(pairs, folds, left_out=found.lacking)
    study.designs = designs_of(pairs, found.names, config.sets)
    scores: LmScores | None = language_model(pairs, folds) if language_model is not None else None
    _with_language_model(study, config, scores)
    _fit(study, config, on_progress)
    if config.curve is not None:
        chosen: dict[SetName, Design] = {
            name: study.designs[name] for name in config.curve.sets if name in study.designs
        }
        study.curves = learning_curves(
            chosen, pairs.groups, folds, config.curve, config.n_resamples, config.seed, on_progress
        )
    return study


def _with_language_model(study: Study, config: RewardStudyConfig, scores: LmScores | None) -> None:
    """Adds the language model's log-odds and its part of ``all``; says why a set is not run."""
    design = study.designs.get("all")
    if scores is not None and "lm" in config.sets:
        study.fits["lm"] = CrossFit(scores.margins)
    if design is not None and scores is not None and scores.stacked is not None:
        study.designs["all"] = design.beside(scores.stacked)
    elif design is not None and not any(name.startswith("judge.") for name in design.names):
        del study.designs["all"]
        study.skipped["all"] = "no language model in every fold and no features of a judge: the same as both"
    if config.network is None:
        study.designs.pop("given-network", None)
    for name in config.sets:
        if name in study.designs or name in study.fits or name in study.skipped:
            continue
        if name == "lm":
            study.skipped[name] = "no language model: set reward_study.lm, or give the artifact of one"
        elif name == "tier":
            study.skipped[name] = "the records do not tell the tiers of their summaries"
        elif name == "given-network" and config.network is None:
            study.skipped[name] = "reward_study.network is null"
        else:
            study.skipped[name] = f"the records carry no scores {' and '.join(FAMILIES.get(name, ('of any kind',)))}.*"


def _fit(study: Study, config: RewardStudyConfig, on_progress: Any) -> None:
    for name, design in study.designs.items():
        fitting = Fitting(config.l2, config.inner_folds, config.seed)
        if name == "given-network" and config.network is not None:
            network = config.network
            fitting = Fitting(
                network.l2,
                config.inner_folds,
                config.seed,
                network.hidden,
                network.activation,
                network.seeds,
                network.max_iterations,
            )

        def told(done: int, total: int, title: str = TITLES[name]) -> None:
            on_progress(done, total, f"folds of {title}")

        study.fits[name] = cross_fitted(design, study.pairs.groups, study.folds, fitting, told)
    study.fits = {name: study.fits[name] for name in SETS if name in study.fits}


def report_of(study: Study, config: RewardStudyConfig) -> dict[str, Any]:
    """The study in JSON values."""
    pairs, folds = study.pairs, study.folds
    margins: dict[SetName, Floats] = {name: fit.margins for name, fit in study.fits.items()}
    sets: dict[str, Any] = {}
    for name, fit in study.fits.items():
        found = measure(fit.margins, pairs, folds, config.matched, config.n_resamples, config.seed)
        design = study.designs.get(name)
        sets[name] = {
            "title": TITLES[name],
            "features": list(design.names) if design is not None else [],
            "l2": list(fit.l2),
            "seeds": len(fit.margins),
            "estimates": {measured: found[measured].to_json() for measured in MEASURES},
        }
    compared = differences(margins, config.against, pairs, folds, config.matched, config.n_resamples, config.seed)
    return {
        "facts": _facts(study, config),
        "sets": sets,
        "differences": {
            measured: {
                baseline: {name: {**one.to_json(), "p_holm": _finite(p)} for name, (one, p) in rows.items()}
                for baseline, rows in table.items()
            }
            for measured, table in compared.items()
        },
        "curve": _curve(study, config),
        "left_out": study.left_out,
        "skipped": study.skipped,
    }


def _facts(study: Study, config: RewardStudyConfig) -> dict[str, Any]:
    pairs = study.pairs
    return {
        "pairs": len(pairs),
        "products": len(set(pairs.groups)),
        "cross_tier": int(pairs.cross_tier.sum()),
        "same_tier": int(pairs.same_tier.sum()),
        "length_matched": int(pairs.matched(config.matched).sum()),
        "matched_tolerance": config.matched,
        "mean_words": {"chosen": float(pairs.words[0].mean()), "rejected": float(pairs.words[1].mean())},
        "folds": config.folds,
        "inner_folds": config.inner_folds,
        "seed": config.seed,
        "splits": {split: pairs.splits.count(split) for split in sorted(set(pairs.splits))},
        "fold_pairs": np.bincount(study.folds).tolist(),
    }


def _curve(study: Study, config: RewardStudyConfig) -> dict[str, Any] | None:
    if config.curve is None or not study.curves:
        return None
    sizes: Sequence[int] = usable_sizes(config.curve.sizes, study.folds)
    return {
        "level": config.curve.level,
        "repeats": config.curve.repeats,
        "sizes": list(sizes),
        "sizes_left_out": [size for size in config.curve.sizes if size not in sizes],
        "sets": {
            name: {
                "title": TITLES[name],
                "points": [point.to_json() for point in curve.points],
                "crossing": curve.crossing.to_json(),
            }
            for name, curve in study.curves.items()
        },
    }


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The report's numbers by the names of metrics; what is not defined is absent."""
    found: dict[str, float | None] = {
        "reward-study/pairs": report["facts"]["pairs"],
        "reward-study/products": report["facts"]["products"],
    }
    for name, one in report["sets"].items():
        for measured, estimate in one["estimates"].items():
            found[f"reward-study/{name}/{measured}"] = estimate["value"]
    for name, one in (report["curve"] or {"sets": {}})["sets"].items():
        found[f"reward-study/{name}/pairs_to_level"] = one["crossing"]["pairs"]
    return {name: float(value) for name, value in found.items() if value is not None}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
