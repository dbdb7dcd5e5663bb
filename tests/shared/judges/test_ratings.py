"""Ratings in files, people as judges, and agreement of files."""

import json

import pytest

from shared.errors import DataError, UsageError
from shared.judges.agreement_report import agreement_report, kinds_of, rating_table
from shared.judges.protocol import PairItem, ResponseItem, Verdict
from shared.judges.ratings import (
    HumanJudge,
    RatingColumns,
    rating_columns,
    read_all_ratings,
    read_ratings,
)
from shared.records import Message


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def pair(name):
    return PairItem(name, "g", (Message("user", "q"),), "x", "y")


def test_a_csv_of_several_raters(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("item,rater,verdict\np1,ann,a\np1,bob,B\np1,cyd,1\np2,ann,tie\np2,bob,2\np3,ann,\n")
    ratings = read_ratings(path)
    assert len(ratings) == 5
    found = HumanJudge(ratings).compare([pair("p1"), pair("p2"), pair("p3")])
    assert [one.winner for one in found.rows] == ["a", "tie", None]
    assert found.rows[0].votes == (2, 1, 0)
    assert found.rows[2].failure == "unrated"
    assert found.facts["raters"] == 3


def test_other_columns_and_labels(tmp_path):
    path = write(tmp_path / "r.jsonl", [{"idx": 3, "who": "x", "label": 0}, {"idx": 4, "who": "x", "label": 2}])
    columns = rating_columns(["item=idx", "rater=who", "verdict=label"], ["0=b", "2=tie"])
    assert [(one.item, one.verdict) for one in read_ratings(path, columns)] == [("3", "b"), ("4", "tie")]


def test_scores_of_people_are_means(tmp_path):
    rows = [
        {"item": "r1", "rater": "x", "criterion": "warm", "score": 4},
        {"item": "r1", "rater": "x", "criterion": "clear", "score": 2},
        {"item": "r1", "rater": "y", "scores": {"warm": 2, "clear": 2}},
        {"item": "r2", "rater": "y", "score": 5},
    ]
    judge = HumanJudge(read_ratings(write(tmp_path / "r.jsonl", rows)))
    items = [ResponseItem(name, "g", (Message("user", "q"),), "x") for name in ("r1", "r2", "r3")]
    found = judge.score(items)
    assert [one.overall for one in found.rows] == [2.5, 5.0, None]
    assert found.rows[0].criteria == {"warm": 3.0, "clear": 2.0}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"id": 1, "verdict": "a"}], "no column 'item'"),
        ([{"item": 1, "text": "a"}], "neither a column 'verdict' nor 'score'"),
        ([{"item": 1, "verdict": "left"}], "r.jsonl:1: column 'verdict' holds no verdict"),
        ([{"item": 1, "score": "much"}], "r.jsonl:1"),
        ([{"item": 1, "verdict": "a"}, {"item": 1, "verdict": "b"}], "r.jsonl:2: r rated the item of r.jsonl:1 again"),
        ([{"item": 1, "verdict": None}], "holds no rating"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, rows, problem):
    with pytest.raises(DataError, match=problem):
        read_ratings(write(tmp_path / "r.jsonl", rows))


def test_other_ids_are_said():
    with pytest.raises(UsageError, match="name none of the 1 items"):
        HumanJudge([]).compare([pair("p1")])


@pytest.mark.parametrize("wrong", [["item"], ["colour=x"]])
def test_wrong_column_options_are_said(wrong):
    with pytest.raises(UsageError):
        rating_columns(wrong, [])
    with pytest.raises(UsageError):
        rating_columns([], ["left=c"])


def test_a_verdict_file_is_a_rating_file(tmp_path):
    verdicts = [Verdict("p1", "a", reason="r"), Verdict("p2", None, failure="refused"), Verdict("p3", "tie")]
    path = write(tmp_path / "v.jsonl", [one.to_json("judge", "g1") for one in verdicts])
    assert [(one.item, one.rater, one.group, one.verdict) for one in read_ratings(path)] == [
        ("p1", "judge", "g1", "a"), ("p3", "judge", "g1", "tie")
    ]  # fmt: skip


def test_the_agreement_of_two_files(tmp_path):
    first = write(tmp_path / "one.jsonl", [{"item": n, "verdict": "ab"[n % 2]} for n in range(10)])
    second = write(tmp_path / "two.jsonl", [{"item": n, "verdict": "ab"[n % 2] if n < 8 else "tie"} for n in range(10)])
    ratings = read_all_ratings([first, second])
    assert kinds_of(ratings) == ["verdict"]
    report = agreement_report(rating_table(ratings))
    assert report["raw"]["value"] == pytest.approx(0.8)
    (row,) = report["pairs"]
    assert row["raters"] == ["one", "two"]
    assert row["raw_without_ties"]["value"] == 1.0
    assert row["raw_without_ties"]["n"] == 8
    assert report["categories"]["two"] == {"b": 4, "tie": 2, "a": 4}
    assert report["alpha"]["nominal"]["low"] < report["alpha"]["nominal"]["value"]


def test_equal_rater_names_are_told_apart(tmp_path):
    rows = [{"item": n, "rater": "x", "score": n} for n in range(4)]
    (tmp_path / "b").mkdir()
    paths = [write(tmp_path / "a.jsonl", rows), write(tmp_path / "b" / "b.jsonl", rows)]
    ratings = read_all_ratings(paths)
    assert {one.rater for one in ratings} == {"x", "b:x"}
    report = agreement_report(rating_table(ratings, "overall"))
    assert report["alpha"]["interval"]["value"] == pytest.approx(1.0)
    assert report["pairs"][0]["cohen_kappa_quadratic"]["value"] == pytest.approx(1.0)


def test_files_that_share_nothing_are_said(tmp_path):
    one = write(tmp_path / "one.jsonl", [{"item": 1, "verdict": "a"}])
    two = write(tmp_path / "two.jsonl", [{"item": 2, "verdict": "a"}])
    with pytest.raises(DataError, match="ids in the column item differ"):
        rating_table(read_all_ratings([one, two]))
    with pytest.raises(DataError, match="only one gave a verdict"):
        rating_table(read_all_ratings([one]))


def test_people_agree_on_pandalm_as_published(real_data):
    """PandaLM (arXiv:2306.05087) reports pairwise Cohen's kappa above .85 for its three annotators."""
    rows = json.loads((real_data / "general" / "pandalm_human.json").read_text(encoding="utf-8"))
    from shared.judges.ratings import Rating

    label = {0: "tie", 1: "a", 2: "b"}
    ratings = [
        Rating(str(row["idx"]), f"annotator{n}", str(row["idx"]), label[row[f"annotator{n}"]], {})
        for row in rows
        for n in (1, 2, 3)
    ]
    report = agreement_report(rating_table(ratings))
    assert report["items_rated_twice"] == 999
    assert all(0.8 < one["cohen_kappa"]["value"] < 0.95 for one in report["pairs"])
    assert report["fleiss_kappa"]["value"] == pytest.approx(report["alpha"]["nominal"]["value"], abs=2e-3)


def test_labels_of_a_mapping_are_read_in_any_case():
    assert RatingColumns(labels={" Left ": "a"}).labels == {"left": "a"}
