"""Raw bytes from hell: files of every kind, mutated and made up, give rows, named bad rows, or one sentence.

The whole way is gone: reader, preference record, record file and back.
"""

import csv
import gzip
import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.data import text_files
from shared.data.preferences import preferences
from shared.data.reading import iter_rows
from shared.data.record_files import read_records, write_records
from shared.data.rows import RowTally
from shared.errors import DataError, ValignError

ROWS = [
    {
        "id": f"i{n}",
        "prompt": f"How {n}? äß日",
        "chosen": 'er sagt "gut",\nund geht' + "x" * n,
        "rejected": f"nah; {n}",
        "margin": n / 3,
        "votes_chosen": 3,
        "votes_rejected": n % 3,
        "chosen_views": n,
        "rejected_views": 2,
        "topic": None if n % 2 else "t",
    }
    for n in range(8)
]
TALKS = [{**row, "prompt": [{"role": "user", "content": row["prompt"]}]} for row in ROWS]
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff")
PIECES = (
    *MARKS,
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\r", b"\0", b"\0\0\0", b"\x0b", b"\x0c", b"\x1c"),
    *(b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xff", b"\xc3"),
    *(b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b":", b"[" * 3_000, b"]" * 3, b"{}", b"\\"),
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 5_000,
        b"null",
        b"true",
        b"prompt",
        b"chosen",
        b"rejected",
        b"x" * 200_000,
    ),
)
NUMBERS = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0")


def _csv(rows: list[dict[str, Any]], delimiter: str = ",", end: str = "\r\n") -> bytes:
    text = io.StringIO(newline="")
    # Python 3.11 leaves a line end without quotes where it is not its own, and nobody could read that.
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _arrow(rows: list[dict[str, Any]], stream: bool = False, codec: str | None = None, packed: bool = False) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pylist(rows)
    if packed:
        table = table.set_column(1, "prompt", table["prompt"].dictionary_encode())
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _parquet(rows: list[dict[str, Any]], **options: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue().to_pybytes()


def _records() -> bytes:
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        tally = RowTally()
        write_records(Path(folder) / "a.arrow", preferences(iter_rows(Path(folder) / "a.jsonl", tally), tally))
        return (Path(folder) / "a.arrow").read_bytes()


@cache
def sound_files() -> dict[str, bytes]:
    """Bytes of a sound file of every kind, by name."""
    files = {
        "commas.csv": _csv(ROWS),
        "semicolons.csv": MARKS[0] + _csv(ROWS, delimiter=";", end="\n"),
        "tabs.tsv": _csv(ROWS, delimiter="\t", end="\r"),
        "lines.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(),
        "talks.jsonl": "".join(json.dumps(row) + "\n" for row in TALKS).encode(),
        "list.json": json.dumps(ROWS, indent=1).encode(),
        "object.json": json.dumps({"data": TALKS}).encode(),
        "plain.parquet": _parquet(ROWS),
        "talks.parquet": _parquet(TALKS, compression="zstd", use_dictionary=False, data_page_version="2.0"),
        "plain.arrow": _arrow(ROWS),
        "stream.arrow": _arrow(TALKS, stream=True),
        "packed.arrow": _arrow(ROWS, codec="lz4", packed=True),
        "records.arrow": _records(),
    }
    return files | {f"{name}.gz": gzip.compress(files[name]) for name in ("commas.csv", "lines.jsonl", "list.json")}


def went_through(name: str, content: bytes) -> None:
    """Fails where anything but an error of ours comes out, or a message of more than a line."""
    message = name
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / name, Path(folder) / "out.arrow"
        path.write_bytes(content)
        try:
            if name == "records.arrow":
                records = read_records(path)
            else:
                tally = RowTally(max_bad_share=1, max_broken_share=1)
                records = list(preferences(iter_rows(path, tally), tally))
                assert all(row.source.startswith(f"{name}:") for row in (*records, *tally.bad, *tally.left_out))
            write_records(out, records)
            assert read_records(out) == records or any(record.margin != record.margin for record in records)
        except ValignError as error:
            message = str(error)
    assert name in message
    assert "\n" not in message
    assert len(message) < 600


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sound file with a few places overwritten, cut out, doubled, filled in or cut off."""
    name = draw(st.sampled_from(sorted(sound_files())))
    content = bytearray(sound_files()[name])
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([1, 2, 4, 8, 30, 200])))
        new = draw(
            st.sampled_from(PIECES)
            | st.sampled_from(NUMBERS)
            | st.binary(max_size=8)
            | st.just(b"")
            | st.just(bytes(content[start:end]) * 2)
        )
        content[start : len(content) if draw(st.integers(0, 9)) == 0 else end] = new
    return name, bytes(content)


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_mutated_files(file: tuple[str, bytes]) -> None:
    went_through(*file)


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json", "a.csv.gz", "a.parquet", "a.arrow"]),
    pieces=st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=25),
    header=st.sampled_from([b"", b"prompt,chosen,rejected\n", b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n']),
)
@example("a.csv", [b'"', b"x" * 200_000, b"\r"], b"prompt,chosen,rejected\n")
@example("a.jsonl", [b'{"prompt": "\\ud800", "chosen": "b", "rejected": "c"}'], b"")
@example("a.jsonl", [b"\xef\xbb\xbf\xef\xbb\xbf{}"], b"")
def test_files_made_of_pieces(name: str, pieces: list[bytes], header: bytes) -> None:
    content = header + b"".join(pieces)
    went_through(name, gzip.compress(content) if name.endswith(".gz") else content)


@settings(max_examples=150, deadline=None)
@given(
    cells=st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=2, max_size=2),
    end=st.sampled_from(["\r\n", "\n", "\r"]),
    mark=st.booleans(),
    delimiter=st.sampled_from([",", ";", "\t"]),
)
@example(cells=["", ","], end="\r", mark=False, delimiter=";")
def test_what_csv_writes_is_read_whatever_the_texts(cells: list[str], end: str, mark: bool, delimiter: str) -> None:
    row = {"prompt": f"q{cells[0]}", "chosen": f"a{cells[1]}", "rejected": "b"}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes((MARKS[0] if mark else b"") + _csv([row, row], delimiter, end))
        read = {column: cell.replace("\0", "") for column, cell in row.items()}
        assert [one.values for one in iter_rows(path, RowTally())] == [read, read]


def test_a_field_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10_000)
    monkeypatch.setattr(text_files.csv, "field_size_limit", lambda *_: 10_000)
    (tmp_path / "a.jsonl").write_bytes(b'{"prompt": "' + b"x" * 50_000)
    with pytest.raises(DataError, match=r"a\.jsonl:1 is a line of more than"):
        list(iter_rows(tmp_path / "a.jsonl", RowTally()))
