"""Products for the aspect report, read from any file of reviews and masked before anything of it is shown."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from domains.ecommerce.data_config import EcommerceDataConfig
from domains.ecommerce.deidentify import ecommerce_deidentify
from domains.ecommerce.product_rows import ProductRow, reviews_id
from domains.ecommerce.products import Product
from domains.ecommerce.review_texts import CleaningCounts, clean_reviews
from domains.ecommerce.sources import Reading, product_rows, sources_of
from shared.data.rows import RowTally
from shared.deidentify.deidentifier import Deidentifier
from shared.errors import DataError, UsageError

MOST_PRODUCTS = 10


@dataclass(frozen=True, slots=True)
class ReadProducts:
    """Products of a file.

    Attributes:
        products: masked, in the order of the file.
        further: whether the file holds more products than were wanted.
        left_out: rows that could not be read, or that have no review.
    """

    products: tuple[Product, ...]
    further: bool
    left_out: int


def read_reviewed_products(path: Path, product: str | None = None, most: int = MOST_PRODUCTS) -> ReadProducts:
    """Reads products from a table of reviews (every schema of the domain's data stage) or a text file.

    A file ``.txt`` holds the reviews of one product, one a line. Of a table with one row a review those of a product
    are gathered. Names, addresses and the like are masked as in the data stage.

    Args:
        path: of the file.
        product: id of the only product wanted; None takes the first `most`.
        most: products.

    Raises:
        DataError: unreadable file, no known columns, or no product with a review.
        UsageError: the file has no product of that id.
    """
    if not path.exists():
        raise DataError(f"{path} is not there: give a file of reviews.")
    config = EcommerceDataConfig(min_reviews=1)
    tally = RowTally(1.0, 1.0)
    rows = _lines(path, config) if path.suffix == ".txt" else product_rows(
        sources_of({"data": path}, config), config, tally, Reading()
    )  # fmt: skip
    wanted = (row for row in _one_each(rows) if product is None or row.group_id == product)
    first = list(islice(wanted, most + 1))
    if not first:
        if product is not None:
            raise UsageError(f"{path.name} has no product {product!r}: leave --product out to see those that it has.")
        raise DataError(f"{path.name} holds no product with a review: give a file with reviews.")
    masker = Deidentifier(ecommerce_deidentify(config.deidentify))
    masked = [row.product() for row in masker.mask_records(first[:most])]
    # Masking replaces ids by digests; whoever has the file looks for its own ids, so of these only names are masked.
    named = [
        replace(product, id=masker.masked_identifier(row.group_id)) for product, row in zip(masked, first, strict=False)
    ]
    return ReadProducts(tuple(named), len(first) > most, len(tally.bad) + len(tally.left_out))


def _lines(path: Path, config: EcommerceDataConfig) -> Iterator[ProductRow]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as UTF-8 text ({error}): give another file.") from error
    reviews, _ = clean_reviews(lines, None, config.max_reviews, CleaningCounts())
    if reviews:
        yield ProductRow(reviews_id(reviews), path.stem, path.name, reviews)


def _one_each(rows: Iterator[ProductRow]) -> Iterator[ProductRow]:
    """One row a product, its reviews alone: rows of preference pairs repeat the reviews of their product."""
    seen: set[str] = set()
    for row in rows:
        if row.group_id not in seen:
            seen.add(row.group_id)
            yield replace(row, pair=None, summaries=())
