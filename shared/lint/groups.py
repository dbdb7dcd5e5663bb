"""Groups: a few that dominate, and data of one group only."""

import numpy as np

from shared.lint.config import LintConfig
from shared.lint.figures import binned
from shared.lint.findings import Finding, Outcome, metric_name, per_cent
from shared.lint.pairs import PairTable
from shared.lint.registry import Check, table_check

ENOUGH_GROUPS_FOR_TOP_TEN = 40
SHOWN = 30


@table_check("one_group", severity="error")
def one_group(table: PairTable, config: LintConfig) -> Outcome:
    """All pairs belong to one group."""
    del config
    outcome = Outcome()
    if len(table) > 1 and int(table.groups.max()) == 0:
        message = (
            f"all {len(table):,} pairs belong to one group, so no split can keep groups apart and no interval can be "
            "given: check the column that groups are made of."
        )
        outcome.findings.append(Finding("one_group", "error", len(table), 1.0, message, examples=table.examples([0])))
    return outcome


@table_check("dominating_groups", severity="warning", thresholds=("top_group_share", "top_ten_share"))
def dominating_groups(table: PairTable, config: LintConfig) -> Outcome:
    """A few groups (questions, products) make up much of the data."""
    if not len(table):
        return Outcome()
    _, first, sizes = np.unique(table.groups, return_index=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    shares = sizes[order] / sizes.sum()
    effective = float(1 / (shares**2).sum())  # inverse Simpson index
    top_ten = float(shares[:10].sum())
    outcome = Outcome(
        figures={
            "groups": int(sizes.size),
            "effective_groups": effective,
            "gini": gini(sizes),
            "top_share": float(shares[0]),
            "top_ten_share": top_ten,
            "threshold": config.top_group_share,
            "sizes": binned(sizes),
            "largest": [
                {
                    "pairs": int(sizes[group]),
                    "share": float(share),
                    "record": example.id,
                    "source": example.source,
                }
                for group, share in zip(order[:SHOWN], shares, strict=False)
                for example in table.examples([int(first[group])])
            ],
        },
        metrics={
            metric_name("groups"): float(sizes.size),
            metric_name("groups", "effective"): effective,
            metric_name("groups", "gini"): gini(sizes),
            metric_name("groups", "top_share"): float(shares[0]),
        },
    )
    heavy = int((shares >= config.top_group_share).sum())
    many = sizes.size >= ENOUGH_GROUPS_FOR_TOP_TEN and top_ten >= config.top_ten_share
    expected = 1 / config.top_group_share  # with fewer groups than this every even share is above the threshold
    if (heavy and sizes.size > expected) or many:
        message = (
            f"of {sizes.size:,} groups the largest holds {per_cent(float(shares[0]))} of the pairs and the ten largest "
            f"{per_cent(top_ten)}; they count like {effective:.0f} even groups: cap the pairs per group."
        )
        count = heavy if heavy else 10
        share = float(shares[:count].sum())
        examples = table.examples(first[order[:count]])
        outcome.findings.append(Finding("dominating_groups", "warning", count, share, message, examples=examples))
    return outcome


def gini(sizes: np.ndarray) -> float:
    """Gini coefficient of group sizes: 0 all even, towards 1 all in one group."""
    ordered = np.sort(sizes).astype(np.float64)
    n = ordered.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


CHECKS: tuple[Check, ...] = (one_group, dominating_groups)
