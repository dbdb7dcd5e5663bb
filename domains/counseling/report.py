"""The headline and the report sections of a counseling run, made from its artifacts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.report.blocks import Answer, Example, Interval, Notice, Plot, Section, Table
from shared.report.lint_section import lint_section
from shared.report.on_policy_section import on_policy_sections
from shared.report.reward_tables import reward_tables
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


def _read(folders: Mapping[str, Path], stage: str, name: str) -> Any:
    return json.loads((folders[stage] / name).read_text(encoding="utf-8"))


def _row(name: str, estimate: Mapping[str, Any] | None, note: str = "") -> dict[str, Any]:
    found = estimate or {"value": None}
    return {
        "name": name,
        "value": found["value"],
        "low": found.get("low"),
        "high": found.get("high"),
        "n": found.get("n"),
        "note": note,
    }


def headline(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The rows of the short table: pairs, steps, and the metrics that matter, each with its interval and n."""
    evaluation = _read(folders, "eval", "evaluation.json")
    counts = evaluation["counts"]
    trained = [name for name in folders if name.startswith("align/seed-")]
    pairs = f"{counts['train']} train, {counts['judge']} judge, {counts['test']} test"
    rows: list[dict[str, Any]] = [{"name": "Pairs", "value": pairs, "note": ""}]
    if trained:
        steps = _read(folders, trained[0], "training.json")["steps"]
        rows.append(
            {
                "name": "Training steps",
                "value": str(steps),
                "note": f"{len(trained)} seed{'s' if len(trained) > 1 else ''}",
            }
        )
    reward, judge = evaluation["reward_model"], evaluation["judge"]
    rows.append(_row("Reward model accuracy", reward["estimates"]["accuracy"]))
    rows += [_row(f"  {name} only", baseline["accuracy"], "baseline") for name, baseline in reward["baselines"].items()]
    rows.append(_row("Judge accuracy", judge["estimates"]["accuracy"], "another body, other groups"))
    models = evaluation["ranking"]["models"]
    others = [name for name in evaluation["policies"] if name != "base"]
    for metric in ("ranking_accuracy", "ranking_accuracy_normalised", "margin_per_token"):
        rows.append(_row(f"{NAMES[metric]}: base", models["base"][metric]))
        for name in others[:1]:
            rows.append(_row(f"  {label(name)}", models[name][metric]))
            gain = evaluation["ranking"]["differences"][name][metric]
            found = {**gain, "value": gain["difference"]}
            rows.append(_row("  gain, paired", found, _p(gain["p_holm"])))
        together = evaluation["ranking"]["over_seeds"].get(metric)
        if together and "gain" in together:
            rows.append(_row(f"  gain over {len(evaluation['seeds'])} seeds", together["gain"]))
    for name in others[:1]:
        rewarded = evaluation["ranking"]["over_seeds"].get("reward_accuracy")
        found = rewarded["estimate"] if rewarded else models[name]["reward_accuracy"]
        told = f"{len(evaluation['seeds'])} seeds" if rewarded else label(name)
        rows.append(_row(NAMES["reward_accuracy"], found, f"{told}; chance is .5"))
        wins = evaluation["win_rate"][name]
        note = "" if wins["evidence"] else "no evidence: judge not better than chance"
        rows.append(_row("Win rate against base", wins["win_rate"], note))
        rows.append(_row("  length-controlled", wins["length_controlled"]["win_rate"], note))
        kl = evaluation["kl"].get(name)
        if kl:
            rows.append(_row("KL to base, nats a token", kl["kl_k3_per_token"]))
    return rows


def label(policy: str) -> str:
    """How a policy is called in tables."""
    if policy.startswith("seed-"):
        return f"aligned, {policy.replace('-', ' ')}"
    return {"base": "base", "champion": "champion", "model": "given model"}.get(policy, policy)


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "p < 0.001 (Holm)" if value < 0.001 else f"p = {value:.3f} (Holm)"


def _interval(estimate: Mapping[str, Any] | None) -> Interval | None:
    if estimate is None or estimate.get("value", estimate.get("difference")) is None:
        return None
    value = estimate.get("value", estimate.get("difference"))
    return Interval(value=value, low=estimate.get("low"), high=estimate.get("high"))


def sections(folders: Mapping[str, Path]) -> list[Section]:
    """The report's sections: data, training, reward model, policy, win rate, examples."""
    evaluation = _read(folders, "eval", "evaluation.json")
    found = [_data(folders), _lint(folders)]
    curves = {name: read_curves(folder) for name, folder in folders.items() if (folder / "curves.jsonl").is_file()}
    if curves:
        found.append(_training(curves))
    found.append(_scorers(evaluation))
    found.append(_ranking(evaluation))
    if evaluation["win_rate"]:
        found.append(_win_rate(evaluation))
    found += on_policy_sections(folders, label)
    examples = _read(folders, "eval", "examples.json")
    if examples:
        found.append(_examples(examples))
    return found


def _data(folders: Mapping[str, Path]) -> Section:
    summary = _read(folders, "data", "summary.json")
    rows = [
        [name, *[split.get(key) for key in ("pairs", "groups")]]
        for name, split in summary["splits"].items()
        if split["pairs"]
    ]
    tables = [
        Table(
            caption="Splits (no question and no text stands in two)", columns=["split", "pairs", "questions"], rows=rows
        )
    ]
    dropped = summary.get("dropped") or {}
    if dropped:
        tables.append(
            Table(
                caption="Rows left out",
                columns=["reason", "rows"],
                rows=[[why, count] for why, count in dropped.items()],
            )
        )
    licence = summary.get("licence") or "not stated"
    return Section(
        title="Data", intro=f"Read by the adapter “{summary['adapter']}”. Licence: {licence}.", tables=tables
    )


def _lint(folders: Mapping[str, Path]) -> Section:
    masked = _read(folders, "data", "summary.json").get("deidentified")
    parts = {part: _read(folders, "lint", f"{part}.json") for part in ("source", "splits")}
    return lint_section(
        parts, masked, _read(folders, "reference", "difficulty.json") if "reference" in folders else None
    )


def _training(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Section:
    from shared.report.plots import Series, line_curves

    plots = []
    aligned = {name: rows for name, rows in curves.items() if name.startswith("align/")}
    metrics = [
        ("loss", "DPO loss", 0.6931),
        ("rewards/margins", "Implicit reward margin of training pairs", 0.0),
        ("rewards/accuracies", "Share of training pairs ranked right by the implicit reward", 0.5),
    ]
    for metric, title, level in metrics:
        series = [
            Series(
                name.removeprefix("align/").replace("-", " "),
                [row["step"] for row in rows],
                [_value(row, metric) for row in rows],
                metric,
            )
            for name, rows in aligned.items()
        ]
        if any(value is not None for one in series for value in one.y):
            plots.append(
                Plot(
                    title=title,
                    svg=line_curves(series, "step", metric, reference=level),
                    alt=f"{title} by step, one line a seed.",
                )
            )
    for name in ("reward", "judge"):
        if name in curves:
            rows = curves[name]
            series = [Series(name, [row["step"] for row in rows], [_value(row, "loss") for row in rows])]
            title = f"Preference loss of the {'reward model' if name == 'reward' else 'judge'}"
            plots.append(
                Plot(title=title, svg=line_curves(series, "step", "loss", reference=0.6931), alt=f"{title} by step.")
            )
    return Section(title="Training", intro="The dashed line is the loss of a coin, log 2, or no margin.", plots=plots)


def _value(row: Mapping[str, float], metric: str) -> float | None:
    for key in (metric, f"align/{metric}", f"reward/{metric}", metric.replace("rewards/", "align/rewards_")):
        if key in row:
            return row[key]
    return None


def _scorers(evaluation: Mapping[str, Any]) -> Section:
    from shared.report.plots import interval_forest, reliability_diagram

    tables, plots = [], []
    for part, title in (("reward_model", "Reward model"), ("judge", "Judge")):
        report = evaluation[part]
        rows: list[Any] = [
            [name.replace("_", " "), _interval(one), one["n"]] for name, one in report["estimates"].items()
        ]
        caption = f"{title} on held-out pairs: {report['model']}"
        tables.append(Table(caption=caption, columns=["measure", "value", "n"], rows=rows))
        tables += reward_tables(report, title)
    report = evaluation["reward_model"]
    forest = [("reward model", _interval(report["estimates"]["accuracy"]))]
    forest += [(f"{name} only", _interval(one["accuracy"])) for name, one in report["baselines"].items()]
    forest += [
        (
            f"judge ({evaluation['counts']['judge']} other pairs)",
            _interval(evaluation["judge"]["estimates"]["accuracy"]),
        )
    ]
    shown = [(name, one) for name, one in forest if one is not None]
    plots.append(
        Plot(
            title="Accuracy on held-out pairs, beside judges that read no text",
            svg=interval_forest(shown, "accuracy", reference=0.5),
            alt="Accuracy with 95 % intervals of reward model, confound baselines and judge.",
        )
    )
    contrary: list[Any] = [
        [f"{name} points the wrong way", _interval(one), one["n"]] for name, one in report["contrary"].items()
    ]
    contrary.append(["responses of like length", _interval(report["matched_length"]), report["matched_length"]["n"]])
    tables.append(
        Table(
            caption="Accuracy of the reward model where a confound does not help",
            columns=["pairs where", "accuracy", "n"],
            rows=contrary,
        )
    )
    bins = [
        (one["confidence"], Interval(**{key: one["accuracy"][key] for key in ("value", "low", "high")}), one["count"])
        for one in report["reliability"]
        if one["count"]
    ]
    if bins:
        plots.append(
            Plot(
                title="Calibration of the reward model",
                svg=reliability_diagram(bins),
                alt="Share of pairs won by predicted probability; the diagonal is perfect calibration.",
                note="Every pair in both orders, so the diagram is symmetric.",
            )
        )
    return Section(title="Reward model and judge", tables=tables, plots=plots)


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
                else _interval(ranking["models"][policy][metric])
                for policy in policies
            ],
        ]
        for metric, name in NAMES.items()
    ]
    tables = [Table(caption="Held-out pairs, before and after", columns=["", *map(label, policies)], rows=rows)]
    tests: list[Any] = [
        [label(policy), NAMES[metric], _interval(test), _p(test["p_holm"])]
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
        [NAMES[metric], _interval(row["gain"]), _interval(row["gain_t_over_seeds"])]
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
                _interval(wins["win_rate"]),
                _interval(controlled["win_rate"]),
                evaluation["answer_words"][policy],
                _interval(kl.get("kl_k3_per_token")),
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
