"""Pairs from votes, labels, raters and scores."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.judged_pairs import JudgedColumns, has_column, judged_pairs
from shared.data.rows import Row, RowTally
from shared.data.scored_answers import ScoredColumns, scored_answers
from shared.errors import DataError
from shared.records import Votes

VOTED = JudgedColumns(first="a", second="b", votes_first="count.a", votes_second="count.b", votes_ties="count.none")


def read(rows, columns, keep_ties=False, tally=None):
    given_rows = [Row(values, f"f.csv:{number}") for number, values in enumerate(rows, 2)]
    return list(judged_pairs(given_rows, tally or RowTally(1.0, 1.0), columns, keep_ties=keep_ties))


def voted(a, b, none=0, **more):
    return {"prompt": "q", "a": "one", "b": "two", "count.a": a, "count.b": b, "count.none": none, **more}


def test_the_majority_is_chosen_and_its_votes_come_first():
    first, second = read([voted(7, 2, 1), voted("1", "4")], VOTED)
    assert (first.chosen, first.rejected, first.votes, first.margin) == ("one", "two", Votes(7, 2, 1), 5.0)
    assert (second.chosen, second.votes, second.margin) == ("two", Votes(4, 1, 0), 3.0)


def test_ties_are_left_out_or_kept_and_rows_nobody_judged_are_left_out():
    rows = [voted(3, 3), voted(0, 0), voted(None, None), voted(2, 1)]
    tally = RowTally(1.0, 1.0)
    assert [record.source for record in read(rows, VOTED, tally=tally)] == ["f.csv:5"]
    assert [row.reason for row in tally.left_out] == ["tie: the margin is 0", "no judgement", "no judgement"]
    kept = read(rows, VOTED, keep_ties=True)
    assert [(record.margin, record.votes) for record in kept] == [(0.0, Votes(3, 3, 0)), (1.0, Votes(2, 1, 0))]


def test_columns_inside_others_and_names_with_dots():
    row = {"x.y": 1, "x": {"y": 2, "z.w": 3, "v": {"u": 4}}}
    assert all(has_column(row, path) for path in ("x.y", "x.z.w", "x.v.u", "x"))
    assert not any(has_column(row, path) for path in ("x.q", "x.y.z", "y", ""))
    columns = JudgedColumns(
        prompt="reviews", first="s.one.text", second="s.two.text", label="best",
        scores_first="s.one.score", scores_second="s.two.score", sides={"tier": ("s.one.tier", "s.two.tier")},
    )  # fmt: skip
    one, two = ({"text": name, "score": {"x": value}, "tier": "t"} for name, value in (("A", 1.0), ("B", 2.5)))
    (record,) = read([{"reviews": ["good", "bad"], "s": {"one": one, "two": two}, "best": "2"}], columns)
    assert (record.chosen, record.scores_chosen, record.scores_rejected) == ("B", {"x": 2.5}, {"x": 1.0})
    assert record.prompt_text() == "good\nbad"
    assert record.metadata == {"chosen_tier": "t", "rejected_tier": "t"}
    assert record.margin is None


def test_a_label_decides_although_the_votes_say_otherwise():
    columns = VOTED.model_copy(update={"label": "best"})
    (record,) = read([voted(1, 9, best="A")], columns, keep_ties=True)
    assert (record.chosen, record.votes) == ("one", Votes(1, 9, 0))


def test_labels_of_several_raters_are_votes():
    columns = JudgedColumns(first="a", second="b", raters=("r1", "r2", "r3"))
    rows = [{"prompt": "q", "a": "one", "b": "two", "r1": 2, "r2": 2.0, "r3": "0"}]
    (record,) = read(rows, columns)
    assert (record.chosen, record.votes) == ("two", Votes(2, 0, 1))


def test_scores_decide_where_nothing_else_does_and_covariates_follow_their_side():
    columns = JudgedColumns(first="a", second="b", scores_first="sa", scores_second="sb", sides={"views": ("va", "vb")})
    rows = [{"prompt": "q", "a": "one", "b": "two", "sa": 2, "sb": "3.5", "va": 10, "vb": 4}]
    (record,) = read(rows, columns)
    assert (record.chosen, record.margin) == ("two", 1.5)
    assert (record.covariates_chosen, record.covariates_rejected) == ({"views": 4.0}, {"views": 10.0})


def test_without_a_prompt_the_first_text_is_the_group():
    columns = VOTED.model_copy(update={"prompt": None, "instruction": "Write."})
    one, other = read([voted(2, 1), voted(1, 2)], columns)
    assert one.prompt_text() == "Write."
    assert one.group_id == other.group_id


def test_wrong_columns_and_wrong_values_are_said():
    with pytest.raises(DataError, match=r"no column 'count\.c'.*did you mean 'count.*data\.judged"):
        read([voted(1, 2)], VOTED.model_copy(update={"votes_first": "count.c"}))
    tally = RowTally(1.0, 1.0)
    columns = VOTED.model_copy(update={"label": "best"})
    assert read([voted(1, 2, best="maybe"), {**voted(1, 2, best="b"), "a": ""}], columns, tally=tally) == []
    assert [row.reason for row in tally.bad] == [
        "column 'best' holds a label that is none of label_first, label_second, label_tie",
        "has an empty 'a'",
    ]
    assert tally.broken == 1
    with pytest.raises(DataError, match=r"f\.csv:2: .*no whole numbers"):
        read([voted(1.5, 2)], VOTED, tally=RowTally())


values = st.one_of(st.none(), st.integers(-2, 12), st.floats(), st.text(max_size=4), st.booleans(), st.lists(st.none()))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(voted(0, 0), values)), min_size=1, max_size=4))
def test_any_row_is_a_record_or_has_a_reason(rows):
    tally = RowTally(1.0, 1.0)
    records = read(rows, VOTED, keep_ties=True, tally=tally)
    assert len(records) + len(tally.bad) + len(tally.left_out) == len(rows)
    for record in records:
        assert record.votes
        assert record.votes.chosen >= record.votes.rejected >= 0


def test_scored_answers_are_paired_within_a_question_of_a_group():
    columns = ScoredColumns(
        prompt=("title", "text"), response="answer", score="up", group_id="id", covariates=("views",)
    )
    rows = [
        {"id": "1", "title": "T", "text": "x", "answer": name, "up": up, "views": views}
        for name, up, views in (("best", 5, 10), ("worst", 1, 99), ("middle", "3", 5), ("even", 3, 5))
    ]
    rows += [{**rows[0], "id": "2"}, {**rows[0], "answer": " "}, {**rows[0], "up": "many"}]
    tally = RowTally(1.0, 1.0)
    given_rows = (Row(each, f"f.csv:{number}") for number, each in enumerate(rows, 2))
    records = list(scored_answers(given_rows, tally, columns))
    assert {(record.chosen, record.rejected, record.margin) for record in records} == {
        ("best", "worst", 4.0), ("best", "middle", 2.0), ("best", "even", 2.0),
        ("middle", "worst", 2.0), ("even", "worst", 2.0),
    }  # fmt: skip
    record = next(record for record in records if (record.chosen, record.rejected) == ("best", "worst"))
    assert (record.prompt_text(), record.group_id, record.source) == ("T\n\nx", "1", "f.csv:2+3")
    assert (record.covariates_chosen, record.covariates_rejected) == ({"views": 10.0}, {"views": 99.0})
    assert [row.source for row in tally.left_out] == ["f.csv:6"]
    assert [(row.source, row.reason) for row in tally.bad] == [
        ("f.csv:7", "has an empty 'answer'"),
        ("f.csv:8", "column 'up' holds no number"),
    ]
