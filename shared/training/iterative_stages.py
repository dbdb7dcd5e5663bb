"""The stages of an on-policy round: sample, score, pair, reference, align."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.data.record_files import read_records, write_records
from shared.digest import json_digest
from shared.durable import write_json, write_text
from shared.errors import DataError, StageError
from shared.generation import GenerationConfig, sample
from shared.prompts import PromptFormat, tokenize_prompt
from shared.records import PreferenceRecord
from shared.stages import StageContext
from shared.training.align_stage import align
from shared.training.iterative_config import PairingConfig
from shared.training.iterative_policies import from_policy, policy_of_base
from shared.training.pairs_from_samples import ScoredSamples, mixed, pairs_of
from shared.training.reference_stage import reference

SAMPLES = "samples.jsonl"


def round_prompts(records: Sequence[PreferenceRecord], most: int | None, round_number: int) -> list[PreferenceRecord]:
    """One record for each distinct prompt of a round: all of them, or the next `most` in an order fixed by their text.

    Rounds go on where the one before ended, and begin again when all prompts were asked.
    """
    first: dict[str, PreferenceRecord] = {}
    for record in records:
        first.setdefault(json_digest([[one.role, one.content] for one in record.prompt]), record)
    ordered = [first[digest] for digest in sorted(first)]
    if most is None or most >= len(ordered):
        return ordered
    start = (round_number - 1) * most
    return [ordered[(start + number) % len(ordered)] for number in range(most)]


def sample_round(context: StageContext) -> dict[str, float]:
    """Samples responses to training prompts from the policy that a round starts from.

    Config: ``sampling`` (GenerationConfig), ``prompts``, ``round``, ``kl_samples``, ``prompt``, ``precision``. Inputs
    ``data`` and, but for a first round from the base, ``policy``; model ``base``. Writes ``samples.jsonl``.

    Returns:
        ``sample/responses``, ``sample/words``, ``sample/words_to_given`` (over the mean words of the given chosen
        responses: length drift), ``sample/cut``, ``sample/distinct_1``, ``sample/distinct_2``, ``sample/self_bleu``,
        ``sample/empty``; and ``sample/kl_per_token``, ``sample/kl_per_response`` in nats where it can be measured
        without bias (temperature 1, all tokens) and the policy is not the base.
    """
    from shared.models import load_policy, load_tokenizer
    from shared.sampling.diversity import sample_metrics

    config = context.config
    records = read_records(context.inputs["data"] / "train.arrow")
    asked = round_prompts(records, config["prompts"], config["round"])
    if not asked:
        raise DataError("no training prompt is left after splitting: give more questions, or a larger train fraction.")
    format = PromptFormat.model_validate(config["prompt"])
    given = GenerationConfig.model_validate(config["sampling"])
    sampling = given.model_copy(update={"seed": given.seed * 1_000_003 + config["round"]})
    base = context.models["base"]
    policy = context.inputs.get("policy")
    model = load_policy(base, policy / "model" if policy else None, merge=True)
    tokenizer = load_tokenizer(base)
    sampled = sample(
        model,
        tokenizer,
        [one.prompt for one in asked],
        format,
        sampling,
        config["precision"],
        with_logps=True,
        on_progress=lambda done, total: context.progress(done, total, "sampling responses"),
    )
    rows = [
        {
            "id": one.id,
            "group": one.group_id,
            "responses": [
                {"text": each.text, "finish_reason": each.finish_reason, "tokens": len(each.tokens)}
                for each in responses
            ],
        }
        for one, responses in zip(asked, sampled.responses, strict=True)
    ]
    write_text(context.out / SAMPLES, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_json(context.out / "engine.json", {"engine": sampled.engine})
    flat = [each for responses in sampled.responses for each in responses]
    metrics = sample_metrics([[each.text for each in responses] for responses in sampled.responses])
    chosen_words = sum(len(record.chosen.split()) for record in records) / len(records)
    metrics["words_to_given"] = metrics["words"] / max(1.0, chosen_words)
    metrics["responses"] = float(len(flat))
    metrics["cut"] = sum(each.finish_reason == "length" for each in flat) / len(flat)
    unbiased = sampling.temperature == 1 and sampling.top_p == 1 and not sampling.top_k
    if policy is not None and unbiased and config["kl_samples"]:
        prompts = [tokenize_prompt(format, one.prompt, tokenizer) for one in asked for _ in range(sampling.n)]
        metrics |= _divergence(context, base, prompts, flat)
    return {f"sample/{name}": value for name, value in metrics.items()}


def _divergence(
    context: StageContext, base: Path, prompts: Sequence[Sequence[int]], samples: Sequence[Any]
) -> dict[str, float]:
    """Mean of log pi - log pi_base over samples from pi: an unbiased estimate of KL(pi || base), nats."""
    import torch

    from shared.device import pick_device
    from shared.models import load_causal_lm

    choice = pick_device(context.config["precision"])
    model: Any = load_causal_lm(base).to(choice.device)  # pyright: ignore[reportArgumentType]
    step = max(1, len(samples) // context.config["kl_samples"])
    chosen = [i for i in range(0, len(samples), step) if not samples[i].prompt_cut][: context.config["kl_samples"]]
    sums, tokens = [], 0
    with torch.inference_mode(), choice.autocast():
        for number, i in enumerate(chosen):
            context.progress(number, len(chosen), "measuring the distance to the base")
            written = list(samples[i].tokens)
            ids = torch.tensor([[*prompts[i], *written]], device=choice.device)
            logits = model(input_ids=ids, logits_to_keep=len(written) + 1).logits[0, :-1].float()
            places = torch.tensor(written, device=choice.device).unsqueeze(-1)
            under_base = logits.log_softmax(dim=-1).gather(-1, places).sum().item()
            sums.append(sum(samples[i].logps) - under_base)
            tokens += len(written)
    if not sums:
        return {}
    return {"kl_per_response": sum(sums) / len(sums), "kl_per_token": sum(sums) / tokens}


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """Rows of samples.jsonl: id, group, responses."""
    lines = (folder / SAMPLES).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _prompts_by_id(data: Path) -> dict[str, PreferenceRecord]:
    return {record.id: record for record in read_records(data / "train.arrow")}


def score_round(context: StageContext) -> dict[str, float]:
    """Scores a round's samples with the reward model, whatever its kind (`shared.rewards.protocol.candidate_scores`).

    Config: ``precision``. Inputs ``data``, ``samples``, ``reward``; model ``reward`` (its body). Writes
    ``scores.json``: for every prompt's id the scores of its responses.

    Returns:
        ``score/mean``, ``score/best``, ``score/worst`` (means over prompts) and ``score/spread`` (mean standard
        deviation within a prompt).
    """
    import numpy as np

    from shared.rewards.loading import load_reward
    from shared.rewards.protocol import candidate_scores

    by_id = _prompts_by_id(context.inputs["data"])
    rows = read_samples(context.inputs["samples"])
    scorer = load_reward(context.inputs["reward"] / "model", context.models.get("reward"), context.config["precision"])
    context.progress(0, len(rows), "scoring samples")
    found = candidate_scores(
        scorer,
        [by_id[row["id"]].prompt for row in rows],
        [[one["text"] for one in row["responses"]] for row in rows],
    )
    write_json(
        context.out / "scores.json", {row["id"]: scores.tolist() for row, scores in zip(rows, found, strict=True)}
    )
    return {
        "score/mean": float(np.mean([scores.mean() for scores in found])),
        "score/best": float(np.mean([scores.max() for scores in found])),
        "score/worst": float(np.mean([scores.min() for scores in found])),
        "score/spread": float(np.mean([scores.std() for scores in found])),
    }


def pair_round(context: StageContext) -> dict[str, float]:
    """Pairs a round's scored samples and mixes in given pairs.

    Config: ``pairing`` (PairingConfig), ``given_share``, ``round``. Inputs ``data``, ``samples``, ``scores``. Writes
    ``train.arrow`` (and the data's ``validation.arrow``), ``pairs.json`` with what was left out and why.

    Returns:
        ``pairs/pairs``, ``pairs/on_policy_share``, ``pairs/margin`` (mean score difference of on-policy pairs),
        ``pairs/words_chosen_minus_rejected``, ``pairs/longer_chosen`` (share) and the counts of `pairs_of`.

    Raises:
        StageError: where no prompt has two samples that differ.
    """
    config = context.config
    by_id = _prompts_by_id(context.inputs["data"])
    scores = json.loads((context.inputs["scores"] / "scores.json").read_text(encoding="utf-8"))
    samples = [
        ScoredSamples(
            row["id"],
            row["group"],
            by_id[row["id"]].prompt,
            tuple(one["text"] for one in row["responses"]),
            tuple(scores[row["id"]]),
            tuple(one["finish_reason"] == "length" for one in row["responses"]),
        )
        for row in read_samples(context.inputs["samples"])
    ]
    pairing = PairingConfig.model_validate(config["pairing"])
    on_policy, counts = pairs_of(samples, pairing, config["round"])
    if not on_policy:
        reasons = {name: counts[name] for name in ("too_few", "ties", "cut", "length_gap") if counts[name]}
        raise StageError(
            f"round {config['round']}: the samples of {counts['prompts']} prompts give no pair ("
            + ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in reasons.items())
            + "); raise `on_policy.sampling.n` or its temperature, or lower `on_policy.pairing.min_margin`."
        )
    records = mixed(on_policy, list(by_id.values()), config["given_share"], config["round"])
    write_records(context.out / "train.arrow", records)
    validation = context.inputs["data"] / "validation.arrow"
    if validation.is_file():
        write_records(context.out / "validation.arrow", read_records(validation))
    write_json(context.out / "pairs.json", {**counts, "given": len(records) - len(on_policy)})
    gaps = [len(one.chosen.split()) - len(one.rejected.split()) for one in on_policy]
    return {
        **{f"pairs/{name}": float(count) for name, count in counts.items()},
        "pairs/pairs": float(len(records)),
        "pairs/on_policy_share": len(on_policy) / len(records),
        "pairs/margin": sum(one.margin or 0.0 for one in on_policy) / len(on_policy),
        "pairs/words_chosen_minus_rejected": sum(gaps) / len(gaps),
        "pairs/longer_chosen": sum(gap > 0 for gap in gaps) / len(gaps),
    }


def reference_round(context: StageContext) -> dict[str, float]:
    """`shared.training.reference_stage.reference` of a round's pairs; input ``policy`` takes the base's place."""
    return reference(from_policy(context)[0])


def align_round(context: StageContext) -> dict[str, float]:
    """`shared.training.align_stage.align` that goes on from the round's starting policy (input ``policy``).

    The result is a policy of the base model, as after any training: adapters of all rounds are joined, so their rank
    grows by `lora.rank` a round; an adapter over a starting policy that is a whole model is added into it.
    """
    started, before = from_policy(context)
    metrics = align(started)
    policy_of_base(started.models["base"], before, context.out / "model")
    return metrics
