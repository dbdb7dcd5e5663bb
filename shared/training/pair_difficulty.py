"""How hard a pair is for the reference: ``c = log pi_ref(y_l|x) - log pi_ref(y_w|x)``, for free once it is stored.

Under plain DPO a pair is ranked right iff its loss is at most ``-log sigmoid(beta c)`` (Chen et al. 2024,
https://arxiv.org/abs/2405.19534): pairs with a large c are hardly ever flipped, whatever their label is worth, and many
of them are wrong labels or very long responses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.records import PreferenceRecord

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
HARDEST = 10
BINS = 24


def difficulty_report(
    records: Sequence[PreferenceRecord], logps: Sequence[Mapping[str, Sequence[float]]]
) -> dict[str, Any]:
    """Distribution of the difficulty over pairs, in nats and in nats a token.

    Args:
        records: the pairs.
        logps: token log-probabilities of ``chosen`` and ``rejected`` under the reference.

    Returns:
        ``pairs``, ``ranking_accuracy`` (share with c <= 0), ``mean``, ``quantiles`` and ``histogram`` (edges, counts)
        of c; ``per_token`` with the same of the difference of means over tokens; ``hardest``: id, source, c and tokens
        of the pairs with the largest c, never their text.
    """
    import numpy as np

    sums = np.array([[sum(row["chosen"]), sum(row["rejected"])] for row in logps])
    counts = np.array([[len(row["chosen"]), len(row["rejected"])] for row in logps])
    difficulty = sums[:, 1] - sums[:, 0]
    per_token = sums[:, 1] / counts[:, 1] - sums[:, 0] / counts[:, 0]
    order = np.argsort(-difficulty, kind="stable")[:HARDEST]
    return {
        "pairs": len(records),
        **_distribution(difficulty),
        "per_token": _distribution(per_token),
        "hardest": [
            {
                "id": records[index].id,
                "source": records[index].source,
                "difficulty": round(float(difficulty[index]), 2),
                "chosen_tokens": int(counts[index, 0]),
                "rejected_tokens": int(counts[index, 1]),
            }
            for index in order
        ],
    }


def _distribution(values: Any) -> dict[str, Any]:
    import numpy as np

    counts, edges = np.histogram(values, bins=BINS)
    return {
        "ranking_accuracy": float((values <= 0).mean()),
        "mean": float(values.mean()),
        "quantiles": {str(level): float(np.quantile(values, level)) for level in QUANTILES},
        "histogram": {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]},
    }
