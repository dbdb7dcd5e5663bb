"""What a row of any source becomes before it is masked: a product, with a pair of its summaries if the row has one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from domains.ecommerce.products import Product
from domains.ecommerce.prompting import SummaryPrompt, product_prompt
from domains.ecommerce.review_texts import one_line
from shared.data.text_keys import text_key
from shared.records import PreferenceRecord, Votes, content_id


@dataclass(frozen=True, slots=True)
class SummaryPair:
    """Two summaries of the same reviews, the first preferred; fields as in `PreferenceRecord`."""

    chosen: str
    rejected: str
    margin: float | None = None
    weight: float = 1.0
    votes: Votes | None = None
    scores_chosen: Mapping[str, float] = field(default_factory=dict)
    scores_rejected: Mapping[str, float] = field(default_factory=dict)
    covariates_chosen: Mapping[str, float] = field(default_factory=dict)
    covariates_rejected: Mapping[str, float] = field(default_factory=dict)
    rationale: str | None = None
    metadata: Mapping[str, str | float | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProductRow:
    """One row: a record (`shared.records.Record`), so that it can be masked as a whole and its texts stay together.

    Attributes:
        id: of the pair where there is one, else of the product.
        group_id: of the product: given, or `reviews_id`.
        source: file and row.
        reviews: texts on one line.
        ratings: of each review, or None. [reviews]
        category: of the product.
        summaries: reference summaries.
        summaries_by_model: whether a model wrote them.
        pair: a preference between two summaries, if the row has one.
        named: whether the source names the product; products of one name are one, whatever reviews of it a row has.
        split: number of the split that the data give (see `product_splits`), -1 for none.
        train_only: whether the product was given for training alone.
    """

    id: str
    group_id: str
    source: str
    reviews: tuple[str, ...]
    ratings: tuple[float, ...] | None = None
    category: str | None = None
    summaries: tuple[str, ...] = ()
    summaries_by_model: bool = False
    pair: SummaryPair | None = None
    named: bool = False
    split: int = -1
    train_only: bool = False

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yields (field name, text) of every review, reference summary and summary of the pair."""
        yield from self.product().texts()
        if self.pair is not None:
            yield "chosen", self.pair.chosen
            yield "rejected", self.pair.rejected

    def product(self) -> Product:
        """The product of the row."""
        return Product(
            id=self.group_id,
            source=self.source,
            reviews=tuple(one_line(review) for review in self.reviews),
            ratings=self.ratings,
            category=self.category,
            summaries=self.summaries,
            summaries_by_model=self.summaries_by_model,
        )


def reviews_id(reviews: tuple[str, ...]) -> str:
    """The same for the same set of reviews, in any order; the id of products that have none."""
    return content_id(*sorted({text_key(review) for review in reviews}))


def pair_record(row: ProductRow, product: Product, settings: SummaryPrompt) -> PreferenceRecord:
    """The preference record of a row that has a pair.

    Args:
        row: the row.
        product: its product, whose id is the record's group.
        settings: how the prompt is written.

    Raises:
        ValueError: the row has no pair, or its product no review.
    """
    pair = row.pair
    if pair is None:
        raise ValueError("has no pair of summaries")
    known = {} if product.category is None else {"category": product.category}
    return PreferenceRecord(
        id=row.id,
        group_id=product.id,
        source=row.source,
        prompt=product_prompt(product, settings),
        chosen=pair.chosen,
        rejected=pair.rejected,
        margin=pair.margin,
        weight=pair.weight,
        votes=pair.votes,
        scores_chosen=pair.scores_chosen,
        scores_rejected=pair.scores_rejected,
        covariates_chosen=pair.covariates_chosen,
        covariates_rejected=pair.covariates_rejected,
        rationale=pair.rationale,
        metadata={**known, **pair.metadata, "reviews": len(product.reviews)},
    )


def with_pair(row: ProductRow, pair: SummaryPair, identifier: str = "") -> ProductRow:
    """The row with a pair; its id is the given one, or the hash of what is in it."""
    made = content_id(reviews_id(row.reviews), pair.chosen, pair.rejected)
    return replace(row, pair=pair, id=identifier or made)
