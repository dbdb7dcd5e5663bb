"""Places and contents nobody meant to give: whatever they are, the answer is one sentence."""

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.preferences import preferences
from shared.data.reading import iter_rows
from shared.data.record_files import read_records, write_records
from shared.data.rows import RowTally
from shared.errors import DataError, SystemStateError, ValignError

ENDINGS = ("csv", "tsv", "jsonl", "ndjson", "json", "parquet", "arrow", "feather", "CSV", "JSONL.GZ")
FUZZED = [f"a.{kind}" for kind in (*ENDINGS, *(f"{one}.gz" for one in ENDINGS[:5]))]


def refusal(path: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        list(iter_rows(path, RowTally()))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("x" * 300 + ".csv", "cannot be opened"),
        ("~no-such-user-here/a.csv", "not known here"),
        ("a\0.csv", r"'a\x00.csv' is not there"),
        ("a\nb.csv", r"'a\nb.csv' is not there"),
    ],
)
def test_impossible_paths(location: str, message: str) -> None:
    assert message in refusal(location)


def test_a_file_used_as_a_folder_and_a_folder_used_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert "is not there" in refusal(tmp_path / "a.csv" / "b.csv")
    (tmp_path / "b.csv").mkdir()
    assert "b.csv holds no file that can be read" in refusal(tmp_path / "b.csv")


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "gone.csv")
    assert "is not there" in refusal(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("kind", ["time zone", "text", "date"])
def test_tables_with_values_python_cannot_hold(tmp_path: Path, name: str, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "time zone": pa.array([1], pa.timestamp("us", tz="Mars/Phobos")),
        "text": pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
        ),
        "date": pa.array([2**60], pa.timestamp("us")),
    }
    table = pa.table({"a": columns[kind]})
    if name == "a.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        with pa.OSFile(str(tmp_path / name), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    assert f"{name} is no readable" in refusal(tmp_path / name)


def _hub_errors() -> list[Exception]:
    import httpx
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    return [
        DatasetGenerationError("An error occurred\nwhile generating"),
        DatasetNotFoundError("no such set"),
        httpx.ConnectTimeout("timed out"),
        ConnectionError(""),
        ValueError("Unknown split 'tset'"),
    ]


@pytest.mark.parametrize("number", range(5))
def test_whatever_fails_at_the_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    import datasets

    error = _hub_errors()[number]

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(SystemStateError, match="the hub data set some/data cannot be read") as caught:
        list(iter_rows("hub:some/data", RowTally()))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=300), name=st.sampled_from(FUZZED), pack=st.booleans())
def test_random_bytes_under_every_ending(content: bytes, name: str, pack: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(gzip.compress(content) if pack and name.lower().endswith(".gz") else content)
        rows, message = [], name
        try:
            rows.extend(iter_rows(path, RowTally(max_bad_share=1, max_broken_share=1)))
        except ValignError as error:
            message = str(error)
        assert name in message
        assert "\n" not in message
        assert all(row.source.startswith(f"{name}:") for row in rows)


TEXT = st.text(max_size=8) | st.sampled_from(["q", "Human: a\n\nAssistant: b", "\n\nHuman: q\n\nAssistant:", "", " "])
ROLE = st.sampled_from(["user", "assistant", "system", "human", "gpt", "robot"]) | TEXT
TURN = st.fixed_dictionaries({"role": ROLE, "content": TEXT | st.none() | st.integers()})
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | TURN | st.lists(TURN, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
SINGLE = ("id", "group_id", "margin", "weight", "votes_chosen", "votes_rejected", "votes_ties", "context", "rationale")
BOTH = ("scores", "score", "rating", "empathy_rating", "views", "model")
NAMES = [*SINGLE, "topic", *(f"{side}_{name}" for side in ("chosen", "rejected") for name in BOTH)]
SIDES = {name: TEXT | VALUE for name in ("prompt", "chosen", "rejected")}
RECORD = st.builds(
    lambda sides, rest: {**rest, **sides},
    st.fixed_dictionaries(SIDES),
    st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=4),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(RECORD, min_size=1, max_size=4))
def test_any_json_becomes_records_that_can_be_stored_or_named_bad_rows(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        tally = RowTally(max_bad_share=1, max_broken_share=1)
        records = list(preferences(iter_rows(path, tally), tally))
        assert len(records) + len(tally.bad) + len(tally.left_out) == len(rows)
        assert {record.source for record in records}.isdisjoint(row.source for row in tally.bad)
        assert all(record.prompt and record.chosen and record.rejected for record in records)
        write_records(Path(folder) / "a.arrow", records)
        assert read_records(Path(folder) / "a.arrow") == records
