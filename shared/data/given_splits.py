"""Which files are which split: named by the user, by the names of the files, or by a column."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.data.reading import ENDINGS, TEXT_ENDINGS, iter_rows
from shared.data.rows import Row, RowTally
from shared.errors import DataError, UsageError

Source = str | Path
NAMES = {
    "train": "train",
    "training": "train",
    "judge": "judge",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "eval": "test",
}
ORDER = ("train", "judge", "validation", "test")
MOST_VALUES = 10
_NAMED = re.compile(r"([A-Za-z][\w-]{0,40})=(.+)", re.DOTALL)


def given_splits(given: Sequence[str]) -> dict[str, list[Source]]:
    """Files by split, as the user gave them.

    Args:
        given: ``PATH``, ``hub:ID`` or ``NAME=`` before either, in any number. A folder whose files are named for
            splits (``train.jsonl``, ``test/data.parquet``) gives these.

    Returns:
        Sources by split, ``train`` first; one split ``all`` where nothing tells several.

    Raises:
        UsageError: nothing is given.
        DataError: some files of a folder are named for a split and some are not.
    """
    if not given:
        raise UsageError("no data is given: name a file with --data FILE, or splits with --data train=FILE.")
    found: dict[str, list[Source]] = {}
    for text in given:
        named = _NAMED.fullmatch(text)
        if named and not text.startswith("hub:") and not Path(text).exists():
            found.setdefault(named[1], []).append(_source(named[2]))
            continue
        source = _source(text)
        if isinstance(source, Path) and source.is_dir():
            for name, files in _splits_of_folder(source).items():
                found.setdefault(name, []).extend(files)
        elif len(given) == 1:
            found["all"] = [source]
        else:
            name = source.stem if isinstance(source, Path) else source.removeprefix("hub:")
            found.setdefault(split_in(name) or name, []).append(source)
    return {name: found[name] for name in sorted(found, key=lambda one: ORDER.index(one) if one in ORDER else 9)}


def _source(text: str) -> Source:
    if text.startswith("hub:"):
        return text
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise DataError(f"data {text} is not there: give an existing file or folder, or hub:ID for a hub data set.")
    return path


def split_in(name: str) -> str | None:
    """The split that a file or folder name speaks of, if it is one."""
    found = {NAMES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in NAMES}
    return found.pop() if len(found) == 1 else None


def _splits_of_folder(folder: Path) -> dict[str, list[Source]]:
    endings = (*ENDINGS, *(f"{one}.gz" for one in TEXT_ENDINGS))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.lower().endswith(endings)]
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    named: dict[str, list[Source]] = {}
    for path in files:
        if split := split_in(path.relative_to(folder).as_posix()):
            named.setdefault(split, []).append(path)
    count = sum(len(one) for one in named.values())
    if len(named) < 2:
        return {"all": [folder]}
    if count < len(files):
        other = next(path for path in files if not any(path in one for one in named.values()))
        raise DataError(
            f"{folder.name} holds files named for splits ({', '.join(named)}) and others ({other.name}): name the "
            "splits with --data train=FILE --data test=FILE."
        )
    return named


def rows_of(sources: Sequence[Source], tally: RowTally) -> Iterator[Row]:
    """Rows of several sources, one after the other. Raises as `shared.data.reading.iter_rows`."""
    for source in sources:
        yield from iter_rows(source, tally)


def values_of_column(sources: Sequence[Source], column: str) -> list[str]:
    """The different values of a column in the order of splits, where it can name them; empty where it cannot.

    Reads all rows, but only where the first has the column.

    Returns:
        Two to `MOST_VALUES` values; empty where the column is absent, or has fewer or more.
    """
    seen: dict[str, None] = {}
    for row in rows_of(sources, RowTally(1.0, 1.0)):
        if column not in row.values:
            return []
        seen.setdefault(split_value(row, column))
        if len(seen) > MOST_VALUES:
            return []
    known = {name: NAMES.get(name.lower(), "") for name in seen}
    ordered = sorted(known, key=lambda name: (ORDER.index(known[name]) if known[name] else len(ORDER), name))
    return ordered if len(ordered) > 1 else []


def split_value(row: Row, column: str) -> str:
    """The value of a row that names its split; ``unnamed`` where it is empty."""
    value = row.values.get(column)
    return "unnamed" if value is None or str(value).strip() == "" else str(value).strip()[:40]
