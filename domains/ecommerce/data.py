"""E-commerce's data stage: read, clean, mask, drop duplicates, split by product; what is left out is written down."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from domains.ecommerce.data_config import LICENCES, SPLITS, EcommerceDataConfig, Schema
from domains.ecommerce.deidentify import ReviewDeidentifier
from domains.ecommerce.intake import Intake
from domains.ecommerce.product_rows import pair_record
from domains.ecommerce.product_splits import KEPT, Dealt
from domains.ecommerce.sources import Reading, Source, product_rows, sources_of
from shared.data.preparing import Prepared, summary_of, write_dropped
from shared.data.reading import source_digest
from shared.data.rows import BadRow, RowTally
from shared.deidentify.config import require_deidentification
from shared.deidentify.deidentifier import Deidentifier
from shared.deidentify.file_names import masked_file_name, masked_source
from shared.durable import write_json
from shared.errors import DataError
from shared.records import PreferenceRecord
from shared.stages import StageContext

log = logging.getLogger(__name__)

PAIRED: frozenset[Schema] = frozenset(("opinpref", "summary-pairs"))  # every row of theirs is a pair


def prepare(context: StageContext) -> dict[str, float]:
    """Reads the data and writes, for each of the splits train, judge, validation and test, ``<split>.arrow``
    (preference records) and ``products-<split>.arrow`` (products, with or without pairs and reference summaries),
    ``dropped.jsonl`` (source and reason, never text) and ``summary.json``.

    Config: `EcommerceDataConfig`. Files: ``data``, ``products`` and ``gold`` (`domains.ecommerce.sources.data_files`
    names them, so that their content enters the stage's key). Memory does not grow with texts, but for files with one
    row a review, whose reviews are gathered in memory.

    Returns:
        ``data/pairs``, ``data/groups``, ``data/components``, ``data/products``, ``data/products_with_pairs``,
        ``data/gold_products``, ``data/reviews``, ``data/bad_rows``, ``data/left_out``, what the cleaning changed
        (``data/cleaned/...``), pairs and products by split, and the masker's counts.

    Raises:
        DataError: unreadable data, unknown columns, too many bad rows, or too few products to split.
        UsageError: masking is switched off without a reason.
        SystemStateError: a hub data set cannot be fetched, or no space is left.
    """
    config = EcommerceDataConfig.model_validate(context.config)
    require_deidentification(config.deidentify, "ecommerce")
    sources = sources_of(context.files, config)
    location: str | Path = config.location or context.files["data"]
    name = location if isinstance(location, str) else location.name
    tally = RowTally(config.max_bad_share, config.max_broken_share)
    reading, masker = Reading(), ReviewDeidentifier(config.deidentify)
    intake = Intake(context.out, config, tally)
    try:
        with intake:
            for row in masker.mask_records(product_rows(sources, config, tally, reading)):
                intake.take(row)
        single = intake.single()
        dealt = intake.index.deal(single, config, reading.named)
        of_products = intake.deal(dealt)
    finally:
        intake.remove()
    near = int((~single).sum()) if config.near_duplicates == "drop" else None
    prepared = _prepared(intake, dealt, near)
    _check(prepared, of_products, reading, tally, config, name)
    names: dict[str, str] = {}
    for rows in (tally.bad, tally.left_out):
        rows[:] = [BadRow(masked_source(row.source, names, masker), row.reason) for row in rows]
    dropped = write_dropped(context.out / "dropped.jsonl", tally)
    shown = {source.role: _shown(source, masker) for source in sources if source.role != "data"}
    licences = [LICENCES[schema] for schema in reading.schemas if schema in LICENCES]
    summary = {
        "name": name if isinstance(location, str) else masked_file_name(name, masker),
        "adapter": "+".join(sorted(reading.schemas)),
        "rows_by_schema": dict(sorted(reading.schemas.items())),
        "partners": shown,
        "licence": config.licence or "; ".join(licences) or None,
        "licence_from": "recipe" if config.licence else "the published data set" if licences else None,
        "source_digest": source_digest(location),
        "split": {
            "salt": config.split_salt,
            "mode": config.split_mode,
            "fractions": config.shares(),
            "given": [SPLITS[number] for number in sorted(reading.named)],
        },
        "deidentified": masker.report.to_json(),
        "cleaned": reading.cleaned.to_json(),
        "products": of_products,
        "summary_prompt": config.summary_prompt.model_dump(mode="json"),
        **summary_of(prepared, tally, dropped),
    }
    write_json(context.out / "summary.json", summary)
    total = _total(of_products)
    log.info(
        "%d pairs and %d products kept, %d rows, pairs or products left out",
        prepared.kept,
        total["products"],
        sum(dropped.values()),
    )
    return {
        "data/pairs": float(prepared.kept),
        "data/groups": float(prepared.groups),
        "data/components": float(prepared.components),
        **{f"data/{what}": float(count) for what, count in total.items()},
        "data/bad_rows": float(len(tally.bad)),
        "data/left_out": float(len(tally.left_out)),
        **{f"data/cleaned/{what}": float(count) for what, count in reading.cleaned.to_json().items()},
        **({} if near is None else {"data/near_duplicates": float(near)}),
        **{f"data/pairs_{split}": float(counts.pairs) for split, counts in prepared.splits.items()},
        **{f"data/products_{split}": float(counts["products"]) for split, counts in of_products.items()},
        **masker.report.metrics(),
    }


def preference_records(
    files: Mapping[str, Path], config: EcommerceDataConfig, tally: RowTally
) -> Iterator[PreferenceRecord]:
    """The preference records of all files as they are read: clean, but neither masked nor split, and with repeats.

    Raises:
        DataError: as `product_rows`.
    """
    for row in product_rows(sources_of(files, config), config, tally, Reading()):
        if row.pair is not None:
            yield pair_record(row, row.product(), config.summary_prompt)


def _shown(source: Source, masker: Deidentifier) -> str:
    return source.location if isinstance(source.location, str) else masked_file_name(source.location.name, masker)


def _prepared(intake: Intake, dealt: Dealt, near: int | None) -> Prepared:
    kept = dealt.pair_fate == KEPT
    pairs = intake.index.pairs
    return Prepared(
        read=intake.read,
        splits=intake.split_counts(dealt),
        groups=len(np.unique(pairs.groups[kept])),
        components=dealt.components,
        largest_component=dealt.largest,
        contradictions=pairs.contradictions(kept),
        ids_made_unique=intake.renamed,
        near_duplicates=near,
    )


def _total(of_products: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {
        what: sum(counts[what] for counts in of_products.values()) for what in ("products", "gold_products", "reviews")
    }


def _check(
    prepared: Prepared,
    of_products: Mapping[str, Mapping[str, int]],
    reading: Reading,
    tally: RowTally,
    config: EcommerceDataConfig,
    name: str,
) -> None:
    products = sum(counts["products"] for counts in of_products.values())
    if not products:
        why = f" (the first: {tally.left_out[0].source}: {tally.left_out[0].reason})" if tally.left_out else ""
        raise DataError(f"{name} holds no product that can be used{why}: give products with several reviews.")
    if not prepared.kept and (prepared.read or not PAIRED.isdisjoint(reading.schemas)):
        why = f" (the first: {tally.left_out[0].source}: {tally.left_out[0].reason})" if tally.left_out else ""
        raise DataError(
            f"{name} holds no preference: every pair is tied or left out{why}; give data with clear preferences."
        )
    for split, share in config.shares().items():
        pairs, alone = prepared.splits[split].pairs, of_products[split]["products"]
        if share > 0 and not (pairs if prepared.kept else alone):
            what = f"{prepared.groups} products with pairs" if prepared.kept else f"{products} products"
            raise DataError(
                f"{name} has too few separate products for the splits: {what} (those that share their reviews, a long "
                f"review or a summary stay together) leave {split!r} empty; give more products, or change "
                "data.fractions."
            )
