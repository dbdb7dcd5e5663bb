"""Labels that contradict each other: both orders of a pair, and cycles of preferences, for one prompt."""

import numpy as np
from numpy.typing import NDArray

from shared.lint.config import LintConfig
from shared.lint.findings import Finding, Outcome, count_of, metric_name, per_cent
from shared.lint.pairs import PairTable
from shared.lint.registry import Check, table_check
from shared.lint.ties import tied_pairs


def _nodes(table: PairTable) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Numbers of the (prompt, response) nodes of both sides [n], and how many nodes there are."""
    prompts = np.concatenate([table.hashes("prompt"), table.hashes("prompt")])
    responses = np.concatenate([table.hashes("chosen"), table.hashes("rejected")])
    with np.errstate(over="ignore"):  # mixing two 64-bit hashes modulo 2^64
        mixed = (prompts * np.uint64(0x9E3779B97F4A7C15)) ^ (responses * np.uint64(0xC2B2AE3D27D4EB4F))
    names, codes = np.unique(mixed, return_inverse=True)
    codes = codes.reshape(-1).astype(np.int64)
    return codes[: len(table)], codes[len(table) :], names.size


def _net_votes(
    winner: NDArray[np.int64], loser: NDArray[np.int64], counted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """By row [n] the number of its pair of nodes; by pair how often (counted rows) the lower node won, and lost."""
    low, high = np.minimum(winner, loser), np.maximum(winner, loser)
    order = np.lexsort((high, low))
    new = np.ones(order.size, dtype=bool)
    new[1:] = (low[order][1:] != low[order][:-1]) | (high[order][1:] != high[order][:-1])
    number = np.empty(order.size, dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    wins = np.bincount(number, weights=(winner == low) & counted).astype(np.int64)
    return number, wins, np.bincount(number, weights=counted).astype(np.int64) - wins


@table_check("contradictory_pairs", severity="warning", thresholds=("tie_margin",))
def contradictory_pairs(table: PairTable, config: LintConfig) -> Outcome:
    """A preferred to B in one row and B to A in another, for one prompt."""
    winner, loser, _ = _nodes(table)
    counted = (winner != loser) & ~tied_pairs(table, config)
    number, wins, losses = _net_votes(winner, loser, counted)
    rows = np.flatnonzero(((wins > 0) & (losses > 0))[number] & counted)
    share = rows.size / max(1, len(table))
    outcome = Outcome(metrics={metric_name("contradictory_pairs", "share"): share})
    if rows.size:
        pairs = int(np.unique(number[rows]).size)
        message = (
            f"{count_of(rows.size, 'row')} ({per_cent(share)}) over {count_of(pairs, 'pair')} of responses that are "
            "labelled both ways round for one prompt: settle each by majority, or leave it out."
        )
        examples = table.examples(rows)
        outcome.findings.append(Finding("contradictory_pairs", "warning", rows.size, share, message, examples=examples))
    return outcome


@table_check("preference_cycles", severity="warning", thresholds=("tie_margin",))
def preference_cycles(table: PairTable, config: LintConfig) -> Outcome:
    """A over B, B over C and C over A, for one prompt: strongly connected components of the majority graph."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    winner, loser, n_nodes = _nodes(table)
    counted = (winner != loser) & ~tied_pairs(table, config)
    number, wins, losses = _net_votes(winner, loser, counted)
    # Only the majority's direction of a pair stays: what is labelled both ways is reported as a contradiction.
    majority = np.where(winner < loser, wins[number] > losses[number], losses[number] > wins[number])
    edges = majority & counted
    graph = coo_array((np.ones(int(edges.sum()), dtype=bool), (winner[edges], loser[edges])), shape=(n_nodes, n_nodes))
    component = connected_components(graph, directed=True, connection="strong")[1]
    rows = np.flatnonzero(edges & (component[winner] == component[loser]))
    share = rows.size / max(1, len(table))
    outcome = Outcome(metrics={metric_name("preference_cycles", "share"): share})
    if rows.size:
        cycles = int(np.unique(component[winner[rows]]).size)
        message = (
            f"{count_of(rows.size, 'pair')} ({per_cent(share)}) in {count_of(cycles, 'knot')} of circular preferences "
            "(A over B over C over A): no scalar reward can satisfy them; use a general preference model or leave "
            "them out."
        )
        outcome.findings.append(
            Finding("preference_cycles", "warning", rows.size, share, message, examples=table.examples(rows))
        )
    return outcome


CHECKS: tuple[Check, ...] = (contradictory_pairs, preference_cycles)
