"""Ties: pairs without a preference, and pairs whose responses (nearly) coincide."""

import numpy as np

from shared.lint.config import LintConfig
from shared.lint.figures import binned
from shared.lint.findings import Finding, Outcome, count_of, metric_name, per_cent
from shared.lint.near_duplicates import jaccard, shingles
from shared.lint.pairs import NO_VOTES, Batch, PairTable
from shared.lint.registry import Check, Session, check, table_check


def tied_pairs(table: PairTable, config: LintConfig) -> np.ndarray:
    """Which pairs [n] are ties: by their margin, or, without a margin, by even votes. Their label is arbitrary."""
    votes = table.votes
    even = (votes[:, 0] != NO_VOTES) & (votes[:, 0] == votes[:, 1])
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(table.margin), even, table.margin <= config.tie_margin)


@table_check("ties", severity="warning", thresholds=("tie_margin",))
def ties(table: PairTable, config: LintConfig) -> Outcome:
    """Pairs whose margin is zero (or below the threshold) or whose votes are even."""
    rows = np.flatnonzero(tied_pairs(table, config))
    share = rows.size / max(1, len(table))
    outcome = Outcome(metrics={metric_name("ties", "share"): share})
    known = table.margin[~np.isnan(table.margin)]
    if known.size:
        outcome.figures["margins"] = binned(known)
        outcome.figures["tie_margin"] = config.tie_margin
        outcome.figures["near_tie_margin"] = config.near_tie_margin
    if rows.size:
        message = (
            f"{count_of(rows.size, 'pair')} ({per_cent(share)}) {'is a tie' if rows.size == 1 else 'are ties'} (margin "
            f"{config.tie_margin:g} or less, or even votes): leave them out, or train with a tie-aware objective."
        )
        outcome.findings.append(Finding("ties", "warning", rows.size, share, message, examples=table.examples(rows)))
    return outcome


@table_check("near_ties", severity="info", needs=("margin",), thresholds=("tie_margin", "near_tie_margin"))
def near_ties(table: PairTable, config: LintConfig) -> Outcome:
    """Pairs whose margin is above a tie's and below `near_tie_margin`."""
    if config.near_tie_margin is None:
        return Outcome()
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((table.margin > config.tie_margin) & (table.margin < config.near_tie_margin))
    share = rows.size / max(1, len(table))
    outcome = Outcome(metrics={metric_name("near_ties", "share"): share})
    if rows.size:
        message = (
            f"{count_of(rows.size, 'pair')} ({per_cent(share)}) with a margin below {config.near_tie_margin:g}: "
            "labels there are noisy; raise the least margin or weight pairs by their margin."
        )
        outcome.findings.append(Finding("near_ties", "info", rows.size, share, message, examples=table.examples(rows)))
    return outcome


@table_check("identical_responses", severity="warning")
def identical_responses(table: PairTable, config: LintConfig) -> Outcome:
    """Pairs whose responses are the same text, up to case and white space."""
    del config
    rows = np.flatnonzero(table.hashes("chosen") == table.hashes("rejected"))
    share = rows.size / max(1, len(table))
    outcome = Outcome(metrics={metric_name("identical_responses", "share"): share})
    if rows.size:
        message = (
            f"{count_of(rows.size, 'pair')} ({per_cent(share)}) whose chosen and rejected responses are the same "
            "text: leave them out, they teach nothing and count as errors of every model."
        )
        outcome.findings.append(
            Finding("identical_responses", "warning", rows.size, share, message, examples=table.examples(rows))
        )
    return outcome


@check("near_identical_responses", severity="info", thresholds=("near_identical_similarity",))
class NearIdenticalResponses:
    """Pairs whose responses share nearly all their word pairs."""

    def __init__(self, session: Session) -> None:
        self._config = session.config
        self._rows: list[int] = []

    def observe(self, batch: Batch) -> None:
        least = self._config.near_identical_similarity
        for row, (a, b) in enumerate(zip(batch.chosen, batch.rejected, strict=True), batch.first_row):
            if a == b or min(len(a), len(b)) < (least - 0.1) * max(len(a), len(b)):
                continue
            if jaccard(shingles(a), shingles(b)) >= least:
                self._rows.append(row)

    def finish(self, table: PairTable) -> Outcome:
        count, share = len(self._rows), len(self._rows) / max(1, len(table))
        outcome = Outcome(metrics={metric_name("near_identical_responses", "share"): share})
        if count:
            message = (
                f"{count_of(count, 'pair')} ({per_cent(share)}) whose responses are nearly the same text: what "
                "decides them is a word or two; see that the label means it."
            )
            examples = table.examples(self._rows)
            outcome.findings.append(
                Finding("near_identical_responses", "info", count, share, message, examples=examples)
            )
        return outcome


@table_check("all_tied", severity="error", thresholds=("tie_margin",))
def all_tied(table: PairTable, config: LintConfig) -> Outcome:
    """No pair has a preference."""
    tied = tied_pairs(table, config) | (table.hashes("chosen") == table.hashes("rejected"))
    outcome = Outcome()
    if len(table) and tied.all():
        message = (
            f"all {len(table):,} pairs are ties, so there is no preference to learn: check the columns that the "
            "label is made of."
        )
        outcome.findings.append(Finding("all_tied", "error", len(table), 1.0, message, examples=table.examples([0])))
    return outcome


CHECKS: tuple[Check, ...] = (ties, near_ties, identical_responses, NearIdenticalResponses, all_tied)
