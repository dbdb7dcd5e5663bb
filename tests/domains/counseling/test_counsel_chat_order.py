"""counsel-chat: the same pairs whatever the order of rows; which copy of a repeated answer is kept."""

from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domains.counseling.adapters import counsel_chat
from shared.data.reading import iter_rows
from shared.data.rows import Row, RowTally
from shared.records import PreferenceRecord


def answer(question: str, text: str, upvotes: int, views: int, topic: str = "sleep", title: str = "") -> dict[str, Any]:
    return {
        "questionID": question,
        "questionTitle": title or f"Title {question}",
        "questionText": f"Text {question}",
        "topic": topic,
        "answerText": text,
        "upvotes": upvotes,
        "views": views,
    }


def pairs(rows: list[Row]) -> list[PreferenceRecord]:
    return sorted(counsel_chat(rows, RowTally(), 1.0), key=lambda record: record.id)


def numbered(values: list[dict[str, Any]]) -> list[Row]:
    return [Row(one, f"chat.csv:{number}") for number, one in enumerate(values, 2)]


def test_the_copy_with_most_upvotes_is_kept() -> None:
    values = [
        answer("1", "Same", 1, 5),
        answer("1", "same ", 4, 50),
        answer("1", "Same", 4, 9),
        answer("1", "No", 2, 7),
    ]
    for order in (values, values[::-1]):
        tally = RowTally()
        [record] = counsel_chat(numbered(order), tally, 1.0)
        assert (record.chosen, record.rejected, record.margin) == ("same", "No", 2)
        assert (record.covariates_chosen, record.covariates_rejected) == ({"views": 50}, {"views": 7})
        assert [row.reason for row in tally.left_out] == ["repeats an answer to the same question"] * 2


def test_a_question_under_several_topics_has_one() -> None:
    values = [answer("1", "a", 3, 1, "trauma"), answer("1", "b", 1, 1, ""), answer("1", "c", 0, 1, "anger")]
    for order in (values, values[::-1]):
        assert {str(record.metadata) for record in pairs(numbered(order))} == {"{'topic': 'anger'}"}


ANSWER = st.builds(
    answer,
    question=st.sampled_from("123"),
    text=st.sampled_from(["a", "A", "b", "c", "d"]),
    upvotes=st.integers(0, 4),
    views=st.integers(0, 3),
    topic=st.sampled_from(["", "x", "y"]),
    title=st.sampled_from(["", "", "Help", "HELP"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ANSWER, max_size=12), st.integers())
def test_order_of_rows(values: list[dict[str, Any]], seed: int) -> None:
    # Equal rows differ in their source only, which names one of them.
    rows = numbered(values)
    expected = [{**record.to_json(), "source": ""} for record in pairs(rows)]
    shuffled = pairs(Random(seed).sample(rows, len(rows)))
    assert [{**record.to_json(), "source": ""} for record in shuffled] == expected


def test_order_of_real_rows(real_data: Path) -> None:
    rows = list(iter_rows(real_data / "counseling" / "counsel_chat.csv", RowTally()))
    shuffled = Random(1).sample(rows, len(rows))
    expected = [{**record.to_json(), "source": ""} for record in pairs(rows)]
    assert len(expected) == 1_608
    assert [{**record.to_json(), "source": ""} for record in pairs(shuffled)] == expected
