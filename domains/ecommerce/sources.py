"""The files of one run and what they hold: preferences, further products to train on, and gold summaries."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Literal

from domains.ecommerce.adapters import SchemaReader
from domains.ecommerce.data_config import SPLITS, EcommerceDataConfig, Schema
from domains.ecommerce.product_rows import ProductRow, reviews_id
from domains.ecommerce.review_rows import gathered
from domains.ecommerce.review_texts import CleaningCounts, clean_reviews, clean_summary
from domains.ecommerce.schemas import checked_schema
from shared.data.columns import text_of
from shared.data.given_splits import NAMES, split_in
from shared.data.reading import DESCRIPTIONS, ENDINGS, TEXT_ENDINGS, iter_rows
from shared.data.rows import InvalidValueError, Row, RowTally
from shared.deidentify.identifiers import split_source
from shared.errors import DataError

Role = Literal["data", "products", "gold"]
PARTNERS: tuple[Role, ...] = ("products", "gold")
FIRST_ROWS = 20  # whose columns tell the schema: a key may be absent from a row of JSON
NO_SPLIT = -1


@dataclass(frozen=True, slots=True)
class Source:
    """One file, folder or hub data set.

    Attributes:
        role: preferences and anything else (data), products for training (products), gold summaries for test (gold).
        location: where it is.
        split: number of the split in `SPLITS` that its name speaks of, -1 for none.
    """

    role: Role
    location: str | Path
    split: int = NO_SPLIT


@dataclass
class Reading:
    """What was met while reading.

    Attributes:
        schemas: rows of each schema.
        cleaned: counts of the cleaning.
        raters: numbers given to annotators.
        named: numbers of the splits that names of files or a column give.
    """

    schemas: Counter[Schema] = field(default_factory=Counter)
    cleaned: CleaningCounts = field(default_factory=CleaningCounts)
    raters: dict[str, int] = field(default_factory=dict)
    named: set[int] = field(default_factory=set)


def data_files(path: Path | None, config: EcommerceDataConfig) -> dict[str, Path]:
    """Files that a run reads, by role: the data, and the files of `data.products` and `data.gold`.

    Args:
        path: what the user named; None for a hub data set.
        config: a partner's path that is not absolute is looked for beside the data, then in the working folder.

    Raises:
        DataError: a partner is not there.
    """
    files = {} if path is None else {"data": path}
    for role in PARTNERS:
        given = getattr(config, role)
        if not given or given.startswith("hub:"):
            continue
        named = Path(given).expanduser()
        beside = None if path is None else (path if path.is_dir() else path.parent) / named
        found = next((one for one in (beside, named.absolute()) if one is not None and one.exists()), None)
        if found is None:
            raise DataError(
                f"data.{role} names {given}, which is not there: give an existing file or folder, beside the data or "
                "with its whole path."
            )
        files[role] = found
    return files


def sources_of(files: Mapping[str, Path], config: EcommerceDataConfig) -> list[Source]:
    """The sources of a run, every file of a folder for itself, in the order of roles and names.

    Files of a folder whose name has the word "gold" hold gold summaries; those named for a split (``train``, ``valid``,
    ``test``) give it.

    Args:
        files: as `data_files` gives them.
        config: hub data sets.

    Raises:
        DataError: a folder without files that can be read.
    """
    found: list[Source] = []
    for role in ("data", *PARTNERS):
        named = config.location if role == "data" else getattr(config, role)
        if isinstance(named, str) and named.startswith("hub:"):
            found.append(Source(role, named))
        elif role in files:
            found += _of_path(role, files[role])
    return found


def _of_path(role: Role, path: Path) -> list[Source]:
    if not path.is_dir():
        return [Source(role, path)]
    endings = (*ENDINGS, *(f"{one}.gz" for one in TEXT_ENDINGS))
    files = [one for one in sorted(path.rglob("*")) if one.is_file() and one.name.lower().endswith(endings)]
    files = [
        one
        for one in files
        if one.name not in DESCRIPTIONS and not any(part.startswith(".") for part in one.relative_to(path).parts)
    ]
    if not files:
        raise DataError(f"{path.name} holds no file that can be read: put {', '.join(ENDINGS)} files there.")
    # One file's name alone tells nothing: a folder with train.jsonl only is to be split.
    names = {one: split_in(one.relative_to(path).as_posix()) for one in files}
    several = len({name for name in names.values() if name}) > 1
    sources: list[Source] = []
    for one in files:
        split = names[one] if several else None
        gold = role == "data" and "gold" in one.stem.lower().replace("-", "_").split("_")
        sources.append(Source("gold" if gold else role, one, SPLITS.index(split) if split else NO_SPLIT))
    return sources


def product_rows(
    sources: Sequence[Source], config: EcommerceDataConfig, tally: RowTally, reading: Reading
) -> Iterator[ProductRow]:
    """Clean rows of all sources, with their given splits; the stream ends with `tally.check`.

    Args:
        sources: as `sources_of` gives them.
        config: how to read.
        tally: counts good and bad rows and gets those left out, with the reason.
        reading: takes in schemas and counts.

    Raises:
        DataError: unreadable files, unknown columns, or too many bad rows.
        SystemStateError: a hub data set cannot be fetched.
    """
    empty = True
    for source in sources:
        # An Arrow or hub source may hold several files; each is told by its own columns.
        for _, rows in groupby(iter_rows(source.location, tally), key=lambda row: split_source(row.source)[0]):
            empty = False
            yield from _of_file(rows, source, config, tally, reading)
    tally.check()
    if empty:
        raise DataError("the data hold no row that can be read: give products with reviews.")


def _of_file(
    rows: Iterator[Row], source: Source, config: EcommerceDataConfig, tally: RowTally, reading: Reading
) -> Iterator[ProductRow]:
    first = list(islice(rows, FIRST_ROWS))
    present = list(dict.fromkeys(str(name) for row in first for name in row.values))
    schema = checked_schema(config.adapter, present, config.columns, first[0].source)
    everything = _counted(chain(first, rows), schema, reading)
    if schema == "reviews":
        found = gathered(everything, config, tally, reading.cleaned, lambda row: _split(row, source, config))
    else:
        found = _read(everything, SchemaReader(schema, config, tally, reading.raters), source, config, tally)
    for one in found:
        clean = _clean(one, config, tally, reading.cleaned)
        if clean is not None:
            if source.role != "gold" and clean.split != NO_SPLIT:
                reading.named.add(clean.split)
            yield replace(clean, train_only=source.role == "products" and clean.split == NO_SPLIT)


def _counted(rows: Iterable[Row], schema: Schema, reading: Reading) -> Iterator[Row]:
    for row in rows:
        reading.schemas[schema] += 1
        yield row


def _read(
    rows: Iterable[Row], reader: SchemaReader, source: Source, config: EcommerceDataConfig, tally: RowTally
) -> Iterator[ProductRow]:
    for row in rows:
        try:
            split = _split(row, source, config)
            found = [replace(one, split=split) for one in reader.rows(row)]
            if not any(review.strip() for review in found[0].reviews):
                raise ValueError("has no reviews")
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        yield from found


def _split(row: Row, source: Source, config: EcommerceDataConfig) -> int:
    """Number of the split that the data give a row: gold is for test, else the file's name or the row's own column."""
    if source.role == "gold":
        return SPLITS.index("test")
    column = config.columns.split
    if source.split != NO_SPLIT or column is None or column not in row.values:
        return source.split
    value = text_of(row.values, column)
    if not value:
        return NO_SPLIT
    name = NAMES.get(value.lower())
    if name is None:
        raise InvalidValueError(
            f"column {column!r} names no split: write {', '.join(SPLITS)}, or set data.columns.split=null"
        )
    return SPLITS.index(name)


def _clean(row: ProductRow, config: EcommerceDataConfig, tally: RowTally, counts: CleaningCounts) -> ProductRow | None:
    """The row with clean texts; None where too little of it is left, which the tally is told."""
    reviews, ratings = clean_reviews(row.reviews, row.ratings, config.max_reviews, counts)
    if len(reviews) < config.min_reviews:
        what = "no review" if not reviews else f"{len(reviews)} review{'s' if len(reviews) > 1 else ''}"
        tally.leave_out(row.source, f"has {what}, fewer than data.min_reviews={config.min_reviews}")
        return None
    summaries = [clean_summary(summary, counts) for summary in row.summaries]
    counts.empty_summaries += sum(not summary for summary in summaries)
    identifier = row.group_id or reviews_id(reviews)
    pair = row.pair
    if pair is not None:
        chosen, rejected = clean_summary(pair.chosen, counts), clean_summary(pair.rejected, counts)
        if not chosen or not rejected:
            tally.leave_out(row.source, "a summary of the pair is empty without its mark-up")
            pair = None
        elif chosen == rejected:
            tally.leave_out(row.source, "chosen and rejected are the same text")
            pair = None
        else:
            pair = replace(pair, chosen=chosen, rejected=rejected)
    return replace(
        row,
        id=row.id if pair is not None else identifier,
        group_id=identifier,
        reviews=reviews,
        ratings=ratings,
        summaries=tuple(dict.fromkeys(summary for summary in summaries if summary)),
        pair=pair,
    )
