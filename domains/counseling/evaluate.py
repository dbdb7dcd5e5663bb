"""Evaluation of a counseling run: reward model, judge, policies before and after; everything with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.data.record_files import read_records
from shared.device import pick_device
from shared.durable import write_json
from shared.evaluation.intervals import Estimate, Floats
from shared.evaluation.measured import ItemValues, Measured
from shared.evaluation.policy_report import kl_section, pair_outcomes_of, ranking_section, win_rate_section
from shared.evaluation.policy_stage import held_out_prompts, read_samples
from shared.evaluation.ranking import PairLogps
from shared.evaluation.scorer_report import reward_report
from shared.records import PreferenceRecord
from shared.rewards.loading import load_reward
from shared.rewards.protocol import PreferenceModel, candidate_scores
from shared.stages import StageContext
from shared.training.reference import read_logps

GATED = ("ranking_accuracy", "ranking_accuracy_normalised", "margin_per_token", "logps_chosen_per_token")


def evaluate(context: StageContext) -> dict[str, float]:
    """Evaluates reward model, judge and every measured policy on the held-out groups.

    Config: ``policies`` (``base`` first), ``beta``, ``examples``, ``prompt``, ``precision``. Inputs ``data``,
    ``reward``, ``judge`` and ``policy-<name>``; models ``reward`` and ``judge`` (bodies of the scorers).

    Writes ``evaluation.json`` (all numbers with intervals), ``measured/<name>.json`` (per-item values for the gate)
    and ``examples.json``. Metrics are ``eval/...``.
    """
    data = context.inputs["data"]
    train, judged, test = (read_records(data / f"{name}.arrow") for name in ("train", "judge", "test"))
    names: Sequence[str] = context.config["policies"]
    seeds = [name for name in names if name.startswith("seed-")]
    reward, judge = _scorer(context, "reward"), _scorer(context, "judge")
    context.progress(1, 4, "scoring held-out pairs with reward model and judge")
    of_reward, of_judge = reward_report(reward, train, test), reward_report(judge, judged, test)
    logps = {name: _pair_logps(context.inputs[f"policy-{name}"], test) for name in names}
    base = logps["base"]
    beta = float(context.config["beta"])
    ranking = ranking_section(base, {name: logps[name] for name in names[1:]}, seeds, test, beta)
    context.progress(2, 4, "judging answers")
    samples = {name: read_samples(context.inputs[f"policy-{name}"]) for name in names}
    scores, lengths, prompts = _judge_samples(judge, samples, test)
    groups = [one.group_id for one in prompts]
    accuracy = Estimate.from_json(of_judge["estimates"]["accuracy"])
    contrary = of_judge["contrary"].get("length")
    win_rates = win_rate_section(scores, lengths, groups, accuracy, Estimate.from_json(contrary) if contrary else None)
    kl = {name: kl_section(_kl_rows(context.inputs[f"policy-{name}"])) for name in names[1:]}
    evaluation = {
        "counts": {"train": len(train), "judge": len(judged), "test": len(test), "prompts": len(prompts)},
        "policies": list(names),
        "seeds": seeds,
        "beta": beta,
        "reward_model": of_reward,
        "judge": of_judge,
        "ranking": ranking,
        "win_rate": win_rates,
        "kl": kl,
        "answer_words": {name: float(np.mean(values)) for name, values in lengths.items()},
        "device": pick_device(context.config["precision"]).description,
    }
    write_json(context.out / "evaluation.json", evaluation)
    write_json(context.out / "examples.json", _examples(samples, scores, prompts, context.config["examples"]))
    _write_measured(context, logps, scores, prompts, seeds, test)
    return _metrics(evaluation)


def _scorer(context: StageContext, name: str) -> PreferenceModel:
    folder = context.inputs[name] / "model"
    return load_reward(folder, context.models[name], context.config["precision"])


def _pair_logps(folder: Path, records: Sequence[PreferenceRecord]) -> PairLogps:
    found = read_logps(folder / "logps.arrow")
    rows = [found[one.id] for one in records]
    return PairLogps.of(
        [one.chosen_sum for one in rows],
        [one.rejected_sum for one in rows],
        [one.chosen_tokens for one in rows],
        [one.rejected_tokens for one in rows],
    )


def _kl_rows(folder: Path) -> list[dict[str, Any]]:
    import json

    return json.loads((folder / "kl.json").read_text(encoding="utf-8"))


def _judge_samples(
    judge: PreferenceModel, samples: Mapping[str, list[dict[str, Any]]], test: Sequence[PreferenceRecord]
) -> tuple[dict[str, Floats], dict[str, Floats], list[PreferenceRecord]]:
    """(judge's mean score of each prompt's answers, their mean words, the prompts), by model in one order."""
    asked = held_out_prompts(test, len(samples["base"]))
    if [one.id for one in asked] != [row["id"] for row in samples["base"]]:
        raise ValueError("the answers belong to other prompts")
    scores, lengths = {}, {}
    # All models' answers to one question are the candidates of one table: a judge may have no score of an answer alone.
    candidates = [[text for rows in samples.values() for text in rows[at]["responses"]] for at in range(len(asked))]
    each = np.stack(candidate_scores(judge, [one.prompt for one in asked], candidates))
    shares = np.split(each, np.cumsum([len(rows[0]["responses"]) for rows in samples.values()])[:-1], axis=1)
    for (name, rows), share in zip(samples.items(), shares, strict=True):
        texts = [text for row in rows for text in row["responses"]]
        scores[name] = share.mean(axis=1)
        words = np.array([float(len(text.split())) for text in texts])
        lengths[name] = words.reshape(len(asked), -1).mean(axis=1)
    return scores, lengths, asked


def _examples(
    samples: Mapping[str, list[dict[str, Any]]],
    scores: Mapping[str, Floats],
    prompts: Sequence[PreferenceRecord],
    most: int,
) -> list[dict[str, Any]]:
    """The first prompts (their order depends on their text only: nothing is picked) with every model's answer."""
    return [
        {
            "id": one.id,
            "prompt": one.prompt_text(),
            "answers": {
                name: {"text": rows[index]["responses"][0], "judge_score": float(scores[name][index])}
                for name, rows in samples.items()
            },
        }
        for index, one in enumerate(prompts[:most])
    ]


def _write_measured(
    context: StageContext,
    logps: Mapping[str, PairLogps],
    scores: Mapping[str, Floats],
    prompts: Sequence[PreferenceRecord],
    seeds: Sequence[str],
    test: Sequence[PreferenceRecord],
) -> None:
    """Per-item values: one file for every single model, and ``candidate.json`` with all seeds."""
    import json

    beta = float(context.config["beta"])
    summary = json.loads((context.inputs["data"] / "summary.json").read_text(encoding="utf-8"))
    ids, groups = [one.id for one in test], [one.group_id for one in test]
    prompt_ids, prompt_groups = [one.id for one in prompts], [one.group_id for one in prompts]
    conditions = {"prompt": json.dumps(context.config["prompt"], sort_keys=True), "judge": _digest(context, "judge")}

    def measured(name: str, members: Sequence[str]) -> Measured:
        outcomes = [pair_outcomes_of(logps[one], logps["base"], beta) for one in members]
        items = {
            f"eval/{metric}": ItemValues.of(ids, groups, np.stack([one[metric] for one in outcomes]))
            for metric in GATED
        }
        items["eval/judge_score"] = ItemValues.of(prompt_ids, prompt_groups, np.stack([scores[one] for one in members]))
        return Measured(name, items, data_licence=summary.get("licence"), measured_with=conditions)

    folder = context.out / "measured"
    folder.mkdir()
    for name in logps:
        measured(name, [name]).write(folder / f"{name}.json")
    if seeds:
        measured("candidate", seeds).write(folder / "candidate.json")


def _digest(context: StageContext, name: str) -> str:
    import json

    return json.loads((context.inputs[name] / "manifest.json").read_text(encoding="utf-8"))["digest"]


def _metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The flat numbers that tracking compares; what could not be estimated is left out."""
    found: dict[str, float | None] = {}
    for part, prefix in (("reward_model", "eval/reward_model"), ("judge", "eval/judge")):
        for name, estimate in evaluation[part]["estimates"].items():
            found[f"{prefix}_{name}"] = estimate["value"]
        for name, baseline in evaluation[part]["baselines"].items():
            found[f"{prefix}_{name.replace(' ', '_')}_only_accuracy"] = baseline["accuracy"]["value"]
    ranking = evaluation["ranking"]
    for metric, estimate in ranking["models"]["base"].items():
        found[f"eval/base/{metric}"] = estimate["value"]
    first = next(iter(evaluation["policies"][1:]), None)
    if first is not None:
        for metric, estimate in ranking["models"][first].items():
            found[f"eval/{metric}"] = estimate["value"]
        for metric, row in ranking["over_seeds"].items():
            found[f"eval/over_seeds/{metric}"] = row["estimate"]["value"]
        if first in evaluation["win_rate"]:
            wins = evaluation["win_rate"][first]
            found["eval/win_rate"] = wins["win_rate"]["value"]
            found["eval/win_rate_length_controlled"] = wins["length_controlled"]["win_rate"]["value"]
        for name, estimate in (evaluation["kl"].get(first) or {}).items():
            found[f"eval/{name}"] = estimate["value"]
        found["eval/answer_words"] = evaluation["answer_words"][first]
    return {name: float(value) for name, value in found.items() if value is not None}
