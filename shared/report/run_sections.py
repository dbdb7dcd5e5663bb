"""Sections and rows that the reports of several domains have: data, lint, training curves, reward model and judge."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.report.blocks import Interval, Plot, Section, Table
from shared.report.lint_section import lint_section
from shared.report.reward_tables import reward_tables


def read_artifact(folders: Mapping[str, Path], stage: str, name: str) -> Any:
    """A JSON file of a stage's artifact."""
    return json.loads((folders[stage] / name).read_text(encoding="utf-8"))


def headline_row(name: str, estimate: Mapping[str, Any] | None, note: str = "") -> dict[str, Any]:
    """A row of the short table from an estimate, or a difference, with its interval."""
    found = estimate or {"value": None}
    return {
        "name": name,
        "value": found.get("value", found.get("difference")),
        "low": found.get("low"),
        "high": found.get("high"),
        "n": found.get("n"),
        "note": note,
    }


def p_value(value: float | None, corrected: bool = True) -> str:
    """How a p value is told, by Holm's method where it is one of several."""
    if value is None:
        return ""
    return ("p < 0.001" if value < 0.001 else f"p = {value:.3f}") + (" (Holm)" if corrected else "")


def p_cell(value: float | None) -> str:
    """The same in a column that is called p."""
    return p_value(value, corrected=False).removeprefix("p = ").removeprefix("p ")


def interval_of(estimate: Mapping[str, Any] | None) -> Interval | None:
    """An estimate, or a difference, as a cell."""
    if estimate is None or estimate.get("value", estimate.get("difference")) is None:
        return None
    value = estimate.get("value", estimate.get("difference"))
    return Interval(value=value, low=estimate.get("low"), high=estimate.get("high"))


def data_section(folders: Mapping[str, Path], groups: str = "groups") -> Section:
    """Splits and what was left out.

    Args:
        folders: artifacts by stage.
        groups: what a group is called.
    """
    summary = read_artifact(folders, "data", "summary.json")
    rows = [
        [name, *[split.get(key) for key in ("pairs", "groups")]]
        for name, split in summary["splits"].items()
        if split["pairs"]
    ]
    tables = [
        Table(caption="Splits (no group and no text stands in two)", columns=["split", "pairs", groups], rows=rows)
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


def data_quality_section(folders: Mapping[str, Path]) -> Section:
    """What lint found in the data as given and in the splits."""
    masked = read_artifact(folders, "data", "summary.json").get("deidentified")
    parts = {part: read_artifact(folders, "lint", f"{part}.json") for part in ("source", "splits")}
    return lint_section(
        parts, masked, read_artifact(folders, "reference", "difficulty.json") if "reference" in folders else None
    )


def training_section(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Section:
    """Curves of policy trainings, reward model and judge."""
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


def scorers_section(evaluation: Mapping[str, Any]) -> Section:
    """Reward model and judge on held-out pairs, beside judges that read no text."""
    from shared.report.plots import interval_forest, reliability_diagram

    tables, plots = [], []
    for part, title in (("reward_model", "Reward model"), ("judge", "Judge")):
        report = evaluation[part]
        rows: list[Any] = [
            [name.replace("_", " "), interval_of(one), one["n"]] for name, one in report["estimates"].items()
        ]
        caption = f"{title} on held-out pairs: {report['model']}"
        tables.append(Table(caption=caption, columns=["measure", "value", "n"], rows=rows))
        tables += reward_tables(report, title)
    report = evaluation["reward_model"]
    forest = [("reward model", interval_of(report["estimates"]["accuracy"]))]
    forest += [(f"{name} only", interval_of(one["accuracy"])) for name, one in report["baselines"].items()]
    forest += [
        (
            f"judge ({evaluation['counts']['judge']} other pairs)",
            interval_of(evaluation["judge"]["estimates"]["accuracy"]),
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
        [f"{name} points the wrong way", interval_of(one), one["n"]] for name, one in report["contrary"].items()
    ]
    contrary.append(["responses of like length", interval_of(report["matched_length"]), report["matched_length"]["n"]])
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
