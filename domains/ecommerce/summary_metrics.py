"""Two stages: a policy's summaries of held-out products, and what all policies' summaries are worth.

Products with human summaries come first, so that ROUGE rests on as many as there are. Every figure has a
cluster-bootstrap interval over products, every difference to the first policy is paired.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domains.ecommerce.aspect_blocks import aspect_section
from domains.ecommerce.aspect_report import aspect_report
from domains.ecommerce.faithfulness import METRIC, Faithfulness, faithfulness
from domains.ecommerce.feature_means import feature_means
from domains.ecommerce.hacking_checks import compare_form, form_table
from domains.ecommerce.products import Product, read_products
from domains.ecommerce.prompting import SummaryPrompt, product_prompt
from domains.ecommerce.rouge import compared, leave_one_out, rouge_table
from domains.ecommerce.support_spans import Embed, KeptVectors, best_similarities, choose_threshold, support_at
from shared.digest import json_digest
from shared.durable import write_json
from shared.errors import DataError
from shared.evaluation.intervals import Floats, bootstrap_mean
from shared.evaluation.measured import ItemValues
from shared.stages import StageContext

ASPECTS = 8  # shown of one product
OTHERS = 3  # other products whose reviews each summary is held against, for the false-positive rate


def write_summaries(context: StageContext) -> dict[str, float]:
    """Writes one summary for each held-out product with a policy.

    Config: ``products`` (most), ``sampling`` (GenerationConfig; its first sample is taken), ``prompt``,
    ``summary_prompt``, ``precision``. Input ``data``; the policy is named as in
    `shared.evaluation.policy_stage.measure_policy` (input, file or model ``model``; else model ``base``).

    Writes ``summaries.json``: rows of ``product`` and ``summary``, products with human summaries first, otherwise in an
    order that depends on ids alone.

    Returns:
        ``summaries/products`` and ``summaries/words``.
    """
    from shared.evaluation.policy_stage import load_measured_policy
    from shared.generation import GenerationConfig, generate
    from shared.prompts import PromptFormat

    config = context.config
    products = held_out_products(read_products(context.inputs["data"] / "products-test.arrow"), config["products"])
    settings = SummaryPrompt.model_validate(config["summary_prompt"])
    model, tokenizer, _ = load_measured_policy(context)
    texts = generate(
        model,
        tokenizer,
        [product_prompt(one, settings) for one in products],
        PromptFormat.model_validate(config["prompt"]),
        GenerationConfig.model_validate(config["sampling"]),
        config["precision"],
        on_progress=lambda done, total: context.progress(done, total, "summarising held-out products"),
    )
    rows = [{"product": one.id, "summary": text[0]} for one, text in zip(products, texts, strict=True)]
    write_json(context.out / "summaries.json", rows)
    words = [len(row["summary"].split()) for row in rows]
    return {"summaries/products": float(len(rows)), "summaries/words": float(np.mean(words))}


def held_out_products(products: Sequence[Product], most: int) -> list[Product]:
    """Products to be summarised: those with human summaries first, at most `most`.

    Raises:
        DataError: there is none.
    """
    if not products:
        raise DataError("no product is left for test: give more products, or a larger test fraction.")
    return sorted(products, key=lambda one: (not one.gold, json_digest(one.id)))[:most]


def measure_summaries(context: StageContext) -> dict[str, float]:
    """Measures the summaries of all policies.

    Config: ``policies`` (the first is what the others are compared with), ``threshold`` (of support), ``factors``
    (names or patterns of `domains.ecommerce.factors`; may be empty) and ``costs`` (their kinds), ``examples``,
    ``summary_prompt`` and ``precision``. Inputs ``data`` and ``summaries-<name>`` of each policy; for win rates also
    ``judge``, with model ``judge`` (its body).

    Writes ``summaries.json`` (all figures, see `summary_report`), ``items.json`` (values by metric, policy and product,
    for the gate), ``examples.json`` and ``aspects.json`` (a report's section on the product with most reviews).

    Returns:
        ``eval/<metric>`` of the second policy (the first that was trained) and ``eval/<first>/<metric>`` of the first.
    """
    config = context.config
    policies: list[str] = list(config["policies"])
    known = {one.id: one for one in read_products(context.inputs["data"] / "products-test.arrow")}
    texts = {name: _texts(context.inputs[f"summaries-{name}"]) for name in policies}
    order = list(texts[policies[0]])
    if any(list(found) != order for found in texts.values()):
        raise DataError("the policies summarised other products than each other: run the summaries again.")
    products = [known[identifier] for identifier in order]
    embed = KeptVectors()
    summaries = {name: list(found.values()) for name, found in texts.items()}
    scores = _factor_scores(products, summaries, config["factors"], config["costs"])
    context.progress(1, 3, "support in the reviews")
    found, items, spans = summary_report(products, summaries, embed, config["threshold"], scores)
    if "judge" in context.inputs:
        context.progress(2, 3, "judging summaries")
        found["win_rate"] = _win_rates(context, products, summaries)
    write_json(context.out / "summaries.json", found)
    write_json(context.out / "items.json", items)
    write_json(context.out / "examples.json", _examples(products, summaries, spans, config["examples"]))
    shown = max(products, key=lambda one: len(one.reviews))  # the first of those with most
    section = aspect_section(aspect_report(shown, embed, ASPECTS), f"What customers say of {shown.id}")
    write_json(context.out / "aspects.json", section.model_dump(mode="json"))
    return _metrics(found, policies)


def _win_rates(
    context: StageContext, products: Sequence[Product], summaries: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    from domains.ecommerce.summary_wins import summary_wins
    from shared.data.record_files import read_records
    from shared.rewards.loading import load_reward

    data, settings = context.inputs["data"], SummaryPrompt.model_validate(context.config["summary_prompt"])
    judge = load_reward(context.inputs["judge"] / "model", context.models["judge"], context.config["precision"])
    return summary_wins(
        judge,
        read_records(data / "judge.arrow"),
        read_records(data / "test.arrow"),
        [product_prompt(one, settings) for one in products],
        [one.id for one in products],
        summaries,
    )


def _texts(folder: Path) -> dict[str, str]:
    rows = json.loads((folder / "summaries.json").read_text(encoding="utf-8"))
    return {row["product"]: row["summary"] for row in rows}


def _factor_scores(
    products: Sequence[Product], summaries: Mapping[str, Sequence[str]], names: Sequence[str], costs: Sequence[Any]
) -> Mapping[str, Sequence[Mapping[str, float]]]:
    """Factor scores of every policy's summaries, or {} where none are asked for."""
    if not names:
        return {}
    from domains.ecommerce.factors import FACTORS, SummaryItem, factor_cache

    wanted = FACTORS.names(names, costs)
    with factor_cache() as cache:
        return {
            policy: FACTORS.measure(
                [SummaryItem(one.reviews, text) for one, text in zip(products, texts, strict=True)], wanted, cache
            )
            for policy, texts in summaries.items()
        }


def summary_report(
    products: Sequence[Product],
    summaries: Mapping[str, Sequence[str]],
    embed: Embed,
    threshold: float,
    scores: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[Faithfulness]]]:
    """All figures of several policies' summaries of the same products.

    Args:
        products: n products with reviews; ROUGE is measured on those with human summaries.
        summaries: policy -> n texts; the first policy is the one that others are compared with.
        embed: makes vectors of sentences.
        threshold: similarity from which a statement counts as supported.
        scores: policy -> n dictionaries of factor scores.

    Returns:
        The report, JSON: ``rouge`` (`rouge.compared`, with ``human``: people against each other) or null;
        ``faithfulness`` (the same of ``faithfulness``, ``supported``, ``contradicted``); ``support`` (threshold, its
        false-positive rate on other products' reviews, and the threshold of 5 %); ``hacking`` and ``features`` (other
        policy -> `compare_form`, `feature_means`). Then values by metric, policy and product; and each policy's
        statements with their support.
    """
    policies = list(summaries)
    seeds = [name for name in policies if name.startswith("seed-")]
    groups = [one.id for one in products]
    rated = [place for place, one in enumerate(products) if one.gold]
    spans = {
        name: [faithfulness(one.reviews, text, embed, threshold) for one, text in zip(products, texts, strict=True)]
        for name, texts in summaries.items()
    }
    faithful = {
        name: {
            figure: np.array([getattr(one, figure) for one in found])
            for figure in (METRIC, "supported", "contradicted")
        }
        for name, found in spans.items()
    }
    forms = {name: form_table([one.reviews for one in products], texts) for name, texts in summaries.items()}
    rouges: dict[str, dict[str, Floats]] = {}
    report: dict[str, Any] = {
        "policies": policies,
        "products": len(products),
        "with_references": len(rated),
        "rouge": None,
    }
    if rated:
        references = [products[place].gold for place in rated]
        rouges = {name: rouge_table([texts[at] for at in rated], references) for name, texts in summaries.items()}
        human, places = leave_one_out(references)
        of_people = [groups[rated[place]] for place in places]
        report["rouge"] = {
            **compared(rouges, [groups[place] for place in rated], policies[0], seeds),
            "human": {metric: bootstrap_mean(values, of_people).to_json() for metric, values in human.items()},
        }
    report["faithfulness"] = compared(faithful, groups, policies[0], seeds)
    report["support"] = support_section(products, summaries[policies[0]], embed, threshold)
    report["hacking"] = {name: compare_form(forms[policies[0]], forms[name], groups) for name in policies[1:]}
    of_factors = scores or {}
    report["features"] = {
        name: feature_means(of_factors[policies[0]], of_factors[name], groups) for name in policies[1:] if of_factors
    }
    items = {
        f"eval/{metric}": {
            "products": [groups[place] for place in places_of],
            "values": {name: [float(value) for value in tables[name][metric]] for name in policies},
        }
        for tables, places_of in ((rouges, rated), (faithful, range(len(products))), (forms, range(len(products))))
        if tables
        for metric in tables[policies[0]]
    }
    return report, items, spans


def support_section(
    products: Sequence[Product], summaries: Sequence[str], embed: Embed, threshold: float
) -> dict[str, Any]:
    """How the threshold does on built negatives: each summary held against the reviews of `OTHERS` other products.

    Returns:
        JSON: ``at_threshold`` and ``at_five_percent`` (see `SupportThreshold`; null where there is one product only).
        Negatives are of the same category where there is another product of it, since those are the hard ones.
    """
    own: list[float] = []
    other: list[float] = []
    for place, (product, text) in enumerate(zip(products, summaries, strict=True)):
        own += best_similarities(product.reviews, [text], embed)[0].tolist()
        for wrong in other_products(products, place):
            other += best_similarities(products[wrong].reviews, [text], embed)[0].tolist()
    if not other:
        return {"at_threshold": None, "at_five_percent": None}
    return {
        "at_threshold": support_at(threshold, own, other).to_json(),
        "at_five_percent": choose_threshold(own, other).to_json(),
    }


def other_products(products: Sequence[Product], place: int, most: int = OTHERS) -> list[int]:
    """Places of other products, those of the same category first, in an order that depends on ids alone."""
    mine = products[place]
    return sorted(
        (at for at in range(len(products)) if products[at].id != mine.id),
        key=lambda at: (
            products[at].category != mine.category or mine.category is None,
            json_digest([mine.id, products[at].id]),
        ),
    )[:most]


def measured_items(folder: Path, metric: str, policies: Sequence[str]) -> ItemValues:
    """Values of one metric for the gate: one row a policy (training seed), one column a product.

    Args:
        folder: artifact of `measure_summaries`.
        metric: e.g. ``eval/faithfulness``.
        policies: names, in the order of the seeds.
    """
    found = json.loads((folder / "items.json").read_text(encoding="utf-8"))[metric]
    values = np.array([found["values"][name] for name in policies])
    return ItemValues.of(found["products"], found["products"], values)


def _examples(
    products: Sequence[Product],
    summaries: Mapping[str, Sequence[str]],
    spans: Mapping[str, Sequence[Faithfulness]],
    most: int,
) -> list[dict[str, Any]]:
    """The first products (their order depends on ids alone: nothing is picked) with every policy's summary."""
    return [
        {
            "product": one.id,
            "reviews": list(one.reviews),
            "references": list(one.gold),
            "summaries": {
                name: {"text": texts[place], "faithfulness": spans[name][place].to_json()}
                for name, texts in summaries.items()
            },
        }
        for place, one in enumerate(products[:most])
    ]


def _metrics(report: Mapping[str, Any], policies: Sequence[str]) -> dict[str, float]:
    found: dict[str, float | None] = {}
    trained = policies[1:2]
    for name, prefix in ((policies[0], f"eval/{policies[0]}"), *((one, "eval") for one in trained)):
        for part in ("rouge", "faithfulness"):
            if report[part]:
                for metric, estimate in report[part]["estimates"][name].items():
                    found[f"{prefix}/{metric}"] = estimate["value"]
    if "win_rate" in report and trained:
        found["eval/win_rate"] = report["win_rate"]["wins"][trained[0]]["win_rate"]["value"]
    if report["support"]["at_threshold"]:
        found["eval/support_false_positives"] = report["support"]["at_threshold"]["false_positives"]
    return {name: float(value) for name, value in found.items() if value is not None}
