"""The five preferences on cases whose answer is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domains.translation.preferences import MEASURES, PREFERENCES, Weights, measure, usual_text
from domains.translation.preferences.key_points import key_point_recall, number_recall
from domains.translation.preferences.monotonicity import anticipation_rate, inversion_rate, mean_anticipation
from domains.translation.preferences.numbers import numbers_in
from domains.translation.preferences.simplicity import UsualText, clauses, rare_share, simplicity
from domains.translation.preferences.words import Word, words_of
from domains.translation.records import SentencePair
from domains.translation.settings import SimulFormat

DE_EN = SimulFormat(source_language="de", target_language="en")
SMALL_GERMAN = (
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
)
TENS_GERMAN = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"
LINKS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


@pytest.mark.parametrize(
    ("text", "language", "numbers"),
    [
        ("two hundred and five men and two dogs", "en", [205, 2]),
        ("one thousand two hundred", "en", [1200]),
        ("twenty three, nineteen ninety", "en", [23, 19, 90]),
        ("a hundred people and one dog", "en", []),
        ("3,000 people, 1.5 metres, room 12", "en", [3000, 1.5, 12]),
        ("zwei Männer, einundzwanzig Hunde, zweitausenddreihundert Euro", "de", [2, 21, 2300]),
        ("hundertfünf und eine", "de", [105]),
        ("1.000 Menschen und 3,5 Liter", "de", [1000, 3.5]),
        ("Wunderland und Hund", "de", []),
        ("两个男人，二十三个人，三千五百", "zh", [2, 23, 3500]),
        ("十二万人", "zh", [120_000]),
        ("一个人在百货", "zh", []),
        ("deux hommes et 7 chiens", "fr", [7]),
    ],
)
def test_numbers_are_read(text: str, language: str, numbers: list[float]) -> None:
    wanted = [one for one in numbers if one >= 2]
    assert sorted(numbers_in(text, language)) == sorted(wanted)


@given(st.integers(2, 9999))
def test_german_and_chinese_numerals_round_trip(number: int) -> None:
    assert numbers_in(_german(number), "de") == [number]
    assert numbers_in(_chinese(number), "zh") == [number]
    assert numbers_in(str(number), "en") == [number]


def _german(number: int) -> str:
    small = [*SMALL_GERMAN.split()]
    tens = [*TENS_GERMAN.split()]
    if number < 20:
        return small[number]
    if number < 100:
        ones, ten = number % 10, tens[number // 10 - 2]
        return f"{small[ones]}und{ten}" if ones else ten
    for scale, word in ((1000, "tausend"), (100, "hundert")):
        if number >= scale:
            rest = number % scale
            return f"{_german(number // scale)}{word}{_german(rest) if rest else ''}"
    raise AssertionError


def _chinese(number: int) -> str:
    digits, found = "零一二三四五六七八九", ""
    for place, scale in ((1000, "千"), (100, "百"), (10, "十")):
        digit = number // place % 10
        if digit:
            found += digits[digit] + scale
        elif found and number % place and not found.endswith("零"):
            found += "零"
    return found + (digits[number % 10] if number % 10 else "")


def test_order_is_measured_by_links() -> None:
    straight, turned = {(0, 0), (1, 1), (2, 2)}, {(2, 0), (1, 1), (0, 2)}
    assert (inversion_rate(straight), inversion_rate(turned)) == (0, 1)
    assert inversion_rate({(0, 0), (0, 1)}) is None  # one source word only: nothing can cross
    # The verb at the end of a German clause comes second in English.
    verb_final = {(0, 0), (3, 1), (1, 2), (2, 3)}
    assert inversion_rate(verb_final) == pytest.approx(2 / 6)
    assert anticipation_rate(verb_final, 1) == pytest.approx(1 / 4)
    assert anticipation_rate(verb_final, 3) == 0
    assert anticipation_rate({(3, 0)}, 3) == 1
    assert mean_anticipation(verb_final, 4, 4) == pytest.approx(2 / 4)
    assert mean_anticipation(straight, 3, 3) == 0
    assert anticipation_rate(set(), 1) is None


@given(LINKS)
def test_rates_are_shares_and_fall_with_k(links: set[tuple[int, int]]) -> None:
    inverted = inversion_rate(links)
    assert inverted is None or 0 <= inverted <= 1
    mirrored = inversion_rate({(7 - source, target) for source, target in links})
    assert inverted is None or mirrored == pytest.approx(1 - inverted)
    rates = [anticipation_rate(links, k) for k in (1, 2, 3)]
    known = [rate for rate in rates if rate is not None]
    assert known == sorted(known, reverse=True)


def test_key_points_are_numbers_and_content() -> None:
    source = "Zwei Hunde laufen am Strand"
    words = words_of(source.split(), "word")
    whole = {(1, 1), (2, 2), (4, 5)}
    assert key_point_recall(source, "Two dogs run on the beach", words, whole, "de", "en") == 1
    assert key_point_recall(source, "Three dogs run on the beach", words, whole, "de", "en") == pytest.approx(3 / 4)
    assert key_point_recall(source, "Two dogs run", words, {(1, 1), (2, 2)}, "de", "en") == pytest.approx(3 / 4)
    # A name that stands there needs no link.
    name = "Anna lacht"
    assert key_point_recall(name, "Anna laughs", words_of(name.split(), "word"), {(1, 1)}, "de", "en") == 1
    assert key_point_recall(name, "x", words_of(name.split(), "word"), set(), "fi", "en") is None
    assert number_recall("drei Hunde, drei Katzen", "three dogs", "de", "en") == pytest.approx(1 / 2)
    assert number_recall("ein Hund", "a dog", "de", "en") is None


def test_simplicity_is_length_clauses_and_common_words() -> None:
    def words(text: str) -> list[Word]:
        return words_of(text.split(), "word")

    texts = ["a man runs", "a man sleeps", "a man eats"] * 20 + ["a zebra meditates"]
    usual = UsualText.of([words(one) for one in texts], 183, 183)
    assert usual.length_ratio == 1
    assert rare_share(words("a man meditates"), usual) == pytest.approx(1 / 3)
    assert clauses("A man runs.", words("A man runs."), "en") == 1
    assert clauses("A man runs, because he is late.", words("A man runs, because he is late."), "en") == 2
    assert clauses("He runs because he is late, and sings", words("He runs because he is late, and sings"), "en") == 3
    assert simplicity(1.0, 1, 0.0, usual) == 1
    assert simplicity(2.0, 2, 0.5, usual) == pytest.approx(0.5)
    assert simplicity(0.5, 1, None, usual) == 1


def test_measures_of_translations() -> None:
    source = ["Zwei Hunde laufen am Strand", "Ein Mann schläft"]
    texts = ["Two dogs run on the beach", ""]
    links = [{(0, 0), (1, 1), (2, 2), (3, 3), (4, 5)}, set()]
    references = ["Two dogs run on the beach", "A man sleeps"]
    usual = usual_text([SentencePair("0", "0", "x", *one) for one in zip(source, references, strict=True)], DE_EN)
    assert usual.length_ratio == pytest.approx(9 / 8)
    rows = measure(source, texts, [(1, 2, 3, 4, 4, 5), None], usual, links, DE_EN)
    assert rows[1] == {}
    assert rows[0]["latency"] == pytest.approx(1 - 19 / 30)
    assert rows[0]["monotonicity"] == 1
    assert rows[0]["key_points"] == rows[0]["number_recall"] == 1
    assert rows[0]["length_ratio"] == pytest.approx(6 / 5)
    assert rows[0].keys() <= MEASURES.keys()
    assert "latency" not in measure(source[:1], texts[:1], [None], usual, links[:1], DE_EN)[0]
    chinese = SimulFormat(source_language="en", target_language="zh")
    usual = usual_text([SentencePair("0", "0", "x", "Three men sleep", "三个男人睡觉")], chinese)
    linked = {(0, 0), (1, 2), (1, 3)}
    [row] = measure(["Three men sleep"], ["三个男人在睡觉"], [None], usual, [linked], chinese)
    assert row["number_recall"] == 1
    assert row["length_ratio"] == pytest.approx(7 / 3)


def test_every_preference_has_a_measure_and_a_weight() -> None:
    assert set(PREFERENCES) == set(Weights().model_dump()) <= set(MEASURES)
    assert {one.preference for one in MEASURES.values()} == set(PREFERENCES)
    with pytest.raises(ValidationError, match="all are 0"):
        Weights(**dict.fromkeys(PREFERENCES, 0.0))
    with pytest.raises(ValidationError, match="extra"):
        Weights(speed=1.0)  # pyright: ignore[reportCallIssue]
