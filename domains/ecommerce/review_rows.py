"""One row a review: the reviews of each product, gathered."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from domains.ecommerce.data_config import EcommerceDataConfig
from domains.ecommerce.product_rows import ProductRow
from domains.ecommerce.review_texts import CleaningCounts, clean_text, one_line
from domains.ecommerce.schemas import column_of
from shared.data.columns import number_of, text_of
from shared.data.rows import Row, RowTally
from shared.data.text_keys import text_hash, text_key


@dataclass
class _Gathered:
    source: str
    split: int
    category: str
    reviews: list[str] = field(default_factory=list)
    ratings: list[float] = field(default_factory=list)


def gathered(
    rows: Iterable[Row],
    config: EcommerceDataConfig,
    tally: RowTally,
    counts: CleaningCounts,
    split_of: Callable[[Row], int],
) -> Iterator[ProductRow]:
    """Products in the order of their first review.

    All reviews that are kept are in memory until the end: of one product never more than twice `data.max_reviews`,
    those whose content hashes lowest, so that a product of a million reviews costs no more than one of a thousand.

    Args:
        rows: one review each.
        config: names of columns, most reviews of a product.
        tally: gets rows without a product or a text.
        counts: takes in reviews that repeat another of their product, and those beyond the most.
        split_of: number of the split that a row gives; the first row of a product counts.

    Raises:
        DataError: too many bad rows.
    """
    products: dict[str, _Gathered] = {}
    most = config.max_reviews
    for row in rows:
        values = row.values
        named = {kind: column_of(kind, config.columns, values) for kind in ("product", "review", "rating", "category")}
        try:
            product, review, category = (
                "" if (name := named[kind]) is None else text_of(values, name)
                for kind in ("product", "review", "category")
            )
            rating = None if named["rating"] is None else number_of(values, named["rating"])
            split = split_of(row)
            if not product:
                raise ValueError("names no product")
            if not one_line(review):
                raise ValueError("has an empty review")
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        one = products.setdefault(product, _Gathered(row.source, split, category))
        one.category = one.category or category
        one.reviews.append(review)
        one.ratings.append(math.nan if rating is None else rating)
        if most is not None and len(one.reviews) >= 2 * most:
            _keep(one, most, counts)
    for product, one in products.items():
        if most is not None and len(one.reviews) > most:
            _keep(one, most, counts)
        rated = any(not math.isnan(rating) for rating in one.ratings)
        yield ProductRow(
            id=product,
            group_id=product,
            source=one.source,
            reviews=tuple(one.reviews),
            ratings=tuple(one.ratings) if rated else None,
            category=one.category or None,
            named=True,
            split=one.split,
        )


def _keep(one: _Gathered, most: int, counts: CleaningCounts) -> None:
    """Drops the reviews of a product that repeat another, and of the others those whose content hashes highest."""
    first: dict[str, int] = {}
    for number, review in enumerate(one.reviews):
        first.setdefault(text_key(one_line(clean_text(review)[0])), number)
    counts.repeated_reviews += len(one.reviews) - len(first)
    counts.surplus_reviews += max(len(first) - most, 0)
    kept = sorted(first[key] for key in sorted(first, key=lambda key: (text_hash(key), key))[:most])
    one.reviews = [one.reviews[number] for number in kept]
    one.ratings = [one.ratings[number] for number in kept]
