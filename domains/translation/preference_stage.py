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
from domains.translation.preferences import MEASURES, measure, usual_text
from domains.translation.units import split_units
from shared.durable import write_json
from shared.evaluation.intervals import bootstrap_mean
from shared.evaluation.paired import holm, paired_difference
from shared.stages import StageContext


def measure_preferences(context: StageContext) -> dict[str, float]:
    """Measures the translations of two policies at one threshold.

    Config: ``languages``, ``shown`` (threshold), ``sentences``, ``alignment`` (that which
    preferences are constructed with), ``precision``. Inputs ``data`` (its training
    pairs teach a statistical alignment and what is usual), ``before`` and ``after`` (decode stages); model ``base`` for
    the alignment ``states``. Writes ``preferences.json``: of each measure its definition, both means with intervals,
    and the paired difference over the sentences that both have it for, with p values corrected by Holm over all
    measures; and the same (``equal_latency``) against the threshold of ``before`` whose LAAL is nearest to that of
    ``after``: who reads less must follow the source's order, whatever was learned.

    Returns:
        ``preferences/<measure>_before``, ``..._after`` and ``..._change``.
    """
    config = context.config
    languages = PairLanguages.model_validate(config["languages"])
    rule = f"threshold:{config['shown']:g}"
    before, after = (DecodedPolicy.read(context.inputs[name], languages).rules for name in ("before", "after"))
    groups = [one.group_id for one in held_out_pairs(context.inputs["data"], config["sentences"])]
    context.progress(0, 2, "word alignment")
    states = _state_aligner(context) if config["alignment"] == "states" else None
    latencies = {name: _latency(one) for name, one in before.items()}
    nearest = _nearest(latencies, _latency(after[rule]))
    rows = {name: _rows(before[name], context, languages, states) for name in dict.fromkeys((rule, nearest))}
    aligned = _rows(after[rule], context, languages, states)
    context.progress(1, 2, "paired differences")
    measures = _changes(rows[rule], aligned, groups)
    written = {
        "shown": rule,
        "sentences": len(groups),
        "alignment": config["alignment"],
        "measures": measures,
        "equal_latency": {
            "rule": nearest,
            "laal_before": latencies[nearest],
            "laal_after": _latency(after[rule]),
            "measures": _changes(rows[nearest], aligned, groups),
        },
    }
    write_json(context.out / "preferences.json", written)
    found = {}
    for name, row in measures.items():
        if row["sentences"]:
            found[f"preferences/{name}_before"] = float(row["before"]["value"])
            found[f"preferences/{name}_after"] = float(row["after"]["value"])
            found[f"preferences/{name}_change"] = float(row["difference"]["difference"])
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
    for name, definition in MEASURES.items():
        both = [index for index in range(len(groups)) if all(name in rows[side][index] for side in rows)]
        kept = [groups[index] for index in both]
        values = {side: np.array([rows[side][index][name] for index in both]) for side in rows}
        row: dict[str, Any] = {
            "definition": definition.definition,
            "preference": definition.preference,
            "higher_is_better": definition.higher_is_better,
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


def _state_aligner(context: StageContext) -> StateAligner:
    from shared.device import pick_device

    return StateAligner.load(context.models["base"], device=str(pick_device(context.config["precision"]).device))


def _rows(
    decoded: DecodedRule, context: StageContext, languages: PairLanguages, states: StateAligner | None
) -> list[dict[str, float]]:
    """Measures of each translation, quality among them."""
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
    return found
