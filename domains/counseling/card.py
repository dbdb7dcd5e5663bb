"""The deliverable of a counseling run: the model's files with a card that says what it is, is worth and is not for."""

from collections.abc import Mapping
from typing import Any

from domains.counseling.report import NAMES
from shared.card import CardBaseline, CardMetric, ModelCard
from shared.card_inputs import base_facts, data_set, lineage, read_json, software, write_card
from shared.evaluation.intervals import Estimate
from shared.evaluation.paired import PairedDifference
from shared.gate import GateDecision
from shared.stages import StageContext

INTENDED = (
    "Drafts of answers for a qualified counsellor to review, change or discard before anything reaches a person.",
    "Research on preference alignment for supportive dialogue.",
)
OUT_OF_SCOPE = (
    "Answering people in distress directly, with no qualified person in between.",
    "Crisis response, diagnosis, advice on medication or self-harm.",
    "Deployment without disclosing that text was drafted by an AI system and without a crisis-referral protocol.",
)
LIMITS = (
    "Preferences between single answers say little about a whole counselling conversation.",
    "The model was not tested for its behaviour with suicidal or abused people by clinicians.",
    "Votes or labels of readers are no measure of clinical benefit; confounds stand beside every accuracy above.",
)


def write_model(context: StageContext) -> dict[str, float]:
    """Writes the final folder: the trained model's files and ``README.md``, the card.

    Config: ``recipe`` (the whole), ``base``. Inputs ``model``, ``eval``, ``gate``, ``data``.

    Returns:
        ``card/files``.
    """
    return write_card(context, _card(context))


def _card(context: StageContext) -> ModelCard:
    recipe = context.config["recipe"]
    evaluation = read_json(context.inputs["eval"], "evaluation.json")
    training = read_json(context.inputs["model"], "training.json")
    base = base_facts(context.config["base"])
    objective = {key: value for key, value in recipe["align"].items() if key != "seeds"}
    decision = GateDecision.read(context.inputs["gate"] / "decision.json")
    first = next(name for name in evaluation["policies"] if name != "base")
    return ModelCard(
        name=f"valign counseling, {context.config['base']}",
        summary=(
            f"{context.config['base']} aligned by DPO to {training['pairs']} preferences between counselling answers "
            f"({training['steps']} steps)."
        ),
        base_model=base["name"],
        base_model_revision=base["revision"],
        base_model_licence=base["licence"],
        languages=["en"],
        tags=["dpo", "preference-alignment", "counseling", "valign"],
        intended_use=INTENDED,
        out_of_scope=OUT_OF_SCOPE,
        datasets=[data_set(context, "training pairs, judge pairs (other groups) and held-out test pairs")],
        objective="DPO (sigmoid), arXiv:2305.18290",
        hyperparameters=objective,
        seeds=recipe["align"]["seeds"],
        hardware=evaluation["device"],
        software=software("torch", "transformers", "trl", "peft"),
        metrics=_metrics(evaluation, first),
        baselines=_baselines(evaluation),
        judge_statement=evaluation["win_rate"][first]["statement"],
        evaluation_notes=[
            "Intervals are 95 %, resampling whole questions; differences are paired, p values Holm-corrected.",
            f"{evaluation['counts']['test']} held-out pairs, {evaluation['counts']['prompts']} held-out prompts.",
        ],
        gate=decision,
        limits=LIMITS,
        lineage=lineage(context),
        adapter=(context.inputs["model"] / "model" / "adapter_config.json").is_file(),
        prompt_style=recipe["prompt"]["style"],
        system_prompt=recipe["prompt"]["system"],
    )


def _metrics(evaluation: Mapping[str, Any], first: str) -> list[CardMetric]:
    models, differences = evaluation["ranking"]["models"], evaluation["ranking"]["differences"][first]
    rows = [
        CardMetric(
            NAMES[metric],
            Estimate.from_json(models[first][metric]),
            Estimate.from_json(models["base"][metric]),
            PairedDifference.from_json({k: v for k, v in differences[metric].items() if k != "p_holm"}),
        )
        for metric in differences
    ]
    for name in ("reward_accuracy", "reward_chosen", "reward_rejected"):
        rows.append(CardMetric(NAMES[name], Estimate.from_json(models[first][name])))
    wins = evaluation["win_rate"][first]
    rows.append(CardMetric("Win rate against base", Estimate.from_json(wins["win_rate"])))
    controlled = Estimate.from_json(wins["length_controlled"]["win_rate"])
    rows.append(CardMetric("Win rate, length-controlled", controlled))
    return rows


def _baselines(evaluation: Mapping[str, Any]) -> list[CardBaseline]:
    report = evaluation["reward_model"]
    rows = [CardBaseline(f"reward model: {report['model']}", Estimate.from_json(report["estimates"]["accuracy"]))]
    rows += [
        CardBaseline(f"{name} only", Estimate.from_json(one["accuracy"])) for name, one in report["baselines"].items()
    ]
    rows += [
        CardBaseline(f"reward model where {name} misleads", Estimate.from_json(one))
        for name, one in report["contrary"].items()
    ]
    return rows
