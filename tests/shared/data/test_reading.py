"""Readers: every kind of file gives the same rows; every defect gives one sentence with file and row."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data import text_files
from shared.data.reading import iter_rows, source_digest
from shared.data.rows import Row, RowTally
from shared.errors import DataError, SystemStateError, UsageError

ROWS = [
    {"prompt": "Wie geht's?", "chosen": 'er sagte "gut",\nund ging', "rejected": "näh; ich"},
    {"prompt": "日本", "chosen": "a\tb", "rejected": "x"},
]


def read(path: Path | str, **kinds: float) -> list[Row]:
    return list(iter_rows(path, RowTally(**kinds)))


def refusal(path: Path | str, **kinds: float) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **kinds)
    return str(caught.value)


def outcome(path: Path) -> tuple[list[Row], str]:
    """The rows before the first error, and its message; any other exception fails the test."""
    rows: list[Row] = []
    try:
        for row in iter_rows(path, RowTally(max_bad_share=1, max_broken_share=1)):
            rows.append(row)
    except DataError as error:
        return rows, str(error)
    return rows, ""


def write_csv(path: Path, delimiter: str = ",", encoding: str = "utf-8", end: str = "\r\n") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter, lineterminator=end)
        writer.writeheader()
        writer.writerows(ROWS)


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")


def write_table(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(ROWS)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        new = pa.ipc.new_stream if "stream" in path.name else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table)


def packed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def both(path: Path) -> None:
        plain = path.with_suffix("")
        write(plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()

    return both


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.csv": write_csv,
    "bom.csv": lambda path: write_csv(path, encoding="utf-8-sig"),
    "semicolons.csv": lambda path: write_csv(path, delimiter=";"),
    "old_mac.csv": lambda path: write_csv(path, end="\r"),
    "a.tsv": lambda path: write_csv(path, delimiter="\t"),
    "a.csv.gz": packed(write_csv),
    "a.jsonl": write_jsonl,
    "a.JSONL": write_jsonl,
    "a.ndjson": write_jsonl,
    "a.jsonl.gz": packed(write_jsonl),
    "lines.json": write_jsonl,
    "a.json": lambda path: path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8-sig") and None,
    "object.json": lambda path: path.write_text(json.dumps({"version": 1, "data": ROWS})) and None,
    "a.parquet": write_table,
    "a.arrow": write_table,
    "stream.arrow": write_table,
    "a.feather": write_table,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    rows = read(tmp_path / name)
    assert [row.values for row in rows] == ROWS
    first = 2 if "sv" in name else 1  # the header is a spreadsheet's first row
    assert [row.source for row in rows] == [f"{name}:{first}", f"{name}:{first + 1}"]


def test_folders_of_files_and_of_save_to_disk(tmp_path: Path) -> None:
    import datasets

    (tmp_path / "parts" / ".hidden").mkdir(parents=True)
    write_jsonl(tmp_path / "parts" / "b.jsonl")
    write_csv(tmp_path / "parts" / "a.csv")
    (tmp_path / "parts" / "README.md").write_text("no data")
    (tmp_path / "parts" / ".hidden" / "c.csv").write_text("no,data")
    sources = [row.source for row in read(tmp_path / "parts")]
    assert sources == ["a.csv:2", "a.csv:3", "b.jsonl:1", "b.jsonl:2"]

    data = datasets.Dataset.from_list(ROWS)
    data.save_to_disk(tmp_path / "one")
    assert [row.values for row in read(tmp_path / "one")] == ROWS
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "two")
    rows = read(tmp_path / "two")
    assert [row.values for row in rows] == [*ROWS, *ROWS]
    assert rows[0].source == "test/data-00000-of-00001.arrow:1"  # which of the two files it was


def test_missing_empty_and_unknown_files(tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "none.csv")
    for name in ("e.csv", "e.jsonl", "e.json", "e.parquet", "e.arrow"):
        (tmp_path / name).touch()
        assert f"{name} is empty" in refusal(tmp_path / name)
    (tmp_path / "blank.jsonl").write_text("\n \n")
    assert "holds no rows" in refusal(tmp_path / "blank.jsonl")
    (tmp_path / "blank.json").write_text(" \n")
    assert "is empty" in refusal(tmp_path / "blank.json")
    (tmp_path / "header.csv").write_text("prompt,chosen\n")
    assert "holds no rows" in refusal(tmp_path / "header.csv")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    assert ".csv" in refusal(tmp_path / "a.xlsx")
    (tmp_path / "folder").mkdir()
    assert "no file that can be read" in refusal(tmp_path / "folder")


def test_broken_json_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n{"a": 2}\n')
    assert refusal(path).startswith("a.jsonl:3: is broken JSON (")
    tally = RowTally(max_broken_share=0.5)
    assert [row.source for row in iter_rows(path, tally)] == ["a.jsonl:1", "a.jsonl:4"]
    assert [row.source for row in tally.bad] == ["a.jsonl:3"]
    (tmp_path / "a.json").write_text('[\n{"a": 1},\n{"a": }\n]')
    assert refusal(tmp_path / "a.json").startswith("a.json:3 is broken JSON")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1]", "is a JSON list, not an object"),
        ("7", "is a JSON int"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "too many digits"),
        (r'{"a": "\ud83d"}', "surrogate"),
        (r'{"\uDE00": 1}', "surrogate"),
        ('{"a": "\0"}', "control character"),
    ],
)
def test_odd_json_lines(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' + line + "\n")
    message = refusal(tmp_path / "a.jsonl")
    assert message.startswith("a.jsonl:2: ")
    assert reason in message


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(r'{"a": "\ud83d\ude00"}')
    assert read(tmp_path / "a.jsonl")[0].values == {"a": "😀"}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_not_utf8_names_row_and_byte(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"a": 1}\n{"b": "caf\xe9"}\n')
    message = refusal(tmp_path / name)
    assert message.startswith(f"{name}:2 is not UTF-8 (byte 0xe9 at offset 19)")
    (tmp_path / name).write_text("prompt,chosen\nä,b\n", encoding="utf-16")
    assert "UTF-16" in refusal(tmp_path / name)
    (tmp_path / name).write_text("prompt,chosen\nä,b\n", encoding="utf-16-le")
    assert "UTF-16" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n", "has no header row"),
        ("a,a\n1,2\n", "'a' twice"),
        ("a,b\n1,2\n1,2,3\n", "a.csv:3: has 3 cells for 2 columns"),
        ('a,b\n1,2\n3,"4\n5,6\n', "a.csv:3: is broken CSV (a quote that is never closed)"),
        ('a,b\n1,"2"3\n', "a.csv:2: is broken CSV"),
        ('"a,b\n1,2\n', "a.csv:1 is no header row"),
    ],
)
def test_broken_csv(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert message in refusal(tmp_path / "a.csv")


def test_csv_goes_on_after_a_broken_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1,"2"3\n\n5,6\0\n')
    tally = RowTally(max_broken_share=0.9)
    assert [(row.values, row.source) for row in iter_rows(tmp_path / "a.csv", tally)] == [
        ({"a": "5", "b": "6"}, "a.csv:4")
    ]
    assert [row.source for row in tally.bad] == ["a.csv:2"]


def test_long_fields_are_read_and_longer_lines_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "x" * 300_000 + ",1\n")  # above the csv module's own limit
    assert len(read(path)[0].values["a"]) == 300_000
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1_000)
    assert "a.csv:2 is a line of more than 64 MiB" in refusal(path)


def test_damaged_archives_and_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"a,b\n1,2\n")
    assert "damaged .gz" in refusal(tmp_path / "a.csv.gz")
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 10_000)
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    assert "damaged .gz" in refusal(tmp_path / "a.csv.gz")
    for name in ("a.parquet", "a.arrow", "a.feather"):
        (tmp_path / name).write_bytes(b"PAR1 this is none")
        assert f"{name} is no readable" in refusal(tmp_path / name)
        write_table(tmp_path / name)
        half = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(half[: len(half) // 2])
        assert f"{name} is no readable" in refusal(tmp_path / name)


def test_hub_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SystemStateError, match="cannot be read") as caught:
        read("hub:nobody/nothing@abc:train")
    assert "nobody/nothing" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        read("hub:")


def test_hub_id_revision_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: dict[str, Any] = {}

    def load(name: str, **rest: Any) -> Any:
        asked.update(rest, name=name)
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = read("hub:some/data@v1:test[:10]")
    assert asked == {"name": "some/data", "revision": "v1", "split": "test[:10]"}
    assert (rows[0].values, rows[0].source) == (ROWS[0], "hub:some/data:1")


def test_digest_follows_the_content(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv")
    before = source_digest(tmp_path / "a.csv")
    write_csv(tmp_path / "a.csv", delimiter=";")
    assert before != source_digest(tmp_path / "a.csv")
    assert source_digest("hub:some/data") is None


def test_tally_refuses_above_the_share() -> None:
    tally = RowTally(max_bad_share=0.1)
    tally.good = 9
    tally.reject("a.csv:3", "has an empty 'chosen'")
    tally.check()
    tally.reject("a.csv:5", "has an empty 'chosen'")
    with pytest.raises(DataError, match=r"a\.csv:3: has an empty 'chosen'; 2 of 11 rows"):
        tally.check()


BYTES = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [
            b'"',
            b",",
            b"\n",
            b"\r",
            b"\0",
            b"{",
            b"}",
            b"[",
            b"]",
            b"a",
            b"1",
            b":",
            b"\xff",
            b"\xc3\xa4",
            b"\\ud800",
            b"\t",
            b";",
        ]
    ),
    max_size=40,
).map(b"".join)


@settings(max_examples=250, deadline=None)
@given(content=BYTES, name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.arrow", "a.csv.gz"]))
def test_whatever_the_bytes_only_data_errors(content: bytes, name: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        rows, message = outcome(path)
        for row in rows:
            json.dumps(row.values, ensure_ascii=False).encode()
        assert "\n" not in message


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_files_give_only_data_errors(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["a.parquet", "a.arrow", "stream.arrow", "a.jsonl.gz", "a.csv", "a.json"]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        WRITERS[name](path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        rows, message = outcome(path)
        assert all(row.source.startswith(name) for row in rows)
        assert not message or name in message
