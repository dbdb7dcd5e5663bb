"""Report sections of sampling: the on-policy rounds, and best-of-n beside the policies."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.report.blocks import Interval, Notice, Section, Table

ROUND = "round-"


def on_policy_sections(folders: Mapping[str, Path], label: Any = str) -> list[Section]:
    """The sections of a run's artifacts; none where it had neither rounds nor best-of-n.

    Args:
        folders: folder of every artifact by stage name.
        label: gives a policy's name for people.
    """
    found = []
    rounds = [name.removeprefix("sample/") for name in folders if name.startswith(f"sample/{ROUND}")]
    if rounds:
        found.append(_rounds(folders, rounds))
    if "best-of-n" in folders:
        found.append(_best_of_n(folders["best-of-n"], label))
    return found


def _metrics(folders: Mapping[str, Path], stage: str) -> dict[str, float]:
    values = json.loads((folders[stage] / "metrics.json").read_text(encoding="utf-8"))
    return {name.partition("/")[2]: value for name, value in values.items()}


def _rounds(folders: Mapping[str, Path], rounds: list[str]) -> Section:
    sampled, paired = [], []
    notices = []
    for name in rounds:
        sample, score, pairs = (_metrics(folders, f"{stage}/{name}") for stage in ("sample", "score", "pairs"))
        title = name.replace("/", ", ").replace("-", " ")
        sampled.append(
            [
                title,
                int(sample["responses"]),
                score["mean"],
                score["best"],
                score["worst"],
                sample.get("kl_per_response"),
                sample["words"],
                sample["words_to_given"],
                sample.get("distinct_2"),
                sample.get("self_bleu"),
                f"{sample['cut']:.0%}",
            ]
        )
        left = {
            "too few different": pairs["too_few"],
            "ties": pairs["ties"],
            "length gap": pairs["length_gap"],
            "cut": pairs["cut"],
        }
        paired.append(
            [
                title,
                int(pairs["pairs"]),
                f"{pairs['on_policy_share']:.0%}",
                pairs["margin"],
                pairs["words_chosen_minus_rejected"],
                f"{pairs['longer_chosen']:.0%}",
                ", ".join(f"{reason}: {int(count)}" for reason, count in left.items() if count) or "none",
            ]
        )
        if pairs["longer_chosen"] >= 0.7:
            text = (
                f"{title}: the reward model chose the longer response in {pairs['longer_chosen']:.0%} of the pairs; "
                "`align.on_policy.pairing.max_length_ratio` bounds the gap."
            )
            notices.append(Notice(level="warning", text=text))
    return Section(
        title="On-policy rounds",
        intro=(
            "Each round samples from the policy it starts from; the reward model, which the judge is independent of, "
            "scores and pairs the samples. A rising score under the reward model alone is no gain: see the win rate."
        ),
        notices=notices,
        tables=[
            Table(
                caption="Samples of each round",
                columns=[
                    "round",
                    "responses",
                    "mean score",
                    "best",
                    "worst",
                    "KL to base, nats a response",
                    "words",
                    "words, over given answers",
                    "distinct 2-grams",
                    "self-BLEU",
                    "cut",
                ],
                rows=sampled,
            ),
            Table(
                caption="Pairs of each round",
                columns=[
                    "round",
                    "pairs",
                    "on-policy",
                    "mean score difference",
                    "words, chosen minus rejected",
                    "longer one chosen",
                    "prompts without a pair",
                ],
                rows=paired,
            ),
        ],
    )


def _interval(estimate: Mapping[str, Any]) -> Interval:
    return Interval(value=estimate["value"], low=estimate.get("low"), high=estimate.get("high"))


def _best_of_n(folder: Path, label: Any) -> Section:
    found = json.loads((folder / "best_of_n.json").read_text(encoding="utf-8"))
    rows: list[Any] = [
        [f"base, best of {k}", _interval(one["reward"]), _interval(one["judge"]), one["kl_bound"]]
        for k, one in found["best"].items()
    ]
    rows += [
        [label(name), _interval(one["reward"]), _interval(one["judge"]), None]
        for name, one in found["policies"].items()
    ]
    table = Table(
        caption=f"Answers to {found['prompts']} held-out questions, scored by the training reward and by the judge",
        columns=["answers of", "reward model", "judge", "KL to base at most, nats a response"],
        rows=rows,
        note=(
            "Best of k: expected score of the answer that the reward model prefers among k of the "
            f"{found['n']} samples. Scores of the two models are on scales of their own."
        ),
    )
    return Section(
        title="Best of n",
        intro=(
            "What sampling the base several times and keeping the reward model's choice gives, without training. A "
            "policy that is below it has not made use of its reward; one that is above it under the reward and not "
            "under the judge has learned the reward's faults."
        ),
        tables=[table],
    )
