"""The report's section of the five preferences, before and after alignment."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.report.blocks import Cell, Notice, Section, Table
from shared.report.run_sections import interval_of, p_cell

KINDS = {"shown": "At one threshold", "equal-latency": "At about equal latency", "offline": "The whole source read"}


def preference_changes(found: Mapping[str, Any]) -> Section:
    """The section of what `measure_preferences` wrote."""
    comparisons, definitions = found["comparisons"], found["definitions"]
    missing = [
        f"{name}: {one['reason']}"
        for name, one in comparisons[0]["measures"].items()
        if one["difference"]["difference"] is None
    ]
    return Section(
        title="The five preferences, before and after",
        intro=(
            f"SFT only and SimulPL, {found['sentences']} held-out sentences, first training seed; paired differences, "
            f"p values corrected by Holm over each table. Words aligned by: {found['alignment']}. Who reads less must "
            "follow the source's order, so what was learned shows at equal latency; where both read the whole source "
            "only the words can differ."
        ),
        notices=[Notice(level="note", text=one) for one in missing],
        tables=[
            *(_changes(one, definitions) for one in _different(comparisons)),
            Table(
                caption="Definitions",
                columns=["measure", "what it is"],
                rows=[[name, one["definition"]] for name, one in definitions.items()],
            ),
        ],
    )


def _different(comparisons: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each comparison of two rules once: the shown threshold may itself be that of about equal latency."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in comparisons:
        rules = (one["before"], one["after"])
        title = KINDS[one["kind"]]
        if rules in found:
            found[rules]["title"] += ", which is " + title[0].lower() + title[1:]
        else:
            found[rules] = {**one, "title": title}
    return list(found.values())


def _changes(compared: Mapping[str, Any], definitions: Mapping[str, Any]) -> Table:
    """Every measure before and after under one pair of rules."""
    better = {None: "", True: "higher", False: "lower"}
    rows: list[list[Cell]] = [
        [
            name,
            interval_of(one["before"]),
            interval_of(one["after"]),
            interval_of(one["difference"]),
            p_cell(one["difference"]["p_value"]),
            better[definitions[name]["higher_is_better"]],
        ]
        for name, one in compared["measures"].items()
        if one["difference"]["difference"] is not None
    ]
    caption = (
        f"{compared['title']}: SFT only at {compared['before']} (LAAL {compared['laal_before']:.2f}), SimulPL at "
        f"{compared['after']} (LAAL {compared['laal_after']:.2f})"
    )
    return Table(caption=caption, columns=["measure", "before", "after", "change", "p", "better"], rows=rows, digits=3)
