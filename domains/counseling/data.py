"""Counseling's data stage: read, adapt, drop duplicates, cap, split; everything left out is written down."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from domains.counseling.adapters import adapter_for, counsel_chat, psycho_counsel
from shared.data.columns import ColumnMapping
from shared.data.preferences import preferences
from shared.data.reading import iter_rows
from shared.data.record_files import write_records
from shared.data.rows import BadRow, RowTally
from shared.data.split import assign_splits, cap_per_group
from shared.data.text_keys import text_hash
from shared.durable import write_json
from shared.errors import DataError
from shared.recipes import Component
from shared.records import PreferenceRecord
from shared.stages import StageContext

log = logging.getLogger(__name__)

SPLITS = ("train", "judge", "validation", "test")


class Fractions(Component):
    """Share of the pairs of each split; scaled to sum to 1."""

    train: float = Field(0.5, gt=0)
    judge: float = Field(0.2, gt=0)
    validation: float = Field(0.0, ge=0)
    test: float = Field(0.3, gt=0)


class CounselingDataConfig(Component):
    """How data are read and split.

    Attributes:
        adapter: by columns (auto), or named.
        columns: names of the columns of a plain preference file.
        min_margin: least difference of votes (counsel-chat) or mean scores (PsychoCounsel).
        exclude_safer_rejected: leave out pairs whose rejected answer is rated safer.
        max_pairs_per_group: pairs kept of one question.
        max_pairs: pairs kept in all, by content hash; null keeps all.
        max_bad_share: share of unreadable rows above which the data are refused.
        fractions: sizes of the splits.
        split_mode: quota (fractions met) or hash (stable when rows are added).
        split_salt: another value gives another split.
        licence: of the data, as its source states it.
        location: hub data set, set by `--data hub:ID`.
    """

    adapter: Literal["auto", "preferences", "counsel-chat", "psychocounsel"] = "auto"
    columns: ColumnMapping = ColumnMapping()
    min_margin: float = Field(1.0, gt=0)
    exclude_safer_rejected: bool = True
    max_pairs_per_group: int | None = Field(6, ge=1)
    max_pairs: int | None = Field(None, ge=4)
    max_bad_share: float = Field(0.05, ge=0, le=1)
    fractions: Fractions = Fractions()
    split_mode: Literal["quota", "hash"] = "quota"
    split_salt: str = "valign"
    licence: str | None = None
    location: str | None = None


def prepare(context: StageContext) -> dict[str, float]:
    """Reads the data and writes ``train.arrow``, ``judge.arrow``, ``validation.arrow``, ``test.arrow``,
    ``dropped.jsonl`` (source and reason, never text) and ``summary.json``.

    Raises:
        DataError: unreadable data, wrong columns, no preference at all, or too few questions to split.
    """
    config = CounselingDataConfig.model_validate(context.config)
    location: Any = config.location or context.files["data"]
    tally = RowTally(config.max_bad_share)
    adapter, records = read_preferences(location, config, tally)
    tally.check()
    if not records:
        raise DataError(
            f"{_name(location)} holds no preference: every pair is tied or below data.min_margin={config.min_margin:g}; "
            "lower it or give data with clear preferences."
        )
    read = len(records)
    records = _without_duplicates(records, tally)
    capped = cap_per_group(records, config.max_pairs_per_group)
    kept_ids = {id(record) for record in capped}
    for record in records:
        if id(record) not in kept_ids:
            tally.leave_out(record.source, f"question has more than {config.max_pairs_per_group} pairs")
    if config.max_pairs is not None and len(capped) > config.max_pairs:
        chosen = {id(one) for one in sorted(capped, key=lambda one: text_hash(one.id))[: config.max_pairs]}
        for record in capped:
            if id(record) not in chosen:
                tally.leave_out(record.source, f"more than {config.max_pairs} pairs")
        capped = [record for record in capped if id(record) in chosen]
    splits = _split(capped, config, _name(location))
    for name in SPLITS:
        write_records(context.out / f"{name}.arrow", splits.get(name, []))
    _write_dropped(context.out / "dropped.jsonl", [*tally.bad, *tally.left_out])
    reasons = Counter(row.reason for row in [*tally.bad, *tally.left_out])
    summary = {
        "adapter": adapter,
        "licence": config.licence,
        "name": _name(location),
        "rows": {"read": tally.good + len(tally.bad), "bad": len(tally.bad)},
        "pairs": {"read": read, "kept": len(capped)},
        "splits": {name: _describe(splits.get(name, [])) for name in SPLITS},
        "dropped": dict(reasons.most_common()),
    }
    write_json(context.out / "summary.json", summary)
    return {
        "data/pairs": float(len(capped)),
        "data/groups": float(len({record.group_id for record in capped})),
        "data/bad_rows": float(len(tally.bad)),
        **{f"data/pairs_{name}": float(len(splits.get(name, []))) for name in SPLITS},
    }


def read_preferences(
    location: str | Path, config: CounselingDataConfig, tally: RowTally
) -> tuple[str, list[PreferenceRecord]]:
    """(name of the adapter, records) of a location.

    Raises:
        DataError: as the readers and adapters raise it.
    """
    rows = iter_rows(location, tally)
    first = next(rows, None)
    if first is None:
        tally.check()
        raise DataError(f"{_name(location)} holds no row that can be read: see the reasons above.")
    adapter = adapter_for(list(first.values)) if config.adapter == "auto" else config.adapter
    everything: Iterator[Any] = chain([first], rows)
    if adapter == "counsel-chat":
        return adapter, list(counsel_chat(everything, tally, config.min_margin))
    if adapter == "psychocounsel":
        return adapter, list(psycho_counsel(everything, tally, config.min_margin, config.exclude_safer_rejected))
    return adapter, list(preferences(everything, tally, config.columns, keep=("topic",)))


def _name(location: str | Path) -> str:
    return location.name if isinstance(location, Path) else location


def _without_duplicates(records: Sequence[PreferenceRecord], tally: RowTally) -> list[PreferenceRecord]:
    seen: set[tuple[int, int, int]] = set()
    kept = []
    ids: set[str] = set()
    for record in records:
        key = text_hash(record.prompt_text()), text_hash(record.chosen), text_hash(record.rejected)
        if key in seen:
            tally.leave_out(record.source, "repeats an earlier pair")
            continue
        if record.id in ids:
            raise DataError(f"{record.source}: the id {record.id!r} stands in an earlier row too: make ids unique.")
        seen.add(key)
        ids.add(record.id)
        kept.append(record)
    return kept


def _split(records: list[PreferenceRecord], config: CounselingDataConfig, name: str) -> dict[str, list[PreferenceRecord]]:
    groups = {record.group_id for record in records}
    if len(groups) < 2:
        raise DataError(
            f"{name} holds one question (group) only: held-out evaluation needs several; give more questions, or "
            "another group_id column."
        )
    fractions = {name: getattr(config.fractions, name) for name in SPLITS}
    splits = assign_splits(records, fractions, config.split_salt, config.split_mode)
    for wanted in ("train", "judge", "test"):
        if not splits[wanted]:
            raise DataError(
                f"{name} has too few separate questions ({len(groups)}) for the splits: {wanted!r} is empty; give more "
                "questions or change data.fractions."
            )
    return splits


def _describe(records: Sequence[PreferenceRecord]) -> dict[str, Any]:
    def words(texts: Sequence[str]) -> float | None:
        return round(sum(len(text.split()) for text in texts) / len(texts), 1) if texts else None

    return {
        "pairs": len(records),
        "groups": len({record.group_id for record in records}),
        "words_prompt": words([record.prompt_text() for record in records]),
        "words_chosen": words([record.chosen for record in records]),
        "words_rejected": words([record.rejected for record in records]),
    }


def _write_dropped(path: Path, rows: Sequence[BadRow]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({"source": row.source, "reason": row.reason}) + "\n")
