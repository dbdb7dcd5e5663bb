"""Rows of every schema as product rows; what cannot be used goes to the tally with its reason.

A text where a list is expected, a score outside its range, an empty summary: such a row is bad and is left out, and too
many of them (`data.max_bad_share`) refuse the data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from domains.ecommerce.data_config import EcommerceDataConfig, Schema
from domains.ecommerce.product_rows import ProductRow, SummaryPair, with_pair
from domains.ecommerce.schemas import REVIEW_COLUMNS, SUMMARY_COLUMNS, USUAL, column_of
from domains.ecommerce.tier_pairs import Tiered, tier_of, tier_pairs
from domains.ecommerce.value_lists import listed, text_in, texts_in
from shared.data.columns import ColumnMapping, number_of, text_of
from shared.data.preferences import preference_record, undecided
from shared.data.rows import Row, RowTally

Ratings = tuple[float, ...] | None
GIVEN = "given."
SIDES = ("summary-one", "summary-two")
METADATA = ("flaw",)  # of a pair; kept for reports


class SchemaReader:
    """Reads rows of one schema.

    Args:
        schema: of the file.
        config: column names, range of scores, pairs made of tiers.
        tally: gets pairs that are tied.
        raters: number of each annotator seen so far; names of annotators are never carried.
    """

    def __init__(self, schema: Schema, config: EcommerceDataConfig, tally: RowTally, raters: dict[str, int]) -> None:
        self._config, self._tally, self._raters = config, tally, raters
        readers = {
            "opinpref": self._opinpref,
            "prompt-opin-summ": self._prompt_opin_summ,
            "opinion-summaries": self._opinion_summaries,
            "amazon-gold": self._amazon_gold,
            "summary-pairs": self._summary_pairs,
            "products": self._products,
        }
        self._read = readers[schema]

    def rows(self, row: Row) -> list[ProductRow]:
        """The product rows of one row: one, or several where pairs are made of it.

        Raises:
            InvalidValueError: a value has the wrong type.
            ValueError: something is missing or outside its range. The message never quotes a text.
        """
        return self._read(row)

    # Published schemas

    def _opinpref(self, row: Row) -> list[ProductRow]:
        """OpinPref (arXiv:2402.15473): two summaries with seven scores each, and which one an expert prefers."""
        values = row.values
        pairs = values.get("summary-pairs")
        if not isinstance(pairs, Mapping):
            raise ValueError("column 'summary-pairs' holds no object of two summaries")
        sides = [_side(pairs, name) for name in SIDES]
        texts = [text_of(side, "summary-text") for side in sides]
        for name, text in zip(SIDES, texts, strict=True):
            if not text:
                raise ValueError(f"has an empty {name!r}")
        preferred = number_of(values, "preference-data")
        if preferred not in (1, 2):
            raise ValueError("column 'preference-data' names no preferred summary: write 1 or 2")
        order = (0, 1) if preferred == 1 else (1, 0)
        scores = [self._scores(side.get("summary-score"), name) for side, name in zip(sides, SIDES, strict=True)]
        tiers = [tier_of(side.get("index")) for side in sides]
        covariates = [{} if None in tiers else {"tier": float(tier or 0)} for tier in tiers]
        rater = text_of(values, "source")
        pair = SummaryPair(
            chosen=texts[order[0]],
            rejected=texts[order[1]],
            scores_chosen=scores[order[0]],
            scores_rejected=scores[order[1]],
            covariates_chosen=covariates[order[0]],
            covariates_rejected=covariates[order[1]],
            metadata={"rater": self._rater(rater)} if rater else {},
        )
        product = _product_row(row, texts_in(values, "reviews", "reviews"))
        return [with_pair(product, pair, text_of(values, "unique-id"))]

    def _prompt_opin_summ(self, row: Row) -> list[ProductRow]:
        """PromptOpinSumm: summaries that a model wrote on purpose good, slightly bad and very bad, with their scores.

        The good ones are the product's reference summaries (of a model); pairs are made of the tiers where the recipe
        asks for them.
        """
        values = row.values
        summaries = [self._tiered(item, number) for number, item in enumerate(listed(values, "summaries", "summaries"))]
        written = [one for one in summaries if one.text]
        product = replace(
            _product_row(row, texts_in(values, "reviews", "reviews")),
            summaries=tuple(one.text for one in written if one.tier in (0, None)),
            summaries_by_model=True,
        )
        most = self._config.tier_pairs
        return [with_pair(product, pair) for pair in tier_pairs(written, most)] or [product]

    def _tiered(self, item: Any, number: int) -> Tiered:
        text = text_in(item, "summaries", "summaries")
        if not isinstance(item, Mapping):
            return Tiered(text, None, {})
        flags = ("is-good", "is-sbad", "is-vbad")
        tier = next((tier for tier, flag in enumerate(flags) if item.get(flag) is True), tier_of(item.get("index")))
        given = item.get("summary-score", item.get("score"))
        return Tiered(text, tier, self._scores(given, f"summaries[{number}]"))

    def _opinion_summaries(self, row: Row) -> list[ProductRow]:
        """Amazon, Flipkart and Oposum+ test files: lists written out in the cells of a CSV file."""
        values = row.values
        product = _product_row(row, texts_in(values, "review_text", "reviews"), text_of(values, "group_id"))
        return [replace(product, summaries=tuple(_summaries(values, "summary")))]

    def _amazon_gold(self, row: Row) -> list[ProductRow]:
        """One column a review, a rating and a summary: ``rev1``, ``rating1``, ``summ1`` and so on."""
        values = row.values
        numbers = [number for number, name in enumerate(REVIEW_COLUMNS, start=1) if name in values]
        reviews = [text_of(values, f"rev{number}") for number in numbers]
        ratings = [number_of(values, f"rating{number}") for number in numbers]
        summaries = [text_of(values, name) for name in SUMMARY_COLUMNS if name in values]
        product = _product_row(row, reviews, text_of(values, "prod_id"), _rated(ratings), text_of(values, "cat"))
        return [replace(product, summaries=tuple(summaries))]

    # Tables of one's own

    def _products(self, row: Row) -> list[ProductRow]:
        """One row a product: its reviews, and maybe ratings, category, reference summaries, and pairs of summaries."""
        product = self._product(row, text_of(row.values, self._config.columns.id))
        pairs = listed(row.values, self._config.columns.pairs, "pairs of summaries")
        return [one for item in pairs for one in self._with_pair(product, item, row.source)] or [product]

    def _product(self, row: Row, identifier: str = "") -> ProductRow:
        values, columns = row.values, self._config.columns
        name = column_of("reviews", columns, values) or columns.reviews or USUAL["reviews"][0]
        items = listed(values, name, "reviews")
        reviews = [text_in(item, name, "reviews") for item in items]
        ratings = self._ratings(values, items)
        product = _product_row(row, reviews, _text(values, "product", columns) or identifier, ratings)
        summaries = column_of("summaries", columns, values)
        category = _text(values, "category", columns) or None
        return replace(product, category=category, summaries=tuple(_summaries(values, summaries) if summaries else ()))

    def _ratings(self, values: Mapping[str, Any], items: Sequence[Any]) -> Ratings:
        """Ratings from a list of their own, or from reviews that are objects."""
        name = column_of("ratings", self._config.columns, values)
        if name is None:
            kinds = USUAL["rating"]
            return _rated([next((number_of(item, one) for one in kinds if one in item), None)
                           if isinstance(item, Mapping) else None for item in items])  # fmt: skip
        stars = listed(values, name, "ratings")
        if stars and len(stars) != len(items):
            raise ValueError(f"column {name!r} holds {len(stars)} ratings for {len(items)} reviews")
        return _rated([number_of({name: star}, name) for star in stars])

    def _summary_pairs(self, row: Row) -> list[ProductRow]:
        """One row a pair: reviews, and the preferred and the other summary, with what any preference file may have."""
        return self._with_pair(self._product(row), row.values, row.source)

    def _with_pair(self, product: ProductRow, values: Any, source: str) -> list[ProductRow]:
        """The product with one pair of summaries; without it where the pair is tied, which the tally is told."""
        columns = self._config.columns
        if not isinstance(values, Mapping):
            raise ValueError(f"column {columns.pairs!r} holds pairs that are no objects")
        names = ColumnMapping(chosen=columns.chosen, rejected=columns.rejected, id=columns.id, metadata=METADATA)
        record = preference_record(Row({**values, names.prompt: "reviews"}, source), names)
        if reason := undecided(record, self._config.min_margin):
            self._tally.leave_out(source, reason)
            return [product]
        pair = SummaryPair(
            chosen=record.chosen,
            rejected=record.rejected,
            margin=record.margin,
            weight=record.weight,
            votes=record.votes,
            scores_chosen=self._scores(record.scores_chosen, columns.chosen),
            scores_rejected=self._scores(record.scores_rejected, columns.rejected),
            covariates_chosen=record.covariates_chosen,
            covariates_rejected=record.covariates_rejected,
            rationale=record.rationale,
            metadata=record.metadata,
        )
        return [with_pair(product, pair, text_of(values, columns.id))]

    # Values

    def _scores(self, given: Any, where: str) -> dict[str, float]:
        """Feature scores under ``given.<name>``; one that is null or NaN is none.

        Raises:
            ValueError: no object of numbers, or one outside its range.
        """
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise ValueError(f"{where!r} holds no object of feature scores")
        least, most = self._config.score_least, self._config.score_most
        scores: dict[str, float] = {}
        for name, value in given.items():
            if isinstance(value, float) and math.isnan(value):
                continue
            score = number_of(given, name)
            if score is not None and not least <= score <= most:
                raise ValueError(f"score {str(name)[:40]!r} of {where!r} lies outside {least:g} to {most:g}")
            if score is not None:
                scores[GIVEN + str(name)] = score
        return scores

    def _rater(self, name: str) -> str:
        """Annotators are numbered in the order they come; pairs that all of them judged are told apart."""
        if name == "common":
            return name
        return f"rater-{self._raters.setdefault(name, len(self._raters) + 1)}"


def _side(pairs: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    side = pairs.get(name)
    if not isinstance(side, Mapping):
        raise ValueError(f"has no {name!r} in its 'summary-pairs'")
    return side


def _text(values: Mapping[str, Any], kind: str, columns: Any) -> str:
    name = column_of(kind, columns, values)
    return "" if name is None else text_of(values, name)


def _summaries(values: Mapping[str, Any], name: str) -> list[str]:
    """Reference summaries: a list, or one text."""
    value = values.get(name)
    if isinstance(value, str) and value.strip()[:1] not in ("[", "("):
        return [text_of(values, name)]
    return texts_in(values, name, "summaries")


def _rated(ratings: Sequence[float | None]) -> Ratings:
    if all(rating is None for rating in ratings):
        return None
    return tuple(math.nan if rating is None else rating for rating in ratings)


def _product_row(
    row: Row, reviews: Sequence[str], product: str = "", ratings: Ratings = None, category: str = ""
) -> ProductRow:
    return ProductRow(
        id=product,
        group_id=product,
        source=row.source,
        reviews=tuple(reviews),
        ratings=ratings,
        category=category or None,
        named=bool(product),
    )
