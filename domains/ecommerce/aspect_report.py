"""What customers say of a product, aspect by aspect: how many, for and against, in their own words, and where they
disagree.

A review is *for* an aspect where clauses that mention it are positive and none is negative, *against* it the other
way round, *mixed* with both, and *neutral* where no clause is polar (`domains.ecommerce.sentiment`). Shares are of the
reviews with an opinion. Cost is linear in the characters of the reviews, of which each is tagged once; at most
`MOST_REVIEWS` are read (evenly over their order), and only names of aspects are encoded (`aspect_groups`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from domains.ecommerce.aspect_groups import merged_names
from domains.ecommerce.aspects import AspectMention, aspects_of
from domains.ecommerce.products import Product
from domains.ecommerce.sentences import sentence_spans, shortened
from domains.ecommerce.sentiment import sign
from domains.ecommerce.support_spans import Embed
from shared.errors import DataError
from shared.evaluation.intervals import Estimate, wilson

MOST_REVIEWS = 1_000
QUOTES = 2  # of each side
LONGEST_QUOTE = 220  # characters
DISAGREE = 2  # reviews on the smaller side, from which customers disagree
DISAGREE_SHARE = 0.2  # of the reviews with an opinion that the smaller side has

Stance = Literal["positive", "negative", "mixed", "neutral"]


@dataclass(frozen=True, slots=True)
class Quote:
    """A passage of a review, verbatim but for "…" where it was cut.

    Attributes:
        text: of one sentence, cut at its end or between words.
        review: number of the review, from 1, as the file has them.
        sentiment: of the clause that mentions the aspect, -1 to 1.
    """

    text: str
    review: int
    sentiment: float


@dataclass(frozen=True, slots=True)
class AspectSummary:
    """What reviews say of one aspect.

    Attributes:
        name: of the aspect.
        also: other names that were merged into it, those that most reviews use first.
        reviews: numbers of the reviews that mention it, from 1.
        positive: reviews that are for it.
        negative: reviews that are against it.
        mixed: reviews that are both.
        neutral: reviews without an opinion of it.
        share_positive: positive of positive, negative and mixed, with Wilson's interval.
        share_negative: negative of the same.
        quotes: typical passages, for and against.
        disagreed: whether both sides are worth a look (`DISAGREE`, `DISAGREE_SHARE`).
    """

    name: str
    also: tuple[str, ...]
    reviews: tuple[int, ...]
    positive: int
    negative: int
    mixed: int
    neutral: int
    share_positive: Estimate
    share_negative: Estimate
    quotes: tuple[Quote, ...]
    disagreed: bool

    @property
    def opinions(self) -> int:
        """Reviews with an opinion of it."""
        return self.positive + self.negative + self.mixed

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        row = asdict(self)
        row["share_positive"], row["share_negative"] = self.share_positive.to_json(), self.share_negative.to_json()
        return {**row, "mentioned_by": len(self.reviews)}


@dataclass(frozen=True, slots=True)
class AspectReport:
    """The report of one product.

    Attributes:
        product: its id.
        category: kind of product, or None.
        reviews: how many there are.
        read: how many were read.
        mean_rating: stars, where there are any.
        aspects: those that enough reviews mention, most mentioned first.
        single: aspects that only one review mentions and that are left out.
        least: reviews that an aspect must be mentioned by.
    """

    product: str
    category: str | None
    reviews: int
    read: int
    mean_rating: float | None
    aspects: tuple[AspectSummary, ...]
    single: int
    least: int

    def disagreements(self) -> list[AspectSummary]:
        """Aspects that customers disagree on, the most even ones first."""
        found = [one for one in self.aspects if one.disagreed]
        return sorted(found, key=lambda one: -min(_sides(one.positive, one.negative, one.mixed)))

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "product": self.product,
            "category": self.category,
            "reviews": self.reviews,
            "reviews_read": self.read,
            "mean_rating": self.mean_rating,
            "aspects": [one.to_json() for one in self.aspects],
            "disagreements": [one.name for one in self.disagreements()],
            "mentioned_by_fewer": self.single,
            "least_mentions": self.least,
        }


def aspect_report(product: Product, embed: Embed, most: int | None = None) -> AspectReport:
    """The aspect report of a product.

    Args:
        product: with at least one review; of a single one, or two, every aspect is shown, else those that at least
            two reviews mention.
        embed: makes vectors of names (`domains.ecommerce.factors.sentence_vectors.sentence_vectors`).
        most: most aspects that are reported; None reports all.

    Raises:
        DataError: the product has no review.
        SystemStateError: spaCy or its model is missing.
    """
    if not any(review.strip() for review in product.reviews):
        raise DataError(f"{product.source}: the product {product.id} has no review: give products with reviews.")
    numbers = _read_numbers(len(product.reviews))
    mentions = dict(zip(numbers, aspects_of([product.reviews[at] for at in numbers]), strict=True))
    counts = Counter(name for found in mentions.values() for name in {one.aspect for one in found})
    group_of = merged_names(counts, embed)
    by_group: dict[str, dict[int, list[AspectMention]]] = {}
    for number, found in mentions.items():
        for one in found:
            by_group.setdefault(group_of[one.aspect], {}).setdefault(number, []).append(one)
    least = 2 if sum(bool(review.strip()) for review in product.reviews) > 2 else 1
    order = sorted(by_group, key=lambda name: (-len(by_group[name]), -_polar(by_group[name]), name))
    kept = [name for name in order if len(by_group[name]) >= least]
    quoted: set[tuple[int, int]] = set()
    aspects = tuple(
        _summary(name, [one for one in counts if group_of[one] == name], counts, by_group[name], product, quoted)
        for name in kept[:most]
    )
    rated = [one for one in product.ratings or () if one == one]
    return AspectReport(
        product=product.id,
        category=product.category,
        reviews=len(product.reviews),
        read=len(numbers),
        mean_rating=sum(rated) / len(rated) if rated else None,
        aspects=aspects,
        single=len(order) - len(kept),
        least=least,
    )


def _read_numbers(count: int) -> list[int]:
    if count <= MOST_REVIEWS:
        return list(range(count))
    return [number * count // MOST_REVIEWS for number in range(MOST_REVIEWS)]


def _polar(of_reviews: Mapping[int, Sequence[AspectMention]]) -> int:
    return sum(any(sign(one.sentiment) for one in found) for found in of_reviews.values())


def stance(mentions: Sequence[AspectMention]) -> Stance:
    """What one review holds of an aspect."""
    signs = {sign(one.sentiment) for one in mentions}
    if {1, -1} <= signs:
        return "mixed"
    return "positive" if 1 in signs else "negative" if -1 in signs else "neutral"


def _sides(positive: int, negative: int, mixed: int) -> tuple[float, float]:
    """Reviews on each side; one that is both counts half for each."""
    return positive + mixed / 2, negative + mixed / 2


def _summary(
    name: str,
    members: Sequence[str],
    counts: Mapping[str, int],
    of_reviews: Mapping[int, Sequence[AspectMention]],
    product: Product,
    quoted: set[tuple[int, int]],
) -> AspectSummary:
    stances = Counter(stance(found) for found in of_reviews.values())
    positive, negative, mixed = stances["positive"], stances["negative"], stances["mixed"]
    opinions = positive + negative + mixed
    smaller = min(_sides(positive, negative, mixed))
    also = sorted((one for one in members if one != name), key=lambda one: (-counts[one], one))
    return AspectSummary(
        name=name,
        also=tuple(also),
        reviews=tuple(number + 1 for number in of_reviews),
        positive=positive,
        negative=negative,
        mixed=mixed,
        neutral=stances["neutral"],
        share_positive=wilson(positive, opinions),
        share_negative=wilson(negative, opinions),
        quotes=tuple(_quotes(of_reviews, product.reviews, quoted)),
        disagreed=smaller >= DISAGREE and smaller >= DISAGREE_SHARE * opinions,
    )


def _quotes(
    of_reviews: Mapping[int, Sequence[AspectMention]], reviews: Sequence[str], quoted: set[tuple[int, int]]
) -> list[Quote]:
    """Typical passages for and against: polar, of a readable length, of different reviews, and not shown before."""
    found: list[Quote] = []
    for wanted in (1, -1):
        candidates = [
            (_worth(one, reviews[number], (number, one.sentence) in quoted), number, one)
            for number, mentions in of_reviews.items()
            for one in mentions
            if sign(one.sentiment) == wanted
        ]
        used: set[int] = set()
        for _, number, one in sorted(candidates, key=lambda each: (-each[0], each[1])):
            if len(used) == QUOTES:
                break
            text = _passage(one, reviews[number])
            if number not in used and all(text != other.text for other in found):
                used.add(number)
                quoted.add((number, one.sentence))
                found.append(Quote(text, number + 1, round(one.sentiment, 4)))
    if not found:  # nobody has an opinion: the first mention shows what they speak of
        number, mentions = next(iter(of_reviews.items()))
        found.append(Quote(_passage(mentions[0], reviews[number]), number + 1, round(mentions[0].sentiment, 4)))
    return found


def _worth(mention: AspectMention, review: str, shown: bool) -> float:
    start, end = sentence_spans(review)[mention.sentence]
    unreadable = max(0, 25 - (end - start)) / 25 + max(0, end - start - 160) / 160
    return abs(mention.sentiment) - 0.5 * unreadable - (0.6 if shown else 0.0)


def _passage(mention: AspectMention, review: str) -> str:
    """The sentence of a mention; of one that is too long, the part around the mention."""
    start, end = sentence_spans(review)[mention.sentence]
    if end - start <= LONGEST_QUOTE:
        return review[start:end]
    if mention.end - start <= LONGEST_QUOTE:
        return shortened(review[start:end], LONGEST_QUOTE)
    first = review.find(" ", max(start, mention.start - LONGEST_QUOTE // 2), mention.start) + 1 or mention.start
    return "… " + shortened(review[first:end], LONGEST_QUOTE)


def report_text(report: AspectReport, most: int = 12) -> str:
    """The report for a terminal, a few lines an aspect."""
    head = f"{report.product}: {report.reviews} review{'' if report.reviews == 1 else 's'}"
    if report.mean_rating is not None:
        head += f", {report.mean_rating:.1f} stars on average"
    if report.read < report.reviews:
        head += f" ({report.read} of them read, evenly over their order)"
    lines = [head]
    for one in report.aspects[:most]:
        lines += ["", f"{one.name}  ({mentioned(one)}: {opinions_text(one)})"]
        lines += [f"  {'+' if sign(q.sentiment) > 0 else '-' if sign(q.sentiment) < 0 else ' '} “{q.text}”"
                  f" (review {q.review})" for q in one.quotes]  # fmt: skip
    if not report.aspects:
        lines += ["", "No aspect is mentioned by enough reviews."]
    if len(report.aspects) > most:
        lines += ["", f"{len(report.aspects) - most} more aspects: " + ", ".join(a.name for a in report.aspects[most:])]
    if report.disagreements():
        lines += ["", "Customers disagree on " + ", ".join(one.name for one in report.disagreements()) + "."]
    return "\n".join(lines)


def mentioned(one: AspectSummary) -> str:
    """How many reviews mention an aspect, in words."""
    return f"{len(one.reviews)} review{'' if len(one.reviews) == 1 else 's'}"


def opinions_text(one: AspectSummary) -> str:
    """How many are for and against, in words."""
    parts = [
        f"{count} {name}"
        for count, name in (
            (one.positive, "positive"),
            (one.negative, "negative"),
            (one.mixed, "mixed"),
            (one.neutral, "without opinion"),
        )
        if count
    ]
    return ", ".join(parts)
