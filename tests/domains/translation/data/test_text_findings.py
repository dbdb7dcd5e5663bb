"""Sentences cleaned, and signs of tokenised text and exchanged languages."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.translation.data_config import PairLanguages
from domains.translation.text_findings import TextFindings, clean_sentence, is_tokenised
from shared.errors import DataError

DE_ZH = PairLanguages(source="de", target="zh", source_unit="word", target_unit="char")


@given(st.text())
def test_clean_sentences(text: str) -> None:
    clean = clean_sentence(text)
    assert clean_sentence(clean) == clean
    assert unicodedata.is_normalized("NFC", clean)
    assert clean == " ".join(clean.split())
    assert not any(unicodedata.category(character) == "Cc" or character == "\ufeff" for character in clean)


def test_what_is_cleaned() -> None:
    assert clean_sentence("\ufeffGru\u0308\u00dfe\r\n") == "Grüße"
    assert clean_sentence("a\u3000b\u00a0 c\x07d\u200be") == "a b cde"


@pytest.mark.parametrize(
    "text",
    [
        "Zwei Männer , die warten .",
        "He said &quot;no&quot;",
        "a well @-@ known man",
        "un@@ known",
        "I do n't know",
        "-LRB- Reporter -RRB-",
        "\u2581Two \u2581men",
        "印 尼 重申 反对 外国 军队 进驻",
        "两名 男子 ， 穿着",
    ],
)
def test_tokenised(text: str) -> None:
    assert is_tokenised(text)


@pytest.mark.parametrize(
    "text",
    [
        "Zwei Männer, die warten.",
        "Vraiment ? Oui ; c'est « vrai » !",
        "It costs 3.50 at B & B, doesn't it?",
        "我是“罗宾汉”非营利机构 发展部门的主管",
        "我在 New York 住过 3 年",
        "谢谢",
        "",
        "wait ... what",
    ],
)
def test_not_tokenised(text: str) -> None:
    assert not is_tokenised(text)


def findings(*pairs: tuple[str, str]) -> TextFindings:
    found = TextFindings(DE_ZH, 0.2)
    for source, target in pairs:
        found.add("source", source)
        found.add("target", target)
    return found


def test_tokenised_sides_are_told() -> None:
    found = findings(*[("Ja , gut .", "好的")] * 2, *[("Ja, gut.", "好的")] * 8)
    (note,) = found.notes()
    assert (note["finding"], note["side"], note["share"]) == ("tokenised", "source", 0.2)
    assert found.tokenised_share("source") == 0.2
    assert found.tokenised_share("target") == found.tokenised_share("rejected") == 0.0
    found.check("a")
    assert findings(*[("Ja , gut .", "好的")] * 4).notes() == []  # too few to speak of a share


def test_exchanged_languages() -> None:
    with pytest.raises(DataError, match=r"a: 6 of 6 source sentences hold Chinese.*data\.source_language is 'de'"):
        findings(*[("好的", "Ja")] * 6).check("a")
    with pytest.raises(DataError, match=r"a: 6 of 6 target sentences hold no Chinese.*data\.target_language is 'zh'"):
        findings(*[("Ja", "Yes")] * 6).check("a")
    findings(*[("Ja", "好的")] * 4, *[("OK", "OK")] * 3).check("a")


def test_texts_that_were_not_translated() -> None:
    found = findings(*[("Ja", "好的")] * 6)
    found.same = 4
    with pytest.raises(DataError, match="in 4 of 6 rows source and target are the same text"):
        found.check("a")
