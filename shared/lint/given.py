"""Lint of any preference file, without a domain: what `valign lint preferences` runs. Nothing of the data is stored."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.data.columns import ColumnMapping, require_columns
from shared.data.dialogues import is_dialogue
from shared.data.given_splits import Source, given_splits, rows_of, split_value, values_of_column
from shared.data.judged_pairs import JudgedColumns, has_column, judged_pairs
from shared.data.preferences import preference_record
from shared.data.rows import BadRow, Row, RowTally
from shared.data.scored_answers import ScoredColumns, scored_answers
from shared.errors import DataError
from shared.lint.config import LintConfig
from shared.lint.findings import Finding, LintReport, Outcome, count_of, metric_name, per_cent
from shared.lint.pairs import PairTable
from shared.lint.registry import table_check
from shared.lint.run import lint
from shared.recipes import Component
from shared.records import PreferenceRecord, content_id

RECIPES = Path(__file__).with_name("recipes")
KEPT = ("chosen_model", "rejected_model")


class GivenDataConfig(Component):
    """How the rows of any preference file are read.

    Attributes:
        format: rows with chosen and rejected (preferences), rows with two responses and how they were judged (judged),
            rows with one answer each and its score (scored), or by their columns (auto).
        columns: names of the columns of rows with chosen and rejected.
        judged: names of the columns of judged rows.
        scored: names of the columns of scored answers.
        split_column: column whose values are the splits, where one file holds several; null: not looked for.
        max_bad_share: share of rows without what they need above which the data are refused.
        max_broken_share: the same for rows that cannot be read or have a label outside its range.
    """

    format: Literal["auto", "preferences", "judged", "scored"] = "auto"
    columns: ColumnMapping = ColumnMapping()
    judged: JudgedColumns = JudgedColumns()
    scored: ScoredColumns = ScoredColumns()
    split_column: str | None = "split"
    max_bad_share: float = Field(default=0.5, ge=0, le=1)
    max_broken_share: float = Field(default=0.5, ge=0, le=1)


class LintRecipe(Component):
    """What `valign lint preferences` can be told.

    Attributes:
        data: how rows are read.
        lint: thresholds; `lint.max_length` and `lint.prompt` with a model, for truncation.
        model: whose tokenizer counts tokens; None: truncation is not looked at.
    """

    data: GivenDataConfig = GivenDataConfig()
    lint: LintConfig = LintConfig()
    model: str | None = None


@dataclass(frozen=True, slots=True)
class GivenLint:
    """What lint found in given files.

    Attributes:
        report: the findings.
        left_out: rows that are no pair, by reason.
    """

    report: LintReport
    left_out: Mapping[str, int]


def lint_given(given: Sequence[str], recipe: LintRecipe) -> GivenLint:
    """Lints preference files as they are: ties and contradictions stay in, ids and names of files are masked.

    Args:
        given: files, folders or hub ids, with ``NAME=`` before those that are a split.
        recipe: how to read, and thresholds.

    Raises:
        DataError: unreadable data, wrong columns, or no pair at all.
        UsageError: an unknown model or check.
    """
    sources = given_splits(given)
    tallies: list[RowTally] = []
    streams = _streams(sources, recipe.data, tallies)
    tokenizer = _tokenizer(recipe)
    report = lint(streams, recipe.lint, tokenizer, (_unusable_rows(tallies),))
    return GivenLint(report, dict(Counter(row.reason for row in _left_out(tallies)).most_common()))


def _tokenizer(recipe: LintRecipe):
    if recipe.model is None or recipe.lint.max_length is None:
        return None
    from shared.home import models_folder
    from shared.models import load_tokenizer, resolve

    return load_tokenizer(resolve(recipe.model, models_folder()).path)


def _streams(
    sources: Mapping[str, Sequence[Source]], config: GivenDataConfig, tallies: list[RowTally]
) -> dict[str, Callable[[], Iterator[PreferenceRecord]]]:
    """A function that reads the records of each split; each gets a tally of its own."""

    def stream(files: Sequence[Source], value: str | None) -> Callable[[], Iterator[PreferenceRecord]]:
        def read() -> Iterator[PreferenceRecord]:
            tally = RowTally(config.max_bad_share, config.max_broken_share)
            tallies.append(tally)
            rows: Iterable[Row] = rows_of(files, tally)
            if value is not None and config.split_column is not None:
                column = config.split_column
                rows = (row for row in rows if split_value(row, column) == value)
            yield from _masked(_records(rows, tally, config))
            tally.check()

        return read

    if len(sources) == 1 and config.split_column is not None:
        files = next(iter(sources.values()))
        values = values_of_column(files, config.split_column)
        if values:
            return {value: stream(files, value) for value in values}
    return {name: stream(files, None) for name, files in sources.items()}


def _records(rows: Iterable[Row], tally: RowTally, config: GivenDataConfig) -> Iterator[PreferenceRecord]:
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        return
    everything = _again(first, iterator)
    form = _format_of(first, config)
    if form == "scored":
        yield from scored_answers(everything, tally, config.scored)
        return
    if form == "judged":
        if not config.judged.can_decide():
            raise DataError(
                f"{first.source}: two responses are there, but no column says which is preferred: name one with "
                "data.judged.label, data.judged.votes_first and votes_second, or scores_first and scores_second."
            )
        yield from judged_pairs(everything, tally, config.judged, keep_ties=True)
        return
    names = config.columns
    present = first.values.keys()
    require_columns((names.chosen, names.rejected, *names.renamed()), present, first.source)
    if names.prompt not in present and not is_dialogue(first.values[names.chosen]):
        require_columns((names.prompt,), present, first.source)
    for row in everything:
        try:
            record = preference_record(row, names, KEPT)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        yield record


def _again(first: Row, others: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from others


def _format_of(first: Row, config: GivenDataConfig) -> str:
    """The format that was named, else the one whose columns are there; preferences where none is."""
    if config.format != "auto":
        return config.format
    names = config.columns
    if names.chosen in first.values and names.rejected in first.values:
        return "preferences"
    if has_column(first.values, config.judged.first) and has_column(first.values, config.judged.second):
        return "judged"
    return "scored" if config.scored.response in first.values and config.scored.score in first.values else "preferences"


def _masked(records: Iterable[PreferenceRecord]) -> Iterator[PreferenceRecord]:
    """Records whose ids and file names tell nothing: a finding names them."""
    from shared.deidentify.deidentifier import Deidentifier
    from shared.deidentify.file_names import masked_source

    masker = Deidentifier()
    names: dict[str, str] = {}
    for record in records:
        yield replace(record, id=content_id(record.id), source=masked_source(record.source, names, masker))


def _left_out(tallies: Sequence[RowTally]) -> list[BadRow]:
    """Rows of all tallies, each once: a file that holds several splits is read once for each of them."""
    rows = (row for tally in tallies for row in (*tally.bad, *tally.left_out))
    return list({(row.source, row.reason): row for row in rows}.values())


def _unusable_rows(tallies: Sequence[RowTally]):
    @table_check("unusable_rows", severity="warning", thresholds=())
    def unusable_rows(table: PairTable, config: LintConfig) -> Outcome:
        """Rows that cannot be read as a pair: a text is missing, a label is outside its range."""
        del config
        bad = list({row.source: row for tally in tallies for row in tally.bad}.values())
        total = len(table) + len(bad)
        share = len(bad) / max(1, total)
        outcome = Outcome(metrics={metric_name("unusable_rows", "share"): share})
        if bad:
            reason, count = Counter(row.reason for row in bad).most_common(1)[0]
            message = (
                f"{count_of(len(bad), 'row')} ({per_cent(share)}) cannot be read as a pair (the commonest reason, "
                f"{count:,} times: {reason}): mend them, or map the columns with data.columns, data.judged or "
                "data.scored."
            )
            outcome.findings.append(Finding("unusable_rows", "warning", len(bad), share, message))
        return outcome

    return unusable_rows
