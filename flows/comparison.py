"""Runs side by side: settings that differ, all metrics, and paired differences over the items both were measured on."""

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.run_record import all_records, read_record
from shared.domain import Domain, load_domain
from shared.durable import write_text
from shared.errors import DataError, UsageError
from shared.home import runs_folder
from shared.recipes import flatten

if TYPE_CHECKING:
    from shared.evaluation.measured import Measured
    from shared.report.blocks import Interval
    from shared.report.comparison import ComparedRun

log = logging.getLogger(__name__)


def compare_runs(domain: str, run_ids: Sequence[str], limit: int, metric_filters: Sequence[str]) -> dict[str, Any]:
    """Compares runs of one domain and writes the page `runs/compare-<domain>.html`.

    Args:
        domain: name of an installed domain.
        run_ids: ids or their beginnings, the first is what the others are compared with; empty for the latest runs,
            oldest first.
        limit: how many of the latest.
        metric_filters: keep only metrics whose name holds one of these texts; empty keeps all.

    Returns:
        ``{"runs": [...], "params": [{key, values}], "results": [{key, values, low, high}], "metrics": [{key, values,
        low, high}], "paired": [...], "page": path}``; values stand in the order of the runs, None where a run has
        none. `params` are the recipe keys (and data) that differ; `results` the rows of the runs' own result tables;
        `low` and `high` the ends of each run's interval, where there is one; `paired` are differences of a later run
        to the first with interval and p value.

    Raises:
        UsageError: unknown domain or run, a run of another domain, no runs, or no metric of that name.
    """
    loaded = load_domain(domain)
    records = _chosen(domain, run_ids, limit)
    metrics = [metrics_of(record) for record in records]
    wanted = [key for key in dict.fromkeys(key for one in metrics for key in one) if _is_wanted(key, metric_filters)]
    if metric_filters and not wanted:
        raise UsageError(f"no metric of these runs holds {' or '.join(map(repr, metric_filters))} in its name.")
    settings = [settings_of(record) for record in records]
    names = dict.fromkeys(key for one in settings for key in one)
    params = [{"key": name, "values": [one.get(name) for one in settings]} for name in names]
    page = runs_folder() / f"compare-{domain}.html"
    compared = _compared(loaded, records, settings, metrics, wanted, metric_filters)
    paired = _write_page(compared, f"{loaded.title}: comparison of runs", page)
    return {
        "runs": [_summary(record) for record in records],
        "params": [one for one in params if len({json.dumps(value) for value in one["values"]}) > 1],
        "results": _with_intervals([run.results for run in compared]),
        "metrics": _with_intervals([run.metrics for run in compared]),
        "paired": paired,
        "page": str(page),
    }


def _chosen(domain: str, run_ids: Sequence[str], limit: int) -> list[dict[str, Any]]:
    if not run_ids:
        records = sorted(all_records(domain)[:limit], key=lambda record: record["started"])
        if not records:
            raise UsageError(f"the domain {domain} has no runs yet: start one with `valign run {domain}`.")
        return records
    records = [read_record(run_id) for run_id in run_ids]
    for record in records:
        if record["domain"] != domain:
            raise UsageError(
                f"run {record['run_id']} is one of {record['domain']}, not of {domain}: compare runs of one domain."
            )
    return list({record["run_id"]: record for record in records}.values())


def _is_wanted(name: str, filters: Sequence[str]) -> bool:
    return not filters or any(text in name for text in filters)


def settings_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Flat recipe keys of a run, and what data it had (name and beginning of the digest)."""
    settings = flatten(record["recipe"]["values"])
    settings["data"] = f"{record['data']['name']} ({record['data']['sha256'][:8]})"
    if evaluated := record["request"].get("evaluate"):
        settings["evaluated model"] = evaluated
    return settings


def metrics_of(record: Mapping[str, Any]) -> dict[str, float]:
    """All metrics of all stages; those of one of several seeds carry the seed: ``align/loss (seed-0)``."""
    found: dict[str, float] = {}
    for stage in record["stages"]:
        _, _, part = stage["stage"].partition("/")
        for name, value in stage["metrics"].items():
            found[f"{name} ({part})" if part else name] = value
    return found


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    summary = {key: record.get(key) for key in ("run_id", "status", "started", "data", "mlflow_run_id")}
    decision = record.get("decision")
    summary["promoted"] = decision["promoted"] if decision else None
    return summary


def measured_of(domain: Domain, record: Mapping[str, Any]) -> "Measured | None":
    """What the run's evaluation measured of its model item by item; None where it did not get that far."""
    return _read_measured(domain, record, "model" if record["request"].get("evaluate") else "candidate")


def _read_measured(domain: Domain, record: Mapping[str, Any], name: str) -> "Measured | None":
    from shared.evaluation.measured import Measured

    path = _measured_folder(domain, record) / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return Measured.read(path)
    except DataError as error:
        log.warning("%s", error)
        return None


def _measured_folder(domain: Domain, record: Mapping[str, Any]) -> Path:
    stage = next((one for one in record["stages"] if one["stage"] == domain.evaluation_stage), None)
    return Path(stage["path"] if stage else "nowhere") / "measured"


def headline_of(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The rows of a run's result table by a name of their own: an indented row belongs to the one above it.

    ``Ranking accuracy: base`` above ``  aligned, seed 0`` makes the latter ``Ranking accuracy: aligned, seed 0``.
    """
    found: dict[str, Mapping[str, Any]] = {}
    above = ""
    for row in record.get("headline", []):
        name = row["name"]
        if name.startswith("  ") and above:
            name = f"{above}: {name.strip()}"
        else:
            above = name.partition(":")[0]
        found.setdefault(name, row)
    return found


def interval_ends(
    domain: Domain, record: Mapping[str, Any], metrics: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over groups of the metrics whose items the run's evaluation kept.

    Items of the model ``<name>`` under ``eval/<metric>`` belong to the metric ``eval/<name>/<metric>``, those of the
    candidate to ``eval/<metric>`` itself; an interval is given only where the mean of the items is the metric.

    Returns:
        (low, high) by metric.
    """
    from shared.evaluation.intervals import bootstrap_mean

    found: dict[str, tuple[float, float]] = {}
    for path in sorted(_measured_folder(domain, record).glob("*.json")):
        measured = _read_measured(domain, record, path.stem)
        if measured is None:
            continue
        for metric, items in measured.items.items():
            stage, _, rest = metric.partition("/")
            values = items.values[measured.promoted_seed]
            for name in (f"{stage}/{path.stem}/{rest}", f"{metric}/{path.stem}", metric):
                if name in found or name not in metrics:
                    continue
                if not math.isclose(float(values.mean()), metrics[name], rel_tol=1e-6, abs_tol=1e-9):
                    continue
                estimate = bootstrap_mean(values, items.groups)
                if estimate.has_interval():
                    found[name] = (estimate.low, estimate.high)
    return found


def _with_intervals(runs: "Sequence[Mapping[str, Interval | float | None]]") -> list[dict[str, Any]]:
    """Rows of JSON: a figure's values, and the ends of their intervals where any run has one."""
    from shared.report.blocks import Interval

    rows = []
    for key in dict.fromkeys(name for run in runs for name in run):
        cells = [run.get(key) for run in runs]
        row: dict[str, Any] = {"key": key, "values": [c.value if isinstance(c, Interval) else c for c in cells]}
        if any(isinstance(cell, Interval) and cell.low is not None for cell in cells):
            row["low"] = [c.low if isinstance(c, Interval) else None for c in cells]
            row["high"] = [c.high if isinstance(c, Interval) else None for c in cells]
        rows.append(row)
    return rows


def _compared(
    domain: Domain,
    records: Sequence[Mapping[str, Any]],
    settings: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, float]],
    wanted: Sequence[str],
    filters: Sequence[str],
) -> "list[ComparedRun]":
    from shared.report.blocks import Interval
    from shared.report.comparison import ComparedRun, ItemScores

    measured = [measured_of(domain, record) for record in records]
    first = measured[0]
    runs = []
    for record, of_run, values, items in zip(records, settings, metrics, measured, strict=True):
        results: dict[str, Interval | float | None] = {
            name: Interval(value=row["value"], low=row.get("low"), high=row.get("high"))
            for name, row in headline_of(record).items()
            if isinstance(row["value"], float) and _is_wanted(name, filters)
        }
        ends = interval_ends(domain, record, values)
        scores: dict[str, ItemScores] = {}
        # As at the gate: what was measured under other conditions (judge, prompt format) is not compared in pairs.
        if items is not None and first is not None and dict(items.measured_with) == dict(first.measured_with):
            for metric, of_items in items.items.items():
                if not _is_wanted(metric, filters):
                    continue
                row = of_items.values[items.promoted_seed]
                finite = [index for index, value in enumerate(row) if value == value and abs(value) != float("inf")]
                scores[metric] = ItemScores(
                    values={of_items.ids[index]: float(row[index]) for index in finite},
                    groups={of_items.ids[index]: of_items.groups[index] for index in finite},
                )
        report = runs_folder() / record["run_id"] / "report.html"
        runs.append(
            ComparedRun(
                run_id=record["run_id"],
                started=time.strftime("%Y-%m-%d %H:%M", time.localtime(record["started"])),
                params={key: value if _is_plain(value) else json.dumps(value) for key, value in of_run.items()},
                results=results,
                metrics={
                    key: Interval(value=values[key], low=ends[key][0], high=ends[key][1])
                    if key in ends
                    else values.get(key)
                    for key in wanted
                },
                items=scores,
                report=f"{record['run_id']}/report.html" if report.is_file() else "",
            )
        )
    return runs


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _write_page(runs: "Sequence[ComparedRun]", title: str, page: Path) -> list[dict[str, Any]]:
    from shared.evaluation.intervals import finite_or_none
    from shared.report.comparison import paired_rows, render_comparison

    write_text(page, render_comparison(runs, title))
    rows = []
    for row in paired_rows(runs):
        of_row = row["difference"]
        rows.append(
            {
                "metric": row["metric"],
                "run": row["run"],
                "difference": of_row.value,
                "low": of_row.low,
                "high": of_row.high,
                "p_value": finite_or_none(row["p_value"]),
                "p_holm": finite_or_none(row["p_holm"]),
                "n": row["n"],
                "n_groups": row["n_groups"],
            }
        )
    return rows
