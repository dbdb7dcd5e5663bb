"""Plots of a lint report, each where its check had something to draw: from the figures of the checks, never from texts.

What a plot shows stands in words beside it too (`Plot.alt`), with the numbers that matter.
"""

from collections.abc import Mapping
from typing import Any

from shared.report.blocks import Interval, Plot
from shared.report.numbers import number

Figures = Mapping[str, Any]
MOST_JUDGES, MOST_GROUPS, MOST_LANGUAGES = 12, 8, 8
LONGEST_NAME = 28  # characters
LEAST_SHARE = 0.01  # of the pairs in the largest group, from which groups are drawn one by one
_JUDGE_OF_LENGTH = "the longer response"
TOGETHER = "95 % intervals, Holm-corrected: they hold for all rows together. Dashed: chance."


def lint_plots(report: Mapping[str, Any]) -> dict[str, Plot]:
    """The plots of one report, by what they show.

    Args:
        report: `LintReport.to_json`.

    Returns:
        In reading order: ``judges``, ``length``, ``margins``, ``votes``, ``tokens``, ``similarity``, ``groups``,
        ``languages``, ``leaks``; only those whose check ran and had data.
    """
    figures = report["figures"]
    drawn = {
        "judges": _judges(figures),
        "length": _length(figures),
        "margins": _margins(figures),
        "votes": _votes(figures),
        "tokens": _tokens(figures),
        "similarity": _similarity(figures),
        "groups": _groups(figures),
        "languages": _languages(figures),
        "leaks": _leaks(figures, report["splits"]),
    }
    return {name: plot for name, plot in drawn.items() if plot is not None}


def _judges(figures: Figures) -> Plot | None:
    """Every single column, and the length, as a judge of its own."""
    from shared.report.plots import interval_forest

    rows: list[tuple[str, Interval]] = []
    columns = (figures.get("label_predictors") or {}).get("columns", [])
    length = figures.get("length_bias")
    if not columns and length and length["accuracy"] is not None:
        rows.append((_JUDGE_OF_LENGTH, _interval(length, "")))
    for row in columns:
        if row["accuracy"] is None:
            continue
        name = _JUDGE_OF_LENGTH if row["kind"] == "length" else _short(row["column"])
        rows.append((f"{name} *" if row["defines_label"] else name, _interval(row, "_together")))
    if not rows:
        return None
    kept = rows[:MOST_JUDGES]
    if all(name != _JUDGE_OF_LENGTH for name, _ in kept):
        kept += [row for row in rows if row[0] == _JUDGE_OF_LENGTH]
    note = TOGETHER if columns else "95 % interval. Dashed: chance."
    if any(row["defines_label"] for row in columns):
        note += " *: stated to define the label."
    if len(kept) < len(rows):
        note += f" {len(rows) - len(kept)} columns nearer to chance are not drawn."
    return Plot(
        title="Judges that read no answer",
        svg=interval_forest(kept, "share of pairs it gets right", reference=0.5),
        alt="Accuracy of judges that see one column only. "
        + "; ".join(f"{name}: {number(i.value)}{_range(i)}" for name, i in kept),
        note=note,
    )


def _length(figures: Figures) -> Plot | None:
    length = figures.get("length_bias")
    if not length or not length.get("difference", {}).get("counts"):
        return None
    difference = length["difference"]
    return Plot(
        title="Length: chosen minus rejected response",
        svg=_counted(
            {"pairs": difference}, "difference in characters", y_label="pairs", marks=[(0.0, "as long as the other")]
        ),
        alt=f"Histogram of the difference in characters: mean length {number(length['mean_chosen'], 0)} chosen against "
        f"{number(length['mean_rejected'], 0)} rejected, median difference {number(length['median_difference'], 0)}.",
        note=f"Right of the dashed line the chosen response is the longer one.{_beyond(difference)}",
    )


def _margins(figures: Figures) -> Plot | None:
    ties = figures.get("ties") or {}
    margins = ties.get("margins")
    if not margins or len(margins["counts"]) < 2:
        return None
    near = ties.get("near_tie_margin")
    edge = near if near is not None else ties.get("tie_margin", 0.0)
    zone = (margins["edges"][0], edge) if edge > margins["edges"][0] else None
    total = sum(margins["counts"])
    most = max(range(len(margins["counts"])), key=lambda place: margins["counts"][place])
    middle = (margins["edges"][most] + margins["edges"][most + 1]) / 2
    return Plot(
        title="Margins",
        svg=_counted({"pairs": margins}, "margin in the data's own unit", y_label="pairs", zone=zone),
        alt=f"Histogram of the margins of {total:,} pairs; the commonest is about {number(middle, 1)}.",
        note=("Shaded: ties and near-ties." if zone else "No pair lies in the zone of ties.") + _beyond(margins),
    )


def _votes(figures: Figures) -> Plot | None:
    votes = figures.get("contested_votes")
    if not votes or not sum(votes.get("share_for_chosen", {}).get("counts", [])):
        return None
    shares, edge = votes["share_for_chosen"], votes["contested_share"]
    middles = [(a + b) / 2 for a, b in zip(shares["edges"], shares["edges"][1:], strict=False)]
    total = sum(shares["counts"])
    even = sum(n for middle, n in zip(middles, shares["counts"], strict=True) if abs(middle - 0.5) < 1e-6)
    first = max(0, next(place for place, n in enumerate(shares["counts"]) if n) - 1)
    cut = {"counts": shares["counts"][first:], "edges": shares["edges"][first:]}
    kappa = f" Agreement of the raters (Fleiss' kappa): {number(votes['kappa'], 2)}." if votes["kappa"] else ""
    return Plot(
        title="Votes for the chosen response",
        svg=_counted({"pairs": cut}, "share of the decided votes", y_label="pairs", zone=(edge, 1 - edge)),
        alt=f"Histogram of the share of votes for the chosen response over {total:,} pairs; {even:,} are even.{kappa}",
        note=f"Shaded: contested, {number(edge, 2)} to {number(1 - edge, 2)}.{kappa}",
    )


def _groups(figures: Figures) -> Plot | None:
    """The largest groups where one stands out, else how large groups are."""
    from shared.report.plots import bar_chart

    groups = figures.get("dominating_groups")
    if not groups or groups["groups"] < 2 or groups["largest"][0]["pairs"] < 2:
        return None
    said = (
        f"{groups['groups']:,} groups count like {number(groups['effective_groups'], 0)} of equal size; the ten "
        f"largest hold {number(100 * groups['top_ten_share'], 1)} % of the pairs."
    )
    if groups["top_share"] < LEAST_SHARE and sum(groups.get("sizes", {}).get("counts", [])):
        sizes = groups["sizes"]
        most = groups["largest"][0]["pairs"]
        return Plot(
            title="Pairs of a group",
            svg=_counted({"groups": sizes}, "pairs of the group", y_label="groups"),
            alt=f"Histogram of the pairs of a group; the largest has {most:,}. {said}",
            note=said + _beyond(sizes, "groups"),
        )
    rows = [
        (f"{place}. {row['pairs']:,} pairs, e.g. {row['source']}", 100 * row["share"])
        for place, row in enumerate(groups["largest"][:MOST_GROUPS], 1)
    ]
    threshold = 100 * groups.get("threshold", 1.0)
    reference = threshold if rows[0][1] > threshold / 2 else None
    if reference is not None:
        said += f" Dashed: the threshold, {number(threshold, 1)} %."
    return Plot(
        title="The largest groups",
        svg=bar_chart(rows, "% of the pairs", digits=1, unit=" %", reference=reference),
        alt=f"Share of the pairs by group, of {groups['groups']:,} groups: "
        + "; ".join(f"{number(share, 1)} %" for _, share in rows),
        note=said,
    )


def _tokens(figures: Figures) -> Plot | None:
    cut = figures.get("truncation")
    if not cut or not cut.get("lengths", {}).get("counts"):
        return None
    lengths, most = cut["lengths"], cut["max_length"]
    sides = ", ".join(
        f"{name} {number(100 * side['tokens_lost'], 1)} % of its tokens"
        for name, side in cut["by_side"].items()
        if side["pairs_cut"]
    )
    pairs_cut = max(side["pairs_cut"] for side in cut["by_side"].values())
    quantiles = cut["length_quantiles"]
    shown = f"Half of the pairs have at most {number(quantiles['0.5'], 0)} tokens, 95 % at most " + number(
        quantiles["0.95"], 0
    )
    lost = f"Lost to the cut at {most:,}: {sides}." if pairs_cut else f"No pair is cut at {most:,}."
    return Plot(
        title="Tokens of a pair against the length trained on",
        svg=_counted(
            {"pairs": lengths}, "tokens of prompt and longer response", y_label="pairs", marks=[(most, "max_length")]
        ),
        alt=f"Histogram of tokens. {shown}. {lost}",
        note=f"{shown}. {lost}{_beyond(lengths)}",
    )


def _languages(figures: Figures) -> Plot | None:
    from shared.report.plots import bar_chart

    languages = figures.get("wrong_language")
    if not languages or len(languages["texts"]) < 2:
        return None
    ordered = sorted(languages["texts"].items(), key=lambda item: -item[1])
    rows: list[tuple[str, float]] = [
        (f"{code} (expected)" if code in languages["expected"] else code, count)
        for code, count in ordered[:MOST_LANGUAGES]
    ]
    return Plot(
        title="Languages of the texts",
        svg=bar_chart(rows, "texts"),
        alt="Texts by language: " + "; ".join(f"{name} {number(count)}" for name, count in rows),
        note="Texts that are long enough for their language to be told; the code is ISO 639-1.",
    )


def _similarity(figures: Figures) -> Plot | None:
    found = {
        "prompts": (figures.get("near_duplicate_prompts") or {}).get("similarity"),
        "responses": (figures.get("leak_near_text") or {}).get("similarity"),
    }
    shown = {name: one for name, one in found.items() if one and sum(one["counts"])}
    if not shown:
        return None
    threshold = next(iter(shown.values()))["threshold"]
    said = []
    for name, one in shown.items():
        above = sum(n for n, edge in zip(one["counts"], one["edges"], strict=False) if edge >= threshold - 1e-9)
        said.append(f"{above:,} of {one['texts']:,} different {name} have another at {number(threshold, 2)} or more")
    return Plot(
        title="How near the nearest other text is",
        svg=_counted(shown, "similarity (shared word pairs)", y_label="texts", marks=[(threshold, "near-duplicate")]),
        alt=f"Histogram of similarities from 0.5 to 1: {'; '.join(said)}.",
        note=f"{'; '.join(said)}. Word-for-word copies count once; what lies below 0.5 is not shown.",
    )


def _leaks(figures: Figures, splits: Mapping[str, int]) -> Plot | None:
    from shared.report.plots import bar_chart

    kinds = [
        ("leak_group", "", "a group of"),
        ("leak_text", "prompt", "the prompt of"),
        ("leak_near_text", "prompt", "nearly the prompt of"),
        ("leak_text", "response", "a response of"),
        ("leak_near_text", "response", "nearly a response of"),
    ]
    rows: list[tuple[str, float]] = []
    for check, subject, what in kinds:
        for split, count in (figures.get(check) or {}).get(subject, {}).items():
            if count:
                rows.append((f"{split}: {what} an earlier split", 100 * count / max(1, splits[split])))
    if not rows:
        return None
    return Plot(
        title="What later splits share with earlier ones",
        svg=bar_chart(rows, "% of the split's pairs", digits=1, unit=" %"),
        alt="Share of leaked pairs. " + "; ".join(f"{label}: {number(share, 1)} %" for label, share in rows),
        note="Pairs that share only a near text are counted where the text itself is not shared.",
    )


def difficulty_plot(report: Mapping[str, Any]) -> Plot:
    """How hard the training pairs are for the reference, from `difficulty_report`."""
    histogram = report["histogram"]
    right = report["ranking_accuracy"]
    return Plot(
        title="Difficulty of the training pairs for the reference",
        svg=_counted(
            {"pairs": histogram},
            "log p(rejected) - log p(chosen), nats",
            y_label="pairs",
            marks=[(0.0, "ranked right to the left")],
        ),
        alt=f"Of {report['pairs']} pairs the reference ranks {right:.1%} right; the mean difficulty is "
        f"{report['mean']:.1f} nats.",
        note=f"The reference ranks {right:.1%} of the {report['pairs']} pairs right (difficulty at most 0).",
    )


def _counted(groups: Mapping[str, Mapping[str, Any]], x_label: str, **options: Any) -> str:
    from shared.report.plots import counted_histogram

    return counted_histogram({name: (one["counts"], one["edges"]) for name, one in groups.items()}, x_label, **options)


def _interval(row: Mapping[str, Any], ending: str) -> Interval:
    return Interval(value=row["accuracy"], low=row.get(f"low{ending}"), high=row.get(f"high{ending}"))


def _short(column: str) -> str:
    """A column without its kind, cut where it would run into the figures beside it."""
    name = column.partition(".")[2] or column
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _range(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f", {number(interval.low)} to {number(interval.high)}"


def _beyond(figure: Mapping[str, Any], what: str = "pairs") -> str:
    beyond = figure.get("beyond", 0)
    return f" The outermost bars hold the {beyond:,} {what} beyond." if beyond else ""
