"""Rows from files of any common kind: CSV, TSV, JSONL, JSON, Parquet, Arrow, folders of them, hub data sets.

CSV, JSONL, Parquet and Arrow are read as a stream. A row that cannot be read is reported with file, row and reason.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.data.arrow_files import arrow_rows, parquet_rows
from shared.data.rows import Row, RowTally
from shared.data.text_files import csv_rows, json_rows, jsonl_rows
from shared.errors import DataError, SystemStateError, UsageError

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather")
TEXT_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


def iter_rows(location: str | Path, tally: RowTally) -> Iterator[Row]:
    """Rows of a file, a folder or ``hub:ID[@revision][:split]``.

    Args:
        location: path or hub id.
        tally: gets the bad rows. The caller counts the good ones and calls `tally.check` at the end, after its own
            checks.

    Raises:
        DataError: missing or empty file, unknown kind, not UTF-8, broken JSON, or too many bad rows.
        UsageError: a hub id that names no data set.
        SystemStateError: a hub data set cannot be fetched.
    """
    if isinstance(location, str) and location.startswith("hub:"):
        yield from _hub_rows(location)
        return
    path = _existing(Path(location))
    if path.is_dir():
        yield from _folder_rows(path, tally)
    else:
        yield from _file_rows(path, path.name, tally)


def _existing(path: Path) -> Path:
    try:
        path = path.expanduser()
        if path.exists():
            return path
    except RuntimeError as error:
        raise DataError(f"{path} begins with a user that is not known here: give the whole path.") from error
    except OSError as error:
        name = path.name if len(path.name) <= 80 else f"{path.name[:80]}..."
        raise DataError(f"{name} cannot be opened ({error.strerror}): give an existing file or folder.") from error
    shown = str(path) if str(path).isprintable() else repr(str(path))
    raise DataError(f"{shown} is not there: give an existing file or folder.")


def source_digest(location: str | Path) -> str | None:
    """sha256 of a file's or folder's content; None for a hub data set, which its revision names.

    Raises:
        DataError: the folder holds links.
    """
    from shared.digest import path_digest

    if isinstance(location, str) and location.startswith("hub:"):
        return None
    try:
        return path_digest(Path(location).expanduser())
    except ValueError as error:
        raise DataError(f"{Path(location).name} holds links ({error}): give a folder of plain files.") from error


def _file_rows(path: Path, name: str, tally: RowTally) -> Iterator[Row]:
    kind = _kind(path)
    if path.stat().st_size == 0:
        raise DataError(f"{name} is empty: give a file with rows.")
    bad_before, found = len(tally.bad), 0
    if kind in (".csv", ".tsv"):
        rows = csv_rows(path, name, tally, tabs=kind == ".tsv")
    elif kind in (".jsonl", ".ndjson"):
        rows = jsonl_rows(path, name, tally)
    elif kind == ".json":
        rows = json_rows(path, name, tally)
    else:
        rows = parquet_rows(path, name) if kind == ".parquet" else arrow_rows(path, name)
    for row in rows:
        found += 1
        yield row
    if not found and len(tally.bad) == bad_before:
        raise DataError(f"{name} holds no rows: give a file with rows.")


def _kind(path: Path) -> str:
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending) or (ending in TEXT_ENDINGS and name.endswith(f"{ending}.gz")):
            return ending
    raise DataError(
        f"{path.name} is of no kind that can be read: give one of {', '.join(ENDINGS)} (text files also as .gz)."
    )


def _is_data(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    name = path.name.lower()
    if path.name in DESCRIPTIONS or path.name.startswith("cache-") or any(part.startswith(".") for part in parts):
        return False
    return path.is_file() and (name.endswith(ENDINGS) or name.endswith(tuple(f"{one}.gz" for one in TEXT_ENDINGS)))


def _folder_rows(folder: Path, tally: RowTally) -> Iterator[Row]:
    """Files of a folder in name order; folders written by datasets' save_to_disk are such folders of Arrow files."""
    files = [path for path in sorted(folder.rglob("*")) if _is_data(path, folder)]
    if not files:
        raise DataError(f"{folder.name} holds no file that can be read: put {', '.join(ENDINGS)} files there.")
    for path in files:
        yield from _file_rows(path, path.relative_to(folder).as_posix(), tally)


def _hub_rows(location: str) -> Iterator[Row]:
    name = location.removeprefix("hub:")
    name, _, split = name.partition(":")
    name, _, revision = name.partition("@")
    if not name.strip():
        raise UsageError(f"{location!r} names no data set: write hub:organisation/name[@revision][:split].")
    import datasets
    import httpx
    from datasets.exceptions import DatasetsError

    try:
        # Not streamed: what was fetched once is memory-mapped from the cache, with or without a network.
        loaded: Any = datasets.load_dataset(name, revision=revision or None, split=split or "train")
        for number, values in enumerate(loaded, start=1):
            yield Row(dict(values), f"hub:{name}:{number}")
    except (OSError, ValueError, RuntimeError, DatasetsError, httpx.HTTPError) as error:
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise SystemStateError(
            f"the hub data set {name} cannot be read ({problem}): check its name, the network and your access, or "
            "download it and give the folder."
        ) from error
