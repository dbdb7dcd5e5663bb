"""Evaluation of an e-commerce run: reward model and judge on held-out pairs, summaries of held-out products."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from domains.ecommerce.products import read_products
from domains.ecommerce.prompting import SummaryPrompt, product_prompt
from domains.ecommerce.rouge import compared
from domains.ecommerce.summary_metrics import measure_summaries
from shared.data.record_files import read_records
from shared.device import pick_device
from shared.durable import write_json
from shared.errors import DataError
from shared.evaluation.intervals import Floats
from shared.evaluation.measured import ItemValues, Measured
from shared.evaluation.scorer_report import reward_report
from shared.rewards.loading import load_reward
from shared.rewards.protocol import candidate_scores
from shared.stages import StageContext

SCORERS = ("reward", "judge")
SUPERVISED = "sft"


def evaluate(context: StageContext) -> dict[str, float]:
    """Evaluates reward model, judge and every policy's summaries.

    Config: ``policies`` (the untrained base first), ``threshold``, ``factors``, ``costs``, ``examples``,
    ``summary_prompt``, ``prompt``, ``precision``. Inputs ``data``, ``features`` (records with scores), ``reward``,
    ``judge`` and ``summaries-<name>``; models ``reward`` and ``judge`` (bodies of the scorers).

    Writes ``evaluation.json``, what `measure_summaries` writes, and ``measured/<name>.json`` for the gate. Metrics are
    ``eval/...``; ``eval/reward_score`` is that of the reward trained for, ``eval/judge_score`` that of the judge, which
    learned from other products.
    """
    policies: list[str] = list(context.config["policies"])
    seeds = [name for name in policies if name.startswith("seed-")]
    metrics = measure_summaries(context)
    features = context.inputs["features"]
    train, judged, test = (read_records(features / f"{name}.arrow") for name in ("train", "judge", "test"))
    context.progress(2, 3, "scoring pairs and summaries")
    reports: dict[str, Any] = {}
    scores: dict[str, dict[str, Floats]] = {name: {} for name in policies}
    ids, prompts, texts = _summaries(context, policies)
    for part, learned in zip(SCORERS, (train, judged), strict=True):
        scorer = load_reward(context.inputs[part] / "model", context.models[part], context.config["precision"])
        reports[part] = reward_report(scorer, learned, test)
        candidates = [[texts[name][place] for name in policies] for place in range(len(ids))]
        table = np.stack(candidate_scores(scorer, prompts, candidates))  # [products, policies]
        for at, name in enumerate(policies):
            scores[name][f"{part}_score"] = table[:, at]
    of_scores = compared(scores, ids, policies[0], seeds)
    evaluation = {
        "counts": {"train": len(train), "judge": len(judged), "test": len(test), "products": len(ids)},
        "policies": policies,
        "seeds": seeds,
        "reward_model": reports["reward"],
        "judge": reports["judge"],
        "scores": of_scores,
        "after_supervised": _after_supervised(context, policies, seeds, ids, scores),
        "device": pick_device(context.config["precision"]).description,
    }
    write_json(context.out / "evaluation.json", evaluation)
    _write_measured(context, policies, seeds, ids, scores)
    return metrics | _metrics(evaluation)


def _after_supervised(
    context: StageContext,
    policies: Sequence[str],
    seeds: Sequence[str],
    ids: Sequence[str],
    scores: Mapping[str, Mapping[str, Floats]],
) -> list[dict[str, Any]]:
    """What alignment itself gained: paired differences of the seeds to the policy that they started from.

    Returns:
        Parts as `compared` gives them: scores and faithfulness of all products; ROUGE of those with human summaries.
        Empty where there is no supervised policy.
    """
    if SUPERVISED not in policies or not seeds:
        return []
    found = json.loads((context.out / "items.json").read_text(encoding="utf-8"))
    parts: list[dict[str, Any]] = []
    kept = (SUPERVISED, *seeds)
    for metrics, measured in ((("faithfulness",), scores), (("rougeL_mean", "rouge1_mean"), None)):
        tables = {name: found[f"eval/{name}"] for name in metrics if f"eval/{name}" in found}
        if not tables:
            continue
        values = {
            policy: {
                **(measured[policy] if measured else {}),
                **{name: np.array(table["values"][policy]) for name, table in tables.items()},
            }
            for policy in kept
        }
        products = next(iter(tables.values()))["products"]
        if measured and products != list(ids):
            raise DataError("scores and faithfulness were measured on other products than each other.")
        parts.append(compared(values, products, SUPERVISED, seeds))
    return parts


def _summaries(context: StageContext, policies: Sequence[str]) -> tuple[list[str], list[Any], dict[str, list[str]]]:
    """(ids of the products, their prompts, every policy's summaries), in one order."""
    settings = SummaryPrompt.model_validate(context.config["summary_prompt"])
    known = {one.id: one for one in read_products(context.inputs["data"] / "products-test.arrow")}
    texts: dict[str, list[str]] = {}
    ids: list[str] = []
    for name in policies:
        rows = json.loads((context.inputs[f"summaries-{name}"] / "summaries.json").read_text(encoding="utf-8"))
        ids = [row["product"] for row in rows]
        texts[name] = [row["summary"] for row in rows]
    return ids, [product_prompt(known[one], settings) for one in ids], texts


def _write_measured(
    context: StageContext,
    policies: Sequence[str],
    seeds: Sequence[str],
    ids: Sequence[str],
    scores: Mapping[str, Mapping[str, Floats]],
) -> None:
    """Values by product: one file for every policy, and ``candidate.json`` with all seeds."""
    summary = json.loads((context.inputs["data"] / "summary.json").read_text(encoding="utf-8"))
    found = json.loads((context.out / "items.json").read_text(encoding="utf-8"))
    manifest = json.loads((context.inputs["judge"] / "manifest.json").read_text(encoding="utf-8"))
    conditions = {
        "prompt": json.dumps(context.config["prompt"], sort_keys=True),
        "summary_prompt": json.dumps(context.config["summary_prompt"], sort_keys=True),
        "judge": manifest["digest"],
    }

    def measured(name: str, members: Sequence[str]) -> Measured:
        items = {
            metric: ItemValues.of(
                table["products"], table["products"], np.array([table["values"][one] for one in members])
            )
            for metric, table in found.items()
        }
        for metric in scores[policies[0]]:
            items[f"eval/{metric}"] = ItemValues.of(ids, ids, np.stack([scores[one][metric] for one in members]))
        return Measured(name, items, data_licence=summary.get("licence"), measured_with=conditions)

    folder = context.out / "measured"
    folder.mkdir()
    for name in policies:
        measured(name, [name]).write(folder / f"{name}.json")
    if seeds:
        measured("candidate", seeds).write(folder / "candidate.json")


def _metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for part in ("reward_model", "judge"):
        for name, estimate in evaluation[part]["estimates"].items():
            found[f"eval/{part}_{name}"] = estimate["value"]
        for name, baseline in evaluation[part]["baselines"].items():
            found[f"eval/{part}_{name.replace(' ', '_')}_only_accuracy"] = baseline["accuracy"]["value"]
    estimates, policies = evaluation["scores"]["estimates"], evaluation["policies"]
    shown = next(iter(evaluation["seeds"]), policies[-1])
    for name, prefix in ((policies[0], f"eval/{policies[0]}"), (shown, "eval")):
        for metric, estimate in estimates[name].items():
            found[f"{prefix}/{metric}"] = estimate["value"]
    return {name: float(value) for name, value in found.items() if value is not None}
