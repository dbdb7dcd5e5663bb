"""Rows of text files: CSV, TSV, JSONL and JSON, also packed with gzip. All but JSON are read as a stream."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shared.data.rows import Row, RowTally
from shared.errors import DataError

LONGEST_LINE = 64 * 1024 * 1024
LONE_RETURN = re.compile(r"(?<=\r)(?!\n)")
QUOTED = re.compile(r'"[^"]*"')
HEADER_ROW = re.compile(r"[^\r\n]*")  # where returns alone end lines, the first line read is the whole file
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def text_lines(path: Path, name: str) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends, unpacked where its name ends in ``.gz``; a byte-order mark is skipped.

    Args:
        path: the file.
        name: what error messages call it.

    Raises:
        DataError: not UTF-8 (names line and byte), a line beyond 64 MiB, a damaged archive, a file that cannot be read.
    """
    packed = path.name.lower().endswith(".gz")
    offset = 0
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            number = 0
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise DataError(
                        f"{name}:{number} is a line of more than 64 MiB: give a text file with one row a line."
                    )
                if number == 1:
                    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or raw[:400].count(0) > len(raw[:400]) // 4:
                        raise DataError(f"{name} is UTF-16 or binary, not UTF-8: save it as UTF-8 text.")
                    offset += 3 if raw.startswith(b"\xef\xbb\xbf") else 0
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                try:
                    yield raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{name}:{number} is not UTF-8 (byte 0x{raw[error.start]:02x} at offset "
                        f"{offset + error.start}): save the file as UTF-8."
                    ) from error
                offset += len(raw)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name} is a damaged .gz file ({error}): copy it again.") from error
    except OSError as error:
        raise DataError(
            f"{name} cannot be read ({error.strerror or error}): check the file and its permissions."
        ) from error


def csv_rows(path: Path, name: str, tally: RowTally, tabs: bool = False) -> Iterator[Row]:
    """Rows of a CSV or TSV file with a header row; rows are counted as a spreadsheet counts them (header = 1).

    A file without commas in its header but with semicolons or tabs is read with those.

    Raises:
        DataError: no header, a column named twice, broken rows beyond what `tally` allows.
    """
    # The limit belongs to the process, and is only ever raised; it keeps an unclosed quote from eating all memory.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    lines = text_lines(path, name)
    first = next(lines, "")
    delimiter = "\t" if tabs else ","
    header_row = HEADER_ROW.match(QUOTED.sub("", first))
    if header_row and delimiter not in header_row[0]:
        delimiter = next((one for one in ",;\t" if one in header_row[0]), delimiter)
    reader = csv.reader(_csv_lines(first, lines), delimiter=delimiter, strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{name}:1 is no header row that can be read as CSV ({error}): mend its quotes.") from error
    if not any(header):
        raise DataError(f"{name} has no header row: the first row must name the columns.")
    if twice := sorted({column for column in header if column and header.count(column) > 1}):
        raise DataError(f"{name} names the column {twice[0]!r} twice: rename one.")
    number = 1
    while True:
        number += 1
        source = f"{name}:{number}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            tally.reject(source, f"is broken CSV ({_csv_problem(error)})", broken=True)
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            tally.reject(source, f"has {len(cells)} cells for {len(header)} columns", broken=True)
            continue
        yield Row(dict(zip(header, cells, strict=True)), source)


def _csv_lines(first: str, lines: Iterable[str]) -> Iterator[str]:
    """Without NUL bytes, and with lone carriage returns as line ends, as old spreadsheets write them."""
    for part in (first,), lines:
        for line in part:
            whole = line.replace("\0", "")
            if "\r" in whole.rstrip("\r\n"):
                yield from filter(None, LONE_RETURN.split(whole))
            else:
                yield whole


def _csv_problem(error: csv.Error) -> str:
    text = str(error)
    return "a quote that is never closed" if "unexpected end" in text or "field larger" in text else text


def jsonl_rows(path: Path, name: str, tally: RowTally) -> Iterator[Row]:
    """Rows of a file with one JSON object a line; empty lines are skipped, and counted.

    Raises:
        DataError: broken rows beyond what `tally` allows.
    """
    for number, line in enumerate(text_lines(path, name), start=1):
        if not line.strip():
            continue
        source = f"{name}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            tally.reject(source, f"is broken JSON ({_json_problem(error)})", broken=True)
            continue
        yield from _object(value, source, tally, SURROGATE_ESCAPE.search(line) is not None)


def json_rows(path: Path, name: str, tally: RowTally) -> Iterator[Row]:
    """Rows of a JSON array of objects, or of the array under "data" (or "rows", "train") of an object.

    A file named ``.json`` that holds one object a line is read as JSONL.

    Raises:
        DataError: broken JSON (names the line), no array.
    """
    text = "".join(text_lines(path, name))
    if not text.strip():
        raise DataError(f"{name} is empty: give a file with rows.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data" and text.lstrip().startswith("{"):
            del text
            yield from jsonl_rows(path, name, tally)
            return
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{name}{line} is broken JSON ({_json_problem(error)}): mend it.") from error
    if isinstance(value, dict):
        lists = [key for key in ("data", "rows", "train") if isinstance(value.get(key), list)]
        if lists:
            value = value[lists[0]]
        elif "\n" not in text.strip() and value:
            value = [value]  # a file of one JSON line
        else:
            raise DataError(f'{name} holds no rows: give a JSON array of objects, or an object with "data".')
    if not isinstance(value, list):
        raise DataError(f"{name} is a JSON {type(value).__name__}: give an array of objects.")
    suspect = SURROGATE_ESCAPE.search(text) is not None
    del text
    for number, one in enumerate(value, start=1):
        yield from _object(one, f"{name}:{number}", tally, suspect)


def _object(value: Any, source: str, tally: RowTally, suspect: bool) -> Iterator[Row]:
    """The row, where the value is an object whose texts can be written as UTF-8."""
    if not isinstance(value, dict):
        tally.reject(source, f"is a JSON {type(value).__name__}, not an object", broken=True)
        return
    if suspect:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            tally.reject(source, "holds half of a surrogate pair, which is no character", broken=True)
            return
    yield Row(value, source)


def _json_problem(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"
