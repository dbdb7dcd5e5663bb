"""What was constructed, in numbers: how many sources gave a pair and why others did not, and what pairs prefer."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from domains.translation.construction.modes import Constructed

SIDES = ("chosen", "rejected")


def summarise(found: Constructed, sources: int) -> dict[str, Any]:
    """The summary of a construction (JSON values).

    Args:
        found: at least one pair.
        sources: training records that were looked at.
    """
    pairs = [one for _, one in found.pairs]
    count = len(pairs)
    with_pair = len({pair.id for pair, _ in found.pairs})
    chosen, rejected = [one.chosen for one in pairs], [one.rejected for one in pairs]
    measures = {
        "chosen": [dict(one.measures) for one in chosen],
        "rejected": [dict(one.measures) for one in rejected],
    }
    return {
        "sources": sources,
        "sources_with_pair": with_pair,
        "share_of_sources": with_pair / sources,
        "no_pair": {reason: number for reason, number in sorted(found.no_pair.items()) if number},
        "renderings": {name: found.counts[name] for name in ("candidates", "empty", "repeated", "unfit", "cut")},
        "pairs": count,
        "same_text": sum(one.same_text for one in pairs),
        "margin": _mean([one.margin for one in pairs if math.isfinite(one.margin)]),
        "counts": {
            "sources": sources,
            "sources_with_pair": with_pair,
            **{f"without_pair_{reason}": number for reason, number in sorted(found.no_pair.items()) if number},
            "pairs": count,
            "pairs_of_one_text": sum(one.same_text for one in pairs),
            "chosen_on_policy": sum(one.rendering.on_policy for one in chosen),
            "rejected_on_policy": sum(one.rendering.on_policy for one in rejected),
        },
        "higher_score_chosen": _share(
            [one.margin_of_scores > 0 for one in pairs if one.margin_of_scores and math.isfinite(one.margin_of_scores)]
        ),
        "on_policy": {
            "chosen": sum(one.rendering.on_policy for one in chosen) / count,
            "rejected": sum(one.rendering.on_policy for one in rejected) / count,
            "both": sum(one.chosen.rendering.on_policy and one.rejected.rendering.on_policy for one in pairs) / count,
        },
        "origins": {
            "chosen": dict(Counter(one.rendering.origin for one in chosen).most_common()),
            "rejected": dict(Counter(one.rendering.origin for one in rejected).most_common()),
        },
        "measures": _means(measures),
        **found.report,
    }


def _means(measures: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Mean of each measure on both sides over the pairs that have it on both, and the share that is higher chosen."""
    names = dict.fromkeys(name for side in SIDES for row in measures[side] for name in row)
    found: dict[str, Any] = {}
    for name in names:
        both = [
            (one[name], other[name])
            for one, other in zip(measures["chosen"], measures["rejected"], strict=True)
            if name in one and name in other
        ]
        if both:
            found[name] = {
                "chosen": sum(one for one, _ in both) / len(both),
                "rejected": sum(other for _, other in both) / len(both),
                "chosen_higher": _share([one > other for one, other in both if one != other]),
                "pairs": len(both),
            }
    return found


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share(truths: Sequence[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None


def metrics_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """``pairs/...`` of a summary; what is not defined is absent."""
    writer = summary.get("writer") or {}
    usages = [writer["usage"]] if writer else [one["facts"]["usage"] for one in (summary.get("judge") or {}).values()]
    found: dict[str, float | None] = {
        "pairs/pairs": summary["pairs"],
        "pairs/sources": summary["sources"],
        "pairs/share_of_sources": summary["share_of_sources"],
        "pairs/same_text": summary["same_text"],
        "pairs/margin": summary["margin"],
        "pairs/on_policy_chosen": summary["on_policy"]["chosen"],
        "pairs/on_policy_rejected": summary["on_policy"]["rejected"],
        "pairs/higher_score_chosen": summary["higher_score_chosen"],
        **{f"pairs/no_pair_{reason}": number for reason, number in summary["no_pair"].items()},
        **{f"pairs/dropped_{reason}": number for reason, number in (writer.get("dropped") or {}).items()},
    }
    for name, one in summary["measures"].items():
        found |= {f"pairs/{name}_{side}": one[side] for side in SIDES}
    if usages:
        found["pairs/requests"] = sum(one["requests"] for one in usages)
        costs = [one["cost"] for one in usages if one["cost"] is not None]
        found["pairs/cost"] = sum(costs) if costs else None
    return {name: float(value) for name, value in found.items() if value is not None}
