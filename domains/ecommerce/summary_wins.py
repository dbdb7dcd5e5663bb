"""Win rate of policies' summaries by a judge trained on products of its own (see `shared.evaluation.win_rate`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shared.evaluation.intervals import Estimate
from shared.evaluation.policy_report import win_rate_section
from shared.evaluation.scorer_report import scorer_report
from shared.records import Message, PreferenceRecord
from shared.rewards.protocol import PreferenceModel, candidate_scores


def summary_wins(
    judge: PreferenceModel,
    judged: Sequence[PreferenceRecord],
    test: Sequence[PreferenceRecord],
    prompts: Sequence[tuple[Message, ...]],
    products: Sequence[str],
    summaries: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Every policy's summaries against those of the first one.

    Args:
        judge: a reward model whose products are neither those of `prompts` nor those that a policy learned from.
        judged: the pairs that the judge learned from (its length baseline learns from them too).
        test: held-out pairs, on which the judge's own accuracy is measured; without it a win rate is no evidence.
        prompts: of n products.
        products: their ids. [n]
        summaries: policy -> n texts; the first policy is the opponent.

    Returns:
        JSON: ``judge`` (its accuracy, and that where length points the wrong way), ``wins`` (policy -> win rate, free
        and length-controlled, with the statement whether it is evidence).
    """
    report = scorer_report(judge.compare_records(test), judged, test)
    accuracy = Estimate.from_json(report["estimates"]["accuracy"])
    contrary = report["contrary"].get("length")
    names = list(summaries)
    candidates = [[summaries[name][place] for name in names] for place in range(len(prompts))]
    table = np.stack(candidate_scores(judge, prompts, candidates))  # [n, policies]
    first = names[0]
    wins = win_rate_section(
        {"base": table[:, 0], **{name: table[:, at] for at, name in enumerate(names) if at}},
        {
            "base" if name == first else name: np.array([float(len(text.split())) for text in texts])
            for name, texts in summaries.items()
        },
        products,
        accuracy,
        Estimate.from_json(contrary) if contrary else None,
    )
    return {"judge": {"accuracy": accuracy.to_json(), "length_contrary_accuracy": contrary}, "wins": wins}
