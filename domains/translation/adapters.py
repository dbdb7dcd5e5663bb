"""Sentence pairs from whatever the user gives: parallel files, tables, folders of either, hub sets."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from domains.translation.data_config import PairColumns, PairLanguages, TranslationDataConfig
from domains.translation.parallel_text import ParallelFiles, find_parallel, is_table, parallel_rows
from domains.translation.records import Path as ReadPath
from domains.translation.records import SentencePair
from domains.translation.text_findings import Side, TextFindings, clean_sentence
from domains.translation.units import Unit, split_units
from shared.data.columns import number_of, require_columns, scalar_of, text_of
from shared.data.given_splits import NAMES, given_splits
from shared.data.reading import iter_rows
from shared.data.rows import InvalidValueError, Row, RowTally
from shared.data.text_keys import text_key
from shared.errors import DataError
from shared.records import content_id

Form = Literal["parallel text", "table", "hub"]
Rows = Iterable[tuple[str | None, Row]]
Pairs = Iterator[tuple[str | None, SentencePair]]
SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class OpenedData:
    """What a location holds.

    Attributes:
        form: how it is stored.
        rows: (split that the file's name speaks of, or None; row), streamed.
        columns: names of the rows' columns.
    """

    form: Form
    rows: Rows
    columns: PairColumns


def data_files(path: Path, config: TranslationDataConfig) -> dict[str, Path]:
    """Files of a stage that reads `path`: the path itself, and its partners where it is one file of parallel text.

    Raises:
        DataError: as `find_parallel`.
    """
    if path.is_dir() or is_table(path):
        return {"data": path}
    (files,) = find_parallel(path, config.languages(), config.target_file)
    roles = {"source": files.source, "target": files.target, "rejected": files.rejected}
    others = {role: one for role, one in roles.items() if one is not None and one != path}
    return {"data": path, **others}


def open_data(location: str | Path, config: TranslationDataConfig, tally: RowTally) -> OpenedData:
    """Rows of a location by what it is.

    Args:
        location: a folder, a table, one file of parallel text, or ``hub:ID``.
        config: languages, column names.
        tally: gets rows that cannot be read.

    Raises:
        DataError: files that are missing, of no known kind, or of both kinds in one folder.
    """
    if isinstance(location, str):
        return OpenedData("hub", ((None, row) for row in iter_rows(location, tally)), config.columns)
    languages = config.languages()
    if location.is_dir():
        sets = find_parallel(location, languages)
        tables = [one for one in sorted(location.rglob("*")) if is_table(one) and one.suffix.lower() != ".json"]
        if sets and tables:
            raise DataError(
                f"{location.name} holds parallel text ({sets[0].source.name}) and tables ({tables[0].name}): give a "
                "folder with one kind."
            )
        if sets:
            return _parallel(_one_kind(sets, location))
        if not tables and not any(is_table(one) for one in location.rglob("*")):
            raise DataError(
                f"{location.name} holds neither tables nor parallel text of {languages.source} and {languages.target}: "
                f"name the files train.{languages.source} and train.{languages.target}, or set data.source_language "
                "and data.target_language."
            )
        by_split = given_splits([str(location)])
        labelled = (
            (None if split == "all" else split, row)
            for split, sources in by_split.items()
            for source in sources
            for row in iter_rows(source, tally)
        )
        return OpenedData("table", labelled, config.columns)
    if is_table(location):
        return OpenedData("table", ((None, row) for row in iter_rows(location, tally)), config.columns)
    files = find_parallel(location, languages, config.target_file)
    return _parallel([replace(one, split=None) for one in files])


def _parallel(sets: list[ParallelFiles]) -> OpenedData:
    rows = ((one.split, row) for one in sets for row in parallel_rows(one))
    return OpenedData("parallel text", rows, PairColumns(split=None))


def _one_kind(sets: list[ParallelFiles], folder: Path) -> list[ParallelFiles]:
    """The sets with the splits that their names speak of, where they speak of several."""
    named = sorted({one.split for one in sets if one.split is not None})
    unnamed = [one for one in sets if one.split is None]
    if len(named) > 1 and unnamed:
        raise DataError(
            f"{folder.name} holds files named for splits ({', '.join(named)}) and others ({unnamed[0].source.name}): "
            "name every file for train, val or test, or give a folder without them."
        )
    return sets if len(named) > 1 else [replace(one, split=None) for one in sets]


def sentence_pairs(opened: OpenedData, languages: PairLanguages, tally: RowTally, findings: TextFindings) -> Pairs:
    """(given split or None, pair) of every row that can be used; the stream ends with `tally.check`.

    Args:
        opened: the rows.
        languages: with their units.
        tally: counts good and bad rows and gets those left out, with the reason.
        findings: takes in every sentence.

    Raises:
        DataError: a column is missing, or too many rows are bad or broken.
    """
    rows = iter(opened.rows)
    first = next(rows, None)
    if first is None:
        tally.check()
        raise DataError("the data hold no row that can be read: give sentence pairs.")
    columns, nested = _layout(first[1], opened.columns, languages)
    for split, given in chain([first], rows):
        row = Row({**given.values, **(given.values.get("translation") or {})}, given.source) if nested else given
        try:
            pair = _pair(row, columns, languages)
            named = split or _split_of(row, columns)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        if pair is None:
            tally.leave_out(row.source, "is empty on both sides")
            continue
        tally.good += 1
        for name, text in pair.texts():
            side: Side = "source" if name == "source_text" else "target" if name == "target_text" else "rejected"
            findings.add(side, text)
        if text_key(pair.source_text) == text_key(pair.target_text):
            findings.same += 1
            tally.leave_out(row.source, "source and target are the same text")
            continue
        yield named, pair
    tally.check()


def _layout(row: Row, columns: PairColumns, languages: PairLanguages) -> tuple[PairColumns, bool]:
    """The columns of the rows, from the first; and whether the texts stand in an object ``translation``."""
    present = row.values.keys()
    require_columns(columns.renamed(), present, row.source)
    default = PairColumns()
    if columns.source in present and columns.target in present:
        return columns, False
    if columns.source == default.source and columns.target == default.target:
        named = columns.model_copy(update={"source": languages.source, "target": languages.target})
        nested = row.values.get("translation")
        if isinstance(nested, Mapping) and languages.source in nested and languages.target in nested:
            return named, True
        if languages.source in present and languages.target in present:
            return named, False
    if any(len(str(name)) > 40 or str(name).count(" ") > 2 for name in present):
        raise DataError(
            f"{row.source} follows a first row that names no columns: write a first row that names them, such as "
            f"{columns.source} and {columns.target}."
        )
    require_columns((columns.source, columns.target), present, row.source)
    return columns, False


def _split_of(row: Row, columns: PairColumns) -> str | None:
    """The split that a row's own column names."""
    if columns.split is None or columns.split not in row.values:
        return None
    value = text_of(row.values, columns.split)
    name = NAMES.get(value.lower())
    if name not in SPLIT_NAMES:
        raise InvalidValueError(
            f"column {columns.split!r} names no split: write train, validation or test, or set data.columns.split=null"
        )
    return name


def _pair(row: Row, columns: PairColumns, languages: PairLanguages) -> SentencePair | None:
    """The pair of a row; None where both sides are empty.

    Raises:
        InvalidValueError: a value of the wrong type, or a path that does not fit its texts.
        ValueError: one side is empty.
    """
    values = row.values
    source, target, rejected = (
        clean_sentence(text_of(values, name)) for name in (columns.source, columns.target, columns.rejected)
    )
    if not source and not target:
        return None
    if not source or not target:
        raise ValueError(f"has no {'source' if not source else 'target'} sentence")
    if not rejected or text_key(rejected) == text_key(target):
        rejected = None
    length = len(split_units(source, languages.source_unit))
    rejected_path = path_of(values, columns.rejected_path, length, rejected, languages.target_unit)
    weight = number_of(values, columns.weight, least=0)
    metadata = {name: scalar_of(values, name) for name in columns.metadata}
    return SentencePair(
        id=text_of(values, columns.id) or content_id(source, target, rejected or ""),
        group_id=text_of(values, columns.group_id) or content_id(text_key(source)),
        source=row.source,
        source_text=source,
        target_text=target,
        rejected_text=rejected,
        target_path=path_of(values, columns.target_path, length, target, languages.target_unit),
        rejected_path=rejected_path if rejected is not None else None,
        weight=1.0 if weight is None else weight,
        metadata={name: value for name, value in metadata.items() if value not in (None, "")},
    )


def path_of(values: Mapping[str, Any], name: str, length: int, target: str | None, unit: Unit) -> ReadPath | None:
    """A column's read path; None where it is missing, null or empty, or where there is no target.

    Args:
        values: the row.
        name: the column.
        length: source units.
        target: the translation whose path it is.
        unit: of the translation.

    Raises:
        InvalidValueError: it is no list of whole numbers, has another length than the translation has units, decreases,
            begins below 1, or reads more units than the source has.
    """
    value = values.get(name)
    if value is None or (isinstance(value, str) and not value.strip()) or target is None:
        return None
    path = _whole_numbers(value, name)
    units = len(split_units(target, unit))
    if len(path) != units:
        raise InvalidValueError(
            f"column {name!r} holds a path of {len(path)} steps for a translation of {units} units (unit: {unit})"
        )
    if path and path[0] < 1:
        raise InvalidValueError(f"column {name!r} holds a path that begins with {path[0]}: one unit is always read")
    for place in range(1, len(path)):
        if path[place] < path[place - 1]:
            raise InvalidValueError(
                f"column {name!r} holds a path that decreases from {path[place - 1]} to {path[place]} at step "
                f"{place + 1}: what was read stays read"
            )
    if path and path[-1] > length:
        raise InvalidValueError(f"column {name!r} holds a path that reads {path[-1]} units of a source of {length}")
    return path


def _whole_numbers(value: Any, name: str) -> ReadPath:
    numbers = value
    if isinstance(value, str):
        text = value.strip()
        try:
            numbers = json.loads(text) if text.startswith("[") else [int(one) for one in text.replace(",", " ").split()]
        except (ValueError, RecursionError):
            numbers = None
    if not isinstance(numbers, list | tuple) or not all(map(_is_whole, numbers)):
        raise InvalidValueError(f"column {name!r} holds no list of whole numbers")
    return tuple(int(one) for one in numbers)


def _is_whole(number: Any) -> bool:
    """Whether it is a whole number that a file can hold; data frames write them with a fraction of 0."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return math.isfinite(number) and number == int(number) and abs(number) < 2**31
