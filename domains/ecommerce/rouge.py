"""ROUGE-1, -2 and -L of summaries against human ones, with intervals over products and paired differences.

F1 as the package rouge-score computes it (Lin 2004; its tokenizer keeps letters and digits), with Porter stemming.
Where a product has several references there are two conventions, which differ by several points, so both are given and
named: **mean** averages the F1 over the references, **best** takes the highest.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from shared.evaluation.intervals import Floats, bootstrap_mean, over_seeds, t_interval
from shared.evaluation.paired import holm, paired_difference

KINDS = ("rouge1", "rouge2", "rougeL")
METRICS = tuple(f"{kind}_{over}" for kind in KINDS for over in ("mean", "best"))
"""``rouge1_mean``, ``rouge1_best``, ... ``rougeL_best``."""


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(KINDS), use_stemmer=True)


def rouge(summary: str, references: Sequence[str]) -> dict[str, float]:
    """F1 of one summary, 0 to 1, by the names of `METRICS`.

    Args:
        summary: "" scores 0.
        references: human summaries of the same product.

    Raises:
        ValueError: there is no reference.
    """
    if not references:
        raise ValueError("ROUGE needs a reference")
    scored = [_scorer().score(reference, summary) for reference in references]
    found: dict[str, float] = {}
    for kind in KINDS:
        values = [float(one[kind].fmeasure) for one in scored]
        found[f"{kind}_mean"], found[f"{kind}_best"] = sum(values) / len(values), max(values)
    return found


def rouge_table(summaries: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Floats]:
    """ROUGE of n summaries, by the names of `METRICS`. [n] each

    Args:
        summaries: [n].
        references: of each summary's product, at least one. [n]
    """
    rows = [rouge(text, own) for text, own in zip(summaries, references, strict=True)]
    return {name: np.array([row[name] for row in rows]) for name in METRICS}


def leave_one_out(products: Sequence[Sequence[str]]) -> tuple[dict[str, Floats], list[int]]:
    """Human summaries scored against the other human summaries of their product: what a person reaches.

    A person is held against one reference fewer than a policy is; the mean over references is not moved by that, the
    best is (downwards).

    Args:
        products: the references of each; products with fewer than two are passed over.

    Returns:
        ROUGE of every human summary by the names of `METRICS` [n], and the place of each one's product. [n]
    """
    cases = list(_held_out(products))
    table = rouge_table([text for _, text, _ in cases], [others for _, _, others in cases])
    return table, [place for place, _, _ in cases]


def _held_out(products: Sequence[Sequence[str]]) -> Iterator[tuple[int, str, list[str]]]:
    for place, references in enumerate(products):
        if len(references) > 1:
            for number, text in enumerate(references):
                yield place, text, [*references[:number], *references[number + 1 :]]


def compared(
    values: Mapping[str, Mapping[str, Floats]], groups: Sequence[str], first: str, seeds: Sequence[str] = ()
) -> dict[str, Any]:
    """Estimates of several policies, and their paired differences to one of them.

    Args:
        values: policy -> metric -> one value a summary, in one order. [n] each
        groups: product of each summary. [n]
        first: the policy that the others are compared with.
        seeds: those that are training seeds of one recipe.

    Returns:
        JSON: ``estimates`` (policy -> metric -> estimate with cluster-bootstrap interval over products) and
        ``differences`` (other policy -> metric -> paired difference, `p_holm` corrected over that policy's metrics);
        ``over_seeds`` (metric -> ``gain`` over `first` with seeds and products resampled, and ``gain_t_over_seeds``,
        Student's interval of the seeds' means), empty for fewer than two seeds.
    """
    estimates = {
        policy: {metric: bootstrap_mean(found, groups).to_json() for metric, found in of_policy.items()}
        for policy, of_policy in values.items()
    }
    differences: dict[str, Any] = {}
    for policy, of_policy in values.items():
        if policy == first:
            continue
        tests = {
            metric: paired_difference(found, values[first][metric], groups)
            for metric, found in of_policy.items()
            if metric in values[first]
        }
        corrected = holm({metric: test.p_value for metric, test in tests.items()})
        differences[policy] = {
            metric: {**test.to_json(), "p_holm": corrected[metric] if np.isfinite(corrected[metric]) else None}
            for metric, test in tests.items()
        }
    together: dict[str, Any] = {}
    for metric in values[first] if len(seeds) > 1 else ():
        gains = [values[seed][metric] - values[first][metric] for seed in seeds]
        together[metric] = {
            "gain": over_seeds(gains, groups).to_json(),
            "gain_t_over_seeds": t_interval([float(gain.mean()) for gain in gains]).to_json(),
        }
    return {"estimates": estimates, "differences": differences, "over_seeds": together}
