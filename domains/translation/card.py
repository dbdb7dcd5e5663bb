"""What a translation run delivers: the policy's files with a card that says what it is, is worth and is not for."""

from collections.abc import Mapping
from typing import Any

from domains.translation.settings import language_name
from domains.translation.systems import ALIGNED, BASE, OFFLINE, SFT
from shared.card import CardBaseline, CardMetric, ModelCard
from shared.card_inputs import base_facts, data_set, lineage, read_json, software, write_card
from shared.evaluation.intervals import Estimate
from shared.evaluation.paired import PairedDifference
from shared.gate import GateDecision
from shared.stages import StageContext

INTENDED = (
    "Simultaneous translation of text (captions, transcripts) in the language pair above, with its latency set by the "
    "threshold of the confidence.",
    "Research on read/write policies and their preferences.",
)
OUT_OF_SCOPE = (
    "Medical, legal or safety-critical interpreting without a qualified interpreter.",
    "Language pairs, domains and lengths of sentence that it was not measured on.",
)
LIMITS = (
    "SimulPL's equations and prompts could not be read (arXiv:2502.00634): objective and preferences are reconstructed "
    "from its abstract and from SM2 (arXiv:2406.02237); see docs/translation.md for which part is whose.",
    "Monotonicity and key points are measured through a word alignment, simplicity by proxies: neither is a reader's "
    "judgement.",
    "What is written is never taken back: an early mistake stays.",
)
USAGE = """from pathlib import Path
from domains.translation.decoder.decode import decode
from domains.translation.decoder.rules import parse_rule, rule_source
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.policy import load_for_decoding
from shared.device import pick_device
from shared.home import models_folder
from shared.models import load_tokenizer, resolve

base = resolve({base!r}, models_folder()).path
policy = load_for_decoding(base, Path("."), pick_device("auto"))  # the folder that this card stands in
tokenizer = load_tokenizer(base)
rule = parse_rule("threshold:{threshold:g}")  # lower: faster
source = rule_source(rule, policy.format, tokenizer, "...")
[translation] = decode(policy, tokenizer, [source], rule, DecodingConfig())
print(translation.text, translation.delays)
"""


def write_model(context: StageContext) -> dict[str, float]:
    """Writes the final folder: the policy's files and ``README.md``, the card.

    Config: ``recipe`` (the whole), ``base``. Inputs ``model``, ``sft``, ``pairs``, ``eval``, ``gate``, ``data``,
    ``lint``.

    Returns:
        ``card/files``.
    """
    return write_card(context, _card(context))


def _card(context: StageContext) -> ModelCard:
    recipe = context.config["recipe"]
    evaluation = read_json(context.inputs["eval"], "evaluation.json")
    training = read_json(context.inputs["model"], "training.json")
    base = base_facts(context.config["base"])
    source, target = recipe["data"]["source_language"], recipe["data"]["target_language"]
    pairs = read_json(context.inputs["pairs"], "summary.json")
    return ModelCard(
        name=f"valign translation, {context.config['base']}, {source}-{target}",
        summary=(
            f"{context.config['base']} as a simultaneous translator from {language_name(source)} to "
            f"{language_name(target)}: multi-task supervised fine-tuning of translation and read/write policy, then "
            f"SimulDPO on {training['pairs']} preferences ({training['steps']} steps). The threshold of its confidence "
            "sets the latency."
        ),
        base_model=base["name"],
        base_model_revision=base["revision"],
        base_model_licence=base["licence"],
        languages=[source, target],
        tags=["simultaneous-translation", "dpo", "preference-alignment", "valign"],
        intended_use=INTENDED,
        out_of_scope=OUT_OF_SCOPE,
        datasets=[data_set(context, "sentence pairs to learn translating from, and held-out test sentences")],
        objective="MSFT and SimulDPO, reconstructed after SimulPL (arXiv:2502.00634)",
        hyperparameters={
            **{f"sft.{key}": value for key, value in recipe["sft"].items()},
            **{f"align.{key}": value for key, value in recipe["align"].items() if key != "seeds"},
            "preferences": pairs.get("mode"),
        },
        seeds=recipe["align"]["seeds"],
        hardware=evaluation["device"],
        software=software("torch", "transformers", "peft", "sacrebleu"),
        metrics=_metrics(evaluation),
        baselines=[
            CardBaseline(f"offline chrF: {name}", Estimate.from_json(scores["chrF"]))
            for name, scores in evaluation["offline"].items()
        ],
        evaluation_notes=[
            f"{evaluation['counts']['decoded']} held-out sentences; intervals are 95 %, resampling sentences (and "
            "seeds where there are several).",
            f"Signatures: {evaluation['signatures']['BLEU']}; {evaluation['signatures']['chrF']}.",
            *[f"{one['a']} against {one['b']}: {_verdict(one)}" for one in evaluation["comparisons"]],
        ],
        gate=GateDecision.read(context.inputs["gate"] / "decision.json"),
        limits=LIMITS,
        lineage=lineage(context),
        adapter=(context.inputs["model"] / "model" / "adapter_config.json").is_file(),
        prompt_style="plain",
        usage=USAGE.format(base=context.config["base"], threshold=recipe["evaluate"]["shown"]),
    )


def _verdict(comparison: Mapping[str, Any]) -> str:
    """A comparison of curves in a sentence."""
    if comparison["note"]:
        return comparison["note"]
    one = comparison["difference"]
    interval = "no interval" if one["low"] is None else f"[{one['low']:+.2f}, {one['high']:+.2f}]"
    p = "" if one["p_value"] is None else f", p = {one['p_value']:.3f}"
    return (
        f"mean {comparison['metric']} over the lower half of the common latency ({comparison['low']:.2f} to "
        f"{(comparison['low'] + comparison['high']) / 2:.2f} units) {comparison['area_a']:.2f} against "
        f"{comparison['area_b']:.2f}, difference {one['difference']:+.2f} {interval}{p}"
    )


def _metrics(evaluation: Mapping[str, Any]) -> list[CardMetric]:
    rows = []
    for metric in ("chrF", "BLEU"):
        mine = evaluation["offline"].get(ALIGNED)
        if mine is not None:
            before = evaluation["offline"][BASE][metric]
            rows.append(
                CardMetric(f"{metric}, {OFFLINE}", Estimate.from_json(mine[metric]), Estimate.from_json(before))
            )
    mine, before = evaluation["latency"].get(ALIGNED), evaluation["latency"].get(SFT)
    if mine is not None:
        for name, estimate in mine["figures"].items():
            rows.append(
                CardMetric(
                    f"{name} at {evaluation['shown']}",
                    Estimate.from_json(estimate),
                    None if before is None else Estimate.from_json(before["figures"][name]),
                )
            )
    for one in evaluation["comparisons"]:
        if one["difference"]["difference"] is not None and one["area_a"] is not None:
            rows.append(
                CardMetric(
                    f"mean chrF at low latency, {one['a']} against {one['b']}",
                    _plain(one["area_a"], one),
                    _plain(one["area_b"], one),
                    PairedDifference.from_json(one["difference"]),
                )
            )
    return rows


def _plain(value: float, comparison: Mapping[str, Any]) -> Estimate:
    missing = float("nan")
    return Estimate(value, missing, missing, comparison["difference"]["n"], 0.95, "area under the curve by its width")
