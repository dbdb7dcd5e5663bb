"""Rows of Parquet and Arrow files, batch by batch."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shared.data.rows import Row
from shared.errors import DataError

ROWS_PER_BATCH = 1_000
UNREADABLE = (OSError, ValueError, OverflowError, LookupError)  # LookupError: an unknown time zone


def parquet_rows(path: Path, name: str) -> Iterator[Row]:
    """Rows of a Parquet file, counted from 1.

    Raises:
        DataError: no readable Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, f"{name}:{number}")
    except (pa.ArrowException, *UNREADABLE) as error:
        raise DataError(f"{name} is no readable Parquet file ({_where(number, error)}): write it again.") from error


def arrow_rows(path: Path, name: str) -> Iterator[Row]:
    """Rows of an Arrow file (IPC file or stream, Feather version 2), counted from 1; the file is memory-mapped.

    Raises:
        DataError: no readable Arrow file.
    """
    import pyarrow as pa

    number = 0
    try:
        with pa.memory_map(str(path)) as file:
            for batch in _batches(file):
                batch.validate(full=True)  # offsets of a damaged file may point outside its memory
                for start in range(0, batch.num_rows, ROWS_PER_BATCH):
                    for values in batch.slice(start, ROWS_PER_BATCH).to_pylist():
                        number += 1
                        yield Row(values, f"{name}:{number}")
    except (pa.ArrowException, *UNREADABLE) as error:
        raise DataError(f"{name} is no readable Arrow file ({_where(number, error)}): write it again.") from error


def _batches(file: Any) -> Iterable[Any]:
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_stream(file)
    return (reader.get_batch(index) for index in range(reader.num_record_batches))


def _where(number: int, error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    problem = lines[0][:160] if lines else type(error).__name__
    return f"after row {number}: {problem}" if number else problem
