"""The deliverable of an e-commerce run: the model's files with a card that says what it is, is worth and is not for."""

from collections.abc import Mapping
from typing import Any

from domains.ecommerce.report import SCORES
from domains.ecommerce.summary_blocks import FAITHFUL_NAMES, ROUGE_NAMES
from shared.card import CardBaseline, CardMetric, ModelCard
from shared.card_inputs import base_facts, data_set, lineage, read_json, software, write_card
from shared.evaluation.intervals import Estimate
from shared.evaluation.paired import PairedDifference
from shared.gate import GateDecision
from shared.stages import StageContext

INTENDED = (
    "Summaries of the reviews of one product, shown with the reviews or read by someone who can check them.",
    "Research on rewards made of named features.",
)
OUT_OF_SCOPE = (
    "Claims about safety, health or law drawn from reviews.",
    "Summaries shown as the shop's own statement on a product.",
    "Reviews in other languages than those trained on.",
)
LIMITS = (
    "Support is similarity of sentences, not entailment: a supported statement can still be wrong.",
    "What reviewers say is taken as said; fake or mistaken reviews are summarised like others.",
    "Only the reviews that stand in the prompt are read; of many reviews a selection is taken.",
)


def write_model(context: StageContext) -> dict[str, float]:
    """Writes the final folder: the trained model's files and ``README.md``, the card.

    Config: ``recipe`` (the whole), ``base``. Inputs ``model``, ``eval``, ``gate``, ``data``, ``lint``.

    Returns:
        ``card/files``.
    """
    return write_card(context, _card(context))


def _card(context: StageContext) -> ModelCard:
    recipe = context.config["recipe"]
    evaluation = read_json(context.inputs["eval"], "evaluation.json")
    summaries = read_json(context.inputs["eval"], "summaries.json")
    training = read_json(context.inputs["model"], "training.json")
    base = base_facts(context.config["base"])
    align = recipe["align"]
    first = evaluation["seeds"][0]
    how = "GRPO" if align["method"] == "grpo" else f"DPO over {align['rounds']} on-policy round(s)"
    after = " after supervised training" if recipe["sft"] else ""
    wins = summaries.get("win_rate", {}).get("wins", {}).get(first)
    return ModelCard(
        name=f"valign e-commerce, {context.config['base']}",
        summary=(
            f"{context.config['base']} trained to summarise product reviews by {how}{after}, for a reward of named "
            f"features that was fitted to preferences ({training['steps']} steps of the last training)."
        ),
        base_model=base["name"],
        base_model_revision=base["revision"],
        base_model_licence=base["licence"],
        languages=["en"],
        tags=["summarization", "preference-alignment", "ecommerce", "valign"],
        intended_use=INTENDED,
        out_of_scope=OUT_OF_SCOPE,
        datasets=[
            data_set(context, "training pairs and products, judge pairs (other products), held-out test products")
        ],
        objective=f"{how}; reward: a {recipe['reward']['training']['kind']} model (after arXiv:2402.15473)",
        hyperparameters={key: value for key, value in align.items() if key != "seeds"},
        seeds=align["seeds"],
        hardware=evaluation["device"],
        software=software("torch", "transformers", "trl", "peft"),
        metrics=_metrics(evaluation, summaries, first),
        baselines=_baselines(evaluation),
        judge_statement=wins["statement"] if wins else "No win rate was measured.",
        evaluation_notes=[
            "Intervals are 95 %, resampling whole products; differences are paired, p values Holm-corrected.",
            f"{evaluation['counts']['test']} held-out pairs, {evaluation['counts']['products']} held-out products, "
            f"{summaries['with_references']} of them with summaries by people.",
        ],
        gate=GateDecision.read(context.inputs["gate"] / "decision.json"),
        limits=LIMITS,
        lineage=lineage(context),
        adapter=(context.inputs["model"] / "model" / "adapter_config.json").is_file(),
        prompt_style=recipe["prompt"]["style"],
        system_prompt=recipe["prompt"]["system"],
    )


def _metrics(evaluation: Mapping[str, Any], summaries: Mapping[str, Any], first: str) -> list[CardMetric]:
    parts = [(evaluation["scores"], SCORES), (summaries["faithfulness"], FAITHFUL_NAMES)]
    if summaries["rouge"]:
        parts.append((summaries["rouge"], ROUGE_NAMES))
    base = evaluation["policies"][0]
    return [
        CardMetric(
            title,
            Estimate.from_json(part["estimates"][first][metric]),
            Estimate.from_json(part["estimates"][base][metric]),
            PairedDifference.from_json(
                {key: value for key, value in part["differences"][first][metric].items() if key != "p_holm"}
            ),
        )
        for part, names in parts
        for metric, title in names.items()
        if metric in part["differences"][first]
    ]


def _baselines(evaluation: Mapping[str, Any]) -> list[CardBaseline]:
    report = evaluation["reward_model"]
    rows = [CardBaseline(f"reward model: {report['model']}", Estimate.from_json(report["estimates"]["accuracy"]))]
    rows += [
        CardBaseline(f"{name} only", Estimate.from_json(one["accuracy"])) for name, one in report["baselines"].items()
    ]
    return rows
