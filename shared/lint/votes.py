"""What raters' votes say: labels against the majority, contested pairs, agreement."""

import math

import numpy as np
from numpy.typing import NDArray

from shared.lint.config import LintConfig
from shared.lint.figures import shares
from shared.lint.findings import Finding, Outcome, count_of, metric_name, per_cent
from shared.lint.pairs import NO_VOTES, PairTable
from shared.lint.registry import Check, table_check


@table_check("votes_against_label", severity="warning", needs=("votes",))
def votes_against_label(table: PairTable, config: LintConfig) -> Outcome:
    """Pairs whose rejected response has more votes than the chosen one."""
    del config
    votes = table.votes
    voted = votes[:, 0] != NO_VOTES
    rows = np.flatnonzero(voted & (votes[:, 1] > votes[:, 0]))
    share = rows.size / max(1, int(voted.sum()))
    outcome = Outcome(metrics={metric_name("votes_against_label", "share"): share})
    if rows.size:
        message = (
            f"{count_of(rows.size, 'pair')} ({per_cent(share)} of those with votes) whose rejected response has more "
            "votes than the chosen one: check how the label was made."
        )
        outcome.findings.append(
            Finding("votes_against_label", "warning", rows.size, share, message, examples=table.examples(rows))
        )
    return outcome


@table_check("contested_votes", severity="warning", needs=("votes",), thresholds=("contested_share", "contested_pairs"))
def contested_votes(table: PairTable, config: LintConfig) -> Outcome:
    """Pairs on which raters disagree, and the raters' agreement."""
    voted = np.flatnonzero(table.votes[:, 0] != NO_VOTES)
    votes = table.votes[voted].astype(np.float64)
    decided = votes[:, 0] + votes[:, 1]
    against = np.divide(votes[:, 1], decided, out=np.full(len(votes), 0.5), where=decided > 0)
    contested = against >= config.contested_share
    share = float(contested.mean())
    kappa, observed = agreement(votes)
    outcome = Outcome(
        figures={
            "kappa": kappa,
            "observed_agreement": observed,
            "share_for_chosen": shares(1 - against),
            "contested_share": config.contested_share,
            "raters": float(votes.sum(axis=1).mean()),
        },
        metrics={metric_name("contested_votes", "share"): share, metric_name("votes", "kappa"): kappa},
    )
    if contested.any():
        rows = voted[contested]
        said = f", agreement (Fleiss' kappa) {kappa:.2f}" if math.isfinite(kappa) else ""
        message = (
            f"{count_of(rows.size, 'pair')} ({per_cent(share)} of those with votes) are contested (at least "
            f"{config.contested_share:.0%} of the decided votes for the rejected response{said}): weight pairs by "
            "their votes, or train with soft labels."
        )
        severity = "warning" if share >= config.contested_pairs else "info"
        outcome.findings.append(
            Finding("contested_votes", severity, rows.size, share, message, examples=table.examples(rows))
        )
    return outcome


def agreement(votes: NDArray[np.float64]) -> tuple[float, float]:
    """Fleiss' kappa of raters who chose between two responses or neither.

    J. L. Fleiss, "Measuring nominal scale agreement among many raters" (1971), with two changes: numbers of raters may
    differ (an item counts by its raters), and the two responses share one marginal, since which of them is called
    chosen was decided by these votes: with separate marginals any majority would look like a bias of the raters.

    Args:
        votes: chosen, rejected, ties [n, 3]; rows with fewer than two votes are left out.

    Returns:
        (kappa, observed agreement); NaN where no row has two votes or chance agreement is 1.
    """
    raters = votes.sum(axis=1)
    votes, raters = votes[raters >= 2], raters[raters >= 2]
    if not raters.size:
        return math.nan, math.nan
    of_item = (votes * (votes - 1)).sum(axis=1) / (raters * (raters - 1))
    observed = float(of_item @ raters / raters.sum())
    ties = float(votes[:, 2].sum() / raters.sum())
    expected = ties**2 + 2 * ((1 - ties) / 2) ** 2
    return ((observed - expected) / (1 - expected) if expected < 1 else math.nan), observed


CHECKS: tuple[Check, ...] = (votes_against_label, contested_votes)
