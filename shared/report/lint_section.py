"""What a report says of the data's faults: findings of lint with their plots, and what was masked."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from shared.report.blocks import Cell, Finding, Findings, Notice, Plot, ReportData, Section, Table
from shared.report.lint_plots import difficulty_plot, lint_plots
from shared.report.numbers import number

TITLES = {
    "given": "The data as given",
    "source": "The data as given",
    "splits": "The splits, as stored and trained on",
}
MOST_PLACES = 5


def lint_section(
    reports: Mapping[str, Mapping[str, Any]],
    masked: Mapping[str, Any] | None = None,
    difficulty: Mapping[str, Any] | None = None,
) -> Section:
    """The section of a run's report.

    Every kind of plot appears once: of the first part to which it applies, which its small print names.

    Args:
        reports: `LintReport.to_json` by part (source, splits).
        masked: `DeidentifyReport.to_json`, or None where nothing was masked.
        difficulty: `shared.training.pair_difficulty.difficulty_report` of the training pairs, or None before the
            reference was run.
    """
    notices = [notice for part, report in reports.items() if (notice := _summary(part, report))]
    plots: dict[str, Plot] = {}
    for part, report in reports.items():
        for name, plot in lint_plots(report).items():
            if name not in plots:
                said = f"{TITLES.get(part, part)}. {plot.note}" if len(reports) > 1 else plot.note
                plots[name] = plot.model_copy(update={"note": said})
    tables = []
    if masked and masked["enabled"]:
        if masked["records_touched"]:
            tables.append(_masked(masked))
        else:
            text = f"Nothing in these {masked['records']} pairs was masked: no identifier was found."
            notices.append(Notice(level="note", text=text))
        notices.extend(Notice(level="note", text=text) for text in masked["notes"])
    if difficulty:
        plots["difficulty"] = difficulty_plot(difficulty)
        tables.append(_hardest(difficulty))
    return Section(
        title="Lint",
        notices=notices,
        findings=[findings_of(part, report) for part, report in reports.items()],
        tables=tables,
        plots=list(plots.values()),
    )


def lint_page(
    reports: Mapping[str, Mapping[str, Any]],
    *,
    name: str,
    started: str,
    domain: str = "lint",
    left_out: Mapping[str, int] | None = None,
    command: str = "",
) -> str:
    """A self-contained page of lint alone.

    Args:
        reports: `LintReport.to_json` by part.
        name: of the data, as it may be shown.
        started: date and time.
        domain: whose data these are.
        left_out: rows that are no pair, by reason.
        command: that makes this page again.

    Returns:
        A complete HTML document.
    """
    from shared.report.page import render_report

    first = next(iter(reports.values()))
    pairs = sum(first["splits"].values())
    facts: dict[str, Cell] = {"Pairs": pairs}
    if len(first["splits"]) > 1:
        facts["Splits"] = ", ".join(first["splits"])
    facts["Errors"] = sum(_count(report, "error") for report in reports.values())
    facts["Warnings"] = sum(_count(report, "warning") for report in reports.values())
    sections = []
    for part, report in reports.items():
        notice = _summary(part, report)
        tables = []
        if left_out and part == next(iter(reports)):
            rows: list[list[Cell]] = [[why, count] for why, count in left_out.items()]
            tables.append(Table(caption="Rows that are no pair", columns=["Reason", "Rows"], rows=rows))
        found = findings_of(part, report)
        sections.append(
            Section(
                title=TITLES.get(part, part) if len(reports) > 1 else "Findings",
                notices=[notice] if notice else [],
                findings=[found.model_copy(update={"caption": _splits(report)})],
                tables=tables,
                plots=list(lint_plots(report).values()) if len(reports) > 1 else [],
            )
        )
        if len(reports) == 1 and (plots := lint_plots(report)):
            sections.append(Section(title="What the data look like", plots=list(plots.values())))
    sections.append(Section(title="Checks", tables=[_checks(reports)]))
    return render_report(
        ReportData(
            title=f"Lint of {name}",
            domain=domain,
            started=started,
            facts=facts,
            sections=sections,
            reproduce=[command] if command else [],
            version=version("valign"),
        )
    )


def findings_of(part: str, report: Mapping[str, Any]) -> Findings:
    """The findings of one report with the records to look at, gravest first."""
    rows = [
        Finding(
            level=one["severity"],
            name=_name(one),
            amount=f"{number(one['count'])} · {_per_cent(one['share'])}",
            text=one["message"][:1].upper() + one["message"][1:],
            where=_where(one["examples"]),
        )
        for one in report["findings"]
    ]
    clean = sum(state == "clean" for state in report["checks"].values())
    skipped = sum(state.startswith("not applicable") for state in report["checks"].values())
    off = sum(state == "off" for state in report["checks"].values())
    note = f"{clean} of {len(report['checks'])} checks found nothing; {skipped} need what these data do not have"
    note += f"; {off} are switched off." if off else "."
    return Findings(caption=f"{TITLES.get(part, part)} ({_splits(report)})", rows=rows, note=note)


def _summary(part: str, report: Mapping[str, Any]) -> Notice | None:
    """One sentence on how grave it is."""
    counts = {level: _count(report, level) for level in ("error", "warning")}
    said = " and ".join(f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts.items() if count)
    title = TITLES.get(part, part)
    if not said:
        return Notice(level="good", text=f"{title}: no error and no warning.")
    return Notice(level="bad" if counts["error"] else "warning", text=f"{title}: {said}.")


def _count(report: Mapping[str, Any], level: str) -> int:
    return sum(one["severity"] == level for one in report["findings"])


def _splits(report: Mapping[str, Any]) -> str:
    """``800 pairs``, or ``800 pairs: train 640, test 160``."""
    splits = report["splits"]
    said = f"{sum(splits.values()):,} pairs"
    return said if len(splits) == 1 else said + ": " + ", ".join(f"{name} {n:,}" for name, n in splits.items())


def _where(examples: Sequence[Mapping[str, str]]) -> str:
    if not examples:
        return ""
    rows: dict[str, list[str]] = {}
    for one in examples[:MOST_PLACES]:
        file, _, row = one["source"].rpartition(":")
        rows.setdefault(file, []).append(row)
    shown = [f"{file}: {', '.join(numbers)}" if file else ", ".join(numbers) for file, numbers in rows.items()]
    return f"For example {'; '.join(shown)}"


def _per_cent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.0005 else f"{number(100 * share, 1)} %"


def _name(finding: Mapping[str, Any]) -> str:
    name = finding["check"].replace("_", " ").capitalize()
    return f"{name}: {finding['subject']}" if finding["subject"] else name


def _checks(reports: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every check, what became of it, and what it looks for."""
    about = {name: text for report in reports.values() for name, text in report.get("about", {}).items()}
    names = list(dict.fromkeys(name for report in reports.values() for name in report["checks"]))
    titles = [TITLES.get(part, part) for part in reports] if len(reports) > 1 else ["Outcome"]
    rows: list[list[Cell]] = [
        [name, *(report["checks"].get(name) for report in reports.values()), about.get(name, "").replace("`", "")]
        for name in names
    ]
    return Table(caption="What was looked for", columns=["Check", *titles, "What it looks for"], rows=rows)


def _hardest(difficulty: Mapping[str, Any]) -> Table:
    """The pairs that the reference finds hardest: candidates for a look at the label."""
    rows: list[list[Cell]] = [
        [one["source"], one["difficulty"], one["chosen_tokens"], one["rejected_tokens"]]
        for one in difficulty["hardest"]
    ]
    return Table(
        caption="The hardest training pairs for the reference",
        columns=["pair", "difficulty, nats", "tokens of chosen", "tokens of rejected"],
        rows=rows,
        note="Difficulty is log p(rejected) - log p(chosen) under the reference: DPO hardly turns a large one, and "
        "among the largest are wrong labels and very long answers.",
    )


def _masked(masked: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = [[entity.lower(), count] for entity, count in masked["by_entity"].items()]
    touched = f"{masked['records_touched']} of {masked['records']} pairs touched"
    return Table(caption=f"Masked before anything was stored: {touched}", columns=["entity", "masked"], rows=rows)
