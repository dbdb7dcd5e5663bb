"""Numbers in texts of several languages: digits, and number words up to the thousands in German, English, Chinese."""

import re

_DIGITS = re.compile(r"\d+(?:[.,'\u2009\u00a0]\d{3})+(?!\d)|\d+(?:[.,]\d+)?")
_EN_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_DE_SMALL = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
)
_EN_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_DE_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"


def _table(small: str, tens: str) -> dict[str, int]:
    """Values of the words up to nineteen and of the tens."""
    found = {word: number for number, word in enumerate(small.split())}
    return found | {word: 10 * number for number, word in enumerate(tens.split(), 2)}


_EN = _table(_EN_SMALL, _EN_TENS)
_DE = {**_table(_DE_SMALL, _DE_TENS), "ein": 1}
_EN_SCALES = {"hundred": 100, "thousand": 1000}
_ZH = {character: number for number, character in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_ZH_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_ZH_RUN = re.compile(f"[{''.join([*_ZH, *_ZH_SCALES])}]+")
LEAST = 2.0  # one is an article in German and English, and part of many words in Chinese


def numbers_in(text: str, language: str) -> list[float]:
    """The numbers of a text that are 2 or more, in order.

    Args:
        text: a sentence.
        language: ISO 639-1 code; of a language other than de, en and zh only digits are read.
    """
    found = [_of_digits(match.group()) for match in _DIGITS.finditer(text)]
    code = language.lower().replace("_", "-").split("-")[0]
    if code == "en":
        found += _english(re.findall(r"[a-z]+", text.lower()))
    elif code == "de":
        words = re.findall(r"[a-zäöüß]+", text.lower())
        found += [value for word in words if (value := _german(word)) is not None]
    elif code == "zh":
        found += [value for match in _ZH_RUN.finditer(text) if (value := _chinese(match.group())) is not None]
    return [one for one in found if one >= LEAST]


def _of_digits(text: str) -> float:
    """A number written in digits, thousands set apart by a point, comma, apostrophe or thin space."""
    if re.fullmatch(r"\d{1,3}(?:[.,'\u2009\u00a0]\d{3})+", text):
        return float(re.sub(r"\D", "", text))
    return float(text.replace(",", "."))


def _english(words: list[str]) -> list[float]:
    """Values of runs of number words: "two hundred and five" is one, "two three" are two."""
    found: list[float] = []
    total = current = 0
    last: int | None = None  # of the run: the number that was added last
    inside = False

    def close() -> None:
        nonlocal total, current, last, inside
        if inside:
            found.append(float(total + current))
        total, current, last, inside = 0, 0, None, False

    for place, word in enumerate(words):
        if word in _EN:
            value = _EN[word]
            fits = last is None or last >= 100 or (last >= 20 and last % 10 == 0 and 0 < value < 10)
            if inside and not fits:
                close()
            current, last, inside = current + value, value, True
        elif word in _EN_SCALES and inside:
            scale = _EN_SCALES[word]
            if scale == 1000:
                total, current = (total + max(current, 1)) * 1000, 0
            else:
                current = max(current, 1) * scale
            last = scale
        elif not (word == "and" and inside and last is not None and last >= 100 and _goes_on(words, place)):
            close()
    close()
    return found


def _goes_on(words: list[str], place: int) -> bool:
    return place + 1 < len(words) and words[place + 1] in _EN


def _german(word: str) -> float | None:
    """The value of a German number word ("einundzwanzig", "zweitausenddreihundert"); None for another word."""
    if word in ("ein", "eins"):
        return 1.0
    for name, scale in (("tausend", 1000), ("hundert", 100)):
        before, found, after = word.partition(name)
        if found:
            first = 1.0 if not before else _german(before)
            rest = 0.0 if not after else _german(after.removeprefix("und") if scale == 100 else after)
            return None if first is None or rest is None or first >= scale else first * scale + rest
    if word in _DE:
        return float(_DE[word])
    ones, found, tens = word.partition("und")
    if found and ones in _DE and 0 < _DE[ones] < 10 and tens in _DE and _DE[tens] >= 20:
        return float(_DE[ones] + _DE[tens])
    return None


def _chinese(run: str) -> float | None:
    """The value of a run of Chinese numerals; None where it is no number (a scale alone, digits side by side)."""
    if run in _ZH_SCALES and run != "十":
        return None
    if len(run) > 1 and not any(character in _ZH_SCALES for character in run):
        return float("".join(str(_ZH[character]) for character in run))
    total = section = digit = 0
    for character in run:
        if character in _ZH:
            digit = _ZH[character]
        elif character == "万":
            total, section, digit = (total + section + digit) * 10_000, 0, 0
        else:
            section, digit = section + max(digit, 1) * _ZH_SCALES[character], 0
    return float(total + section + digit)
