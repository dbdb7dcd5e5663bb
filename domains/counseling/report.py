"""The headline and the report sections of a counseling run, made from its artifacts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.report.blocks import Answer, Example, Notice, Section, Table
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

NAMES = {
    "ranking_accuracy": "Ranking accuracy",
    "ranking_accuracy_normalised": "Ranking accuracy, per token",
    "margin_per_token": "Margin, nats a token",
    "reward_accuracy": "Implicit reward accuracy",
    "reward_chosen": "Implicit reward, chosen",
    "reward_rejected": "Implicit reward, rejected",
    "logps_chosen": "log p(chosen), nats",
    "logps_rejected": "log p(rejected), nats",
    "logps_chosen_per_token": "log p(chosen) a token",
    "logps_rejected_per_token": "log p(rejected) a token",
}


def headline(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The rows of the short table: pairs, steps, and the metrics that matter, each with its interval and n."""
    evaluation = read_artifact(folders, "eval", "evaluation.json")
    counts = evaluation["counts"]
    trained = [name for name in folders if name.startswith("align/seed-")]
    pairs = f"{counts['train']} train, {counts['judge']} judge, {counts['test']} test"
    rows: list[dict[str, Any]] = [{"name": "Pairs", "value": pairs, "note": ""}]
    if trained:
        steps = read_artifact(folders, trained[0], "training.json")["steps"]
        rows.append(
            {
                "name": "Training steps",
                "value": str(steps),
                "note": f"{len(trained)} seed{'s' if len(trained) > 1 else ''}",
            }
        )
    reward, judge = evaluation["reward_model"], evaluation["judge"]
    rows.append(headline_row("Reward model accuracy", reward["estimates"]["accuracy"]))
    rows += [
        headline_row(f"  {name} only", baseline["accuracy"], "baseline")
        for name, baseline in reward["baselines"].items()
    ]
    rows.append(headline_row("Judge accuracy", judge["estimates"]["accuracy"], "another body, other groups"))
    models = evaluation["ranking"]["models"]
    others = [name for name in evaluation["policies"] if name != "base"]
    for metric in ("ranking_accuracy", "ranking_accuracy_normalised", "margin_per_token"):
        rows.append(headline_row(f"{NAMES[metric]}: base", models["base"][metric]))
        for name in others[:1]:
            rows.append(headline_row(f"  {label(name)}", models[name][metric]))
            gain = evaluation["ranking"]["differences"][name][metric]
            found = {**gain, "value": gain["difference"]}
            rows.append(headline_row("  gain, paired", found, p_value(gain["p_holm"])))
        together = evaluation["ranking"]["over_seeds"].get(metric)
        if together and "gain" in together:
            rows.append(headline_row(f"  gain over {len(evaluation['seeds'])} seeds", together["gain"]))
    for name in others[:1]:
        rewarded = evaluation["ranking"]["over_seeds"].get("reward_accuracy")
        found = rewarded["estimate"] if rewarded else models[name]["reward_accuracy"]
        told = f"{len(evaluation['seeds'])} seeds" if rewarded else label(name)
        rows.append(headline_row(NAMES["reward_accuracy"], found, f"{told}; chance is .5"))
        wins = evaluation["win_rate"][name]
        note = "" if wins["evidence"] else "no evidence: judge not better than chance"
        rows.append(headline_row("Win rate against base", wins["win_rate"], note))
        rows.append(headline_row("  length-controlled", wins["length_controlled"]["win_rate"], note))
        kl = evaluation["kl"].get(name)
        if kl:
            rows.append(headline_row("KL to base, nats a token", kl["kl_k3_per_token"]))
    return rows


def label(policy: str) -> str:
    """How a policy is called in tables."""
    if policy.startswith("seed-"):
        return f"aligned, {policy.replace('-', ' ')}"
    return {"base": "base", "champion": "champion", "model": "given model"}.get(policy, policy)


def sections(folders: Mapping[str, Path]) -> list[Section]:
    """The report's sections: data, training, reward model, policy, win rate, examples."""
    evaluation = read_artifact(folders, "eval", "evaluation.json")
    found = [data_section(folders, "questions"), data_quality_section(folders)]
    curves = {name: read_curves(folder) for name, folder in folders.items() if (folder / "curves.jsonl").is_file()}
    if curves:
        found.append(training_section(curves))
    found.append(scorers_section(evaluation))
    found.append(_ranking(evaluation))
    if evaluation["win_rate"]:
        found.append(_win_rate(evaluation))
    found += on_policy_sections(folders, label)
    examples = read_artifact(folders, "eval", "examples.json")
    if examples:
        found.append(_examples(examples))
    return found


def _ranking(evaluation: Mapping[str, Any]) -> Section:
    ranking = evaluation["ranking"]
    policies = evaluation["policies"]
    rows: list[Any] = [
        [
            name,
            # The base has no reward against itself.
            *[
                None
                if policy == "base" and metric.startswith("reward")
                else interval_of(ranking["models"][policy][metric])
                for policy in policies
            ],
        ]
        for metric, name in NAMES.items()
    ]
    tables = [Table(caption="Held-out pairs, before and after", columns=["", *map(label, policies)], rows=rows)]
    tests: list[Any] = [
        [label(policy), NAMES[metric], interval_of(test), p_value(test["p_holm"])]
        for policy, row in ranking["differences"].items()
        for metric, test in row.items()
    ]
    if tests:
        tables.append(
            Table(
                caption="Paired differences to the base", columns=["model", "metric", "difference", "test"], rows=tests
            )
        )
    together: list[Any] = [
        [NAMES[metric], interval_of(row["gain"]), interval_of(row["gain_t_over_seeds"])]
        for metric, row in ranking["over_seeds"].items()
        if "gain" in row
    ]
    if together:
        tables.append(
            Table(
                caption="Gain over training seeds",
                columns=["metric", "items and seeds resampled", "Student's t over seeds"],
                rows=together,
            )
        )
    intro = f"Idealised accuracy: {ranking['idealised_accuracy_reason']}."
    return Section(title="Policy on held-out pairs", intro=intro, tables=tables)


def _win_rate(evaluation: Mapping[str, Any]) -> Section:
    rows: list[Any] = []
    notices = []
    for policy, wins in evaluation["win_rate"].items():
        controlled = wins["length_controlled"]
        kl = evaluation["kl"].get(policy) or {}
        rows.append(
            [
                label(policy),
                interval_of(wins["win_rate"]),
                interval_of(controlled["win_rate"]),
                evaluation["answer_words"][policy],
                interval_of(kl.get("kl_k3_per_token")),
            ]
        )
        if not notices:
            notices.append(Notice(level="note" if wins["evidence"] else "warning", text=wins["statement"]))
    table = Table(
        caption=f"Answers to {evaluation['counts']['prompts']} held-out questions, against the base",
        columns=["model", "win rate", "length-controlled", "words an answer", "KL to base, nats a token"],
        rows=rows,
        note=(
            f"The base answers in {evaluation['answer_words']['base']:.0f} words. "
            "KL: Schulman's k3 on samples at temperature 1."
        ),
    )
    return Section(title="Win rate", notices=notices, tables=[table])


def _examples(examples: Sequence[Mapping[str, Any]]) -> Section:
    shown = []
    for one in examples:
        kept = [name for name in one["answers"] if name in ("base", "seed-0", "champion", "model")] or list(
            one["answers"]
        )
        answers = [one["answers"][name] | {"name": name} for name in kept]
        best = max(answers, key=lambda answer: answer["judge_score"])
        shown.append(
            Example(
                prompt=one["prompt"],
                answers=[
                    Answer(
                        label=label(answer["name"]),
                        text=answer["text"],
                        facts={"judge": answer["judge_score"]},
                        preferred=answer is best and len({one["judge_score"] for one in answers}) > 1,
                    )
                    for answer in answers
                ],
            )
        )
    return Section(
        title="Before and after",
        intro=(
            "The first held-out questions in an order fixed by their text; none was picked. “Preferred” is the "
            "judge's word."
        ),
        examples=shown,
    )
