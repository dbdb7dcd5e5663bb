"""The headline and the report sections of a translation run, made from its artifacts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domains.translation.curve_plots import quality_latency_plot, staircase_plot
from domains.translation.curves import CurvePoint
from domains.translation.preference_section import preference_changes
from domains.translation.preferences.weights import PREFERENCES
from domains.translation.systems import ALIGNED, BASE, BOUNDED, SFT
from shared.evaluation.intervals import Estimate
from shared.report.blocks import Answer, Example, Notice, Plot, Section, Table
from shared.report.run_sections import (
    data_quality_section,
    headline_row,
    interval_of,
    p_cell,
    p_value,
    read_artifact,
)
from shared.training.stage_results import read_curves

POLICIES = {
    BASE: "base, shown examples",
    SFT: "SFT only",
    ALIGNED: "SimulPL",
    "alpha-0": "SimulPL, alpha = 0",
    "wait-k": "wait-k, tuned",
}
PLOTTED = ("SimulPL", BOUNDED[ALIGNED], "SimulPL, alpha = 0", "SFT only", "wait-k on SFT", "wait-k, tuned")


def label(policy: str) -> str:
    """How a policy is called in tables."""
    return POLICIES.get(policy, policy)


def headline(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The rows of the short table: sentences, quality before and after, latency, and the comparisons of curves."""
    evaluation = read_artifact(folders, "eval", "evaluation.json")
    counts = evaluation["counts"]
    sentences = f"{counts['train']} train, {counts['test']} test, {counts['decoded']} decoded"
    rows: list[dict[str, Any]] = [{"name": "Sentence pairs", "value": sentences, "note": ""}]
    seeds = [name for name in folders if name.startswith(f"{ALIGNED}/")]
    if seeds:
        training = read_artifact(folders, seeds[0], "training.json")
        told = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
        rows.append({"name": "Preference pairs", "value": str(training["pairs"]), "note": told})
    for policy, scores in evaluation["offline"].items():
        rows.append(headline_row(f"Offline chrF: {label(policy)}", scores["chrF"]))
        rows.append(headline_row("  BLEU", scores["BLEU"]))
    for policy in (SFT, ALIGNED, "model", "champion"):
        if policy in evaluation["latency"]:
            figures = evaluation["latency"][policy]["figures"]
            rows.append(
                headline_row(f"LAAL, source units: {label(policy)}", figures["LAAL"], f"at {evaluation['shown']}")
            )
    for one in evaluation["comparisons"]:
        what = f"chrF at low latency: {one['a']} less {one['b']}"
        rows.append(headline_row(what, one["difference"], one["note"] or _p(one["difference"]["p_value"])))
    if "preferences" in folders:
        compared = read_artifact(folders, "preferences", "preferences.json")["comparisons"][0]
        for name in PREFERENCES:
            difference = compared["measures"][name]["difference"]
            if difference["difference"] is not None:
                what = f"{name.replace('_', ' ')}, change at {compared['after']}"
                rows.append(headline_row(what, difference, _p(difference["p_value"])))
    if "simuleval" in folders:
        check = read_artifact(folders, "simuleval", "simuleval.json")
        told = f"{check['same_delays']} of {check['sentences']} sentences with equal words and delays"
        rows.append({"name": "SimulEval cross-check", "value": told, "note": ""})
    return rows


def _p(value: float | None) -> str:
    return p_value(value, corrected=False)


def sections(folders: Mapping[str, Path]) -> list[Section]:
    """The report's sections: curves first, then what they are made of."""
    evaluation = read_artifact(folders, "eval", "evaluation.json")
    found = [_curves(evaluation), _quality(evaluation), _latency(evaluation)]
    if "preferences" in folders:
        found.append(preference_changes(read_artifact(folders, "preferences", "preferences.json")))
    pairs = [name for name in folders if name.startswith("pairs/")]
    if pairs:
        found.append(_pairs(read_artifact(folders, pairs[0], "summary.json")))
    curves = {name: read_curves(folder) for name, folder in folders.items() if (folder / "curves.jsonl").is_file()}
    if curves:
        found.append(_training(curves))
    if "simuleval" in folders:
        found.append(_simuleval(read_artifact(folders, "simuleval", "simuleval.json")))
    found += [_data(folders), data_quality_section(folders)]
    examples = read_artifact(folders, "eval", "examples.json")
    if examples:
        found.append(_examples(examples, evaluation))
    return found


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate.from_json(dict(row))


def _points(rows: Sequence[Mapping[str, Any]]) -> list[CurvePoint]:
    return [CurvePoint(one["setting"], _estimate(one["latency"]), _estimate(one["quality"])) for one in rows]


def _curves(evaluation: Mapping[str, Any]) -> Section:
    plots, tables = [], []
    for metric in ("chrF", "BLEU"):
        names = [name for name in evaluation["curves"] if name in PLOTTED or len(evaluation["curves"]) <= len(PLOTTED)]
        shown = {name: _points(evaluation["curves"][name][metric]) for name in names[:6]}
        plots.append(quality_latency_plot(shown, metric=metric))
    rows = []
    for one in evaluation["comparisons"]:
        seeds = " / ".join(f"{area:.2f}" for _, area in one["seeds"][0]) or None
        others = " / ".join(f"{area:.2f}" for _, area in one["seeds"][1]) or None
        at = [interval_of(place["difference"]) for place in one["at"]]
        rows.append(
            [
                f"{one['a']} against {one['b']}",
                one["area_a"],
                one["area_b"],
                interval_of(one["difference"]),
                p_cell(one["difference"]["p_value"]),
                *at,
                *([None] * (3 - len(at))),
                seeds,
                others,
            ]
        )
    if rows:
        tables.append(
            Table(
                caption="Against each other: mean chrF over the lower half of the common latency",
                columns=[
                    "systems",
                    "first",
                    "second",
                    "difference",
                    "p",
                    "at ¼",
                    "at ½",
                    "at ¾",
                    "first by seed",
                    "second by seed",
                ],
                rows=rows,
                note=(
                    "Points joined by straight lines; sentences resampled jointly for both systems and all points, "
                    "seeds too where there are several. At a quarter, half and three quarters of the common range: "
                    "difference in chrF at equal LAAL. " + " ".join(one["note"] for one in evaluation["comparisons"])
                ),
                digits=2,
                dense=True,
            )
        )
    points: list[Any] = []
    for name, by in evaluation["curves"].items():
        bleu = {one["setting"]: one for one in by["BLEU"]}
        for one in by["chrF"]:
            blue = interval_of(bleu[one["setting"]]["quality"])
            points.append([f"{name}, {one['setting']}", interval_of(one["latency"]), interval_of(one["quality"]), blue])
    tables.append(
        Table(caption="All points", columns=["system and setting", "LAAL", "chrF", "BLEU"], rows=points, digits=2)
    )
    notices = [
        Notice(level="warning", text=f"{label(name)}: translations that never ended and were cut: {count}.")
        for name, count in evaluation["cut"].items()
        if count
    ]
    trained = len(evaluation["seeds"])
    signatures = "; ".join(f"{metric} {one}" for metric, one in evaluation["signatures"].items())
    return Section(
        title="Quality and latency",
        intro=f"{'One training seed' if trained == 1 else f'Means over {trained} training seeds'}. {signatures}.",
        notices=notices,
        tables=tables,
        plots=plots,
    )


def _quality(evaluation: Mapping[str, Any]) -> Section:
    rows = [
        [label(name), interval_of(scores["chrF"]), interval_of(scores["BLEU"])]
        for name, scores in evaluation["offline"].items()
    ]
    tables = [Table(caption="The whole source read first", columns=["policy", "chrF", "BLEU"], rows=rows, digits=2)]
    if evaluation["comet"]:
        scored = [[label(name), interval_of(one)] for name, one in evaluation["comet"].items()]
        tables.append(Table(caption=f"COMET at {evaluation['shown']}", columns=["policy", "COMET"], rows=scored))
    return Section(title="Offline quality", intro="First training seed.", tables=tables)


def _latency(evaluation: Mapping[str, Any]) -> Section:
    tables, notices = [], []
    columns = ["AL", "LAAL", "YAAL", "AP", "DAL", "SWF", "EFSW"]
    rows = []
    for name, one in evaluation["latency"].items():
        rows.append([label(name), *[interval_of(one["figures"][figure]) for figure in columns]])
        level = "warning" if one["degenerate"] else "note"
        notices.append(Notice(level=level, text=f"{label(name)}: {one['verdict']}"))
    if rows:
        tables.append(
            Table(
                caption=f"At {evaluation['shown']}, first training seed",
                columns=["policy", *columns],
                rows=rows,
                note="AL, LAAL, YAAL and DAL in source units, SWF and EFSW in per cent.",
                digits=2,
                dense=True,
            )
        )
    aware = evaluation["computation_aware"]
    if aware:
        figures = [
            [f"{kind} ({unit})", *[interval_of(aware[kind]["figures"][figure]) for figure in columns[:5]]]
            for kind, unit in (("unaware", "source units"), ("aware", "ms"))
        ]
        tables.append(
            Table(
                caption=(
                    f"With the time of computing, {aware['rule']}: {aware['sentences']} sentences one by one, "
                    f"{aware['source_ms_per_unit']:g} ms a source unit"
                ),
                columns=["", *columns[:5]],
                rows=figures,
                digits=2,
                dense=True,
            )
        )
    return Section(title="Latency", notices=notices, tables=tables)


def _pairs(summary: Mapping[str, Any]) -> Section:
    rows = [[name, one.get("chosen"), one.get("rejected")] for name, one in (summary.get("measures") or {}).items()]
    tables = []
    if rows:
        tables.append(
            Table(caption="Means of the measures", columns=["measure", "chosen", "rejected"], rows=rows, digits=3)
        )
    counts = [[name.replace("_", " "), value] for name, value in (summary.get("counts") or {}).items()]
    if counts:
        tables.append(Table(caption="How pairs came about", columns=["", "number"], rows=counts))
    weights = [[name.replace("_", " "), value] for name, value in (summary.get("weights") or {}).items()]
    if weights and summary.get("mode") != "given":  # given preferences are stated, whatever they score
        tables.append(
            Table(caption="What each preference counts in a score", columns=["", "weight"], rows=weights, digits=2)
        )
    sides: Mapping[str, Mapping[str, int]] = summary.get("origins") or {}
    if sides:
        origins = list(dict.fromkeys(one for side in sides.values() for one in side))
        rows = [[one, *(sides[side].get(one, 0) for side in ("chosen", "rejected"))] for one in origins]
        tables.append(Table(caption="Where renderings came from", columns=["", "chosen", "rejected"], rows=rows))
    return Section(title="Preference pairs", intro=f"Mode: {summary.get('mode', 'given')}. First seed.", tables=tables)


def _training(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Section:
    from shared.report.plots import Series, line_curves

    plots = []
    for prefix, metric, title in (
        ("sft/", "loss", "MSFT loss"),
        (f"{ALIGNED}/", "loss", "SimulDPO loss"),
        (f"{ALIGNED}/", "rewards/margins", "Implicit reward margin of training pairs"),
        (f"{ALIGNED}/", "latency/expected", "Expected latency of the chosen translations, share of the source"),
    ):
        series = []
        for name, rows in curves.items():
            values = [row.get(metric) for row in rows]
            if name.startswith(prefix) and any(value is not None for value in values):
                series.append(
                    Series(name.partition("/")[2].replace("-", " "), [row["step"] for row in rows], values, metric)
                )
        if series:
            plots.append(
                Plot(title=title, svg=line_curves(series, "step", metric), alt=f"{title} by step, one line a seed.")
            )
    return Section(title="Training", plots=plots)


def _simuleval(check: Mapping[str, Any]) -> Section:
    rows = [[name, one["simuleval"], one["ours"]] for name, one in check["figures"].items()]
    same = check["same_delays"] == check["same_words"] == check["sentences"]
    text = (
        f"SimulEval {check['version']} decoded {check['sentences']} sentences under {check['rule']}: "
        f"{check['same_words']} have the words of the batch decoder, and {check['same_delays']} of those its delays."
    )
    return Section(
        title="SimulEval",
        notices=[Notice(level="good" if same else "note", text=text)],
        tables=[
            Table(
                caption="SimulEval's scores of its own log, and ours of the same",
                columns=["figure", "SimulEval", "valign"],
                rows=rows,
                digits=4,
            )
        ],
    )


def _data(folders: Mapping[str, Path]) -> Section:
    summary = read_artifact(folders, "data", "summary.json")
    rows = [[name, split["pairs"]] for name, split in summary["splits"].items() if split["pairs"]]
    tables = [Table(caption="Splits (no text stands in two)", columns=["split", "pairs"], rows=rows)]
    dropped = summary.get("dropped") or {}
    if dropped:
        tables.append(
            Table(caption="Rows left out", columns=["reason", "rows"], rows=[[why, n] for why, n in dropped.items()])
        )
    licence = summary.get("licence") or "not stated"
    masked = summary["masking"]
    names = f"names in {', '.join(masked['names'])}" if masked["names"] else "no names"
    intro = (
        f"Read as {summary['form']}. Licence: {licence}. Masked before storage: patterns in "
        f"{', '.join(masked['patterns']) or 'no language'}, {names}."
    )
    notices = [Notice(level="warning", text=one["text"]) for one in summary["findings"]]
    return Section(title="Data", intro=intro, notices=notices, tables=tables)


def _examples(examples: Sequence[Mapping[str, Any]], evaluation: Mapping[str, Any]) -> Section:
    shown, plots = [], []
    for number, one in enumerate(examples, 1):
        systems = {label(name): found for name, found in one["systems"].items()}
        shown.append(
            Example(
                prompt=" ".join(one["source"]),
                answers=[Answer(label="reference", text=one["reference"])]
                + [
                    Answer(
                        label=name, text=found["text"], facts={"delays": ", ".join(f"{d:g}" for d in found["delays"])}
                    )
                    for name, found in systems.items()
                ],
            )
        )
        written = {name: found for name, found in systems.items() if found["delays"]}
        if written:
            plot = staircase_plot(
                {name: found["delays"] for name, found in list(written.items())[:6]},
                one["source"],
                {name: found["units"] for name, found in list(written.items())[:6]},
            )
            plots.append(plot.model_copy(update={"title": f"Example {number}: reading and writing"}))
    return Section(
        title="Examples",
        intro=(
            f"At {evaluation['shown']}. The first held-out sentences in an order fixed by their text; none was picked."
        ),
        examples=shown,
        plots=plots,
    )
