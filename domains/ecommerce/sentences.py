"""Sentences and clauses of product reviews and summaries, as character spans.

Reviews are written in haste: a full stop without a space behind it, three exclamation marks, line breaks in place of
stops, "approx. 5 in. long". So sentences are split by rules on punctuation and what follows it, not by a parser, whose
time would be ten times that of everything else here. A span never begins or ends with white space, and no letter or
digit of the text lies outside all spans.
"""

import re
from itertools import pairwise

Span = tuple[int, int]

_ABBREVIATIONS = frozenset(
    "approx mr mrs ms dr st vs etc inc ltd co no nos fig e.g i.e eg ie oz lb lbs ft in cm mm min max hr hrs sec".split()  # noqa: SIM905
)
# A stop, its quotes and brackets, then white space; or a stop that a capital letter follows at once ("price0.You");
# or a line break; or the end.
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|(?<=[a-z0-9)])[.!?]+(?=[A-Z][a-z])|\n+")
_LAST_WORD = re.compile(r"([A-Za-z][A-Za-z.]*)\.$")
_CONTRAST = re.compile(
    r"(?:[,;:]\s*|\s+[-–—]+\s+|\s+)(?=(?:but|however|although|though|yet|except|unfortunately|whereas|while|despite)\b)"
    r"|;\s*|\s+[-–—]+\s+|\s*\((?=\w)|\)\s+|,\s+(?=(?:and|so|which|the|it|they|its|my|i)\b)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w")


def sentence_spans(text: str) -> list[Span]:
    """Begin and end of every sentence of a text, in characters.

    Args:
        text: of any length; "" and text without a letter or digit have no sentence.

    Returns:
        Spans in order, without overlap, each holding a letter or digit.
    """
    cuts = [0]
    for match in _END.finditer(text):
        if match[0] == "." and _is_abbreviation(text[: match.end()], text[match.end() : match.end() + 2]):
            continue
        cuts.append(match.end())
    cuts.append(len(text))
    spans: list[Span] = []
    for begin, end in pairwise(cuts):
        start, stop = _stripped(text, begin, end)
        if _WORD.search(text, start, stop):
            spans.append((start, stop))
    return spans


def sentences(text: str) -> list[str]:
    """The sentences of a text, as they stand in it."""
    return [text[begin:end] for begin, end in sentence_spans(text)]


def clause_spans(text: str, sentence: Span) -> list[Span]:
    """The clauses of one sentence: parts between contrasts ("but", "although"), semicolons, dashes and brackets.

    Args:
        text: the whole text.
        sentence: span of the sentence in it.

    Returns:
        Spans within the sentence, in order; the conjunction stands at the beginning of its clause.
    """
    cuts = [sentence[0]]
    cuts += [match.end() for match in _CONTRAST.finditer(text, *sentence) if match.start() > sentence[0]]
    cuts.append(sentence[1])
    spans = []
    for begin, end in pairwise(cuts):
        start, stop = _stripped(text, begin, end)
        if _WORD.search(text, start, stop):
            spans.append((start, stop))
    return spans


def shortened(text: str, most: int) -> str:
    """A text cut at the end of a sentence, so that at most `most` characters are left, and "…" where it was cut.

    A first sentence that is too long by itself is cut between words.
    """
    if len(text) <= most:
        return text
    kept = [end for _, end in sentence_spans(text) if end <= most]
    if kept:
        return text[: kept[-1]] + " …"
    cut = text.rfind(" ", 0, most)
    return text[: cut if cut > most // 2 else most].rstrip() + " …"


def _stripped(text: str, begin: int, end: int) -> Span:
    while begin < end and text[begin].isspace():
        begin += 1
    while end > begin and text[end - 1].isspace():
        end -= 1
    return begin, end


def _is_abbreviation(before: str, after: str) -> bool:
    """Whether a single stop ends an abbreviation rather than a sentence: what follows is no capital, or it is short."""
    match = _LAST_WORD.search(before[-14:])
    if match is None:
        return False
    word, follows = match[1].lower().rstrip("."), after.strip()[:1]
    if word in _ABBREVIATIONS:
        return not follows.isupper() or word in ("mr", "mrs", "ms", "dr", "st", "vs", "approx", "e.g", "i.e")
    return len(word) == 1 and word != "i" and before[-2:-1].isupper()
