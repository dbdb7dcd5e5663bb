"""Preference records as Arrow IPC files: written in batches, read memory-mapped, batch by batch."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from shared.durable import disk_errors
from shared.errors import DataError
from shared.records import Message, PreferenceRecord, Record, Votes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

T = TypeVar("T")
ROWS_PER_BATCH = 1_000
CHARACTERS_PER_BATCH = 2_000_000  # so that a thousand long documents do not pile up in memory
_NUMBERS = ("scores_chosen", "scores_rejected", "covariates_chosen", "covariates_rejected")
_PLAIN = ("id", "group_id", "source", "chosen", "rejected", "margin", "weight", "context", "rationale")


def record_schema() -> "pa.Schema":
    """The columns of a record file. Mappings are lists of (name, value); metadata values are JSON."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    numbers = pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))
    texts = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))
    votes = pa.struct([("chosen", pa.int64()), ("rejected", pa.int64()), ("ties", pa.int64())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("group_id", pa.string()),
            ("source", pa.string()),
            ("prompt", pa.list_(message)),
            ("chosen", pa.string()),
            ("rejected", pa.string()),
            ("margin", pa.float64()),
            ("weight", pa.float64()),
            ("votes", votes),
            *[(name, numbers) for name in _NUMBERS],
            ("context", pa.string()),
            ("rationale", pa.string()),
            ("metadata", texts),
        ]
    )


def _row(record: PreferenceRecord) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(record, name) for name in _PLAIN}
    row["prompt"] = [{"role": one.role, "content": one.content} for one in record.prompt]
    votes = record.votes
    row["votes"] = votes and {"chosen": votes.chosen, "rejected": votes.rejected, "ties": votes.ties}
    for name in _NUMBERS:
        row[name] = [{"name": key, "value": float(value)} for key, value in getattr(record, name).items()]
    row["metadata"] = [{"name": key, "value": json.dumps(value)} for key, value in record.metadata.items()]
    return row


def _record(row: Mapping[str, Any]) -> PreferenceRecord:
    values = dict(row)
    for name in _NUMBERS:
        values[name] = {one["name"]: one["value"] for one in values[name] or ()}
    values["metadata"] = {one["name"]: json.loads(one["value"]) for one in values["metadata"] or ()}
    values["prompt"] = tuple(Message(one["role"], one["content"]) for one in values["prompt"])
    values["votes"] = Votes(**values["votes"]) if values["votes"] is not None else None
    return PreferenceRecord(**values)


class RecordWriter:
    """Writes records one at a time; a batch of them is in memory. A context manager.

    Args:
        path: the file.
        schema: its columns, where a domain has records of its own; default: those of preference records.
        row: record -> row of that schema.

    Raises:
        SystemStateError: no space is left, or the file cannot be written.
    """

    def __init__(
        self, path: Path, schema: "pa.Schema | None" = None, row: Callable[[Any], dict[str, Any]] = _row
    ) -> None:
        import pyarrow as pa

        self.count = 0
        self._path, self._schema, self._row = path, schema or record_schema(), row
        self._waiting: list[dict[str, Any]] = []
        self._characters = 0
        with disk_errors(path):
            self._file = pa.OSFile(str(path), "wb")
            self._writer = pa.ipc.new_file(self._file, self._schema)

    def write(self, record: Record) -> None:
        """Adds one record. Raises SystemStateError as the class."""
        self._waiting.append(self._row(record))
        self.count += 1
        self._characters += sum(len(text) for _, text in record.texts())
        if len(self._waiting) >= ROWS_PER_BATCH or self._characters >= CHARACTERS_PER_BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            with disk_errors(self._path):
                self._writer.write_batch(pa.RecordBatch.from_pylist(self._waiting, schema=self._schema))
            self._waiting, self._characters = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with disk_errors(self._path):
            try:
                if kind is None:
                    self._flush()
                    self._writer.close()
            finally:
                self._file.close()


def write_records(path: Path, records: Iterable[PreferenceRecord]) -> int:
    """Writes records as they come.

    Returns:
        How many were written.

    Raises:
        SystemStateError: no space is left, or the file cannot be written.
    """
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def iter_records(path: Path) -> Iterator[PreferenceRecord]:
    """Reads records in the order they were written, one batch in memory at a time.

    Raises:
        DataError: the file is missing or no record file.
    """
    yield from iter_file(path, record_schema(), _record)


def iter_file(path: Path, schema: "pa.Schema", record: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    """`iter_records` for records of any schema.

    Args:
        path: the file.
        schema: the columns it must have.
        record: row -> record; the inverse of what `RecordWriter` was given.

    Raises:
        DataError: the file is missing or no file of such records.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            if reader.schema != schema:
                raise DataError(f"{path} has other columns than a record file: run the data stage again.")
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                batch.validate(full=True)  # offsets of a damaged file may point outside its memory
                yield from map(record, batch.to_pylist())
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there: run the data stage again.") from error
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no record file ({error}): run the data stage again.") from error


class RecordTexts:
    """The texts of a record file's pairs by their number, of which only those asked for are read. A context manager.

    Args:
        path: the file.
        columns: the columns of the texts.

    Raises:
        DataError: the file is no record file.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ("prompt", "chosen", "rejected")) -> None:
        import numpy as np
        import pyarrow as pa

        self._file = pa.memory_map(str(path))
        try:
            reader = pa.ipc.open_file(self._file)
        except pa.ArrowException as error:
            self._file.close()
            raise DataError(f"{path} is no record file ({error}): run the data stage again.") from error
        places = [reader.schema.get_field_index(name) for name in columns]
        batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        self._columns = [[batch.column(place) for place in places] for batch in batches]
        self._starts = np.cumsum([0, *(len(batch[0]) for batch in self._columns)])

    def pair(self, number: int) -> tuple[str, str, str]:
        """Prompt (all turns), chosen and rejected response of one pair."""
        prompt, chosen, rejected = self.values(number)
        return "\n".join(turn["content"] for turn in prompt), chosen, rejected

    def values(self, number: int) -> list[Any]:
        """The values of the columns in one record."""
        batch = int(self._starts.searchsorted(number, side="right")) - 1
        row = number - int(self._starts[batch])
        return [column[row].as_py() for column in self._columns[batch]]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._columns = []
        self._file.close()


def deal_records(path: Path, targets: Sequence[Path], target_of: "NDArray[np.int64]") -> Iterator[tuple[int, str]]:
    """Copies the records of one file to several, in their order, without unpacking them.

    Args:
        path: a record file, of any schema with a column ``source``.
        targets: files to write; those that get no record are written too.
        target_of: number of each record's target, -1 for none. [records]

    Yields:
        (number, source) of every record without a target; the files are whole once this is exhausted.

    Raises:
        SystemStateError: no space is left.
    """
    import numpy as np
    import pyarrow as pa

    with ExitStack() as stack:
        stack.enter_context(disk_errors(path))
        reader = pa.ipc.open_file(stack.enter_context(pa.memory_map(str(path))))
        schema = reader.schema
        files = [stack.enter_context(pa.OSFile(str(target), "wb")) for target in targets]
        writers = [stack.enter_context(pa.ipc.new_file(file, schema)) for file in files]
        start = 0
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            wanted = target_of[start : start + batch.num_rows]
            for number, writer in enumerate(writers):
                rows = np.flatnonzero(wanted == number)
                if len(rows):
                    writer.write_batch(batch.take(pa.array(rows)))
            left = np.flatnonzero(wanted < 0)
            sources = batch.column("source").take(pa.array(left)).to_pylist()
            yield from zip((start + left).tolist(), sources, strict=True)
            start += batch.num_rows


def read_records(path: Path) -> list[PreferenceRecord]:
    """All records of a file. Raises as `iter_records`."""
    return list(iter_records(path))
