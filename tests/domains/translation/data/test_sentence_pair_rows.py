"""Sentence pairs from rows of tables: columns, paths, splits, and rows that cannot be used."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domains.translation.adapters import open_data, path_of, sentence_pairs
from domains.translation.data_config import PairColumns, TranslationDataConfig
from domains.translation.records import SentencePair
from domains.translation.text_findings import TextFindings
from shared.data.rows import InvalidValueError, RowTally
from shared.errors import DataError

JA = {"source": "Das ist gut so.", "target": "That is good."}


def read(location: Path, **config: Any) -> tuple[list[SentencePair], list[str | None], RowTally]:
    settings = TranslationDataConfig(**config)
    tally = RowTally(settings.max_bad_share, settings.max_broken_share)
    opened = open_data(location, settings, tally)
    languages = settings.languages()
    found = list(sentence_pairs(opened, languages, tally, TextFindings(languages, 0.2)))
    return [pair for _, pair in found], [split for split, _ in found], tally


def jsonl(path: Path, *rows: Mapping[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_column(tmp_path: Path) -> None:
    row = {**JA, "rejected": "It is good like that.", "target_path": [2, 2, 4], "rejected_path": "1 2 2,3 4"}
    row |= {"id": "x1", "group_id": "g", "weight": 0.5, "topic": "talk", "other": "not kept"}
    (pair,), splits, tally = read(jsonl(tmp_path / "a.jsonl", row))
    assert (pair.id, pair.group_id, pair.source, pair.weight) == ("x1", "g", "a.jsonl:1", 0.5)
    assert (pair.target_path, pair.rejected_path) == ((2, 2, 4), (1, 2, 2, 3, 4))
    assert (pair.metadata, splits, tally.good) == ({"topic": "talk"}, [None], 1)
    assert [text for _, text in pair.texts()] == ["Das ist gut so.", "That is good.", "It is good like that."]


def test_a_table_with_other_column_names(tmp_path: Path) -> None:
    with (tmp_path / "a.tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([["german", "english", "path"], [JA["source"], JA["target"], "[2, 2, 4]"], ["Ja", "Yes", ""]])
    names = PairColumns(source="german", target="english", target_path="path")
    pairs, _, _ = read(tmp_path / "a.tsv", columns=names)
    assert [(pair.target_text, pair.target_path) for pair in pairs] == [("That is good.", (2, 2, 4)), ("Yes", None)]
    with pytest.raises(DataError, match=r"a\.tsv:2 has no column 'ger': did you mean 'german'\?"):
        read(tmp_path / "a.tsv", columns=PairColumns(source="ger"))


def test_parquet_and_texts_by_language(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nested = pa.table({"id": ["a"], "translation": [{"de": "Ja", "en": "Yes", "fr": "Oui"}]})
    pq.write_table(nested, tmp_path / "nested.parquet")
    pq.write_table(pa.table({"de": ["Ja"], "en": ["Yes"]}), tmp_path / "flat.parquet")
    paths = pa.table({"source": ["Ja"], "target": ["Yes"], "target_path": [[1.0]]})
    pq.write_table(paths, tmp_path / "paths.parquet")
    for name in ("nested", "flat", "paths"):
        (pair,), _, _ = read(tmp_path / f"{name}.parquet")
        assert (pair.source_text, pair.target_text) == ("Ja", "Yes")
    assert pair.target_path == (1,)
    with pytest.raises(DataError, match=r"flat\.parquet:1 has no column 'source'"):
        read(tmp_path / "flat.parquet", source_language="fr")


def test_given_splits_of_a_column_and_of_files(tmp_path: Path) -> None:
    rows = [{**JA, "split": name} for name in ("train", "dev", "TEST")]
    assert read(jsonl(tmp_path / "a.jsonl", *rows))[1] == ["train", "validation", "test"]
    odd = jsonl(tmp_path / "odd.jsonl", {**JA, "split": "fold 3"})
    with pytest.raises(DataError, match=r"odd\.jsonl:1: column 'split' names no split.*data\.columns\.split=null"):
        read(odd)
    assert read(odd, columns=PairColumns(split=None))[1] == [None]
    folder = tmp_path / "folder"
    folder.mkdir()
    jsonl(folder / "train.jsonl", JA, JA)
    jsonl(folder / "test.jsonl", JA)
    assert read(folder)[1] == ["train", "train", "test"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([1, 2], "a path of 2 steps for a translation of 3 units"),
        ([1, 2, 5], "reads 5 units of a source of 4"),
        ([2, 1, 3], "decreases from 2 to 1 at step 2"),
        ([0, 1, 2], "begins with 0"),
        ([1, 2.5, 3], "no list of whole numbers"),
        ([1, True, 3], "no list of whole numbers"),
        ([1, None, 3], "no list of whole numbers"),
        ([1, 2, 2**40], "no list of whole numbers"),
        ([1, 2, float("nan")], "no list of whole numbers"),
        ("1 two 3", "no list of whole numbers"),
        ("[1, 2", "no list of whole numbers"),
        ({"a": 1}, "no list of whole numbers"),
    ],
)
def test_paths_that_do_not_fit(tmp_path: Path, path: object, message: str) -> None:
    data = jsonl(tmp_path / "a.jsonl", JA, {**JA, "target_path": path})
    with pytest.raises(DataError, match=rf"a\.jsonl:2: column 'target_path' holds .*{message}|a\.jsonl:2: .*{message}"):
        read(data)
    pairs, _, tally = read(data, max_broken_share=0.5)
    assert (len(pairs), tally.broken) == (1, 1)


def test_paths_count_characters_in_chinese() -> None:
    values = {"path": "1 1 2 3"}
    assert path_of(values, "path", 3, "我 很好。", "char") == (1, 1, 2, 3)
    with pytest.raises(InvalidValueError, match=r"4 steps for a translation of 2 units \(unit: word\)"):
        path_of(values, "path", 3, "我 很好。", "word")
    assert path_of(values, "path", 3, None, "char") is None


def test_rows_that_lack_something(tmp_path: Path) -> None:
    rows = [JA] * 40
    rows += [{"source": "", "target": "x"}, {"source": "x", "target": " "}, {"source": "", "target": None}]
    rows += [{"source": "Okay", "target": "OKAY"}, {**JA, "rejected": "that is  good."}, {**JA, "rejected": ""}]
    pairs, _, tally = read(jsonl(tmp_path / "a.jsonl", *rows))
    assert [row.reason for row in tally.bad] == ["has no source sentence", "has no target sentence"]
    reasons = [row.reason for row in tally.left_out]
    assert reasons == ["is empty on both sides", "source and target are the same text"]
    assert all(pair.rejected_text is None for pair in pairs)
    with pytest.raises(DataError, match=r"a\.jsonl:41: has no source sentence; 2 of 45 rows cannot be used"):
        read(tmp_path / "a.jsonl", max_bad_share=0.01)


def test_locations_that_hold_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "head.tsv").write_text("Das Haus, das wir gestern gesehen haben.\tThe house we saw.\nJa\tYes\n")
    with pytest.raises(DataError, match=r"head\.tsv:2 follows a first row that names no columns") as caught:
        read(tmp_path / "head.tsv")
    assert "Haus" not in str(caught.value)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"folder holds neither tables nor parallel text of de and en"):
        read(folder)
    (folder / "a.de").write_text("Ja\n")
    (folder / "a.en").write_text("Yes\n")
    jsonl(folder / "b.jsonl", JA)
    with pytest.raises(DataError, match=r"folder holds parallel text \(a\.de\) and tables \(b\.jsonl\)"):
        read(folder)
    for name in ("train.de", "train.en", "test.de", "test.en"):
        (folder / name).write_text(f"{name}\n")
    (folder / "b.jsonl").unlink()
    with pytest.raises(DataError, match=r"files named for splits \(test, train\) and others \(a\.de\)"):
        read(folder)
