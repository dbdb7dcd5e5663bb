"""Links of units by every statistical method, characters joined to words, what users get wrong."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.translation.alignment import align
from domains.translation.alignment.align import unit_links
from domains.translation.alignment.statistical import statistical_links
from domains.translation.alignment.words import (
    AlignmentWords,
    alignment_words,
    segment,
    word_key,
    written_in_characters,
)

ENGLISH = {
    "haus": "house",
    "baum": "tree",
    "hund": "dog",
    "katze": "cat",
    "vogel": "bird",
    "garten": "garden",
    "schule": "school",
    "lehrer": "teacher",
    "brief": "letter",
    "fenster": "window",
    "strasse": "street",
    "wagen": "car",
}
GERMAN = list(ENGLISH)


def reversed_corpus(count: int) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences whose translations have the words the other way round."""
    draw = random.Random(0)
    sources = [draw.sample(GERMAN, draw.randint(3, 6)) for _ in range(count)]
    return sources, [[ENGLISH[word] for word in reversed(source)] for source in sources]


def found_share(sources: list[list[str]], targets: list[list[str]], links: list[set[tuple[int, int]]]) -> float:
    """Share of the true links that were found."""
    true = [{(i, len(source) - 1 - i) for i in range(len(source))} for source in sources]
    assert [len(one) for one in targets] == [len(one) for one in sources]
    return sum(len(a & b) for a, b in zip(true, links, strict=True)) / sum(map(len, true))


@pytest.mark.parametrize(("method", "least"), [("ibm1", 0.95), ("hmm", 0.95), ("auto", 0.95), ("fast_align", 0.6)])
def test_a_lexicon_is_learned_whatever_the_order(method, least):
    sources, targets = reversed_corpus(300)
    assert found_share(sources, targets, align(sources, targets, method)) >= least


def test_further_sentences_teach_what_few_do_not():
    sources, targets = reversed_corpus(300)
    few = align(sources[:3], targets[:3], "ibm1")
    more = align(sources[:3], targets[:3], "ibm1", extra=(sources[3:], targets[3:]))
    assert len(more) == 3
    assert found_share(sources[:3], targets[:3], more) > found_share(sources[:3], targets[:3], few)


def test_intersection_is_within_the_grown_links_and_those_within_the_union():
    sources, targets = reversed_corpus(40)
    draw = random.Random(2)
    targets = [[draw.choice(GERMAN) if draw.random() < 0.5 else word for word in target] for target in targets]
    by = {
        how: align(sources, targets, "hmm", symmetrisation=how)
        for how in ("intersection", "grow-diag", "grow-diag-final-and", "union")
    }
    chain = list(by.values())
    assert any(a != b for a, b in zip(chain[0], chain[3], strict=True))
    for smaller, larger in pairwise(chain):
        assert all(a <= b for a, b in zip(smaller, larger, strict=True))


def test_the_same_sentences_give_the_same_links():
    sources, targets = reversed_corpus(30)
    assert align(sources, targets, "hmm") == align(sources, targets, "hmm")


def test_case_and_punctuation_do_not_count():
    sources, targets = reversed_corpus(200)
    shouted = [[word.upper() + "," for word in source] for source in sources]
    assert align(sources, targets, "ibm1") == align(shouted, targets, "ibm1")


def test_empty_and_overlong_sentences_have_no_links():
    sources, targets = reversed_corpus(20)
    sources += [[], ["haus"], ["haus"] * 300]
    targets += [["house"], [], ["house"]]
    links = align(sources, targets, "hmm")
    assert links[-3:] == [set(), set(), set()]
    assert all(links[:-3])
    assert align([], []) == []
    assert align([[]], [[]], source_unit="word", target_unit="char") == [set()]


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="1 sources for 0 targets"):
        align([["a"]], [])
    with pytest.raises(ValueError, match="needs an aligner"):
        align([["a"]], [["b"]], "states")


def test_characters_are_aligned_as_words_and_linked_as_characters():
    chinese = {"狗": "dog", "猫": "cat", "图书馆": "library", "自行车": "bicycle", "老师": "teacher", "花园": "garden"}
    draw = random.Random(1)
    rows = [draw.sample(sorted(chinese), 3) for _ in range(200)]
    sources = [[chinese[word] for word in row] for row in rows]
    targets = [list("、".join(row)) for row in rows]
    links = align(sources, targets, "ibm1", symmetrisation="intersection")
    right = wrong = 0
    for row, target, found in zip(rows, targets, links, strict=True):
        for source, place in found:
            if target[place] == "、":
                continue
            before = "".join(target[: place + 1]).count("、")
            right, wrong = right + (before == source), wrong + (before != source)
        words = [{i for i, j in found if "".join(target[:j]).count("、") == n and target[j] != "、"} for n in range(3)]
        assert len(row) == len(words)
    assert right > 5 * wrong
    library = [found for row, found in zip(rows, links, strict=True) if row[0] == "图书馆"]
    assert any({(0, 0), (0, 1), (0, 2)} <= found for found in library)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("他喜欢图书馆。", ["他", "喜欢", "图书馆", "。"]),
        ("コーヒーを飲む", ["コーヒー", "を", "飲", "む"]),
        ("", []),
    ],
)
def test_segmentation(text, words):
    assert segment(text) == words


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_segments_are_the_text_and_units_stand_in_one_word(text):
    units = [character for character in text if not character.isspace()]
    words = alignment_words(units, "char")
    assert "".join(words.texts) == "".join(units)
    assert [unit for number in range(len(words)) for unit in words.units_of(number)] == list(range(len(units)))
    assert words.units == len(units)


def test_words_are_units_of_their_own():
    words = alignment_words(["Das", "Haus,", "das"], "word")
    assert words == AlignmentWords(("Das", "Haus,", "das"), (0, 1, 2), 3)
    assert words.keys() == ["das", "haus", "das"]


@pytest.mark.parametrize(("word", "key"), [("“Haus,”", "haus"), ("...", "..."), ("３月", "3月"), ("U.S.", "u.s")])
def test_word_keys(word, key):
    assert word_key(word) == key


def test_units_are_told_from_their_length():
    assert written_in_characters([["你", "好"], []])
    assert not written_in_characters([["I", "am"]])
    assert not written_in_characters([[], []])


def test_links_of_words_become_links_of_all_their_units():
    source = AlignmentWords(("ab", "c"), (0, 2), 3, spaced=False)
    target = AlignmentWords(("x", "yz"), (0, 1), 3, spaced=False)
    assert unit_links({(0, 1), (1, 0)}, source, target) == {(0, 1), (0, 2), (1, 1), (1, 2), (2, 0)}


def test_links_lie_within_their_sentences():
    draw = random.Random(3)
    sources = [[draw.choice("abcdef") for _ in range(draw.randint(0, 9))] for _ in range(60)]
    targets = [[draw.choice("uvwxyz") for _ in range(draw.randint(0, 9))] for _ in range(60)]
    for model in ("ibm1", "hmm", "fast_align"):
        for source, target, links in zip(sources, targets, statistical_links(sources, targets, model), strict=True):
            assert all(0 <= i < len(source) and 0 <= j < len(target) for i, j in links)
