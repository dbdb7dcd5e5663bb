"""The report's section on the data's faults: findings of lint, and what was masked."""

from collections.abc import Mapping
from typing import Any

from shared.report.blocks import Interval, Notice, Plot, Section, Table

TITLES = {"source": "The data as given", "splits": "The splits, as stored and trained on"}


def lint_section(reports: Mapping[str, Mapping[str, Any]], masked: Mapping[str, Any] | None = None) -> Section:
    """The section, from lint reports in JSON (by part: source, splits) and the report of de-identification.

    Args:
        reports: `LintReport.to_json` by part.
        masked: `DeidentifyReport.to_json`, or None where nothing was masked.
    """
    from shared.report.plots import interval_forest

    notices, tables, plots = [], [], []
    for part, report in reports.items():
        counts = {level: sum(one["severity"] == level for one in report["findings"]) for level in ("error", "warning")}
        rows: list[Any] = [
            [one["severity"], _name(one), one["count"], one["share"], one["message"]] for one in report["findings"]
        ]
        clean = sum(state == "clean" for state in report["checks"].values())
        skipped = sum(state.startswith("not applicable") for state in report["checks"].values())
        pairs = ", ".join(f"{name} {count}" for name, count in report["splits"].items())
        caption = f"{TITLES.get(part, part)} ({pairs})"
        note = f"{clean} checks found nothing, {skipped} do not apply to these data."
        if rows:
            columns = ["", "check", "count", "share", "finding"]
            tables.append(Table(caption=caption, columns=columns, rows=rows, note=note))
        else:
            notices.append(Notice(level="good", text=f"{caption}: {note}"))
        if counts["error"] or counts["warning"]:
            level = "bad" if counts["error"] else "warning"
            said = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count]
            text = f"{TITLES.get(part, part)}: {' and '.join(said)}."
            notices.append(Notice(level=level, text=text))
    predictors = _predictors(reports.get("source", {}))
    if predictors:
        plots.append(
            Plot(
                title="What predicts the label without reading the answers",
                svg=interval_forest(predictors, "accuracy", reference=0.5),
                alt="Accuracy of judges that see one column or the length only.",
            )
        )
    if masked and masked["enabled"]:
        tables.append(_masked(masked))
        notices.extend(Notice(level="note", text=text) for text in masked["notes"])
    return Section(title="Lint", notices=notices, tables=tables, plots=plots)


def _name(finding: Mapping[str, Any]) -> str:
    name = finding["check"].replace("_", " ")
    return f"{name}: {finding['subject']}" if finding["subject"] else name


def _predictors(report: Mapping[str, Any]) -> list[tuple[str, Interval]]:
    figures = report.get("figures", {})
    found = []
    length = figures.get("length_bias")
    if length:
        found.append(("the longer response", _interval(length)))
    for row in (figures.get("label_predictors") or {}).get("columns", [])[:8]:
        found.append((row["column"], _interval(row)))
    return found


def _interval(row: Mapping[str, Any]) -> Interval:
    return Interval(value=row["accuracy"], low=row.get("low"), high=row.get("high"))


def _masked(masked: Mapping[str, Any]) -> Table:
    rows: list[Any] = [[entity.lower(), count] for entity, count in masked["by_entity"].items()]
    touched = f"{masked['records_touched']} of {masked['records']} pairs touched"
    return Table(caption=f"Masked before anything was stored: {touched}", columns=["entity", "masked"], rows=rows)
