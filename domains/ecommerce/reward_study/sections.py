"""The study in a report: levels with their intervals, paired differences, and the learning curve."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domains.ecommerce.reward_study.stage import STUDY_FILE
from shared.report.blocks import Cell, Interval, Notice, Plot, Section, Table
from shared.report.numbers import number

LEVELS = {
    "accuracy": "all pairs",
    "cross_tier": "across tiers",
    "same_tier": "same tier",
    "log_loss": "log-loss, nats",
    "ece": "calibration error",
}
LENGTH = {
    "accuracy": "all pairs",
    "length_matched": "like length",
    "length_contrary": "shorter preferred",
    "length_partialled": "length partialled out",
}
TESTS = {
    "accuracy": "Accuracy",
    "same_tier": "Accuracy, same tier",
    "length_partialled": "Accuracy, length partialled out",
    "log_loss": "Log-loss, nats (below 0 is better)",
}


def study_sections(folder: Path) -> list[Section]:
    """The report's sections of a study.

    Args:
        folder: the artifact of the stage `reward_study`.

    Returns:
        One section: what was compared, levels, differences, learning curve.
    """
    study = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
    facts = study["facts"]
    tables = [_levels(study), _length(study), *_differences(study)]
    plots: list[Plot] = []
    if study["curve"] is not None:
        plots.append(curve_plot(study["curve"]))
        tables.append(_crossings(study["curve"]))
    return [
        Section(
            title="Reward study",
            intro=f"{facts['pairs']} pairs that people judged, of {facts['products']} products, in {facts['folds']} "
            "folds that tear no product. Every reward is fitted, and its penalty chosen, on other products than those "
            f"it is measured on. {facts['cross_tier']} pairs are of two generation tiers, {facts['same_tier']} of one.",
            notices=_notices(study),
            tables=tables,
            plots=plots,
        )
    ]


def _estimate(values: Mapping[str, Any], key: str = "value") -> Cell:
    if values[key] is None:
        return None
    return Interval(value=values[key], low=values["low"], high=values["high"])


def _levels(study: Mapping[str, Any]) -> Table:
    return Table(
        caption="What each reward is worth on products that it has not seen",
        columns=["reward", *LEVELS.values()],
        rows=_rows(study, LEVELS),
        note="Accuracy is the share of pairs whose preferred summary scores higher; a tie counts one half. 95 % "
        "intervals from resampling products (and seeds, where there are several).",
        dense=True,
    )


def _length(study: Mapping[str, Any]) -> Table:
    facts = study["facts"]
    return Table(
        caption="The same with length under control: accuracy",
        columns=["reward", *LENGTH.values()],
        rows=_rows(study, LENGTH),
        note=f"Preferred summaries have {facts['mean_words']['chosen']:.0f} words on average, the others "
        f"{facts['mean_words']['rejected']:.0f}. Like length: {facts['length_matched']} pairs, the longer summary with "
        f"at most {facts['matched_tolerance']:.0%} more words. Length partialled out: after the part of the log-odds "
        "that is linear in the difference of log words is taken off.",
        dense=True,
    )


def _rows(study: Mapping[str, Any], columns: Mapping[str, str]) -> list[list[Cell]]:
    return [[one["title"], *(_estimate(one["estimates"][name]) for name in columns)] for one in study["sets"].values()]


def _differences(study: Mapping[str, Any]) -> list[Table]:
    found = []
    for measured, title in TESTS.items():
        by_baseline = {name: rows for name, rows in study["differences"].get(measured, {}).items() if rows}
        rows: list[list[Cell]] = [
            [
                study["sets"][name]["title"],
                study["sets"][baseline]["title"],
                _estimate(row, "difference"),
                row["p_holm"],
            ]
            for baseline, compared in by_baseline.items()
            for name, row in compared.items()
        ]
        if rows:
            found.append(
                Table(
                    caption=f"{title}: paired differences on the same pairs",
                    columns=["reward", "minus", "difference", "p (Holm)"],
                    rows=rows,
                    note="Two-sided sign-flip test by product (McNemar's where each pair is a product), adjusted over "
                    "all rows.",
                )
            )
    return found


def _crossings(curve: Mapping[str, Any]) -> Table:
    def pairs(value: float | None) -> str:
        return f"more than {curve['sizes'][-1]}" if value is None else f"{value:.0f}"

    def low(crossing: Mapping[str, Any]) -> str:
        at_most = crossing["low"] is not None and crossing["low"] <= curve["sizes"][0]
        return f"{'at most ' if at_most else ''}{pairs(crossing['low'])}"

    return Table(
        caption=f"Pairs that it takes to reach an accuracy of {curve['level']:g}",
        columns=["reward", "pairs", "from", "to", "reached in"],
        rows=[
            [
                one["title"],
                pairs(one["crossing"]["pairs"]),
                low(one["crossing"]),
                pairs(one["crossing"]["high"]),
                f"{one['crossing']['passed']:.0%}",
            ]
            for one in curve["sets"].values()
        ],
        note="By the rising curve nearest to the measured one, between sizes on a logarithmic scale. From, to: 95 % "
        "interval over products and draws. Reached in: share of resamples in which it is reached at all.",
    )


def curve_plot(curve: Mapping[str, Any]) -> Plot:
    """Accuracy by training pairs, with intervals as bands and the level as a line.

    Args:
        curve: ``curve`` of study.json.
    """
    from shared.report.plots import DASHES, MUTED, SERIES, plot_axes, plot_legend

    with plot_axes(300) as (axes, finished):
        for place, one in enumerate(curve["sets"].values()):
            points = one["points"]
            sizes = [point["size"] for point in points]
            low, middle, high = (
                [float("nan") if point["accuracy"][end] is None else point["accuracy"][end] for point in points]
                for end in ("low", "value", "high")
            )
            colour = SERIES[place % len(SERIES)]
            axes.fill_between(sizes, low, high, color=colour, alpha=0.12, linewidth=0)
            dashes = DASHES[place % len(DASHES)]
            axes.plot(sizes, middle, color=colour, linestyle=dashes, marker="o", markersize=3.2, label=_short(one))
        axes.axhline(curve["level"], color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)))
        axes.set_xscale("log")
        axes.set_xticks(curve["sizes"], [str(size) for size in curve["sizes"]])
        axes.minorticks_off()
        axes.set_xlabel("training pairs")
        axes.set_ylabel("accuracy on other products")
        if curve["sets"]:
            plot_legend(axes, columns=2 if max(len(_short(one)) for one in curve["sets"].values()) <= 20 else 1)
    told = "; ".join(
        f"{one['title']}: "
        + ", ".join(f"{number(point['accuracy']['value'], 3)} at {point['size']}" for point in one["points"])
        for one in curve["sets"].values()
    )
    return Plot(
        title="Accuracy by number of preferences",
        svg=finished[0],
        alt=f"{told}. The dotted line is {curve['level']:g}.",
        note=f"Means over {curve['repeats']} draws of training pairs in every fold; bands: 95 % intervals over "
        f"products and draws. Dotted: {curve['level']:g}.",
    )


def _short(one: Mapping[str, Any]) -> str:
    return str(one["title"]).removesuffix(", linear")


def _notices(study: Mapping[str, Any]) -> list[Notice]:
    found: list[Notice] = []
    if study["skipped"]:
        told = "; ".join(f"{name} ({why})" for name, why in study["skipped"].items())
        found.append(Notice(level="note", text=f"Not in this study: {told}."))
    if study["left_out"]:
        lacking = ", ".join(f"{count} lack {family}.*" for family, count in study["left_out"].items())
        found.append(Notice(level="warning", text=f"Pairs without all scores are left out of the study: {lacking}."))
    curve = study["curve"]
    if curve is not None and curve["sizes_left_out"]:
        sizes = ", ".join(map(str, curve["sizes_left_out"]))
        found.append(Notice(level="note", text=f"There are too few pairs to train on {sizes} of them."))
    same = study["facts"]["same_tier"]
    if 0 < same < 400:
        text = f"With {same} pairs of one tier, accuracies on them are known to some {1.96 * (0.25 / same) ** 0.5:.2f}."
        found.append(Notice(level="note", text=text))
    return found
