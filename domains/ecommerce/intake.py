"""Masked product rows as they stream by: pairs and products are spooled, and hashes remembered for the splits."""

from array import array
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from domains.ecommerce.data_config import SPLITS, EcommerceDataConfig
from domains.ecommerce.product_rows import ProductRow, pair_record, reviews_id
from domains.ecommerce.product_splits import COPIES, REASONS, Dealt, ProductIndex
from domains.ecommerce.products import Product, iter_products, product_writer
from shared.data.near_duplicates import PairSignatures
from shared.data.preparing import SplitCounts
from shared.data.record_files import RecordTexts, RecordWriter, deal_records
from shared.data.rows import RowTally
from shared.data.split import Labels, Mask
from shared.data.text_keys import text_hash
from shared.records import content_id

PAIRS, PRODUCTS = ".pairs.spool.arrow", ".products.spool.arrow"


@dataclass
class _More:
    """What later rows add to a product that was spooled already."""

    summaries: dict[str, None] = field(default_factory=dict)
    category: str | None = None
    ratings: tuple[float, ...] | None = None


class Intake:
    """Takes in rows and writes the two spool files; a context manager.

    Rows of the same set of reviews are one product: the first stays, and further reference summaries are added to it.
    Memory is some hundred bytes a row beside those further summaries.

    Args:
        folder: where the spool files lie.
        config: limits, and how prompts are written.
        tally: gets what is left out.

    Attributes:
        index: hashes for the splits.
        read: pairs that came in.
        renamed: pairs whose id stood in an earlier row already, and was extended by a hash.
    """

    def __init__(self, folder: Path, config: EcommerceDataConfig, tally: RowTally) -> None:
        self.index = ProductIndex()
        self.read = self.renamed = 0
        self._folder, self._config, self._tally = folder, config, tally
        self._signatures = PairSignatures() if config.near_duplicates == "drop" else None
        self._number_of: dict[int, int] = {}
        self._ids: list[str] = []
        self._known_ids: set[str] = set()
        self._more: dict[int, _More] = {}
        self._seen: set[tuple[int, int]] = set()  # a copy in a held-out split is no repeat: the other one leaks
        self._pair_ids: set[str] = set()
        self._words, self._reviews = array("i"), array("i")
        self._gold = array("i")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._pairs = self._stack.enter_context(RecordWriter(self._folder / PAIRS))
        self._products = self._stack.enter_context(product_writer(self._folder / PRODUCTS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def take(self, row: ProductRow) -> None:
        """Takes in a row. Raises SystemStateError where no space is left."""
        product, number = self._product(row)
        if row.pair is None:
            return
        self.read += 1
        record = pair_record(row, product, self._config.summary_prompt)
        most = self._config.max_summary_chars
        keys = self.index.pairs.keys(record)
        reason = None
        if most is not None and max(len(record.chosen), len(record.rejected)) > most:
            reason = f"summary of more than {most} characters"
        elif (row.split, keys.pair) in self._seen:
            reason = REASONS[COPIES]
        if reason is not None:
            self._tally.leave_out(row.source, reason)
            return
        self._seen.add((row.split, keys.pair))
        if record.id in self._pair_ids:
            self.renamed += 1
            record = replace(
                record, id=f"{record.id}-{content_id(record.prompt_text(), row.pair.chosen, row.pair.rejected)}"
            )
        self._pair_ids.add(record.id)
        self.index.add_pair(number, record, keys, row)
        texts = (record.prompt_text(), record.chosen, record.rejected)
        self._words.extend(len(text.split()) for text in texts)
        if self._signatures is not None:
            self._signatures.add(*texts)
        self._pairs.write(record)

    def _product(self, row: ProductRow) -> tuple[Product, int]:
        """The product of a row, with the id under which it is stored, and its number."""
        product = row.product()
        own = reviews_id(product.reviews)
        number = self._number_of.setdefault(text_hash(own), len(self._ids))
        named = row.group_id if row.named else None
        self.index.add_product(number, row, named)
        if number < len(self._ids):
            self._add(number, product)
            return replace(product, id=self._ids[number]), number
        # Rows that name one product but hold other reviews of it are told apart by their reviews.
        identifier = product.id if product.id not in self._known_ids else f"{product.id}-{own}"
        product = replace(product, id=identifier)
        self._known_ids.add(identifier)
        self._ids.append(identifier)
        self._reviews.append(len(product.reviews))
        self._gold.append(len(product.gold))
        self._products.write(product)
        return product, number

    def _add(self, number: int, product: Product) -> None:
        if not (product.summaries or product.category or product.ratings):
            return
        more = self._more.setdefault(number, _More())
        more.summaries |= dict.fromkeys(product.gold)
        more.category = more.category or product.category
        more.ratings = more.ratings or product.ratings

    def single(self) -> Mask:
        """False for pairs that nearly repeat another one, where those are dropped. [pairs]"""
        if self._signatures is None:
            return np.ones(len(self.index.pairs), dtype=bool)
        with RecordTexts(self._folder / PAIRS) as texts:
            similarity = self._config.near_duplicate_similarity
            return ~self._signatures.repeated(self.index.pairs.order, similarity, texts.pair)

    def deal(self, dealt: Dealt) -> dict[str, dict[str, int]]:
        """Writes ``<split>.arrow`` and ``products-<split>.arrow`` from the spool files, which are removed.

        Returns:
            By split: products, products with gold summaries, and reviews.

        Raises:
            SystemStateError: no space is left.
        """
        targets = [self._folder / f"{name}.arrow" for name in SPLITS]
        for number, source in deal_records(self._folder / PAIRS, targets, dealt.pair_split):
            self._tally.leave_out(source, REASONS[int(dealt.pair_fate[number])])
        counts = {name: {"products": 0, "gold_products": 0, "reviews": 0} for name in SPLITS}
        with ExitStack() as stack:
            writers = [stack.enter_context(product_writer(self._folder / f"products-{name}.arrow")) for name in SPLITS]
            for number, product in enumerate(iter_products(self._folder / PRODUCTS)):
                split = int(dealt.product_split[number])
                if split < 0:
                    self._tally.leave_out(product.source, REASONS[int(dealt.product_fate[number])])
                    continue
                whole = self._completed(number, product)
                writers[split].write(whole)
                count = counts[SPLITS[split]]
                count["products"] += 1
                count["gold_products"] += bool(whole.gold)
                count["reviews"] += len(whole.reviews)
        self.remove()
        return counts

    def _completed(self, number: int, product: Product) -> Product:
        """The product with what later rows added: gold summaries replace those of a model."""
        more = self._more.get(number)
        if more is None:
            return product
        gold = tuple(dict.fromkeys((*product.gold, *more.summaries)))
        # Ratings belong to reviews in the order of their own row.
        fitting = more.ratings if more.ratings is not None and len(more.ratings) == len(product.reviews) else None
        return replace(
            product,
            category=product.category or more.category,
            ratings=product.ratings or fitting,
            summaries=gold or product.summaries,
            summaries_by_model=product.summaries_by_model and not gold,
        )

    def split_counts(self, dealt: Dealt) -> dict[str, SplitCounts]:
        """Counts of pairs by split, as every domain's data have them."""
        words = np.array(self._words, dtype=np.int32).reshape(-1, 3)
        inside = {name: dealt.pair_split == number for number, name in enumerate(SPLITS)}
        return {name: _counts(self.index.pairs.groups[rows], words[rows]) for name, rows in inside.items()}

    def remove(self) -> None:
        """Removes the spool files."""
        for name in (PAIRS, PRODUCTS):
            (self._folder / name).unlink(missing_ok=True)


def _counts(groups: Labels, words: NDArray[np.int32]) -> SplitCounts:
    if not len(groups):
        return SplitCounts()
    means = [round(float(mean), 1) for mean in words.mean(axis=0)]
    return SplitCounts(len(groups), len(np.unique(groups)), *means)
