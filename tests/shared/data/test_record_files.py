"""Record files: what is written is read back, whatever the texts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data import record_files
from shared.data.record_files import RecordTexts, iter_records, read_records, write_records
from shared.errors import DataError, SystemStateError
from shared.records import Message, PreferenceRecord, Votes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBER = st.floats(allow_nan=False)
NUMBERS = st.dictionaries(TEXT, NUMBER, max_size=3)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), NUMBER, TEXT)
COUNT = st.integers(0, 10**9)
RECORD = st.builds(
    PreferenceRecord,
    id=TEXT,
    group_id=TEXT,
    source=TEXT,
    prompt=st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=3).map(tuple),
    chosen=TEXT,
    rejected=TEXT,
    margin=st.none() | NUMBER,
    weight=NUMBER,
    votes=st.none() | st.builds(Votes, COUNT, COUNT, COUNT),
    scores_chosen=NUMBERS,
    scores_rejected=NUMBERS,
    covariates_chosen=NUMBERS,
    covariates_rejected=NUMBERS,
    context=st.none() | TEXT,
    rationale=st.none() | TEXT,
    metadata=st.dictionaries(TEXT, SCALAR, max_size=3),
)


def plain(number: int = 0) -> PreferenceRecord:
    return PreferenceRecord(f"p{number}", f"g{number}", f"a.csv:{number}", (Message("user", "q"),), "yes", "no")


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORD, max_size=5))
def test_round_trip(records: list[PreferenceRecord]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.arrow"
        assert write_records(path, iter(records)) == len(records)
        assert read_records(path) == records


def test_order_and_count_hold_over_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "ROWS_PER_BATCH", 3)
    assert write_records(tmp_path / "a.arrow", map(plain, range(10))) == 10
    assert [record.id for record in iter_records(tmp_path / "a.arrow")] == [f"p{number}" for number in range(10)]


def test_texts_of_single_records_over_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "ROWS_PER_BATCH", 3)
    records = [
        replace(plain(number), prompt=(Message("system", "s"), Message("user", f"q{number}")), chosen=f"yes{number}")
        for number in range(8)
    ]
    write_records(tmp_path / "a.arrow", records)
    with RecordTexts(tmp_path / "a.arrow") as texts:
        for number in (7, 0, 3, 2, 6):
            assert texts.pair(number) == (f"s\nq{number}", f"yes{number}", "no")
    (tmp_path / "b.arrow").write_bytes(b"not arrow at all" * 10)
    with pytest.raises(DataError, match="no record file"):
        RecordTexts(tmp_path / "b.arrow")


def test_same_records_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_records(tmp_path / name, map(plain, range(5)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_of_a_broken_off_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"

    def stopping() -> Iterator[PreferenceRecord]:
        yield plain()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_records(path, stopping())
    with pytest.raises(DataError, match="no record file"):
        read_records(path)


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0", b"not arrow at all" * 10])
def test_no_record_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.arrow").write_bytes(content)
    with pytest.raises(DataError, match="run the data stage again"):
        read_records(tmp_path / "a.arrow")


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    import pyarrow as pa

    with pytest.raises(DataError, match="is not there"):
        read_records(tmp_path / "none.arrow")
    table = pa.table({"x": [1]})
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="other columns"):
        read_records(tmp_path / "x.arrow")


def test_a_full_disk_is_one_sentence() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(SystemStateError, match="no space"):
        write_records(Path("/dev/full"), map(plain, range(5_000)))
