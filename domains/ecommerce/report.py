"""The headline and the report sections of an e-commerce run, made from its artifacts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domains.ecommerce.reward_study.sections import study_sections
from domains.ecommerce.summary_blocks import FAITHFUL_NAMES, ROUGE_NAMES, summary_sections
from shared.report.blocks import Cell, Section, Table
from shared.report.on_policy_section import on_policy_sections
from shared.report.run_sections import (
    data_quality_section,
    data_section,
    headline_row,
    interval_of,
    p_value,
    read_artifact,
    scorers_section,
    training_section,
)
from shared.training.stage_results import read_curves

SCORES = {"reward_score": "Reward, log-odds", "judge_score": "Judge's score, log-odds"}


def label(policy: str) -> str:
    """How a policy is called in tables."""
    if policy.startswith("seed-"):
        return f"aligned, {policy.replace('-', ' ')}"
    return {"base": "base", "sft": "supervised", "champion": "champion", "model": "given model"}.get(policy, policy)


def headline(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The rows of the short table: pairs, reward, ROUGE, faithfulness and scores, each with its interval and n."""
    evaluation = read_artifact(folders, "eval", "evaluation.json")
    summaries = read_artifact(folders, "eval", "summaries.json")
    counts, policies = evaluation["counts"], evaluation["policies"]
    pairs = f"{counts['train']} train, {counts['judge']} judge, {counts['test']} test"
    told = f"{counts['products']} held-out products summarised"
    rows: list[dict[str, Any]] = [{"name": "Pairs", "value": pairs, "note": told}]
    for part, title in (("reward_model", "Reward accuracy"), ("judge", "Judge accuracy")):
        report = evaluation[part]
        rows.append(headline_row(title, report["estimates"]["accuracy"]))
        if part == "reward_model":
            rows += [
                headline_row(f"  {name} only", baseline["accuracy"], "baseline")
                for name, baseline in report["baselines"].items()
            ]
    if "reward-study" in folders:
        study = read_artifact(folders, "reward-study", "study.json")
        for name in ("measured", "both", "all"):
            if name in study["sets"]:
                found = study["sets"][name]["estimates"]["accuracy"]
                rows.append(headline_row(f"  {name} features, cross-fitted", found, "all pairs"))
    first = policies[0]
    shown = [name for name in (*evaluation["seeds"][:1], "sft", "champion", "model") if name in policies]
    parts = [
        (evaluation["scores"], SCORES),
        (summaries["faithfulness"], {"faithfulness": FAITHFUL_NAMES["faithfulness"]}),
    ]
    if summaries["rouge"]:
        parts.append((summaries["rouge"], {"rougeL_mean": ROUGE_NAMES["rougeL_mean"]}))
    for part, names in parts:
        for metric, title in names.items():
            rows.append(headline_row(f"{title}: {label(first)}", part["estimates"][first].get(metric)))
            for name in shown:
                rows.append(headline_row(f"  {label(name)}", part["estimates"][name].get(metric)))
                gain = part["differences"][name].get(metric)
                if gain:
                    rows.append(
                        headline_row("  gain, paired", {**gain, "value": gain["difference"]}, p_value(gain["p_holm"]))
                    )
            together = part["over_seeds"].get(metric)
            if together:
                rows.append(headline_row(f"  gain over {len(evaluation['seeds'])} seeds", together["gain"]))
    return rows


def sections(folders: Mapping[str, Path]) -> list[Section]:
    """The report's sections: data, lint, training, reward, study, summaries, hacking, features, examples, aspects."""
    evaluation = read_artifact(folders, "eval", "evaluation.json")
    summaries = read_artifact(folders, "eval", "summaries.json")
    found = [data_section(folders, "products"), data_quality_section(folders)]
    curves = {name: read_curves(folder) for name, folder in folders.items() if (folder / "curves.jsonl").is_file()}
    if curves:
        found.append(training_section(curves))
    found += [_factors(folders), scorers_section(evaluation)]
    if "reward-study" in folders:
        found += study_sections(folders["reward-study"])
    found.append(_scores(evaluation))
    names = {name: label(name) for name in evaluation["policies"]}
    found += summary_sections(summaries, read_artifact(folders, "eval", "examples.json"), names)
    found.append(Section.model_validate(read_artifact(folders, "eval", "aspects.json")))
    found += on_policy_sections(folders, label)
    return found


def _factors(folders: Mapping[str, Path]) -> Section:
    found = read_artifact(folders, "features", "factors.json")
    defined = {one["name"]: one for one in found["factors"]}
    split = next(iter(found["agreement"]), None)
    rows: list[list[Cell]] = []
    for row in found["agreement"].get(split, []) if split else []:
        name = row["name"].removeprefix("measured.")
        about = defined.get(name, {}).get("definition", "given in the data")
        rows.append([row["name"], about, interval_of(row["accuracy"])])
    table = Table(
        caption=f"How far each score alone agrees with the preferences of the split {split}",
        columns=["score", "what it is", "accuracy"],
        rows=rows,
        note="In the direction of the factor's sign; .5 is chance. Intervals resample products.",
        dense=True,
    )
    return Section(title="Features", tables=[table])


def _scores(evaluation: Mapping[str, Any]) -> Section:
    part, policies = evaluation["scores"], evaluation["policies"]
    rows: list[list[Cell]] = [
        [label(name), *(interval_of(part["estimates"][name][metric]) for metric in SCORES)] for name in policies
    ]
    tests: list[list[Cell]] = [
        [f"{label(name)}: {SCORES[metric]}", interval_of(one), p_value(one["p_holm"])]
        for name, metrics in part["differences"].items()
        for metric, one in metrics.items()
    ]
    tests += [
        [f"all seeds: {SCORES[metric]}", interval_of(one["gain"]), ""] for metric, one in part["over_seeds"].items()
    ]
    tables = [
        Table(
            caption=f"Summaries of {evaluation['counts']['products']} held-out products",
            columns=["", *SCORES.values()],
            rows=rows,
        ),
        Table(caption=f"Paired differences to {label(policies[0])}", columns=["", "difference", "test"], rows=tests),
    ]
    if evaluation["after_supervised"]:
        tables.append(_after_supervised(evaluation["after_supervised"]))
    return Section(
        title="Scores of summaries",
        intro="The reward is what the policy was trained for; the judge learned from other products.",
        tables=tables,
    )


def _after_supervised(parts: Sequence[Mapping[str, Any]]) -> Table:
    """What alignment gained over the supervised policy that it started from."""
    titles = {**SCORES, **FAITHFUL_NAMES, **ROUGE_NAMES}
    rows: list[list[Cell]] = []
    for part in parts:
        rows += [
            [f"{label(name)}: {titles[metric]}", interval_of(one), p_value(one["p_holm"])]
            for name, metrics in part["differences"].items()
            for metric, one in metrics.items()
        ]
        rows += [
            [f"all seeds: {titles[metric]}", interval_of(one["gain"]), ""] for metric, one in part["over_seeds"].items()
        ]
    return Table(
        caption="Paired differences of the aligned policies to the supervised one",
        columns=["", "difference", "test"],
        rows=rows,
        note="What alignment added to supervised training. All seeds: seeds and products resampled.",
    )
