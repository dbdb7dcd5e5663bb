"""Demonstrations: files of ours and of others, and the chosen side of preference records."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import DataError
from shared.records import Message, PreferenceRecord, Record
from shared.training.demonstrations import Demonstration, of_preferences, read_demonstrations, write_demonstrations

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
turns = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.builds(Demonstration, texts, texts, texts, st.lists(turns, max_size=3).map(tuple), texts, st.floats(0, 9)),
        max_size=5,
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, written: list[Demonstration]) -> None:
    path = tmp_path_factory.mktemp("demonstrations") / "train.arrow"
    assert write_demonstrations(path, written) == len(written)
    assert read_demonstrations(path) == written


def test_rows_are_read_and_wrong_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "given.jsonl"
    rows = [
        {"prompt": "why?", "response": "so.", "weight": 2},
        {"prompt": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "and?"}], "response": "no"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_demonstrations(path)
    assert [(one.prompt[-1], one.response, one.weight) for one in found] == [
        (Message("user", "why?"), "so.", 2.0),
        (Message("user", "and?"), "no", 1.0),
    ]
    assert found[1].prompt[0].role == "system"
    assert found[0].source == "given.jsonl:1"
    assert isinstance(found[0], Record)
    assert [name for name, _ in found[1].texts()] == ["prompt[0]", "prompt[1]", "response"]
    for wrong, match in (
        ({"prompt": "why?", "answer": "so"}, r"given.jsonl:1.*response"),
        ({"prompt": "why?", "response": ""}, r"given.jsonl:1: has an empty 'response'"),
        ({"prompt": " ", "response": "so"}, r"given.jsonl:1: has an empty prompt"),
        ({"prompt": "why?", "response": "so", "weight": -1}, r"given.jsonl:1.*weight"),
    ):
        path.write_text(json.dumps(wrong) + "\n")
        with pytest.raises(DataError, match=match):
            read_demonstrations(path)
    with pytest.raises(DataError):
        read_demonstrations(tmp_path / "none.arrow")


def test_chosen_responses_are_taken_once_and_undefeated_ones_alone(toy_pairs: list[PreferenceRecord]) -> None:
    best = toy_pairs[0]
    middle = replace(best, id="b", chosen=best.rejected, rejected="worst")
    again = replace(best, id="c", rejected="worst")
    other = replace(toy_pairs[1], chosen=best.rejected)  # the same text under another prompt was never rejected
    records = [best, middle, again, other]
    assert [one.response for one in of_preferences(records)] == [best.chosen, best.rejected, best.rejected]
    found = of_preferences(records, "undefeated")
    assert [(one.prompt, one.response) for one in found] == [(best.prompt, best.chosen), (other.prompt, other.chosen)]
    assert found[0].group_id == best.group_id
    assert len({one.id for one in of_preferences(records)}) == 3
    circle = [best, replace(best, chosen=best.rejected, rejected=best.chosen)]
    with pytest.raises(DataError, match="set examples to chosen"):
        of_preferences(circle, "undefeated")
