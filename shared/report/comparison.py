"""A page that compares runs: settings that differ, results with intervals side by side, paired differences."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, field_validator

from shared.report.blocks import Block, Cell, Interval, Notice, Plot, Section, Table
from shared.report.numbers import number
from shared.report.page import environment

SIDE_BY_SIDE = 4  # runs
OVERLAP = (
    "In brackets: 95 % interval of the single run. Whether such intervals overlap is no test of a difference; the "
    "paired differences are, where they are given."
)


class ItemScores(Block):
    """A metric item by item: id of the item -> value, and id -> group where items of a group are not independent."""

    values: dict[str, float]
    groups: dict[str, str] = Field(default_factory=dict)


class ComparedRun(Block):
    """One run of a comparison.

    Attributes:
        run_id: valign's id.
        label: short name shown; the run id where empty.
        started: ISO date and time.
        params: settings, flat (`align.beta`).
        results: the few figures that matter, name -> figure with its interval.
        metrics: all metrics, name -> figure, with its interval where there is one.
        items: metric name -> item scores, for paired differences.
        report: relative address of the run's own report; no link where empty.
    """

    run_id: str
    label: str = ""
    started: str = ""
    params: dict[str, Cell] = Field(default_factory=dict)
    results: dict[str, Interval | float | None] = Field(default_factory=dict)
    metrics: dict[str, Interval | float | None] = Field(default_factory=dict)
    items: dict[str, ItemScores] = Field(default_factory=dict)
    report: str = ""

    @field_validator("report")
    @classmethod
    def _relative(cls, report: str) -> str:
        if ":" in report.partition("/")[0]:
            raise ValueError("the address of a report is relative to the comparison's page")
        return report

    @property
    def name(self) -> str:
        """The label, or the run id."""
        return self.label or self.run_id


def differing_settings(runs: Sequence[ComparedRun]) -> Table:
    """Settings that are not the same in all runs, one a row."""
    names = list(dict.fromkeys(key for run in runs for key in run.params))
    rows: list[list[Cell]] = []
    for name in names:
        values = [run.params.get(name) for run in runs]
        if len({repr(v) for v in values}) > 1:
            # As they stand in the recipe, not rounded.
            rows.append([name, *(v if v is None else str(v) for v in values)])
    return _table("Settings that differ", "Setting", runs, rows)


def _table(caption: str, heading: str, runs: Sequence[ComparedRun], rows: list[list[Cell]], note: str = "") -> Table:
    """Runs side by side; more than fit into a page's width stand below one another, a block a row."""
    if len(runs) <= SIDE_BY_SIDE:
        return Table(caption=caption, columns=[heading, *(run.name for run in runs)], rows=rows, note=note, dense=True)
    below: list[list[Cell]] = []
    strong = []
    for name, *values in rows:
        strong.append(len(below))
        below.append([name, ""])
        below += [[run.name, value] for run, value in zip(runs, values, strict=True)]
    return Table(caption=caption, columns=[f"{heading}, then run", "Value"], rows=below, note=note, strong=strong)


def results_side_by_side(runs: Sequence[ComparedRun]) -> Table:
    """The figures that matter, one a row, each with the interval of its run."""
    names = list(dict.fromkeys(key for run in runs for key in run.results))
    rows: list[list[Cell]] = [[name, *(run.results.get(name) for run in runs)] for name in names]
    return _table("Results side by side", "Result", runs, rows, note=OVERLAP)


def metrics_side_by_side(runs: Sequence[ComparedRun]) -> list[Table]:
    """Every metric that is not the same in all runs, one a row; a table for each part of the pipeline."""
    names = list(dict.fromkeys(key for run in runs for key in run.metrics))
    parts: dict[str, list[list[Cell]]] = {}
    same: dict[str, int] = {}
    for name in names:
        values: list[Cell] = [run.metrics.get(name) for run in runs]
        part = name.partition("/")[0] if "/" in name else "other"
        parts.setdefault(part, [])
        if len(runs) > 1 and len({repr(value) for value in values}) == 1:
            same[part] = same.get(part, 0) + 1
        else:
            parts[part].append([name, *values])
    tables = []
    for part, rows in parts.items():
        if not rows:
            continue
        left_out = f"{same[part]} that are the same in all runs are not shown." if part in same else ""
        bare = not any(isinstance(cell, Interval) and cell.low is not None for row in rows for cell in row)
        note = f"{OVERLAP if not bare else ''} {left_out}".strip()
        tables.append(_table(f"Metrics: {part}", "Metric", runs, rows, note))
    return tables


def paired_rows(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """Each later run against the first, by metric, over the items that both have.

    Returns:
        Rows with metric, run, difference (Interval: later - first), p_value, p_holm, n, n_groups.
    """
    from shared.evaluation.paired import holm, paired_difference

    if not runs:
        return []
    first, found = runs[0], []
    for other in runs[1:]:
        for metric, scores in other.items.items():
            before = first.items.get(metric)
            common = sorted(scores.values.keys() & before.values.keys()) if before else []
            if before is None or not common:
                continue
            groups = [scores.groups.get(i) or before.groups.get(i) or i for i in common]
            tested = paired_difference(
                [scores.values[i] for i in common],
                [before.values[i] for i in common],
                groups if scores.groups or before.groups else None,
            )
            found.append(
                {
                    "metric": metric,
                    "run": other.name,
                    "difference": Interval(value=tested.difference, low=tested.low, high=tested.high),
                    "p_value": tested.p_value,
                    "n": tested.n,
                    "n_groups": tested.n_groups,
                }
            )
    adjusted = holm([row["p_value"] for row in found])
    for index, row in enumerate(found):
        row["p_holm"] = adjusted[str(index)]
    return found


def _paired_section(runs: Sequence[ComparedRun]) -> Section | None:
    """The differences to the first run: a plot for each metric, since their units differ, and the tests."""
    from shared.evaluation.intervals import finite_or_none
    from shared.report.plots import interval_forest

    found = paired_rows(runs)
    if not found:
        return None
    several = len(runs) > 2
    rows: list[list[Cell]] = []
    metrics = list(dict.fromkeys(r["metric"] for r in found))
    for r in sorted(found, key=lambda r: metrics.index(r["metric"])):
        tested = finite_or_none(r["p_value"]), finite_or_none(r["p_holm"])
        of_run = [r["run"]] if several else []
        rows.append([r["metric"], *of_run, r["difference"], *tested, r["n"], r["n_groups"]])
    plots = []
    for metric in metrics:
        labelled = [(r["run"], r["difference"]) for r in found if r["metric"] == metric]
        plots.append(
            Plot(
                title=metric,
                svg=interval_forest(labelled, f"difference to {runs[0].name}", reference=0.0),
                alt="; ".join(
                    f"{run}: {number(d.value)}, interval {number(d.low)} to {number(d.high)}" for run, d in labelled
                ),
            )
        )
    return Section(
        title="Paired differences",
        intro=f"Each run minus {runs[0].name}, over the items that both were measured on. Right of the dashed line: "
        "higher than that run.",
        plots=plots,
        tables=[
            Table(
                caption="Paired differences with tests",
                columns=["Metric", *(["Run"] if several else []), "Difference", "p", "p (Holm)", "Items", "Groups"],
                rows=rows,
                note="95 % bootstrap intervals over groups; two-sided p of “no difference”, alone and corrected for "
                "all rows of this table (Holm).",
                dense=True,
            )
        ],
    )


def render_comparison(runs: Sequence[ComparedRun], title: str = "Comparison of runs") -> str:
    """Several runs on one page; the first is the one the others are compared with.

    Args:
        runs: at least one.
        title: of the page.

    Returns:
        A complete HTML document.

    Raises:
        ValueError: no run is given.
    """
    if not runs:
        raise ValueError("a comparison needs at least one run")
    settings = differing_settings(runs)
    sections = [
        Section(title="Settings", tables=[settings])
        if settings.rows
        else Section(title="Settings", notices=[Notice(level="note", text="All recorded settings are the same.")])
    ]
    if any(run.results for run in runs):
        sections.append(Section(title="Results", tables=[results_side_by_side(runs)]))
    if paired := _paired_section(runs):
        sections.append(paired)
    if tables := metrics_side_by_side(runs):
        sections.append(Section(title="All metrics", tables=tables))
    elif any(run.metrics for run in runs):
        sections.append(
            Section(title="All metrics", notices=[Notice(level="note", text="All metrics are the same in all runs.")])
        )
    return environment().get_template("comparison.html.j2").render(runs=runs, title=title, sections=sections)
