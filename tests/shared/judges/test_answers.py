"""Reading answers: any text gives a verdict of the rubric's form or a reason why not, and never raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.judges.answers import PairAnswer, Unreadable, read_pair, read_scores
from shared.judges.rubric import Criterion, Rubric

RUBRIC = Rubric(
    name="two", criteria=(Criterion(name="helpful", definition="d", weight=3), Criterion(name="clear", definition="d"))
)
GOOD = '{"reason": "better", "verdict": "second"}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Let me think {{carefully}}.\nHere it is: {GOOD} I hope it helps.",
        f'<think>first? {{"verdict": "first"}}</think>\n{GOOD}',
        '{"verdict": 2, "reason": "b"}',
        '{"verdict": " Second ", "note": 1}',
        '{"draft": "x"} ' + GOOD,
    ],
)
def test_a_verdict_is_found(text):
    answer = read_pair(text, "stop", False)
    assert isinstance(answer, PairAnswer)
    assert answer.verdict == "second"


@pytest.mark.parametrize(
    ("text", "finish", "refusal", "failure"),
    [
        ("", "stop", False, "malformed"),
        ("the second", "stop", False, "malformed"),
        ('{"verdict": "third"}', "stop", False, "malformed"),
        ('{"verdict": true}', "stop", False, "malformed"),
        ('["second"]', "stop", False, "malformed"),
        ('{"reason": "it is', "length", False, "truncated"),
        ("<think>so long that", "length", False, "truncated"),
        ("", "content_filter", False, "refused"),
        ("", "stop", True, "refused"),
        ("I'm sorry, but I can't compare these.", "stop", False, "refused"),
        ("As an AI, I have no opinion.", "stop", False, "refused"),
        ("{" * 5000, "stop", False, "malformed"),
    ],
)
def test_why_there_is_no_verdict(text, finish, refusal, failure):
    answer = read_pair(text, finish, refusal)
    assert isinstance(answer, Unreadable)
    assert answer.failure == failure


def test_scores_are_read_nested_and_flat():
    nested = {"helpful": {"reason": "r", "score": 4}, "clear": {"reason": "s", "score": "2"}}
    answer = read_scores(json.dumps(nested), "stop", False, RUBRIC)
    assert isinstance(answer, dict)
    assert {name: one.score for name, one in answer.items()} == {"helpful": 4, "clear": 2}
    flat = read_scores('{"helpful": 5, "clear": 1}', "stop", False, RUBRIC)
    assert isinstance(flat, dict)
    assert RUBRIC.overall({name: one.score for name, one in flat.items()}) == pytest.approx((3 * 5 + 1) / 4)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"helpful": 4}, "the criterion clear is missing"),
        ({"helpful": 4, "clear": 6}, "the score of clear is not from 1 to 5"),
        ({"helpful": 4.5, "clear": 1}, "score: int from float"),
        ({"helpful": True, "clear": 1}, "score: value error"),
        ({"helpful": {"reason": "r"}, "clear": 1}, "score: missing"),
    ],
)
def test_scores_off_the_rubric_are_malformed(values, problem):
    answer = read_scores(json.dumps(values), "stop", False, RUBRIC)
    assert answer == Unreadable("malformed", problem)


@given(st.text(), st.sampled_from(["stop", "length", "content_filter"]), st.booleans())
def test_any_text_is_read_without_raising(text, finish, refusal):
    assert isinstance(read_pair(text, finish, refusal), PairAnswer | Unreadable)
    assert isinstance(read_scores(text, finish, refusal, RUBRIC), dict | Unreadable)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=True) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["verdict", "helpful", "clear", "score"]), inner),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_read_and_scores_stay_on_the_scale(value):
    read_pair(json.dumps(value), "stop", False)
    answer = read_scores(json.dumps(value), "stop", False, RUBRIC)
    if isinstance(answer, dict):
        assert all(1 <= one.score <= 5 for one in answer.values())
