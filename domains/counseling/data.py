"""Counseling's data stage: read, adapt, drop duplicates, cap, split; everything left out is written down."""

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import Field

from domains.counseling.adapters import AdapterName, adapter_for, counsel_chat, psycho_counsel
from domains.counseling.deidentify import counseling_deidentify
from shared.data.columns import ColumnMapping
from shared.data.preferences import preferences
from shared.data.preparing import (
    NearDuplicates,
    Prepared,
    SplitSettings,
    prepare_records,
    summary_of,
    write_dropped,
)
from shared.data.reading import iter_rows, source_digest
from shared.data.rows import BadRow, RowTally
from shared.deidentify.config import DeidentifyConfig, require_deidentification
from shared.deidentify.deidentifier import Deidentifier
from shared.deidentify.file_names import masked_file_name, masked_source
from shared.durable import write_json
from shared.errors import DataError
from shared.recipes import Component
from shared.records import PreferenceRecord
from shared.stages import StageContext

log = logging.getLogger(__name__)

SPLITS = ("train", "judge", "validation", "test")
MARGINS = {"preferences": 0.0, "counsel-chat": 1.0, "psychocounsel": 1.0}
LICENCES = {
    "counsel-chat": "MIT as its repository states; the texts were scraped",
    "psychocounsel": "CC BY-NC 4.0",
}


class Fractions(Component):
    """Share of the pairs of each split; scaled to sum to 1."""

    train: float = Field(default=0.5, gt=0)
    judge: float = Field(default=0.2, gt=0)
    validation: float = Field(default=0.0, ge=0)
    test: float = Field(default=0.3, gt=0)


class CounselingDataConfig(Component):
    """How data are read and split.

    Attributes:
        adapter: by columns (auto), or named.
        columns: names of the columns of a plain preference file.
        min_margin: least difference of votes (counsel-chat), mean scores (PsychoCounsel) or margin (plain files, where
            a row has one); null is 1, 1 and above 0.
        exclude_safer_rejected: leave out PsychoCounsel pairs whose rejected answer is rated safer; else flag them.
        max_pairs_per_group: pairs kept of one question, by content hash; null keeps all.
        max_pairs: pairs kept in all, from as many questions as possible; null keeps all.
        max_prompt_chars: longest prompt kept, in characters; null sets no limit.
        max_answer_chars: longest answer kept, in characters; null sets no limit.
        near_duplicates: keep pairs whose prompt, chosen and rejected answer all nearly repeat another pair's, or drop
            them; exact repeats are always dropped.
        near_duplicate_similarity: share of common word pairs (Jaccard similarity) from which texts are near-duplicates.
        max_bad_share: share of rows without what they need above which the data are refused.
        max_broken_share: the same for rows that cannot be read (broken JSON, a label outside its range).
        fractions: sizes of the splits.
        split_mode: quota (fractions met) or hash (stable when rows are added).
        split_salt: another value gives another split.
        licence: of the data, as its source states it.
        location: hub data set, set by `--data hub:ID`.
        deidentify: masking before anything is stored; cannot be switched off without a stated reason.
    """

    adapter: Literal["auto", "preferences", "counsel-chat", "psychocounsel"] = "auto"
    columns: ColumnMapping = ColumnMapping()
    min_margin: float | None = Field(default=None, ge=0)
    exclude_safer_rejected: bool = True
    max_pairs_per_group: int | None = Field(default=6, ge=1)
    max_pairs: int | None = Field(default=None, ge=4)
    max_prompt_chars: int | None = Field(default=None, ge=1)
    max_answer_chars: int | None = Field(default=None, ge=1)
    near_duplicates: NearDuplicates = "keep"
    near_duplicate_similarity: float = Field(default=0.8, ge=0.5, le=1)
    max_bad_share: float = Field(default=0.05, ge=0, le=1)
    max_broken_share: float = Field(default=0.0, ge=0, le=1)
    fractions: Fractions = Fractions()
    split_mode: Literal["quota", "hash"] = "quota"
    split_salt: str = "valign"
    licence: str | None = None
    location: str | None = None
    deidentify: DeidentifyConfig = DeidentifyConfig()


def prepare(context: StageContext) -> dict[str, float]:
    """Reads the data and writes ``train.arrow``, ``judge.arrow``, ``validation.arrow``, ``test.arrow``,
    ``dropped.jsonl`` (source and reason, never text) and ``summary.json``.

    Raises:
        DataError: unreadable data, wrong columns, no preference at all, or too few questions to split.
        SystemStateError: a hub data set cannot be fetched, or no space is left.
    """
    config = CounselingDataConfig.model_validate(context.config)
    require_deidentification(config.deidentify, "counseling")
    location: str | Path = config.location or context.files["data"]
    name = location if isinstance(location, str) else location.name
    tally = RowTally(config.max_bad_share, config.max_broken_share)
    adapter, records = read_preferences(location, config, tally)
    settings = SplitSettings(
        fractions={split: getattr(config.fractions, split) for split in SPLITS},
        salt=config.split_salt,
        mode=config.split_mode,
        max_pairs_per_group=config.max_pairs_per_group,
        max_pairs=config.max_pairs,
        max_prompt_chars=config.max_prompt_chars,
        max_answer_chars=config.max_answer_chars,
        near_duplicates=config.near_duplicates,
        near_duplicate_similarity=config.near_duplicate_similarity,
    )
    masker = Deidentifier(counseling_deidentify(config.deidentify))
    prepared = prepare_records(masker.mask_records(records), context.out, settings, tally)
    _check(prepared, tally, settings, name)
    names: dict[str, str] = {}
    for rows in (tally.bad, tally.left_out):
        rows[:] = [BadRow(masked_source(row.source, names, masker), row.reason) for row in rows]
    dropped = write_dropped(context.out / "dropped.jsonl", tally)
    summary = {
        "name": name if isinstance(location, str) else masked_file_name(name, masker),
        "adapter": adapter,
        "licence": config.licence or LICENCES.get(adapter),
        "licence_from": "recipe" if config.licence else "the published data set" if adapter in LICENCES else None,
        "source_digest": source_digest(location),
        "split": {"salt": settings.salt, "mode": settings.mode, "fractions": dict(settings.fractions)},
        "deidentified": masker.report.to_json(),
        **summary_of(prepared, tally, dropped),
    }
    write_json(context.out / "summary.json", summary)
    log.info(
        "%d pairs of %d groups kept, %d rows or pairs left out", prepared.kept, prepared.groups, sum(dropped.values())
    )
    return {
        "data/pairs": float(prepared.kept),
        "data/groups": float(prepared.groups),
        "data/components": float(prepared.components),
        "data/bad_rows": float(len(tally.bad)),
        "data/left_out": float(len(tally.left_out)),
        **({} if prepared.near_duplicates is None else {"data/near_duplicates": float(prepared.near_duplicates)}),
        **{f"data/pairs_{split}": float(counts.pairs) for split, counts in prepared.splits.items()},
        **masker.report.metrics(),
    }


def read_preferences(
    location: str | Path, config: CounselingDataConfig, tally: RowTally
) -> tuple[AdapterName, Iterator[PreferenceRecord]]:
    """(name of the adapter, stream of records) of a location; the stream ends with `tally.check`.

    Raises:
        DataError: as the readers and adapters raise it.
    """
    rows = iter_rows(location, tally)
    first = next(rows, None)
    if first is None:
        tally.check()
        raise DataError(f"{location if isinstance(location, str) else location.name} holds no row that can be read.")
    adapter: AdapterName = adapter_for(first.values) if config.adapter == "auto" else config.adapter
    margin = MARGINS[adapter] if config.min_margin is None else config.min_margin
    everything = chain([first], rows)
    if adapter == "counsel-chat":
        records = counsel_chat(everything, tally, margin)
    elif adapter == "psychocounsel":
        records = psycho_counsel(everything, tally, margin, config.exclude_safer_rejected)
    else:
        records = preferences(everything, tally, config.columns, margin)
    return adapter, _checked(records, tally)


def _checked(records: Iterator[PreferenceRecord], tally: RowTally) -> Iterator[PreferenceRecord]:
    yield from records
    tally.check()


def _check(prepared: Prepared, tally: RowTally, settings: SplitSettings, name: str) -> None:
    if not prepared.kept:
        why = f" (the first: {tally.left_out[0].source}: {tally.left_out[0].reason})" if tally.left_out else ""
        raise DataError(
            f"{name} holds no preference: every pair is tied or left out{why}; give data with clear preferences "
            "or lower data.min_margin."
        )
    if prepared.groups < 2:
        raise DataError(
            f"{name} holds one question (group) only: held-out evaluation needs several; give more questions, or "
            "another group_id column."
        )
    for split, share in settings.fractions.items():
        if share > 0 and not prepared.splits[split].pairs:
            raise DataError(
                f"{name} has too few separate questions for the splits: {prepared.groups} groups make "
                f"{prepared.components} without a text in common, and {split!r} is empty; give more questions, "
                "or change data.fractions."
            )
