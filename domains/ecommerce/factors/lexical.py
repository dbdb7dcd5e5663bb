"""Factors counted in the words of summary and reviews, with a tagger for nouns and a lexicon for sentiment."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domains.ecommerce.factors.aspects import (
    READ_ASPECTS,
    Aspect,
    Noun,
    clauses_by_stem,
    nouns_of,
    shared_aspects,
)
from domains.ecommerce.factors.items import SummaryItem
from domains.ecommerce.factors.readings import READ_REVIEWS, ReviewsReading, TextReading, polar_shares, read_text
from domains.ecommerce.factors.words import numbers_of, stem
from domains.ecommerce.sentiment import POLAR
from shared.explain.factors import factor

QUANTIFIERS = frozenset("some many most few several others majority all mixed occasionally often generally".split())  # noqa: SIM905
SPEAKERS = frozenset(
    """
    users user customers customer reviewers reviewer reviews review buyers buyer people owners purchasers consumers
    wearers readers viewers
    """.split()  # noqa: SIM905
)
FIRST_PERSON = frozenset("i i'm i've i'd i'll me my mine myself we we've our ours us".split())  # noqa: SIM905
WINDOW = 20  # content words in which repetition is counted
LEAST_SHARE = 0.05  # of clauses of one polarity in the reviews, below which a summary need not report it
_ENDED = re.compile(r"[.!?…][\"'”’)\]]*\s*$")
_NAME = re.compile(r"(?<=[\w,;] )[A-Z][\w-]+")


@dataclass(frozen=True, slots=True)
class SummaryView:
    """What lexical factors are functions of.

    Attributes:
        reviews: of the product.
        summary: read.
        aspects: of the reviews, by stem.
        shared: those that several reviews name.
        nouns: of the summary.
        said: polarities of the summary's clauses that name an aspect of the reviews, by stem.
    """

    reviews: ReviewsReading
    summary: TextReading
    aspects: dict[str, Aspect]
    shared: dict[str, Aspect]
    nouns: tuple[Noun, ...]
    said: dict[str, list[float]]


def lexical_views(items: Sequence[SummaryItem]) -> Iterator[SummaryView]:
    """One view an item, in order."""
    keys = [item.reviews for item in items]
    summaries = [read_text(item.summary) for item in items]
    nouns = nouns_of([one.text for one in summaries])
    together = zip(READ_REVIEWS.get(keys), summaries, READ_ASPECTS.get(keys), nouns, strict=True)
    for reviews, summary, aspects, named in together:
        yield SummaryView(reviews, summary, aspects, shared_aspects(aspects), named, clauses_by_stem(summary, aspects))


def _share(part: float, whole: float, otherwise: float) -> float:
    return part / whole if whole else otherwise


def _rate(view: SummaryView, wanted: frozenset[str]) -> float:
    return _share(sum(word in wanted for word in view.summary.words), len(view.summary.words), 0.0)


def _mean(values: Sequence[float]) -> float:
    return _share(sum(values), len(values), 0.0)


@factor("length", scale="log words", sign=None, cost="lexical")
def length(view: SummaryView) -> float:
    """log(1 + words)."""
    return math.log1p(len(view.summary.words))


@factor("sentence-length", scale="log words a sentence", sign=None, cost="lexical")
def sentence_length(view: SummaryView) -> float:
    """log(1 + words / sentences)."""
    return math.log1p(_share(len(view.summary.words), len(view.summary.sentences), 0.0))


@factor("term-coverage", scale="share 0-1", sign="+", cost="lexical")
def term_coverage(view: SummaryView) -> float:
    """Share of what the reviews repeat that the summary has: content stems of at least two reviews (all, where none
    is), each weighted by its number of reviews."""
    shared = {one: count for one, count in view.reviews.spread.items() if count >= 2} or view.reviews.spread
    said = set(view.summary.content)
    return _share(sum(count for one, count in shared.items() if one in said), sum(shared.values()), 0.0)


@factor("term-precision", scale="share 0-1", sign="+", cost="lexical")
def term_precision(view: SummaryView) -> float:
    """Share of the summary's content words whose stem stands in a review; 0 for a summary without any."""
    content = view.summary.content
    return _share(sum(one in view.reviews.spread for one in content), len(content), 0.0)


@factor("consensus", scale="share 0-1", sign="+", cost="lexical")
def consensus(view: SummaryView) -> float:
    """Mean over the summary's content words of the share of reviews that have their stem."""
    content = view.summary.content
    return _share(sum(view.reviews.spread[one] for one in content), len(content) * len(view.reviews), 0.0)


@factor("aspect-coverage", scale="share 0-1", sign="+", cost="lexical")
def aspect_coverage(view: SummaryView) -> float:
    """Share of the shared aspects that the summary names, each weighted by the reviews that name it; 1 where the
    reviews have no aspect."""
    whole = sum(one.reviews for one in view.shared.values())
    said = set(view.summary.stems)
    return _share(sum(one.reviews for name, one in view.shared.items() if name in said), whole, 1.0)


@factor("aspect-precision", scale="share 0-1", sign="+", cost="lexical")
def aspect_precision(view: SummaryView) -> float:
    """Share of the aspects that the summary names which a review has in any part of speech; 0 where it names none."""
    named = {one.stem for one in view.nouns}
    return _share(sum(one in view.reviews.spread for one in named), len(named), 0.0)


@factor("aspect-count", scale="log aspects", sign=None, cost="lexical")
def aspect_count(view: SummaryView) -> float:
    """log(1 + different aspects that the summary names)."""
    return math.log1p(len({one.stem for one in view.nouns}))


@factor("aspect-density", scale="aspects a word", sign=None, cost="lexical")
def aspect_density(view: SummaryView) -> float:
    """Nouns that may be aspects by words: high in a summary that lists them."""
    return _share(len(view.nouns), len(view.summary.words), 0.0)


@factor("aspect-sentiment", scale="agreement 0-1", sign="+", cost="lexical")
def aspect_sentiment(view: SummaryView) -> float:
    """Mean of 1 - |s - r| / 2 over the aspects that summary and reviews name, weighted by reviews: s and r are the mean
    polarities (-1 to 1) of the clauses that name it; 0.5 where no aspect is in both."""
    weights = [view.aspects[name].reviews for name in view.said]
    agreement = [1 - abs(_mean(said) - view.aspects[name].polarity) / 2 for name, said in view.said.items()]
    return _share(sum(w * a for w, a in zip(weights, agreement, strict=True)), sum(weights), 0.5)


@factor("aspect-contradiction", scale="share 0-1", sign="-", cost="lexical")
def aspect_contradiction(view: SummaryView) -> float:
    """Share of the aspects in both whose opinion no review has: the summary's clauses are polar and no clause of the
    reviews that names the aspect has that polarity."""
    polar = {name: value for name, said in view.said.items() if abs(value := _mean(said)) >= POLAR}
    wrong = [
        name
        for name, value in polar.items()
        if not (view.aspects[name].positive if value > 0 else view.aspects[name].negative)
    ]
    return _share(len(wrong), len(view.said), 0.0)


@factor("sentiment-gap", scale="difference 0-2", sign="-", cost="lexical")
def sentiment_gap(view: SummaryView) -> float:
    """|mean polarity of the summary's sentences - mean polarity of the reviews' sentences|."""
    return abs(_mean(view.summary.polarities) - _mean(view.reviews.polarities))


@factor("sentiment-shift", scale="difference -2 to 2", sign=None, cost="lexical")
def sentiment_shift(view: SummaryView) -> float:
    """Mean polarity of the summary's sentences minus that of the reviews' sentences: positive for praise."""
    return _mean(view.summary.polarities) - _mean(view.reviews.polarities)


@factor("negative-balance", scale="difference 0-1", sign="-", cost="lexical")
def negative_balance(view: SummaryView) -> float:
    """|share of negative clauses in the summary - in the reviews|."""
    return abs(polar_shares(view.summary.clauses)[1] - view.reviews.negative)


@factor("polarity-coverage", scale="share 0-1", sign="+", cost="lexical")
def polarity_coverage(view: SummaryView) -> float:
    """Whether both sides are heard: mean over the polarities that at least 5 % of the reviews' clauses have of
    min(1, share in the summary / share in the reviews); 1 where the reviews have none."""
    theirs = view.reviews.positive, view.reviews.negative
    pairs = zip(polar_shares(view.summary.clauses), theirs, strict=True)
    heard = [min(1.0, said / there) for said, there in pairs if there >= LEAST_SHARE]
    return _share(sum(heard), len(heard), 1.0)


@factor("repetition", scale="share 0-1", sign="-", cost="lexical")
def repetition(view: SummaryView) -> float:
    """Share of the summary's content words whose stem it has used before, as the mean over all runs of 20 of them, so
    that a longer summary is not a more repetitive one: 1 - moving-average type-token ratio (Covington and McFall,
    2010)."""
    content = view.summary.content
    runs = [content[start : start + WINDOW] for start in range(max(1, len(content) - WINDOW + 1))]
    return 1 - _mean([_share(len(set(run)), len(run), 1.0) for run in runs])


@factor("phrase-repetition", scale="share 0-1", sign="-", cost="lexical")
def phrase_repetition(view: SummaryView) -> float:
    """Share of the summary's runs of three words that it has used before."""
    grams = view.summary.grams(3)
    return 1 - _share(len(set(grams)), len(grams), 1.0)


@factor("copying", scale="log words", sign="-", cost="lexical")
def copying(view: SummaryView) -> float:
    """log(1 + words of the longest run of the summary in which every three neighbouring words stand so in a review); 0
    where no three do."""
    run = longest = 0
    for gram in view.summary.grams(3):
        run = run + 1 if gram in view.reviews.grams else 0
        longest = max(longest, run)
    return math.log1p(longest + 2 if longest else 0)


@factor("bigram-copying", scale="share 0-1", sign="-", cost="lexical")
def bigram_copying(view: SummaryView) -> float:
    """Share of the summary's pairs of neighbouring words that stand in a review."""
    grams = view.summary.grams(2)
    return _share(sum(gram in view.reviews.grams for gram in grams), len(grams), 0.0)


@factor("non-ascii", scale="share 0-1", sign="-", cost="lexical")
def non_ascii(view: SummaryView) -> float:
    """Share of the summary's characters outside ASCII."""
    return _share(sum(not one.isascii() for one in view.summary.text), len(view.summary.text), 0.0)


@factor("new-numbers", scale="log numerals", sign="-", cost="lexical")
def new_numbers(view: SummaryView) -> float:
    """log(1 + numerals of the summary that stand in no review)."""
    return math.log1p(len(numbers_of(view.summary.text) - view.reviews.numbers))


@factor("new-names", scale="log names", sign="-", cost="lexical")
def new_names(view: SummaryView) -> float:
    """log(1 + words with a capital inside a sentence of the summary whose stem stands in no review)."""
    names = {stem(name.lower()) for name in _NAME.findall(view.summary.text)}
    return math.log1p(len(names - view.reviews.stems - {stem("i")}))


@factor("first-person", scale="share 0-1", sign="-", cost="lexical")
def first_person(view: SummaryView) -> float:
    """Share of the summary's words that are I, my, we and the like: it should report, not speak as a reviewer."""
    return _rate(view, FIRST_PERSON)


@factor("attribution", scale="share 0-1", sign=None, cost="lexical")
def attribution(view: SummaryView) -> float:
    """Share of the summary's words that say whose opinion is reported: users, customers, reviewers."""
    return _rate(view, SPEAKERS)


@factor("quantifiers", scale="share 0-1", sign=None, cost="lexical")
def quantifiers(view: SummaryView) -> float:
    """Share of the summary's words that say how many hold an opinion: some, most, few."""
    return _rate(view, QUANTIFIERS)


@factor("unfinished", scale="0 or 1", sign="-", cost="lexical")
def unfinished(view: SummaryView) -> float:
    """1 where the summary does not end with a full stop, question or exclamation mark."""
    return float(_ENDED.search(view.summary.text) is None)


LEXICAL = (
    length,
    sentence_length,
    term_coverage,
    term_precision,
    consensus,
    aspect_coverage,
    aspect_precision,
    aspect_count,
    aspect_density,
    aspect_sentiment,
    aspect_contradiction,
    sentiment_gap,
    sentiment_shift,
    negative_balance,
    polarity_coverage,
    repetition,
    phrase_repetition,
    copying,
    bigram_copying,
    non_ascii,
    new_numbers,
    new_names,
    first_person,
    attribution,
    quantifiers,
    unfinished,
)
