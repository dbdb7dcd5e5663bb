"""What `summary_metrics` measured as sections of the run's report: ROUGE, faithfulness, hacking, features, examples."""

from collections.abc import Mapping, Sequence
from typing import Any

from domains.ecommerce.aspect_blocks import supported_answer
from domains.ecommerce.faithfulness import Faithfulness
from domains.ecommerce.rouge import METRICS
from domains.ecommerce.support_spans import SupportSpan
from shared.report.blocks import Answer, Cell, Example, Interval, Notice, Section, Table
from shared.report.numbers import number

ROUGE_NAMES = {
    f"rouge{kind}_{over}": f"ROUGE-{kind}, {over} of references" for kind in "12L" for over in ("mean", "best")
}
FAITHFUL_NAMES = {
    "faithfulness": "Faithful statements",
    "supported": "Supported by a review sentence",
    "contradicted": "Contradicted in sentiment",
}
FEATURES = 12  # shown of each policy, those that moved most


def summary_sections(
    report: Mapping[str, Any], examples: Sequence[Mapping[str, Any]], names: Mapping[str, str]
) -> list[Section]:
    """The sections of a run's report.

    Args:
        report: ``summaries.json`` of `measure_summaries`.
        examples: its ``examples.json``.
        names: what policies are called.
    """
    return [
        _summaries(report, names),
        _hacking(report, names),
        *([_features(report, names)] if report["features"] else []),
        *([_examples(examples, names)] if examples else []),
    ]


def _interval(row: Mapping[str, Any] | None, value: str = "value") -> Interval | None:
    if row is None or row[value] is None:
        return None
    return Interval(value=row[value], low=row["low"], high=row["high"])


def _summaries(report: Mapping[str, Any], names: Mapping[str, str]) -> Section:
    tables, first = [], report["policies"][0]
    if report["rouge"]:
        tables.append(
            _table(
                report["rouge"],
                {name: ROUGE_NAMES[name] for name in METRICS},
                names,
                f"ROUGE on {report['with_references']} products with human summaries",
                "F1 with Porter stemming; in brackets the 95 % interval from a bootstrap of products. People: each "
                "human summary against the others of its product.",
                report["rouge"]["human"],
            )
        )
    note = "Mean over summaries, with the 95 % interval from a bootstrap of products."
    caption = f"Faithfulness on {report['products']} products"
    tables.append(_table(report["faithfulness"], FAITHFUL_NAMES, names, caption, note))
    compared = [part for part in ("rouge", "faithfulness") if report[part] and report[part]["differences"]]
    tables += [_gains(report, part, names) for part in compared]
    support = report["support"]["at_threshold"]
    intro = "A statement is a sentence of a summary, cut where it contrasts."
    if support:
        intro += (
            f" It counts as supported from a similarity of {support['threshold']:.2f} with a review sentence; of "
            f"{support['negatives']:,} built negatives (statements held against the reviews of other products) "
            f"{support['false_positives']:.1%} pass, of the {support['positives']:,} on their own reviews "
            f"{support['recall']:.1%}."
        )
    notices = []
    if "win_rate" in report:
        wins = report["win_rate"]["wins"]
        rows: list[list[Cell]] = [
            [names.get(name, name), _interval(one["win_rate"]), _interval(one["length_controlled"]["win_rate"])]
            for name, one in wins.items()
        ]
        tables.append(
            Table(
                caption=f"Win rate over {names.get(first, first)}, by the held-out judge",
                columns=["Policy", "Win rate", "Length-controlled"],
                rows=rows,
            )
        )
        for one in list(wins.values())[:1]:
            notices.append(Notice(level="note" if one["evidence"] else "warning", text=one["statement"]))
    return Section(title="Summaries", intro=intro, notices=notices, tables=tables)


def _table(
    part: Mapping[str, Any],
    metrics: Mapping[str, str],
    names: Mapping[str, str],
    caption: str,
    note: str,
    human: Mapping[str, Any] | None = None,
) -> Table:
    policies = list(part["estimates"])
    rows: list[list[Cell]] = []
    for metric, shown in metrics.items():
        row: list[Cell] = [shown, *(_interval(part["estimates"][name][metric]) for name in policies)]
        rows.append([*row, _interval(human[metric])] if human else row)
    columns = ["", *(names.get(name, name) for name in policies), *(["People"] if human else [])]
    return Table(caption=caption, columns=columns, rows=rows, note=note, dense=True)


def _gains(report: Mapping[str, Any], part: str, names: Mapping[str, str]) -> Table:
    """Paired differences to the first policy; over the seeds where there are several."""
    first = report["policies"][0]
    known = {**ROUGE_NAMES, **FAITHFUL_NAMES}
    rows: list[list[Cell]] = [
        [f"{names.get(policy, policy)}: {known[metric]}", _interval(one, "difference"), _p(one["p_holm"])]
        for policy, metrics in report[part]["differences"].items()
        for metric, one in metrics.items()
    ]
    rows += [
        [f"all seeds: {known[metric]}", _interval(one["gain"]), ""]
        for metric, one in report[part]["over_seeds"].items()
    ]
    return Table(
        caption=f"{'ROUGE' if part == 'rouge' else 'Faithfulness'}: difference to {names.get(first, first)}",
        columns=["", "Difference", "p (Holm)"],
        rows=rows,
        note="Paired by product: cluster-bootstrap interval and sign-flip test. All seeds: both resampled.",
    )


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else number(value, 3)


def _hacking(report: Mapping[str, Any], names: Mapping[str, str]) -> Section:
    notices, tables = [], []
    first = names.get(report["policies"][0], report["policies"][0])
    for policy, checks in report["hacking"].items():
        rows: list[list[Cell]] = []
        for one in checks.values():
            level = one["level"]
            mark = {"warning": "beyond the limit", "note": "beyond the limit, within chance", "clear": ""}[level]
            limit = None if one["limit"] is None else round(one["limit"], 3)
            rows.append(
                [
                    one["about"].capitalize(),
                    _interval(one["before"]),
                    _interval(one["after"]),
                    _interval(one["difference"], "difference"),
                    limit,
                    mark,
                ]
            )
            if level == "warning":
                change = number(one["difference"]["difference"], 2)
                text = f"{names.get(policy, policy)}: {one['about']} changed by {change} (limit {number(limit, 2)})."
                notices.append(Notice(level="warning", text=text))
        tables.append(
            Table(
                caption=f"{names.get(policy, policy)} against {first}",
                columns=["Figure", "Before", "After", "Difference", "Limit", ""],
                rows=rows,
                dense=True,
            )
        )
    if tables and not notices:
        notices.append(Notice(level="good", text="No figure rose beyond its limit by more than chance."))
    intro = "Ways to please a reward without summarising: copying, listing aspects, changing length, repetition."
    return Section(title="Reward hacking", intro=intro, notices=notices, tables=tables)


def _features(report: Mapping[str, Any], names: Mapping[str, str]) -> Section:
    tables = []
    for policy, features in report["features"].items():
        rows: list[list[Cell]] = [
            [
                name,
                _interval(one["before"]),
                _interval(one["after"]),
                _interval(one["difference"], "difference"),
                _p(one["p_holm"]),
            ]
            for name, one in list(features.items())[:FEATURES]
        ]
        tables.append(
            Table(
                caption=f"Features of summaries, {names.get(policy, policy)}",
                columns=["Feature", "Before", "After", "Difference", "p (Holm)"],
                rows=rows,
                dense=True,
                note=f"The {len(rows)} that moved most, in standard deviations; p over all {len(features)}.",
            )
        )
    return Section(title="Features before and after", tables=tables)


def _examples(examples: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Section:
    shown = []
    for one in examples:
        reviews = "\n".join(f"{place}. {text}" for place, text in enumerate(one["reviews"], start=1))
        answers = [
            Answer(label="Reviews", text=reviews),
            *(
                supported_answer(names.get(name, name), row["text"], _faithfulness(row["faithfulness"]))
                for name, row in one["summaries"].items()
            ),
        ]
        reference = f"A human summary: {one['references'][0]}" if one["references"] else ""
        shown.append(Example(prompt=f"Product {one['product']}", answers=answers, note=reference))
    intro = (
        "Underlined: supported, with the review and the similarity; dashed: no review sentence is close enough; wavy: "
        "the closest review sentences have the opposite sentiment. The examples are not picked."
    )
    return Section(title="Examples with their support", intro=intro, examples=shown)


def _faithfulness(row: Mapping[str, Any]) -> Faithfulness:
    values = dict(row)
    values["spans"] = tuple(SupportSpan(**span) for span in row["spans"])
    values["contradictions"] = tuple(row["contradictions"])
    return Faithfulness(**values)
