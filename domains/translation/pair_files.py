"""Sentence pairs as Arrow IPC files: written in batches, read memory-mapped, batch by batch."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.translation.records import SentencePair
from shared.data.record_files import RecordTexts, RecordWriter, iter_file

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN = ("id", "group_id", "source", "source_text", "target_text", "rejected_text", "weight")
_PATHS = ("target_path", "rejected_path")
_SCORES = ("scores_target", "scores_rejected")


def pair_schema() -> "pa.Schema":
    """The columns of a pair file. Scores are lists of (name, value); metadata values are JSON."""
    import pyarrow as pa

    path = pa.list_(pa.int32())
    numbers = pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))
    texts = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))
    return pa.schema(
        [
            *[(name, pa.float64() if name == "weight" else pa.string()) for name in _PLAIN],
            *[(name, path) for name in _PATHS],
            *[(name, numbers) for name in _SCORES],
            ("metadata", texts),
        ]
    )


def _row(pair: SentencePair) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(pair, name) for name in (*_PLAIN, *_PATHS)}
    for name in _SCORES:
        row[name] = [{"name": key, "value": float(value)} for key, value in getattr(pair, name).items()]
    row["metadata"] = [{"name": key, "value": json.dumps(value)} for key, value in pair.metadata.items()]
    return row


def _pair(row: Mapping[str, Any]) -> SentencePair:
    values = dict(row)
    for name in _PATHS:
        values[name] = None if values[name] is None else tuple(values[name])
    for name in _SCORES:
        values[name] = {one["name"]: one["value"] for one in values[name] or ()}
    values["metadata"] = {one["name"]: json.loads(one["value"]) for one in values["metadata"] or ()}
    return SentencePair(**values)


def pair_writer(path: Path) -> RecordWriter:
    """A context manager whose `write` takes one pair at a time. Raises as `RecordWriter`."""
    return RecordWriter(path, pair_schema(), _row)


def pair_texts(path: Path) -> RecordTexts:
    """A context manager whose `values` gives source, translation and rejected rendering (or None) of the n-th pair."""
    return RecordTexts(path, ("source_text", "target_text", "rejected_text"))


def write_pairs(path: Path, pairs: Iterable[SentencePair]) -> int:
    """Writes pairs as they come.

    Returns:
        How many were written.

    Raises:
        SystemStateError: no space is left, or the file cannot be written.
    """
    with pair_writer(path) as writer:
        for pair in pairs:
            writer.write(pair)
    return writer.count


def iter_pairs(path: Path) -> Iterator[SentencePair]:
    """Reads pairs in the order they were written, one batch in memory at a time.

    Raises:
        DataError: the file is missing or holds no sentence pairs.
    """
    yield from iter_file(path, pair_schema(), _pair)


def read_pairs(path: Path) -> list[SentencePair]:
    """All pairs of a file. Raises as `iter_pairs`."""
    return list(iter_pairs(path))
