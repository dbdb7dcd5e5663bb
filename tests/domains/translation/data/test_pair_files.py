"""Pair files: what is written is read back, and what is no pair file is refused."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains.translation.pair_files import iter_pairs, pair_texts, pair_writer, read_pairs, write_pairs
from domains.translation.records import SentencePair
from shared.data.record_files import RecordWriter, iter_records
from shared.errors import DataError

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
STEPS = st.none() | st.lists(st.integers(1, 2**31 - 1), max_size=6).map(lambda one: tuple(sorted(one)))
NUMBER = st.floats(allow_nan=False, width=64)
SCORES = st.dictionaries(TEXT, NUMBER, max_size=3)
SCALAR = (
    st.none() | TEXT | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
)
PAIRS = st.builds(
    SentencePair,
    id=TEXT,
    group_id=TEXT,
    source=TEXT,
    source_text=TEXT,
    target_text=TEXT,
    rejected_text=st.none() | TEXT,
    target_path=STEPS,
    rejected_path=STEPS,
    weight=NUMBER,
    scores_target=SCORES,
    scores_rejected=SCORES,
    metadata=st.dictionaries(TEXT, SCALAR, max_size=3),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PAIRS, max_size=5))
def test_round_trip(tmp_path: Path, pairs: list[SentencePair]) -> None:
    path = tmp_path / "pairs.arrow"
    assert write_pairs(path, pairs) == len(pairs)
    assert read_pairs(path) == pairs


def test_many_pairs_are_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "pairs.arrow"
    pairs = [
        SentencePair(str(n), str(n), f"a.de:{n}", f"Satz {n}", f"sentence {n}", target_path=(1, 2))
        for n in range(2_500)
    ]
    with pair_writer(path) as writer:
        for pair in pairs:
            writer.write(pair)
    assert writer.count == 2_500
    assert next(iter_pairs(path)) == pairs[0]
    assert read_pairs(path) == pairs
    with pair_texts(path) as texts:
        assert texts.values(1_999) == ["Satz 1999", "sentence 1999", None]


def test_files_that_are_no_pair_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.arrow is not there"):
        read_pairs(tmp_path / "gone.arrow")
    (tmp_path / "text.arrow").write_text("Guten Morgen")
    with pytest.raises(DataError, match="is no record file"):
        read_pairs(tmp_path / "text.arrow")
    with RecordWriter(tmp_path / "preferences.arrow"):
        pass
    with pytest.raises(DataError, match="other columns"):
        read_pairs(tmp_path / "preferences.arrow")
    write_pairs(tmp_path / "pairs.arrow", [])
    with pytest.raises(DataError, match="other columns"):
        list(iter_records(tmp_path / "pairs.arrow"))
    write_pairs(tmp_path / "cut.arrow", [SentencePair("a", "b", "c:1", "Ja", "Yes")])
    whole = (tmp_path / "cut.arrow").read_bytes()
    (tmp_path / "cut.arrow").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is no record file"):
        read_pairs(tmp_path / "cut.arrow")
