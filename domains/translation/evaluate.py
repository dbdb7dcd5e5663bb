"""Evaluation of a translation run: quality-latency curves of all systems, compared; everything with intervals."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domains.translation.curve_comparison import CurveComparison, compare_curves
from domains.translation.curves import CurvePoint, System, curve
from domains.translation.data_config import PairLanguages
from domains.translation.decode_stage import LOGS, held_out_pairs
from domains.translation.decoded_policies import DecodedPolicy, DecodedRule, decoded_rule, offline_of, system_of
from domains.translation.latency.delays import Delays
from domains.translation.latency.logs import LoggedSentence, read_log
from domains.translation.latency.summary import sentence_latency, summarise
from domains.translation.quality import comet_statistics
from domains.translation.systems import ALIGNED, BASE, BOUNDED, OFFLINE, SFT, SystemPlan
from domains.translation.units import split_units
from shared.card_inputs import read_json
from shared.device import pick_device
from shared.durable import write_json
from shared.evaluation.intervals import Floats
from shared.evaluation.measured import ItemValues, Measured
from shared.stages import StageContext

# What each system is compared with: thresholds alone trace a curve of their own, within lags they are wait-k's rivals.
VERDICT = {
    "SimulPL": ("wait-k on SFT", "wait-k, tuned", "SimulPL, alpha = 0", "SFT only", "champion"),
    "model": ("champion",),
    BOUNDED[ALIGNED]: ("wait-k on SFT", "wait-k, tuned", BOUNDED[SFT], "SimulPL"),
    BOUNDED[SFT]: ("wait-k on SFT",),
}
METRICS = ("chrF", "BLEU")


def evaluate(context: StageContext) -> dict[str, float]:
    """Curves, comparisons, latency and quality of every decoded policy, and the gate's measurements.

    Config: ``systems`` (SystemPlan rows), ``seeds``, ``others`` (``champion`` or ``model``), ``languages``,
    ``shown`` (threshold), ``latency_price``, ``source_ms_per_unit``, ``comet``, ``resamples``, ``sentences``,
    ``examples``, ``precision``. Inputs ``data``, ``base`` and ``decode-<policy>-<seed>`` (others without a seed).

    Writes ``evaluation.json``, ``examples.json`` and ``measured/<name>.json``. Metrics are ``eval/...``.
    """
    config = context.config
    languages = PairLanguages.model_validate(config["languages"])
    plans = [SystemPlan(row["name"], row["policy"], tuple(row["rules"])) for row in config["systems"]]
    context.progress(0, 3, "counting quality and delays")
    policies = _policies(context, languages)
    base = _base(context, languages)
    groups = next(iter(next(iter(policies.values())).values())).facts["groups"]
    context.progress(1, 3, "resampling curves")
    resamples = int(config["resamples"])
    systems = {plan.name: {m: system_of(plan, policies[plan.policy], m) for m in METRICS} for plan in plans}
    curves = {
        name: {
            metric: [_point(one) for one in curve(system, groups, n_resamples=resamples)]
            for metric, system in by.items()
        }
        for name, by in systems.items()
    }
    comparisons = _comparisons({name: by["chrF"] for name, by in systems.items()}, groups, resamples)
    context.progress(2, 3, "latency and quality at the shown threshold")
    shown = f"threshold:{config['shown']:g}"
    evaluation = {
        "counts": {name: _count(context, name) for name in ("train", "validation", "test")} | {"decoded": len(groups)},
        "languages": languages.model_dump(),
        "seeds": list(config["seeds"]),
        "shown": shown,
        "systems": [{"name": plan.name, "policy": plan.policy, "rules": list(plan.rules)} for plan in plans],
        "curves": curves,
        "comparisons": [one.to_json() for one in comparisons],
        "offline": _offline(policies, base, groups, resamples),
        "latency": _latency(policies, shown, groups, resamples),
        "computation_aware": _computation_aware(policies, languages, float(config["source_ms_per_unit"])),
        "signatures": {"chrF": base.chrf.signature, "BLEU": base.bleu.signature},
        "comet": _comet(context, policies, shown, config["comet"]),
        "cut": {name: sum(one.facts["cut"] for one in seeds.values()) for name, seeds in policies.items()},
        "device": pick_device(config["precision"]).description,
    }
    write_json(context.out / "evaluation.json", evaluation)
    write_json(context.out / "examples.json", _examples(policies, shown, int(config["examples"]), languages))
    _write_measured(context, policies, config)
    return _metrics(evaluation)


def _policies(context: StageContext, languages: PairLanguages) -> dict[str, dict[int, DecodedPolicy]]:
    """Decoded policies by name and seed; one that was not trained here has the seed 0."""
    found: dict[str, dict[int, DecodedPolicy]] = {}
    for name, folder in context.inputs.items():
        if name.startswith("decode-"):
            policy, _, seed = name.removeprefix("decode-").rpartition("@")
            found.setdefault(policy, {})[int(seed)] = DecodedPolicy.read(folder, languages)
    return found


def _base(context: StageContext, languages: PairLanguages) -> DecodedRule:
    rows = json.loads((context.inputs["base"] / "translations.json").read_text(encoding="utf-8"))
    pairs = held_out_pairs(context.inputs["data"], context.config["sentences"])
    if [row["id"] for row in rows] != [one.id for one in pairs]:
        raise ValueError("the base's translations are of other sentences")
    sentences = []
    for index, (row, pair) in enumerate(zip(rows, pairs, strict=True)):
        units = len(split_units(row["text"], languages.target_unit))
        read = float(len(split_units(pair.source_text, languages.source_unit)))
        reference = len(split_units(pair.target_text, languages.target_unit))
        delays = Delays((read,) * units, read, reference, units)
        sentences.append(LoggedSentence(index, row["text"], pair.target_text, delays, pair.source_text))
    return decoded_rule(OFFLINE, sentences, languages)


def _count(context: StageContext, split: str) -> int:
    summary = read_json(context.inputs["data"], "summary.json")
    return int((summary["splits"].get(split) or {"pairs": 0})["pairs"])


def _point(one: CurvePoint) -> dict[str, Any]:
    return {"setting": one.setting, "latency": one.latency.to_json(), "quality": one.quality.to_json()}


def _comparisons(systems: Mapping[str, System], groups: Sequence[str], resamples: int) -> list[CurveComparison]:
    """The verdict: each system of `VERDICT` that there is against each other one of its row."""
    return [
        compare_curves(systems[one], systems[other], groups, n_resamples=resamples)
        for one, others in VERDICT.items()
        for other in others
        if one in systems and other in systems
    ]


def _offline(
    policies: Mapping[str, Mapping[int, DecodedPolicy]], base: DecodedRule, groups: Sequence[str], resamples: int
) -> dict[str, dict[str, Any]]:
    """BLEU and chrF of whole-sentence translations: base, then the first seed of every policy."""
    rules = {BASE: base} | {name: rule for name, seeds in policies.items() if (rule := offline_of(seeds)) is not None}
    return {
        name: {
            "chrF": rule.chrf.estimate(groups, n_resamples=resamples).to_json(),
            "BLEU": rule.bleu.estimate(groups, n_resamples=resamples).to_json(),
        }
        for name, rule in rules.items()
    }


def _latency(
    policies: Mapping[str, Mapping[int, DecodedPolicy]], shown: str, groups: Sequence[str], resamples: int
) -> dict[str, dict[str, Any]]:
    """All latency figures of each policy's first seed at the shown threshold."""
    found = {}
    for name, seeds in policies.items():
        rule = seeds[min(seeds)].rules.get(shown)
        if rule is not None:
            corpus = [one.delays for one in rule.sentences]
            found[name] = summarise(corpus, groups, n_resamples=resamples).to_json()
    return found


def _computation_aware(
    policies: Mapping[str, Mapping[int, DecodedPolicy]], languages: PairLanguages, source_ms: float
) -> dict[str, Any] | None:
    """Figures in milliseconds of the sentences that were decoded one by one."""
    chosen = policies.get(ALIGNED) or policies.get("model") or policies.get(SFT)
    if chosen is None:
        return None
    first = chosen[min(chosen)]
    if not first.facts["timed"]:
        return None
    sentences = read_log(first.folder / LOGS / "timed" / "instances.log", languages.target_unit)
    aware = [one.delays.computation_aware(source_ms) for one in sentences]
    unaware = [one.delays for one in sentences]
    return {
        "rule": first.facts["rules"][0],
        "source_ms_per_unit": source_ms,
        "sentences": len(sentences),
        "aware": summarise([one for one in aware if one is not None]).to_json(),
        "unaware": summarise(unaware).to_json(),
    }


def _comet(
    context: StageContext, policies: Mapping[str, Mapping[int, DecodedPolicy]], shown: str, checkpoint: str | None
) -> dict[str, Any] | None:
    """COMET of each policy's first seed at the shown threshold, where a checkpoint is named."""
    if checkpoint is None:
        return None
    found = {}
    for name, seeds in policies.items():
        rule = seeds[min(seeds)].rules.get(shown)
        if rule is not None:
            context.progress(2, 3, f"COMET of {name}")
            sources = [one.source or "" for one in rule.sentences]
            texts, references = [one.prediction for one in rule.sentences], [one.reference for one in rule.sentences]
            scored = comet_statistics(sources, texts, references, Path(checkpoint).expanduser())
            found[name] = scored.estimate().to_json()
    return found


def _examples(
    policies: Mapping[str, Mapping[int, DecodedPolicy]], shown: str, most: int, languages: PairLanguages
) -> list[dict[str, Any]]:
    """The first sentences (their order depends on their text only) as each policy's first seed translates them."""
    rules = {name: seeds[min(seeds)].rules for name, seeds in policies.items()}
    at = {name: found[shown] for name, found in rules.items() if shown in found}
    rows = []
    for index in range(min(most, min((len(one.sentences) for one in at.values()), default=0))):
        first = next(iter(at.values())).sentences[index]
        rows.append(
            {
                "source": split_units(first.source or "", languages.source_unit),
                "reference": first.reference,
                "systems": {
                    name: {
                        "text": one.sentences[index].prediction,
                        "units": split_units(one.sentences[index].prediction, languages.target_unit),
                        "delays": list(one.sentences[index].delays.delays),
                    }
                    for name, one in at.items()
                },
            }
        )
    return rows


def item_values(policy: DecodedPolicy, thresholds: Sequence[str], latency_price: float) -> dict[str, Floats]:
    """What the gate compares, sentence by sentence.

    ``eval/utility`` is sentence chrF less `latency_price` x LAAL / |x|, the mean over all thresholds: quality, less
    what waiting costs. ``eval/laal`` is in source units, an empty translation counting as the whole source read;
    ``eval/chrf_offline`` is sentence chrF of the offline translation.
    """
    utility, lags = [], []
    for rule in thresholds:
        found = policy.rules[rule]
        figures = sentence_latency([one.delays for one in found.sentences])
        lag = np.where(np.isfinite(figures.lags["LAAL"]), figures.lags["LAAL"], figures.source_length)
        quality = found.chrf.scores(found.chrf.counts)
        utility.append(quality - latency_price * lag / np.maximum(figures.source_length, 1.0))
        lags.append(lag)
    offline = policy.rules[OFFLINE].chrf
    return {
        "eval/utility": np.mean(utility, axis=0),
        "eval/laal": np.mean(lags, axis=0),
        "eval/chrf_offline": offline.scores(offline.counts),
    }


def _write_measured(
    context: StageContext, policies: Mapping[str, Mapping[int, DecodedPolicy]], config: Mapping[str, Any]
) -> None:
    """Per-item values: one file for every policy that is decoded under thresholds, ``candidate.json`` for SimulPL."""
    summary = read_json(context.inputs["data"], "summary.json")
    folder = context.out / "measured"
    folder.mkdir()
    thresholds = [f"threshold:{one:g}" for one in config["thresholds"]]
    conditions = {"rules": json.dumps(thresholds), "latency_price": str(config["latency_price"])}
    for name, seeds in policies.items():
        if not all(rule in one.rules for one in seeds.values() for rule in (*thresholds, OFFLINE)):
            continue
        values = {seed: item_values(one, thresholds, float(config["latency_price"])) for seed, one in seeds.items()}
        facts = seeds[min(seeds)].facts
        written = {name: [min(seeds)]}  # a champion is one model: of those that are trained here, the first seed's
        if name == ALIGNED:
            written["candidate"] = [one for one in config["seeds"] if one in values]
        for title, members in written.items():
            items = {
                metric: ItemValues.of(facts["ids"], facts["groups"], np.stack([values[one][metric] for one in members]))
                for metric in values[members[0]]
            }
            found = Measured(title, items, data_licence=summary.get("licence"), measured_with=conditions)
            found.write(folder / f"{title}.json")


def _metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The flat numbers that tracking compares; what could not be estimated is left out."""
    found: dict[str, float | None] = {}
    for name, scores in evaluation["offline"].items():
        for metric, estimate in scores.items():
            found[f"eval/{name}/offline_{metric.lower()}"] = estimate["value"]
    for name, figures in evaluation["latency"].items():
        for figure, estimate in figures["figures"].items():
            found[f"eval/{name}/{figure.lower()}"] = estimate["value"]
    for one in evaluation["comparisons"]:
        other = one["b"].replace(",", "").replace(" = ", "_").replace(" ", "_").lower()
        found[f"eval/area_gain_over_{other}"] = one["difference"]["difference"]
    return {name: float(value) for name, value in found.items() if value is not None}
