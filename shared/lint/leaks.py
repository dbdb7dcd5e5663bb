"""Leaks between splits: by group, by the same text, by nearly the same text."""

import numpy as np
from numpy.typing import NDArray

from shared.lint.config import LintConfig
from shared.lint.findings import Finding, Outcome, Severity, count_of, metric_name, per_cent
from shared.lint.near_duplicates import ALONE, NearDuplicates
from shared.lint.pairs import Batch, PairTable
from shared.lint.registry import Check, Session, check, table_check


def leaking(keys: NDArray, split: NDArray, relevant: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows [n] whose key stands in an earlier split too, among the relevant rows."""
    found = np.zeros(keys.size, dtype=bool)
    rows = np.flatnonzero(relevant)
    if not rows.size:
        return found
    codes = np.unique(keys[rows], return_inverse=True)[1].reshape(-1)
    first = np.full(codes.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, codes, split[rows].astype(np.int64))
    found[rows] = split[rows] > first[codes]
    return found


def _report(
    name: str, severity: Severity, table: PairTable, found: NDArray[np.bool_], subject: str, what: str
) -> Outcome:
    rows = np.flatnonzero(found)
    later = int((table.split > 0).sum())
    share = rows.size / max(1, later)
    by_split = {split: int((table.split[rows] == number).sum()) for number, split in enumerate(table.splits) if number}
    outcome = Outcome(figures={subject: by_split}, metrics={metric_name(name, subject, "share"): share})
    if rows.size:
        places = ", ".join(f"{count:,} of {split}" for split, count in by_split.items() if count)
        message = (
            f"{count_of(rows.size, 'pair')} ({places}; {per_cent(share)} of the later splits) {what} an earlier split: "
            "what is measured there was partly seen in training; split again by group and text."
        )
        outcome.findings.append(Finding(name, severity, rows.size, share, message, subject, table.examples(rows)))
    return outcome


def _merge(parts: list[Outcome]) -> Outcome:
    outcome = Outcome()
    for part in parts:
        outcome.findings += part.findings
        outcome.figures |= part.figures
        outcome.metrics |= part.metrics
    return outcome


@table_check("leak_group", severity="error", needs=("splits",))
def leak_group(table: PairTable, config: LintConfig) -> Outcome:
    """A group that stands in several splits."""
    del config
    found = leaking(table.groups, table.split, np.ones(len(table), dtype=bool))
    return _report("leak_group", "error", table, found, "", "belong to a group of")


@table_check("leak_text", severity="warning", needs=("splits",), thresholds=("leak_characters",))
def leak_text(table: PairTable, config: LintConfig) -> Outcome:
    """A prompt or response that stands, up to case and white space, in several splits."""
    prompts, responses = _exact(table, config)
    return _merge(
        [
            _report("leak_text", "warning", table, prompts, "prompt", "share their prompt with"),
            _report("leak_text", "warning", table, responses, "response", "share a response with"),
        ]
    )


@check(
    "leak_near_text",
    severity="warning",
    needs=("splits",),
    thresholds=("near_duplicate_similarity", "near_duplicate_shingles", "leak_characters"),
)
class NearLeaks:
    """A prompt or response that stands nearly word for word in several splits."""

    def __init__(self, session: Session) -> None:
        self._index: NearDuplicates = session.near_duplicates
        self._config = session.config

    def observe(self, batch: Batch) -> None:
        """Nothing: the index is filled once for all checks that read it."""

    def finish(self, table: PairTable) -> Outcome:
        exact_prompts, exact_responses = _exact(table, self._config)
        clusters = self._index.prompts.cluster_of(table.hashes("prompt"))
        prompts = leaking(clusters, table.split, (clusters != ALONE) & table.own_prompt) & ~exact_prompts
        sides = np.concatenate([table.hashes("chosen"), table.hashes("rejected")])
        clusters = self._index.responses.cluster_of(sides)
        both = leaking(clusters, np.concatenate([table.split, table.split]), clusters != ALONE)
        responses = (both[: len(table)] | both[len(table) :]) & ~exact_responses
        outcome = _merge(
            [
                _report(
                    "leak_near_text",
                    "warning",
                    table,
                    prompts,
                    "prompt",
                    "have nearly the prompt of a pair in",
                ),
                _report(
                    "leak_near_text",
                    "warning",
                    table,
                    responses,
                    "response",
                    "have nearly a response of a pair in",
                ),
            ]
        )
        outcome.figures["similarity"] = self._index.responses.similarities()
        return outcome


def _exact(table: PairTable, config: LintConfig) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows whose prompt, and rows one of whose responses, stands in an earlier split."""
    prompts = leaking(table.hashes("prompt"), table.split, table.own_prompt)
    both = leaking(
        np.concatenate([table.hashes("chosen"), table.hashes("rejected")]),
        np.concatenate([table.split, table.split]),
        np.concatenate([table.chosen_chars, table.rejected_chars]) >= config.leak_characters,
    )
    return prompts, both[: len(table)] | both[len(table) :]


CHECKS: tuple[Check, ...] = (leak_group, leak_text, NearLeaks)
