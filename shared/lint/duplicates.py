"""Texts that stand in the data more than once."""

import numpy as np
from numpy.typing import NDArray

from shared.lint.config import LintConfig
from shared.lint.findings import Finding, Outcome, count_of, metric_name, per_cent
from shared.lint.near_duplicates import ALONE, NearDuplicates
from shared.lint.pairs import Batch, PairTable
from shared.lint.registry import Check, Session, check, table_check


def in_several(keys: NDArray, parts: NDArray, relevant: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """Rows [n] whose key stands in more than one part, among the relevant rows; and the number of such keys."""
    found = np.zeros(keys.size, dtype=bool)
    rows = np.flatnonzero(relevant)
    if not rows.size:
        return found, 0
    codes = np.unique(keys[rows], return_inverse=True)[1].reshape(-1)
    parts = parts[rows]
    low = np.full(codes.max() + 1, np.iinfo(np.int64).max)
    high = np.full(codes.max() + 1, np.iinfo(np.int64).min)
    np.minimum.at(low, codes, parts)
    np.maximum.at(high, codes, parts)
    spread = low < high
    found[rows] = spread[codes]
    return found, int(spread.sum())


def _finding(name: str, severity: str, table: PairTable, found: NDArray[np.bool_], what: str, subject: str) -> Outcome:
    rows = np.flatnonzero(found)
    share = rows.size / max(1, len(table))
    outcome = Outcome(metrics={metric_name(name, subject, "share"): share})
    if rows.size:
        message = f"{count_of(rows.size, 'pair')} ({per_cent(share)}) {what}"
        outcome.findings.append(
            Finding(name, severity, rows.size, share, message, subject, table.examples(rows))  # pyright: ignore[reportArgumentType]
        )
    return outcome


@table_check("duplicate_pairs", severity="warning")
def duplicate_pairs(table: PairTable, config: LintConfig) -> Outcome:
    """The same prompt, chosen and rejected response in more than one row."""
    del config
    keys = np.stack([table.hashes(name) for name in ("prompt", "chosen", "rejected")], axis=1)
    first = np.unique(keys, axis=0, return_index=True)[1] if len(keys) < 50_000 else _first_of_rows(keys)
    found = np.ones(len(table), dtype=bool)
    found[first] = False
    what = "repeat an earlier pair word for word: de-duplicate, or count them as a weight."
    return _finding("duplicate_pairs", "warning", table, found, what, "")


def _first_of_rows(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """First row of every distinct row of hashes: lexsort, which is many times faster than np.unique by rows."""
    order = np.lexsort((np.arange(len(keys)), keys[:, 2], keys[:, 1], keys[:, 0]))
    new = np.ones(order.size, dtype=bool)
    new[1:] = (keys[order][1:] != keys[order][:-1]).any(axis=1)
    return order[new]


@table_check("prompt_in_several_groups", severity="warning", thresholds=("shared_line_characters",))
def prompt_in_several_groups(table: PairTable, config: LintConfig) -> Outcome:
    """One prompt, or one first line of a prompt (a title), under several group ids."""
    outcome = Outcome()
    whole = np.zeros(len(table), dtype=bool)  # found already: a line is news only where the whole prompt is not
    for subject, name, relevant in (
        ("whole prompt", "prompt", table.own_prompt),
        ("first line", "line", table.line_chars >= config.shared_line_characters),
    ):
        found, texts = in_several(table.hashes(name), table.groups, relevant)
        what = (
            f"have a prompt whose {'text' if name == 'prompt' else 'first line'} stands in several groups "
            f"({count_of(texts, 'text')}): group by the text, or a split will leak."
        )
        if name == "line" and texts * 20 < int(found.sum()) and found.mean() > 0.5:
            # A template's fixed opening, not a title: one line in most of the data says nothing about duplicates.
            found[:] = False
        found &= ~whole
        whole = whole | found
        part = _finding("prompt_in_several_groups", "warning", table, found, what, subject)
        outcome.findings += part.findings
        outcome.metrics |= part.metrics
        outcome.figures[subject] = {"texts": texts, "pairs": int(found.sum())}
    return outcome


@check("near_duplicate_prompts", severity="info", thresholds=("near_duplicate_similarity", "near_duplicate_shingles"))
class NearDuplicatePrompts:
    """Prompts of different groups that are nearly the same text."""

    def __init__(self, session: Session) -> None:
        self._index: NearDuplicates = session.near_duplicates

    def observe(self, batch: Batch) -> None:
        """Nothing: the index is filled once for all checks that read it."""

    def finish(self, table: PairTable) -> Outcome:
        clusters = self._index.prompts.cluster_of(table.hashes("prompt"))
        found, _ = in_several(clusters, table.groups, (clusters != ALONE) & table.own_prompt)
        exact, _ = in_several(table.hashes("prompt"), table.groups, np.ones(len(table), dtype=bool))
        found &= ~exact
        texts = int(np.unique(clusters[found]).size)
        what = (
            f"have a prompt that is nearly the text of another group's ({count_of(texts, 'cluster')}): "
            "group by cluster, or a split will leak."
        )
        outcome = _finding("near_duplicate_prompts", "info", table, found, what, "")
        outcome.figures["similarity"] = self._index.prompts.similarities()
        return outcome


@table_check("duplicate_responses", severity="info", thresholds=("leak_characters",))
def duplicate_responses(table: PairTable, config: LintConfig) -> Outcome:
    """One response text under several prompts."""
    responses = np.concatenate([table.hashes("chosen"), table.hashes("rejected")])
    lengths = np.concatenate([table.chosen_chars, table.rejected_chars])
    prompts = np.unique(table.hashes("prompt"), return_inverse=True)[1].reshape(-1)
    found, texts = in_several(responses, np.concatenate([prompts, prompts]), lengths >= config.leak_characters)
    what = (
        f"have a response that also answers another prompt ({count_of(texts, 'text')}): see whether it is "
        "boilerplate; a model learns to like or dislike it whatever the question."
    )
    n = len(table)
    return _finding("duplicate_responses", "info", table, found[:n] | found[n:], what, "")


CHECKS: tuple[Check, ...] = (
    duplicate_pairs,
    prompt_in_several_groups,
    NearDuplicatePrompts,
    duplicate_responses,
)
