"""Rows of every published shape become the same records; what cannot be used is named."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.data.columns import ColumnMapping
from shared.data.plain_text import plain_text
from shared.data.preferences import preferences
from shared.data.rows import Row, RowTally
from shared.errors import DataError
from shared.records import Message, PreferenceRecord, Votes

PAIR = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}
ASKED = [{"role": "user", "content": "Q?"}]


def records(*rows: dict[str, Any], tally: RowTally | None = None, **options: Any) -> list[PreferenceRecord]:
    given_rows = (Row(values, f"a.jsonl:{number}") for number, values in enumerate(rows, 1))
    return list(preferences(given_rows, tally or RowTally(max_bad_share=1), **options))


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SHAPES: dict[str, dict[str, Any]] = {
    "standard": PAIR,
    "conversational": {"prompt": ASKED, "chosen": [assistant("good")], "rejected": [assistant("bad")]},
    "JSON in cells": {
        "prompt": json.dumps(ASKED),
        "chosen": json.dumps([assistant("good")]),
        "rejected": json.dumps([assistant("bad")]),
    },
    "implicit prompt": {"chosen": [*ASKED, assistant("good")], "rejected": [*ASKED, assistant("bad")]},
    "prompt and whole dialogues": {
        "prompt": "Q?",
        "chosen": [*ASKED, assistant("good")],
        "rejected": [*ASKED, assistant("bad")],
    },
    "HH-RLHF": {"chosen": "\n\nHuman: Q?\n\nAssistant: good", "rejected": "\n\nHuman: Q?\n\nAssistant: bad"},
    "HH-RLHF with prompt": {"prompt": "\n\nHuman: Q?\n\nAssistant:", "chosen": " good", "rejected": " bad"},
    "from and value": {
        "chosen": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "good"}],
        "rejected": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "bad"}],
    },
    "parts": {
        "prompt": [{"role": "user", "content": [{"type": "text", "text": "Q?"}]}],
        "chosen": "good",
        "rejected": "bad",
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_the_same_record(name: str) -> None:
    assert records(SHAPES[name]) == records(PAIR)
    record = records(SHAPES[name])[0]
    assert (record.prompt, record.chosen, record.rejected) == ((Message("user", "Q?"),), "good", "bad")


def test_long_dialogues_keep_their_turns_and_join_neighbours() -> None:
    start = "\n\nHuman: one\n\nAssistant: two: Human: no turn\n\nHuman: three\n\nHuman: four"
    record = records({"chosen": f"{start}\n\nAssistant: yes", "rejected": f"{start}\n\nAssistant: no"})[0]
    assert record.prompt == (
        Message("user", "one"),
        Message("assistant", "two: Human: no turn"),
        Message("user", "three\n\nfour"),
    )
    with_system = [{"role": "system", "content": "be kind"}, *ASKED]
    record = records({"chosen": [*with_system, assistant("yes")], "rejected": [*with_system, assistant("no")]})[0]
    assert [message.role for message in record.prompt] == ["system", "user"]


def test_optional_columns() -> None:
    record = records(
        {
            **PAIR,
            "id": 7,
            "group_id": "g",
            "margin": "2",
            "weight": 0.5,
            "votes_chosen": 3,
            "votes_rejected": "1",
            "context": "c",
            "rationale": "r",
            "topic": "sleep",
            "therapist": "not carried",
            "chosen_empathy_rating": 5,
            "rejected_empathy_rating": "4",
            "chosen_scores": {"clarity": 3},
            "rejected_scores": '{"clarity": 2}',
            "chosen_views": 10,
            "rejected_views": "20",
            "chosen_model": "m1",
            "rejected_model": "m2",
        }
    )[0]
    assert (record.id, record.group_id, record.margin, record.weight) == ("7", "g", 2.0, 0.5)
    assert record.votes == Votes(3, 1, 0)
    assert (record.context, record.rationale) == ("c", "r")
    assert record.scores_chosen == {"clarity": 3.0, "empathy": 5.0}
    assert record.scores_rejected == {"clarity": 2.0, "empathy": 4.0}
    assert (record.covariates_chosen, record.covariates_rejected) == ({"views": 10.0}, {"views": 20.0})
    assert record.metadata == {"topic": "sleep", "chosen_model": "m1", "rejected_model": "m2"}


def test_default_ids_follow_the_content() -> None:
    one, same_question, other = records(PAIR, {**PAIR, "prompt": " q? ", "chosen": "else"}, {**PAIR, "prompt": "R?"})
    assert one.group_id == same_question.group_id != other.group_id
    assert len({one.id, same_question.id, other.id}) == 3


def test_columns_can_be_renamed() -> None:
    columns = ColumnMapping(prompt="frage", chosen="chosen_text", rejected="rejected_text", metadata=("lang",))
    row = {"frage": "Q?", "chosen_text": "good", "rejected_text": "bad", "lang": "de"}
    record = records(row, columns=columns)[0]
    assert (record.chosen, record.metadata, record.covariates_chosen) == ("good", {"lang": "de"}, {})
    with pytest.raises(DataError, match=r"no column 'marge'.*did you mean 'Margin'"):
        records({**PAIR, "Margin": 1}, columns=ColumnMapping(margin="marge"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Q", "choosen": "a", "rejected": "b"}, "no column 'chosen': did you mean 'choosen'"),
        ({"Prompt": "Q", "chosen": "a", "rejected": "b"}, "no column 'prompt': did you mean 'Prompt'"),
        ({"x": 1}, "columns there are x"),
    ],
)
def test_wrong_columns_name_the_nearest(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        records(row)
    assert message in str(caught.value)
    assert "a.jsonl:1" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"margin": "much"}, "column 'margin' holds no number"),
        ({"margin": -1}, "column 'margin' is below its least value 0"),
        ({"margin": float("inf")}, "no finite number"),
        ({"margin": 10**400}, "no number"),
        ({"margin": True}, "no number"),
        ({"weight": -0.1}, "column 'weight' is below"),
        ({"votes_chosen": -1, "votes_rejected": 0}, "column 'votes_chosen' is below"),
        ({"votes_chosen": 1.5, "votes_rejected": 0}, "no whole numbers"),
        ({"votes_chosen": 1e300, "votes_rejected": 0}, "is above"),
        ({"chosen": 3.5, "rejected": ["x"]}, "a turn that is no object"),
        ({"chosen": {"text": "a"}}, "holds a dict, not text"),
        ({"prompt": [{"role": "robot", "content": "x"}]}, "without a known role"),
        ({"chosen": "half \ud83d"}, "surrogate"),
        ({"topic": "half \ud83d"}, "surrogate"),
        ({"chosen_scores": [1]}, "no object of numbers"),
        ({"chosen_scores": "{"}, "no object of numbers"),
    ],
)
def test_values_that_contradict_their_column_end_reading(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        records(PAIR, {**PAIR, **change})
    assert str(caught.value).startswith("a.jsonl:2: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": " "}, "has an empty prompt"),
        ({"chosen": None}, "has an empty 'chosen'"),
        ({"rejected": "\0"}, "has an empty 'rejected'"),
        ({"chosen": float("nan")}, "has an empty 'chosen'"),
        (
            {"prompt": None, "chosen": [*ASKED, assistant("a")], "rejected": [assistant("b")]},
            "differ before their last assistant turn",
        ),
        ({"prompt": None, "chosen": ASKED, "rejected": ASKED}, "do not end with the assistant"),
        ({"chosen": [{"role": "user", "content": "x"}, assistant("a")]}, "differ before"),
    ],
)
def test_rows_that_lack_something_are_counted(change: dict[str, Any], reason: str) -> None:
    tally = RowTally(max_bad_share=0.6)
    assert len(records(PAIR, {**PAIR, **change}, tally=tally)) == 1
    assert tally.good == 1
    assert [bad.source for bad in tally.bad] == ["a.jsonl:2"]
    assert reason in tally.bad[0].reason


def test_ties_are_left_out_with_their_reason() -> None:
    tally = RowTally()
    changes: list[dict[str, Any]] = [
        {"rejected": "Good "},
        {"margin": 0},
        {"margin": 0.4},
        {"votes_chosen": 2, "votes_rejected": 2},
        {"votes_chosen": 1, "votes_rejected": 2},
        {"weight": 0},
        {"margin": 0.5},
    ]
    kept = records(*[{**PAIR, **change} for change in changes], tally=tally, min_margin=0.5)
    assert [record.source for record in kept] == ["a.jsonl:7"]
    assert [row.reason for row in tally.left_out] == [
        "chosen and rejected are the same text",
        "tie: the margin is 0",
        "margin below 0.5",
        "tie: as many votes for both",
        "more votes for the rejected response",
        "weight 0",
    ]
    assert not tally.bad


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), inner, max_size=3)
    ),
    max_leaves=6,
)
COLUMNS = ["prompt", "chosen", "rejected", "id", "margin", "weight", "votes_chosen", "votes_rejected", "topic"]
COLUMNS += ["chosen_scores", "chosen_x_rating", "rejected_x_rating", "chosen_y", "rejected_y", "context"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUE, max_size=9), max_size=4))
def test_whatever_the_values_rows_are_records_or_reported(rows: list[dict[str, Any]]) -> None:
    tally = RowTally(max_bad_share=1, max_broken_share=1)
    found = records({**PAIR, "prompt": "first"}, *rows, tally=tally)
    assert len(found) + len(tally.bad) + len(tally.left_out) == len(rows) + 1
    for record in found:
        assert record.chosen
        assert record.rejected
        json.dumps(record.to_json(), ensure_ascii=False).encode()


def test_reasons_never_quote_a_text() -> None:
    tally = RowTally(max_bad_share=1, max_broken_share=1)
    secret = "Canary McCanary"
    rows = [{**PAIR, name: secret} for name in ("margin", "weight", "votes_chosen", "chosen_scores")]
    records(PAIR, *rows, {**PAIR, "chosen": [{"role": secret, "content": secret}]}, tally=tally)
    assert len(tally.bad) == 5
    assert not any("Canary" in row.reason for row in tally.bad)


def test_plain_text() -> None:
    assert plain_text("<p>One&nbsp;two</p><p>three<br/>four &amp; five</p>") == "One two\nthree\nfour & five"
    assert plain_text("I feel <sigh> that a < b > c\u200b, x<3") == "I feel <sigh> that a < b > c, x<3"
    assert plain_text("a\xa0 b\r\n\n\n\nc") == "a b\n\nc"
    assert plain_text('see <a href="https://example.org/x">here</a>') == "see here"
