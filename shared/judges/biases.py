"""What sways a judge: the order it sees, length, chance; and how often it agrees with given labels."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from shared.evaluation.intervals import Estimate, bootstrap_mean, unavailable
from shared.judges.agreement import raw_estimate
from shared.judges.agreement_report import ORDERED_VERDICTS
from shared.judges.protocol import PairItem, Verdict, Winner


def position_bias(verdicts: Sequence[Verdict], groups: Sequence[str]) -> dict[str, Any] | None:
    """How far the order shown decides; None for a judge that sees no order.

    Each pair is shown in both orders, so that a judge without bias names the first response in half of its decisions,
    whatever the pairs are.

    Returns:
        JSON estimates: ``inconsistent`` (share of pairs and repetitions whose two orders differ), ``flipped`` (share
        whose orders name opposite winners), ``first_wins`` (share of decisions for the response shown first).
    """
    seen = [(one, group) for one, group in zip(verdicts, groups, strict=True) if one.orders]
    if not seen:
        return None
    differ, flipped, first, of_pair, of_decision = [], [], [], [], []
    for verdict, group in seen:
        for forward, backward in verdict.orders:
            differ.append(float(forward != backward))
            flipped.append(float({forward, backward} == {"a", "b"}))
            of_pair.append(group)
            for winner, shown_first in ((forward, "a"), (backward, "b")):
                if winner != "tie":
                    first.append(float(winner == shown_first))
                    of_decision.append(group)
    return {
        "inconsistent": bootstrap_mean(differ, of_pair).to_json(),
        "flipped": bootstrap_mean(flipped, of_pair).to_json(),
        "first_wins": bootstrap_mean(first, of_decision).to_json(),
    }


def length_bias(
    items: Sequence[PairItem], verdicts: Sequence[Verdict], labels: Mapping[str, Winner] | None = None
) -> dict[str, Any]:
    """How often the longer response wins, and how much oftener than by the labels.

    Args:
        items: the pairs; lengths are counted in characters.
        verdicts: one an item.
        labels: the right winner by item id, where it is known.

    Returns:
        JSON estimates: ``longer_wins`` of decided pairs of unequal length; ``excess_over_labels``: the same less the
        share of the labels on the same pairs (a judge that errs at random has none), null without labels.
    """
    won, excess, groups, labelled_groups = [], [], [], []
    for item, verdict in zip(items, verdicts, strict=True):
        if verdict.winner not in ("a", "b") or len(item.a) == len(item.b):
            continue
        longer: Winner = "a" if len(item.a) > len(item.b) else "b"
        won.append(float(verdict.winner == longer))
        groups.append(item.group_id)
        label = labels.get(item.id) if labels else None
        if label in ("a", "b"):
            excess.append(won[-1] - float(label == longer))
            labelled_groups.append(item.group_id)
    return {
        "longer_wins": _mean(won, groups).to_json(),
        "excess_over_labels": _mean(excess, labelled_groups).to_json() if labels else None,
    }


def self_consistency(verdicts: Sequence[Verdict], groups: Sequence[str]) -> dict[str, Any] | None:
    """Raw agreement of a judge's repetitions with each other; None for a judge that was asked once."""
    repeated = [(one, group) for one, group in zip(verdicts, groups, strict=True) if len(one.orders) > 1]
    if not repeated:
        return None
    agreed = [[both[0] if both[0] == both[1] else "tie" for both in one.orders] for one, _ in repeated]
    codes = np.asarray([[ORDERED_VERDICTS.index(winner) for winner in row] for row in agreed], dtype=np.int64)
    return {"agreement": raw_estimate(codes, [group for _, group in repeated]).to_json(), "repeats": codes.shape[1]}


def label_accuracy(
    items: Sequence[PairItem], verdicts: Sequence[Verdict], labels: Mapping[str, Winner]
) -> dict[str, Any] | None:
    """How often a judge names the labelled winner; None without labels.

    Returns:
        JSON estimates: ``accuracy`` (a tie counts .5) over labelled pairs with a verdict; ``decided``: the share of
        them that are no tie; ``accuracy_where_decided``; ``accuracy_where_shorter_is_better``: of pairs whose labelled
        winner is the shorter response (a judge by length has 0).
    """
    right, decided, strict, shorter = [], [], [], []
    groups, strict_groups, shorter_groups = [], [], []
    for item, verdict in zip(items, verdicts, strict=True):
        label = labels.get(item.id)
        if label not in ("a", "b") or verdict.winner is None:
            continue
        outcome = 0.5 if verdict.winner == "tie" else float(verdict.winner == label)
        right.append(outcome)
        decided.append(float(verdict.winner != "tie"))
        groups.append(item.group_id)
        if verdict.winner != "tie":
            strict.append(outcome)
            strict_groups.append(item.group_id)
        if len(item.a) != len(item.b) and (label == "a") == (len(item.a) < len(item.b)):
            shorter.append(outcome)
            shorter_groups.append(item.group_id)
    if not right:
        return None
    return {
        "accuracy": _mean(right, groups).to_json(),
        "decided": _mean(decided, groups).to_json(),
        "accuracy_where_decided": _mean(strict, strict_groups).to_json(),
        "accuracy_where_shorter_is_better": _mean(shorter, shorter_groups).to_json(),
    }


def transitivity(winners: Mapping[tuple[int, int], Winner], k: int) -> tuple[int, int]:
    """(cycles, triples) among K responses to one prompt compared all with all; ties make no cycle.

    Args:
        winners: winner of (i, j), i < j, ``a`` meaning i.
        k: number of responses.
    """
    beats = {(i, j) if winner == "a" else (j, i) for (i, j), winner in winners.items() if winner != "tie"}
    cycles = triples = 0
    for one, two, three in combinations(range(k), 3):
        if all(pair in winners for pair in ((one, two), (one, three), (two, three))):
            triples += 1
            cycles += {(one, two), (two, three), (three, one)} <= beats or {
                (two, one),
                (three, two),
                (one, three),
            } <= beats
    return cycles, triples


def _mean(values: Sequence[float], groups: Sequence[str]) -> Estimate:
    return bootstrap_mean(values, groups) if values else unavailable("no such pairs")
