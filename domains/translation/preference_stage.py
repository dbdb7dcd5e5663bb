"""The five preferences of what two policies write, sentence by sentence, before and after alignment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from domains.translation.alignment import align
from domains.translation.alignment.states import StateAligner
from domains.translation.data_config import PairLanguages
from domains.translation.decode_stage import held_out_pairs
from domains.translation.decoded_policies import DecodedPolicy, DecodedRule
from domains.translation.pair_files import read_pairs
from domains.translation.preferences import MEASURES, Measure, measure, usual_text
from domains.translation.quality import chrf_statistics
from domains.translation.records import SentencePair
from domains.translation.systems import OFFLINE
from domains.translation.units import split_units
from shared.durable import write_json
from shared.evaluation.intervals import bootstrap_mean
from shared.evaluation.paired import holm, paired_difference
from shared.stages import StageContext

# Where held-out pairs have a rejected rendering: what a policy writes may come nearer to the preferred one, or to both.
COMPARED = MEASURES | {
    "rejected_chrf": Measure(
        "rejected_chrf",
        "quality",
        "Sentence chrF against the rejected rendering of the held-out pair, divided by 100.",
        False,
    )
}
KINDS = ("shown", "equal-latency", "offline")
NEUTRAL = ("rejected_chrf",)  # better neither way: a rejected rendering may be a good translation


def measure_preferences(context: StageContext) -> dict[str, float]:
    """Measures what two policies write, and compares them under three pairs of read rules.

    Who reads less must follow the source's order, whatever was learned. So beside the threshold of the report
    (``shown``) the policies are compared at the threshold of ``before`` whose LAAL is nearest to that of ``after``
    (``equal-latency``), and with the whole source read by both (``offline``): there only the words can differ.

    Config: ``languages``, ``shown`` (threshold), ``sentences``, ``alignment`` (that which preferences are constructed
    with), ``precision``, ``comparisons`` (`KINDS`). Inputs ``data`` (its training pairs teach a statistical alignment
    and what is usual), ``before`` and ``after`` (decode stages); model ``base`` for the alignment ``states``.

    Writes ``preferences.json``: the definitions and, of each comparison, each measure's means with intervals and the
    paired difference over the sentences that both have it for, with p values corrected by Holm over the comparison.

    Returns:
        ``preferences/<measure>_before``, ``..._after`` and ``..._change`` at ``shown``; ``..._change_offline``.
    """
    config = context.config
    languages = PairLanguages.model_validate(config["languages"])
    before, after = (DecodedPolicy.read(context.inputs[name], languages).rules for name in ("before", "after"))
    pairs = held_out_pairs(context.inputs["data"], config["sentences"])
    groups = [one.group_id for one in pairs]
    context.progress(0, 2, "word alignment")
    states = None
    if config["alignment"] == "states":
        states = StateAligner.load_for(context.models["base"], config["precision"])
    shown = f"threshold:{config['shown']:g}"
    nearest = _nearest({name: _latency(one) for name, one in before.items()}, _latency(after[shown]))
    known = {"shown": (shown, shown), "equal-latency": (nearest, shown), "offline": (OFFLINE, OFFLINE)}
    rules = {kind: known[kind] for kind in config["comparisons"]}
    rows = {
        side: {
            name: _rows(decoded[name], pairs, context, languages, states)
            for name in dict.fromkeys(both[number] for both in rules.values())
        }
        for number, (side, decoded) in enumerate((("before", before), ("after", after)))
    }
    context.progress(1, 2, "paired differences")
    comparisons = [
        {
            "kind": kind,
            "before": first,
            "after": second,
            "laal_before": _latency(before[first]),
            "laal_after": _latency(after[second]),
            "measures": _changes(rows["before"][first], rows["after"][second], groups),
        }
        for kind, (first, second) in rules.items()
    ]
    definitions = {
        name: {
            "definition": one.definition,
            "preference": one.preference,
            "higher_is_better": None if name in NEUTRAL else one.higher_is_better,
        }
        for name, one in COMPARED.items()
    }
    written = {
        "sentences": len(groups),
        "alignment": config["alignment"],
        "definitions": definitions,
        "comparisons": comparisons,
    }
    write_json(context.out / "preferences.json", written)
    return _metrics(comparisons)


def _metrics(comparisons: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Figures for tracking."""
    found = {}
    measures = {one["kind"]: one["measures"] for one in comparisons}
    for name, row in measures["shown"].items():
        if row["sentences"]:
            found[f"preferences/{name}_before"] = float(row["before"]["value"])
            found[f"preferences/{name}_after"] = float(row["after"]["value"])
            found[f"preferences/{name}_change"] = float(row["difference"]["difference"])
    for name, row in measures["offline"].items():
        if row["sentences"]:
            found[f"preferences/{name}_change_offline"] = float(row["difference"]["difference"])
    return found


def _latency(decoded: DecodedRule) -> float:
    """Mean LAAL; NaN where every translation is empty."""
    values = decoded.point().latency
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _nearest(latencies: Mapping[str, float], wanted: float) -> str:
    """The threshold rule (without bounds) whose latency is nearest to the wanted one."""
    known = {name: one for name, one in latencies.items() if name.startswith("threshold:") and "," not in name}
    return min(known, key=lambda name: gap if np.isfinite(gap := abs(known[name] - wanted)) else np.inf)


def _changes(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]], groups: Sequence[str]
) -> dict[str, Any]:
    """Each measure before and after with its paired difference."""
    rows = {"before": before, "after": after}
    measures: dict[str, Any] = {}
    tests = {}
    for name in COMPARED:
        both = [index for index in range(len(groups)) if all(name in rows[side][index] for side in rows)]
        kept = [groups[index] for index in both]
        values = {side: np.array([rows[side][index][name] for index in both]) for side in rows}
        row: dict[str, Any] = {
            "sentences": len(both),
            "reason": "" if both else "no sentence has it (no link, no number, or a language without word lists)",
        }
        if both:
            tests[name] = paired_difference(values["after"], values["before"], kept)
            row |= {side: bootstrap_mean(found, kept).to_json() for side, found in values.items()}
            row["difference"] = tests[name].to_json()
        else:
            row |= {"before": None, "after": None, "difference": {"difference": None}}
        measures[name] = row
    for name, p in holm({name: test.p_value for name, test in tests.items()}).items():
        measures[name]["difference"]["p_value"] = None if np.isnan(p) else p
    return measures


def _rows(
    decoded: DecodedRule,
    pairs: Sequence[SentencePair],
    context: StageContext,
    languages: PairLanguages,
    states: StateAligner | None,
) -> list[dict[str, float]]:
    """Measures of each translation, quality among them; `pairs` are the held-out ones in the same order."""
    format = languages.bare_format()
    known = read_pairs(context.inputs["data"] / "train.arrow")
    sources = [one.source or "" for one in decoded.sentences]
    texts = [one.prediction for one in decoded.sentences]
    split = [split_units(one, languages.source_unit) for one in sources]
    written = [split_units(one, languages.target_unit) for one in texts]
    extra = (
        [split_units(one.source_text, languages.source_unit) for one in known],
        [split_units(one.target_text, languages.target_unit) for one in known],
    )
    links = align(
        split,
        written,
        context.config["alignment"],
        states=states,
        extra=extra,
        source_unit=languages.source_unit,
        target_unit=languages.target_unit,
    )
    paths = [tuple(int(read) for read in one.delays.delays) or None for one in decoded.sentences]
    found = [dict(row) for row in measure(sources, texts, paths, usual_text(known, format), links, format)]
    for row, quality in zip(found, decoded.chrf.scores(decoded.chrf.counts), strict=True):
        row["quality"] = float(quality) / 100
    other = [number for number, pair in enumerate(pairs) if pair.rejected_text is not None]
    likeness = chrf_statistics(
        [texts[number] for number in other], [pairs[number].rejected_text or "" for number in other]
    )
    for number, value in zip(other, likeness.scores(likeness.counts), strict=True):
        found[number]["rejected_chrf"] = float(value) / 100
    return found
