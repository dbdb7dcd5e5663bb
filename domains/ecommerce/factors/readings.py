"""Reviews and a summary as the factors read them; what concerns the reviews alone is worked out once for all summaries.

Cost is linear in the characters read, and bounded by `items.MOST_REVIEWS`, `MOST_SENTENCES` and `MOST_CHARACTERS`.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from threading import Lock
from typing import Generic, TypeVar

from domains.ecommerce.factors.items import MOST_CHARACTERS, MOST_REVIEWS, MOST_SENTENCES, evenly
from domains.ecommerce.factors.words import carries_content, numbers_of, stem, words_of
from domains.ecommerce.sentences import clause_spans, sentence_spans
from domains.ecommerce.sentiment import polarity, sign
from shared.errors import DataError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
KEPT = 512  # products whose readings stay in memory: some 0.1 MB each with eight reviews, 1 MB at most


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of a text: its place in characters and its polarity, -1 to 1 (VADER's compound score)."""

    begin: int
    end: int
    polarity: float


@dataclass(frozen=True, slots=True)
class TextReading:
    """A text, read.

    Attributes:
        text: at most `MOST_CHARACTERS` of it.
        words: in lower case.
        stems: of the words. [words]
        content: stems of the words that carry content, in order.
        sentences: as they stand in the text.
        polarities: of the sentences, -1 to 1. [sentences]
        clauses: of all sentences, in order.
    """

    text: str
    words: tuple[str, ...]
    stems: tuple[str, ...]
    content: tuple[str, ...]
    sentences: tuple[str, ...]
    polarities: tuple[float, ...]
    clauses: tuple[Clause, ...]

    def grams(self, n: int) -> list[tuple[str, ...]]:
        """The runs of n words, in order."""
        return list(zip(*(self.words[start:] for start in range(n)), strict=False))


def read_text(text: str) -> TextReading:
    """Reads one text; surrogates, which no model can encode, become "?"."""
    kept = text[:MOST_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    words = tuple(words_of(kept))
    stems = tuple(map(stem, words))
    spans = sentence_spans(kept)[:MOST_SENTENCES]
    sentences = tuple(kept[begin:end] for begin, end in spans)
    clauses: list[Clause] = []
    polarities: list[float] = []
    for span, sentence in zip(spans, sentences, strict=True):
        parts = clause_spans(kept, span)
        whole = polarity(sentence)
        polarities.append(whole)
        for begin, end in parts:
            clauses.append(Clause(begin, end, whole if len(parts) == 1 else polarity(kept[begin:end])))
    content = tuple(one for one, word in zip(stems, words, strict=True) if carries_content(word))
    return TextReading(kept, words, stems, content, sentences, tuple(polarities), tuple(clauses))


@dataclass(frozen=True, slots=True)
class ReviewsReading:
    """The reviews of one product, read.

    Attributes:
        reviews: at most `MOST_REVIEWS`.
        stems: of all words.
        spread: content stem -> reviews that have it.
        grams: all runs of two and of three words.
        numbers: all numerals.
        sentences: at most `MOST_SENTENCES`, the first of each review before the second of any.
        polarities: of the sentences. [sentences]
        owners: number of each sentence's review. [sentences]
        positive: share of the clauses that are positive (`sentiment.sign`).
        negative: share of those that are negative.
    """

    reviews: tuple[TextReading, ...]
    stems: frozenset[str]
    spread: Counter[str]
    grams: frozenset[tuple[str, ...]]
    numbers: frozenset[str]
    sentences: tuple[str, ...]
    polarities: tuple[float, ...]
    owners: tuple[int, ...]
    positive: float
    negative: float

    def __len__(self) -> int:
        return len(self.reviews)


def read_reviews(texts: Sequence[str]) -> ReviewsReading:
    """Reads the reviews of one product.

    Raises:
        DataError: there is none with a word in it.
    """
    reviews = tuple(read_text(text) for text in evenly(texts, MOST_REVIEWS))
    if not any(one.words for one in reviews):
        raise DataError(
            "a summary was given to be measured with no review that holds a word: factors compare it with the reviews; "
            "leave it out."
        )
    spread: Counter[str] = Counter()
    for one in reviews:
        spread.update(set(one.content))
    grams = frozenset(gram for one in reviews for n in (2, 3) for gram in one.grams(n))
    numbered = (
        [(owner, sentence, value) for sentence, value in zip(one.sentences, one.polarities, strict=True)]
        for owner, one in enumerate(reviews)
    )
    in_turn = [one for turn in zip_longest(*numbered) for one in turn if one is not None][:MOST_SENTENCES]
    owners, sentences, polarities = zip(*in_turn, strict=True) if in_turn else ((), (), ())
    numbers = frozenset(number for one in reviews for number in numbers_of(one.text))
    stems = frozenset(one for review in reviews for one in review.stems)
    shares = polar_shares([clause for review in reviews for clause in review.clauses])
    return ReviewsReading(reviews, stems, spread, grams, numbers, sentences, polarities, owners, *shares)


def polar_shares(clauses: Sequence[Clause]) -> tuple[float, float]:
    """Shares of clauses that are positive and that are negative; 0 of none."""
    if not clauses:
        return 0.0, 0.0
    signs = [sign(one.polarity) for one in clauses]
    return signs.count(1) / len(signs), signs.count(-1) / len(signs)


class Recent(Generic[K, V]):
    """The last values made, by key; made in one call for all keys that are not there."""

    def __init__(self, make: Callable[[list[K]], Iterable[V]], most: int = KEPT) -> None:
        self._make, self._most = make, most
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, keys: Sequence[K]) -> list[V]:
        """The value of every key, in order; any number of keys, of which the last stay."""
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            missing = [key for key in dict.fromkeys(keys) if key not in found]
            if missing:
                found.update(zip(missing, self._make(missing), strict=True))
            for key in dict.fromkeys(keys):
                self._kept[key] = found[key]
                self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return [found[key] for key in keys]

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self._kept.clear()


def _read_all(keys: list[tuple[str, ...]]) -> Iterable[ReviewsReading]:
    return map(read_reviews, keys)


READ_REVIEWS: Recent[tuple[str, ...], ReviewsReading] = Recent(_read_all)
"""Reviews of a product -> its reading, for all factors of this process."""
