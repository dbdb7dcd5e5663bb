"""The product record: its reviews, and the summaries that people wrote of them where there are any."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.data.record_files import RecordWriter, iter_file

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN = ("id", "source", "category", "summaries_by_model")


@dataclass(frozen=True, slots=True)
class Product:
    """One product, or one set of reviews of it.

    Attributes:
        id: stable id (hash of the reviews unless the source has one); the `group_id` of its preference pairs.
        source: where it was read, e.g. ``gold.csv:3``.
        reviews: texts, each on one line, none empty, none twice.
        ratings: stars of each review in its order, NaN where one has none; None where none has. [reviews]
        category: what kind of product it is, or None.
        summaries: reference summaries, in any number.
        summaries_by_model: whether a model wrote them (PromptOpinSumm): they train, but are no gold to measure with.
    """

    id: str
    source: str
    reviews: tuple[str, ...]
    ratings: tuple[float, ...] | None = None
    category: str | None = None
    summaries: tuple[str, ...] = ()
    summaries_by_model: bool = False

    @property
    def group_id(self) -> str:
        """The product is its own group."""
        return self.id

    @property
    def gold(self) -> tuple[str, ...]:
        """Summaries that people wrote."""
        return () if self.summaries_by_model else self.summaries

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yields (field name, text) of every review and summary."""
        for number, review in enumerate(self.reviews):
            yield f"reviews[{number}]", review
        for number, summary in enumerate(self.summaries):
            yield f"summaries[{number}]", summary


def product_schema() -> "pa.Schema":
    """The columns of a product file; a rating that is missing is null."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("category", pa.string()),
            ("summaries_by_model", pa.bool_()),
            ("reviews", texts),
            ("ratings", pa.list_(pa.float64())),
            ("summaries", texts),
        ]
    )


def _row(product: Product) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(product, name) for name in _PLAIN}
    row["reviews"], row["summaries"] = list(product.reviews), list(product.summaries)
    ratings = product.ratings
    row["ratings"] = None if ratings is None else [None if math.isnan(one) else one for one in ratings]
    return row


def _product(row: Mapping[str, Any]) -> Product:
    values = dict(row)
    for name in ("reviews", "summaries"):
        values[name] = tuple(values[name])
    if values["ratings"] is not None:
        values["ratings"] = tuple(math.nan if one is None else one for one in values["ratings"])
    return Product(**values)


def product_writer(path: Path) -> RecordWriter:
    """A context manager whose `write` takes one product at a time. Raises as `RecordWriter`."""
    return RecordWriter(path, product_schema(), _row)


def write_products(path: Path, products: Iterable[Product]) -> int:
    """Writes products as they come.

    Returns:
        How many were written.

    Raises:
        SystemStateError: no space is left, or the file cannot be written.
    """
    with product_writer(path) as writer:
        for product in products:
            writer.write(product)
    return writer.count


def iter_products(path: Path) -> Iterator[Product]:
    """Reads products in the order they were written, one batch in memory at a time.

    Raises:
        DataError: the file is missing or holds no products.
    """
    yield from iter_file(path, product_schema(), _product)


def read_products(path: Path) -> list[Product]:
    """All products of a file. Raises as `iter_products`."""
    return list(iter_products(path))
