"""Best of n: what sampling the base model more often gives without any training, beside the trained policies."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.data.record_files import read_records
from shared.durable import write_json
from shared.stages import StageContext

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def expected_best(order_by: "Floats", values: "Floats", k: int) -> "Floats":
    """Mean over all subsets of k of n samples of the value of the sample that is best by another score.

    The unbiased estimate of what best-of-k gives: the i-th worst of n (counted from 1) is the best of
    ``C(i - 1, k - 1) / C(n, k)`` of the subsets.

    Args:
        order_by: scores that choose, [prompts, n].
        values: what is wanted of the chosen one, [prompts, n]; may be the same array.
        k: samples, at most n.

    Returns:
        [prompts].
    """
    import numpy as np

    count = order_by.shape[1]
    weights = np.array([math.comb(rank, k - 1) / math.comb(count, k) for rank in range(count)])
    order = np.argsort(order_by, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1) @ weights


def kl_bound(n: int) -> float:
    """Most that best-of-n moves from its base, nats a response: log n - (n - 1) / n (https://arxiv.org/abs/2401.01879)."""
    return math.log(n) - (n - 1) / n


def sizes(n: int) -> list[int]:
    """1, 2, 4, ... and n."""
    found = [2**power for power in range(n.bit_length()) if 2**power < n]
    return [*found, n]


def best_of_n(context: StageContext) -> dict[str, float]:
    """Samples n answers of the base to every held-out prompt, lets the reward model choose, and lets the judge, which
    took no part, say what it thinks of the choice; beside the policies' answers to the same prompts.

    Config: ``n``, ``prompts``, ``sampling``, ``policies``, ``prompt``, ``precision``. Inputs ``data``, ``reward``,
    ``judge``, ``policy-<name>``; models ``base``, ``reward``, ``judge`` (bodies). Writes ``best_of_n.json``: for every
    k of `sizes` and every policy the score under the reward and under the judge, with 95 % intervals over prompts.

    Returns:
        ``best_of_n/reward``, ``best_of_n/judge`` and their gains over one sample, ``best_of_n/kl_bound``.
    """
    import numpy as np

    from shared.evaluation.intervals import bootstrap_mean
    from shared.evaluation.policy_stage import held_out_prompts, read_samples
    from shared.generation import GenerationConfig, generate
    from shared.models import load_causal_lm, load_tokenizer
    from shared.prompts import PromptFormat
    from shared.rewards.loading import load_reward
    from shared.rewards.protocol import candidate_scores

    config, base = context.config, context.models["base"]
    asked = held_out_prompts(read_records(context.inputs["data"] / "test.arrow"), config["prompts"])
    count = int(config["n"])
    sampling = GenerationConfig.model_validate(config["sampling"])
    # Greedy decoding would give n times the same answer.
    temperature = sampling.temperature or 1.0
    sampling = sampling.model_copy(update={"n": count, "temperature": temperature})
    context.progress(0, len(asked), "sampling best-of-n candidates")
    drawn = generate(
        load_causal_lm(base),
        load_tokenizer(base),
        [one.prompt for one in asked],
        PromptFormat.model_validate(config["prompt"]),
        sampling,
        config["precision"],
        lambda done, total: context.progress(done, total, "sampling best-of-n candidates"),
    )
    policies: Mapping[str, Sequence[Mapping[str, Any]]] = {
        name: read_samples(context.inputs[f"policy-{name}"]) for name in config["policies"]
    }
    # One table a prompt: a scorer that only compares has scores relative to all that stand in it.
    candidates = [
        [*texts, *(text for rows in policies.values() for text in rows[place]["responses"])]
        for place, texts in enumerate(drawn)
    ]
    scores = {}
    for number, name in enumerate(("reward", "judge")):
        context.progress(number, 2, f"scoring candidates with the {name}")
        scorer = load_reward(context.inputs[name] / "model", context.models.get(name), config["precision"])
        scores[name] = np.stack(candidate_scores(scorer, [one.prompt for one in asked], candidates))
    groups = [one.group_id for one in asked]
    chosen_by = scores["reward"][:, :count]
    best: dict[str, Any] = {
        str(k): {
            name: bootstrap_mean(expected_best(chosen_by, values[:, :count], k), groups).to_json()
            for name, values in scores.items()
        }
        | {"kl_bound": kl_bound(k)}
        for k in sizes(count)
    }
    start, answered = count, {}
    for name, rows in policies.items():
        stop = start + len(rows[0]["responses"])
        answered[name] = {
            kind: bootstrap_mean(values[:, start:stop].mean(axis=1), groups).to_json()
            for kind, values in scores.items()
        }
        start = stop
    write_json(context.out / "best_of_n.json", {"n": count, "prompts": len(asked), "best": best, "policies": answered})
    one, most = best["1"], best[str(count)]
    return {
        "best_of_n/reward": most["reward"]["value"],
        "best_of_n/judge": most["judge"]["value"],
        "best_of_n/reward_gain": most["reward"]["value"] - one["reward"]["value"],
        "best_of_n/judge_gain": most["judge"]["value"] - one["judge"]["value"],
        "best_of_n/kl_bound": kl_bound(count),
    }


def read_best_of_n(folder: Any) -> dict[str, Any]:
    """best_of_n.json of the stage."""
    return json.loads((folder / "best_of_n.json").read_text(encoding="utf-8"))
