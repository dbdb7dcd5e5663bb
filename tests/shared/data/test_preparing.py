"""From a stream of records to the files of the splits."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from shared.data.preparing import SplitSettings, prepare_records, summary_of, write_dropped
from shared.data.record_files import iter_records, read_records
from shared.data.rows import RowTally
from shared.records import Message, PreferenceRecord

FRACTIONS = {"train": 0.5, "judge": 0.2, "test": 0.3}
SETTINGS = SplitSettings(FRACTIONS)


def pair(question: int, answer: int = 0, **changes: object) -> PreferenceRecord:
    name = f"{question}-{answer}"
    record = PreferenceRecord(
        name, f"g{question}", f"a.csv:{name}", (Message("user", f"why {question}"),), f"good {name}", f"bad {name}"
    )
    return replace(record, **changes)  # pyright: ignore[reportArgumentType]


def ids(folder: Path) -> dict[str, list[str]]:
    return {name: [record.id for record in read_records(folder / f"{name}.arrow")] for name in FRACTIONS}


def test_every_pair_is_in_one_split_or_dropped_with_its_reason(tmp_path: Path) -> None:
    records = [pair(question, answer) for question in range(20) for answer in range(4)]
    records += [pair(0, chosen="GOOD  0-0", source="a.csv:dup"), pair(21, chosen="x" * 200, source="a.csv:long")]
    tally = RowTally()
    settings = replace(SETTINGS, max_pairs_per_group=3, max_pairs=50, max_answer_chars=100)
    prepared = prepare_records(iter(records), tmp_path, settings, tally)
    found = ids(tmp_path)
    assert prepared.kept == sum(map(len, found.values())) == 50
    assert (len(found["train"]), len(found["judge"]), len(found["test"])) == (26, 9, 15) or abs(
        len(found["train"]) - 25
    ) <= 3
    dropped = write_dropped(tmp_path / "dropped.jsonl", tally)
    assert dropped == {
        "beyond the pairs kept of one group": 20,
        "beyond the pairs kept in all": 10,
        "repeats an earlier pair": 1,
        "response of more than 100 characters": 1,
    }
    assert len(records) == prepared.kept + sum(dropped.values())
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert {"source": "a.csv:dup", "reason": "repeats an earlier pair"} in rows
    assert all(set(row) == {"source", "reason"} for row in rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dropped.jsonl",
        "judge.arrow",
        "test.arrow",
        "train.arrow",
    ]
    summary = summary_of(prepared, tally, dropped)
    assert summary["splits"]["train"]["words_chosen"] == 2.0
    assert summary["groups"] == 20


def test_max_pairs_takes_from_as_many_groups_as_possible(tmp_path: Path) -> None:
    records = [pair(question, answer) for question in range(12) for answer in range(6)]
    prepared = prepare_records(records, tmp_path, replace(SETTINGS, max_pairs=12), RowTally())
    assert (prepared.kept, prepared.groups) == (12, 12)


def test_ids_are_made_unique_and_contradictions_counted(tmp_path: Path) -> None:
    reverse = pair(1, chosen="bad 1-0", rejected="good 1-0")
    prepared = prepare_records([pair(1), reverse, pair(2), pair(3)], tmp_path, SETTINGS, RowTally())
    assert (prepared.ids_made_unique, prepared.contradictions, prepared.kept) == (1, 2, 4)
    found = [identifier for members in ids(tmp_path).values() for identifier in members]
    assert len(set(found)) == 4


def test_masking_comes_before_anything_is_stored(tmp_path: Path) -> None:
    def mask(record: PreferenceRecord) -> PreferenceRecord:
        return replace(record, chosen=record.chosen.replace("Canary", "[NAME]"))

    records = [pair(number, chosen=f"says Canary {number}") for number in range(9)]
    stored: list[bytes] = []

    def watched() -> Iterator[PreferenceRecord]:
        yield from records
        stored.extend(path.read_bytes() for path in tmp_path.iterdir())

    prepare_records(watched(), tmp_path, SETTINGS, RowTally(), transform=mask)
    stored.extend(path.read_bytes() for path in tmp_path.iterdir())
    assert len(stored) == 4
    assert not any(b"Canary" in content for content in stored)


def test_nothing_to_split(tmp_path: Path) -> None:
    prepared = prepare_records([], tmp_path, SETTINGS, RowTally())
    assert (prepared.kept, prepared.groups, prepared.components) == (0, 0, 0)
    assert ids(tmp_path) == {name: [] for name in FRACTIONS}


def test_texts_do_not_stay_in_memory(tmp_path: Path) -> None:
    count, text = 4_000, "w" * 5_000

    def many() -> Iterator[PreferenceRecord]:
        for number in range(count):
            yield pair(number, chosen=f"{text}{number}", rejected=f"{number}{text}")

    tracemalloc.start()
    try:
        prepared = prepare_records(many(), tmp_path, SETTINGS, RowTally())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert prepared.kept == count
    assert peak < 25_000_000  # the texts alone are 40 MB
    assert sum(1 for _ in iter_records(tmp_path / "train.arrow")) == prepared.splits["train"].pairs
