"""Which passages the language model is given: far from all, and none with a name is left out."""

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("spacy", reason="name recognition needs spaCy")

from shared.deidentify.findings import resolve
from shared.deidentify.names import NameRecogniser

LABELLED = Path(__file__).parent / "labelled.jsonl"


@pytest.fixture(scope="module")
def recogniser() -> NameRecogniser:
    return NameRecogniser()


def passages(recogniser: NameRecogniser, text: str) -> list[str]:
    return [piece.text[piece.start - piece.begin :] for piece in recogniser._pieces(text)]


@pytest.mark.parametrize(
    "text",
    [
        "My therapist can help you. The counselor or your mom is there, and my husband is not.",
        "I felt sad.It was bad.You see, my friend and I talked about CBT in therapy on Monday.",
        "Have you tried Therapy? Maybe ask in October. What a story.",
    ],
)
def test_ordinary_sentences_are_passed_over(recogniser: NameRecogniser, text: str) -> None:
    assert passages(recogniser, text) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("It was cold. My brother Baker was there. All went well.", "Baker"),
        ("I am fine. I saw Cook yesterday. Then I left.", "Cook"),
        ("That was when Trust left me. I cried.", "Trust"),
        ("We asked Dr. Fields about it. He knew.", "Fields"),
        ("we met. i told dr. zorblax all. then i left.", "zorblax"),
        ("he was kind. my brother will called me. i wept.", "will"),
        ("hello. my name is destiny and i feel empty. bye.", "destiny"),
        ("i was at home and sarah was too. then we slept.", "sarah"),
        ("So it was. Landwehr is kind. He helps.", "Landwehr"),
        ("Well. I went to see Mirella there.", "Mirella"),
    ],
)
def test_a_word_that_may_be_a_name_is_looked_at(recogniser: NameRecogniser, text: str, named: str) -> None:
    assert any(named in passage for passage in passages(recogniser, text))


def test_what_is_passed_over_holds_no_name(recogniser: NameRecogniser, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [json.loads(line)["text"] for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    some = recogniser.find(texts)
    given = sum(len(piece) for text in texts for piece in passages(recogniser, text))
    monkeypatch.setattr(NameRecogniser, "_worth", lambda self, sentence, before="": (True, ""))
    every = recogniser.find(texts)
    spans = [
        [[(f.start, f.end) for f in resolve(text, found)] for text, found in zip(texts, each, strict=True)]
        for each in (some, every)
    ]
    assert spans[0] == spans[1]
    assert given < sum(map(len, texts))


def test_passages_lie_where_they_say_in_long_texts_too(recogniser: NameRecogniser) -> None:
    for text in (
        "Well. So it is. " * 5 + "Sarah went. " * 4_000 + "All is well. " * 9 + "Then Landwehr left.",
        "Sarah" * 9_000,
    ):
        pieces = list(recogniser._pieces(text))
        assert all(text[piece.begin :].startswith(piece.text) for piece in pieces)
        assert all(
            piece.begin <= piece.start < piece.begin + len(piece.text) <= piece.start + 20_000 for piece in pieces
        )
        ends = [piece.begin + len(piece.text) for piece in pieces]
        assert all(piece.start >= end for piece, end in zip(pieces[1:], ends, strict=False))
        assert sum(end - piece.start for piece, end in zip(pieces, ends, strict=True)) > 0.9 * (len(text) - 250)


def test_a_name_is_found_with_words_of_the_sentence_before(recogniser: NameRecogniser) -> None:
    text = "You may need help to address these issues. \xa0Good Luck,\xa0Sitka Stueve, LSCSW"
    assert [text[f.start : f.end] for f in resolve(text, recogniser.find([text])[0])] == ["Sitka Stueve"]


def test_a_very_long_word_or_gap_takes_no_long_time(recogniser: NameRecogniser) -> None:
    start = time.process_time()
    for text in ("x" * 200_000 + " y", "a" + " " * 200_000 + "b", "a1" * 100_000, "Dr. " * 20_000):
        list(recogniser._pieces(text))
    assert time.process_time() - start < 5
