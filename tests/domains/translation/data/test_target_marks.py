"""Punctuation of translations: what goes, what stays, and read paths that still fit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.translation.records import SentencePair
from domains.translation.target_marks import count_marks, unmarked_pair, without_marks
from domains.translation.units import split_units

PIECES = st.lists(
    st.sampled_from(
        ["猫", "在", "叫", " ", "，", "。", "GPT", "3.5", "'", "-", "a", "don't", "—", "[NAME_1]", "…", "(", "é"]
    ),
    max_size=14,
).map("".join)


@pytest.mark.parametrize(
    ("unit", "text", "left"),
    [
        ("word", "I don't know: 3.5 of the well-known \"cats\" (U.S.)!", "I don't know 3.5 of the well-known cats U.S"),
        ("word", "one—two … - three", "one two three"),
        ("word", "Dr. [NAME_1], hello", "Dr [NAME_1] hello"),
        ("word", "...", ""),
        ("char", "在那一瞬间， 我失去了 所有感觉。", "在那一瞬间我失去了所有感觉"),
        ("char", "AB：我在 New York 有 10,000 个[NAME_1]。", "AB我在New York有10,000个[NAME_1]"),
        ("char", "「谢谢」……", "谢谢"),
    ],
)  # fmt: skip
def test_marks_go_and_words_stay(unit, text, left):
    assert without_marks(text, unit) == (left, None)


@given(PIECES, st.sampled_from(["word", "char"]))
def test_letters_stay_paths_fit_and_a_second_time_changes_nothing(text, unit):
    path = tuple(range(1, len(split_units(text, unit)) + 1))
    left, reads = without_marks(text, unit, path)
    assert [one for one in left if one.isalnum()] == [one for one in text if one.isalnum()]
    assert len(reads) == len(split_units(left, unit))
    assert list(reads) == sorted(reads)
    assert set(reads) <= set(path)
    assert without_marks(left, unit, reads) == (left, reads)
    assert without_marks(text, unit, (*path, 99)) == (left, None)  # a path that never fitted


def test_a_path_keeps_the_reads_of_what_is_left():
    assert without_marks("猫，叫。", "char", (1, 2, 3, 4)) == ("猫叫", (1, 3))
    assert without_marks("yes - one—two .", "word", (1, 2, 5, 6)) == ("yes one two", (1, 5, 5))


def test_both_renderings_of_a_pair():
    pair = SentencePair("p", "g", "f:1", "the cat, meows.", "猫，叫。", "叫着 的猫", (1, 2, 3, 3), (3, 3, 3, 3))
    found = unmarked_pair(pair, "char")
    assert (found.target_text, found.rejected_text) == ("猫叫", "叫着的猫")
    assert (found.target_path, found.rejected_path) == ((1, 3), (3, 3, 3, 3))
    assert found.source_text == pair.source_text
    assert unmarked_pair(replace(pair, rejected_text=None, rejected_path=None), "char").rejected_text is None


def test_how_a_text_is_punctuated():
    assert count_marks("当时 是大半夜 她站在雨中", "char") == {"marks": 0, "final mark": 0, "spaces": 2}
    assert count_marks("在午夜，她说：“好。”", "char") == {"marks": 4, "final mark": 1, "spaces": 0}
    assert count_marks("Well, I don't.", "word") == {"marks": 1, "final mark": 1}
    assert count_marks("  ", "word") == {"marks": 0, "final mark": 0}
