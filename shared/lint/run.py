"""Lint: every check over every split, in one pass over the records."""

import difflib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import DataError, UsageError
from shared.lint import (
    contradictions,
    duplicates,
    flips,
    groups,
    language,
    leaks,
    length,
    markup,
    personal,
    predictors,
    templates,
    ties,
    truncation,
    votes,
)
from shared.lint.config import LintConfig
from shared.lint.findings import SEVERITIES, Finding, LintReport, metric_name
from shared.lint.near_duplicates import NearDuplicates
from shared.lint.pairs import NO_VOTES, Batch, PairTable
from shared.lint.registry import NEEDS, Check, Need, Observer, Session
from shared.records import PreferenceRecord

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Split = Path | str | Callable[[], Iterable[PreferenceRecord]]
BATCH = 1024
CHECKS: tuple[Check, ...] = (
    *ties.CHECKS,
    *groups.CHECKS,
    *duplicates.CHECKS,
    *contradictions.CHECKS,
    *leaks.CHECKS,
    *length.CHECKS,
    *predictors.CHECKS,
    *votes.CHECKS,
    *truncation.CHECKS,
    *language.CHECKS,
    *templates.CHECKS,
    *markup.CHECKS,
    *personal.CHECKS,
    *flips.CHECKS,
)
READ_NEAR_DUPLICATES = ("near_duplicate_prompts", "leak_near_text")


def lint(
    splits: Mapping[str, Split],
    config: LintConfig,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    extra_checks: Sequence[Check] = (),
) -> LintReport:
    """Runs all checks.

    Memory is some 150 bytes a pair and 150 bytes a distinct text; time is linear in the number of pairs.

    Args:
        splits: by name, the file of records or a function that iterates over them. The order says what leaks into
            what; a split named ``train`` always comes first.
        config: thresholds and severities.
        tokenizer: of the model to be trained, for truncation (with `config.max_length`).
        extra_checks: of the domain; one with the name of a built-in check takes its place.

    Returns:
        The report. Errors in it raise only by `LintReport.raise_for_errors`.

    Raises:
        DataError: there is no record at all.
        UsageError: `config.severities` names an unknown check.
    """
    checks = {each.name: each for each in (*CHECKS, *extra_checks)}
    _refuse_unknown(config, checks)
    names = sorted(splits, key=lambda name: name != "train")
    index = NearDuplicates(config.near_duplicate_similarity, config.near_duplicate_shingles)
    session = Session(config, tuple(names), tokenizer, index)
    status: dict[str, str] = {}
    observers: dict[str, Observer] = {}
    for name, each in checks.items():
        missing: list[Need] = [need for need in sorted(each.needs) if not _given(need, session)]
        if config.severities.get(name) == "off":
            status[name] = "off"
        elif missing:
            status[name] = f"not applicable: {NEEDS[missing[0]]}"
        else:
            observers[name] = each.start(session)
    table = PairTable(names, config.examples)
    indexed = any(name in observers for name in READ_NEAR_DUPLICATES)
    counts = dict.fromkeys(names, 0)
    for batch in _batches({name: splits[name] for name in names}):
        table.add(batch)
        counts[batch.split] += len(batch.records)
        if indexed:
            index.observe(batch)
        for observer in observers.values():
            observer.observe(batch)
    if not len(table):
        raise DataError(
            f"lint: there is no record in {', '.join(names) or 'any split'}; see what was dropped, and why."
        )
    log.info("lint: %d records read, %d checks", len(table), len(observers))
    return _report(table, config, checks, observers, status, counts)


def _report(
    table: PairTable,
    config: LintConfig,
    checks: Mapping[str, Check],
    observers: Mapping[str, Observer],
    status: dict[str, str],
    counts: dict[str, int],
) -> LintReport:
    findings: list[Finding] = []
    figures: dict[str, object] = {}
    metrics = {metric_name("pairs"): float(len(table))}
    absent = _absent(table)
    for name, observer in observers.items():
        lacking: list[Need] = [need for need in checks[name].needs if need in absent]
        if lacking:
            status[name] = f"not applicable: {NEEDS[lacking[0]]}"
            continue
        outcome = observer.finish(table)
        set_to = config.severities.get(name)
        for each in outcome.findings:
            findings.append(replace(each, severity=set_to) if set_to and set_to != "off" else each)
        status[name] = "found" if outcome.findings else "clean"
        if outcome.figures:
            figures[name] = outcome.figures
        metrics |= {key: value for key, value in outcome.metrics.items() if math.isfinite(value)}
    findings.sort(key=lambda each: SEVERITIES.index(each.severity))
    for severity in SEVERITIES:
        metrics[metric_name(f"{severity}s")] = float(sum(each.severity == severity for each in findings))
    ordered = {name: status[name] for name in checks}
    about = {name: each.about for name, each in checks.items()}
    return LintReport(counts, tuple(findings), ordered, figures, metrics, about)


def _batches(splits: Mapping[str, Split]) -> Iterator[Batch]:
    row = 0
    for name, split in splits.items():
        records = iter(_records(split))
        while batch := list(islice(records, BATCH)):
            yield Batch(name, row, batch)
            row += len(batch)


def _records(split: Split) -> Iterable[PreferenceRecord]:
    if isinstance(split, str | Path):
        from shared.data.record_files import iter_records

        return iter_records(Path(split))
    return split()


def _given(need: Need, session: Session) -> bool:
    if need == "tokenizer":
        return session.tokenizer is not None and session.config.max_length is not None
    return need != "splits" or len(session.splits) > 1  # votes and margins are known at the end


def _absent(table: PairTable) -> set[Need]:
    """What no record brings."""
    absent: set[Need] = set()
    if (table.votes[:, 0] == NO_VOTES).all():
        absent.add("votes")
    if (table.margin != table.margin).all():  # NaN only
        absent.add("margin")
    return absent


def _refuse_unknown(config: LintConfig, checks: Mapping[str, Check]) -> None:
    for name in config.severities:
        if name not in checks:
            near = difflib.get_close_matches(name, checks, n=1, cutoff=0.0)[0]
            raise UsageError(f"lint.severities: no check is called {name}; the nearest is {near}.")
