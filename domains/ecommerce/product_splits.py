"""Which product, and with it its pairs, goes to which split: no product, review set or summary stands in two.

Products and pairs that share a set of reviews, a given product id, a summary, or a long review (`LONG_REVIEW` words:
nobody writes the same twice, so it is the same product under another name) are one component and go to one split.
Components with pairs and those without are assigned apart, so that both meet the fractions.
"""

from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.ecommerce.data_config import SPLITS, EcommerceDataConfig
from domains.ecommerce.product_rows import ProductRow
from shared.data.split import (
    NO_SPLIT,
    Labels,
    Mask,
    PairIndex,
    PairKeys,
    assign,
    cap_groups,
    cap_total,
    components,
)
from shared.data.text_keys import text_hash, text_key
from shared.records import PreferenceRecord

LONG_REVIEW = 12
TRAIN = SPLITS.index("train")
KEPT, REPEATS, COPIES, LEAKS, BEYOND_GROUP, BEYOND_TOTAL = range(6)
REASONS = {
    REPEATS: "nearly repeats another pair",
    COPIES: "repeats an earlier pair",
    LEAKS: "shares a product or a text with a held-out split",
    BEYOND_GROUP: "beyond the pairs kept of one group",
    BEYOND_TOTAL: "beyond the pairs or products kept in all",
}


@dataclass(frozen=True, slots=True)
class Dealt:
    """What became of every pair and product.

    Attributes:
        pair_split: number of each pair's split in `SPLITS`, -1 where it is left out. [pairs]
        pair_fate: kept, or why not. [pairs]
        product_split: the same for products. [products]
        product_fate: the same for products. [products]
        components: sets of products without a text in common that have a pair or stay as products.
        largest: pairs of the largest component (products, where there are no pairs).
    """

    pair_split: Labels
    pair_fate: NDArray[np.int8]
    product_split: Labels
    product_fate: NDArray[np.int8]
    components: int
    largest: int


class ProductIndex:
    """Hashes of products and pairs as they stream by, some hundred bytes each; no text is kept."""

    def __init__(self) -> None:
        self.pairs = PairIndex()
        self._items = PairIndex()
        self._given, self._role = array("b"), array("b")
        self._pair_item, self._product_item = array("q"), array("q")
        self._pair_product = array("q")

    def add_product(self, number: int, row: ProductRow, named_id: str | None) -> None:
        """Takes in a row's product: a new one, or one more row of a known one.

        Args:
            number: of the product; a new one has the next number.
            row: masked and clean.
            named_id: its id where the source gives it, whatever its reviews.
        """
        reviews = text_hash("\n".join(sorted(text_key(review) for review in row.reviews)))
        texts = {reviews} | {text_hash(one) for one in row.reviews if len(one.split()) >= LONG_REVIEW}
        texts |= {text_hash(summary) for summary in row.summaries}
        if named_id is not None:
            texts.add(text_hash(f"product id\n{named_id}"))
        if number == len(self._product_item):
            self._product_item.append(len(self._items))
        self._add(number, PairKeys(reviews, reviews, 0, frozenset(texts)), row)

    def add_pair(self, number: int, record: PreferenceRecord, keys: PairKeys, row: ProductRow) -> None:
        """Takes in a pair of the product with that number."""
        self.pairs.add(record.group_id, keys)
        self._pair_item.append(len(self._items))
        self._pair_product.append(number)
        self._add(number, keys, row)

    def _add(self, number: int, keys: PairKeys, row: ProductRow) -> None:
        self._items.add(str(number), keys)
        self._given.append(row.split)
        self._role.append(row.train_only)

    def deal(self, single: Mask, config: EcommerceDataConfig, named: Collection[int]) -> Dealt:
        """Deals everything out.

        Splits that the data give stay as they are: what shares a product or text with one that is held out later in
        the order train, judge, validation, test goes to it where it was given none, and is left out where it was given
        another. A split that files of the data do not give, though they give others, is cut from the training split.

        Args:
            single: False for pairs that nearly repeat another. [pairs]
            config: sizes, limits, salt and mode.
            named: splits given by names of files or a column, not by the role of a file.
        """
        label = components(self._items, np.ones(len(self._items), dtype=bool))
        n = int(label.max(initial=-1)) + 1
        given = np.array(self._given, dtype=np.int64)
        held = np.full(n, NO_SPLIT, dtype=np.int64)
        np.maximum.at(held, label, given)
        leaking = (given != NO_SPLIT) & (given < held[label])
        pair_item = np.array(self._pair_item, dtype=np.int64)
        product_item = np.array(self._product_item, dtype=np.int64)
        pair_fate = np.where(single, KEPT, REPEATS).astype(np.int8)
        pair_fate[leaking[pair_item]] = LEAKS
        pair_fate[self._copies(pair_fate == KEPT, given[pair_item])] = COPIES
        in_group = cap_groups(self.pairs, pair_fate == KEPT, config.max_pairs_per_group)
        pair_fate[(pair_fate == KEPT) & ~in_group] = BEYOND_GROUP
        in_all = cap_total(self.pairs, pair_fate == KEPT, config.max_pairs)
        pair_fate[(pair_fate == KEPT) & ~in_all] = BEYOND_TOTAL

        product_fate = self._product_fate(leaking, pair_fate, product_item, config)
        with_pairs, with_products = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        np.add.at(with_pairs, label[pair_item[pair_fate == KEPT]], 1)
        np.add.at(with_products, label[product_item[product_fate == KEPT]], 1)
        train_only = np.zeros(n, dtype=bool)
        train_only[label[np.array(self._role, dtype=bool)]] = True
        split = np.where(held > TRAIN, held, NO_SPLIT)
        split[train_only & (with_pairs == 0) & (split == NO_SPLIT)] = TRAIN
        shares = config.shares()
        cut = {name: share for name, share in shares.items() if name == "train" or SPLITS.index(name) not in named}
        for sizes in (with_pairs, np.where(with_pairs > 0, 0, with_products)):
            for part, fractions in ((held == NO_SPLIT, shares), (held == TRAIN, cut)):
                self._assign(
                    np.flatnonzero((split == NO_SPLIT) & part & (sizes > 0)), label, fractions, sizes, split, config
                )
        kept = with_pairs if with_pairs.any() else with_products
        return Dealt(
            pair_split=np.where(pair_fate == KEPT, split[label[pair_item]], NO_SPLIT),
            pair_fate=pair_fate,
            product_split=np.where(product_fate == KEPT, split[label[product_item]], NO_SPLIT),
            product_fate=product_fate,
            components=int((with_pairs + with_products > 0).sum()),
            largest=int(kept.max(initial=0)),
        )

    def _copies(self, alive: Mask, given: Labels) -> Labels:
        """Pairs that repeat another one word for word: of copies the one that was given a split stays."""
        rows = np.flatnonzero(alive)
        rows = rows[np.lexsort((rows, -given[rows], self.pairs.order[rows]))]
        order = self.pairs.order[rows]
        return rows[1:][order[1:] == order[:-1]]

    def _product_fate(
        self,
        leaking: Mask,
        pair_fate: NDArray[np.int8],
        product_item: Labels,
        config: EcommerceDataConfig,
    ) -> NDArray[np.int8]:
        """Products leak where every row of theirs does; those without a kept pair are limited in number. [products]"""
        # A product's items are all in its group; groups are numbered in the order products came.
        sound = np.zeros(len(product_item), dtype=bool)
        sound[self._items.groups[~leaking]] = True
        fate = np.where(sound, KEPT, LEAKS).astype(np.int8)
        if config.max_products is not None:
            paired = np.zeros(len(product_item), dtype=bool)
            paired[np.array(self._pair_product, dtype=np.int64)[pair_fate == KEPT]] = True
            alone = np.flatnonzero(sound & ~paired)
            order = alone[np.argsort(self._items.order[product_item[alone]], kind="stable")]
            fate[order[config.max_products :]] = BEYOND_TOTAL
        return fate

    def _assign(
        self,
        wanted: Labels,
        label: Labels,
        fractions: Mapping[str, float],
        sizes: Labels,
        split: Labels,
        config: EcommerceDataConfig,
    ) -> None:
        """Writes the split of each wanted component, by its size and the lowest hash of its texts."""
        if not len(wanted):
            return
        name = np.full(len(sizes), np.iinfo(np.uint64).max, dtype=np.uint64)
        products = np.array(self._product_item, dtype=np.int64)
        np.minimum.at(name, label[products], self._items.prompts[products])
        index = PairIndex()
        starts = []
        for one in wanted.tolist():
            starts.append(len(index))
            keys = PairKeys(int(name[one]), int(name[one]), 0, frozenset({int(name[one])}))
            for _ in range(int(sizes[one])):
                index.add(str(one), keys)
        found = assign(index, np.ones(len(index), dtype=bool), fractions, config.split_salt, config.split_mode)
        numbers = np.array([SPLITS.index(split_name) for split_name in fractions])
        split[wanted] = numbers[found[np.array(starts)]]
