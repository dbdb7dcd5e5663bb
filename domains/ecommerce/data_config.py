"""Settings of the e-commerce domain's data stage."""

from typing import Literal

from pydantic import Field, model_validator

from domains.ecommerce.prompting import SummaryPrompt
from shared.data.preparing import NearDuplicates
from shared.deidentify.config import DeidentifyConfig
from shared.recipes import Component

SPLITS = ("train", "judge", "validation", "test")
Schema = Literal[
    "opinpref", "prompt-opin-summ", "opinion-summaries", "amazon-gold", "summary-pairs", "products", "reviews"
]
LICENCES: dict[Schema, str] = {
    "opinpref": "MIT (OpinPref)",
    "prompt-opin-summ": "MIT (PromptOpinSumm)",
    "amazon-gold": "MIT as the sources of the summaries state; the reviews were scraped",
}


class ProductColumns(Component):
    """Names of the columns of tables of one's own; null looks for the usual names (`domains.ecommerce.schemas`).

    A column that is named here must be there. No other column is carried into records.

    Attributes:
        product: id of the product.
        reviews: list of the product's reviews (one row a product).
        review: text of one review (one row a review).
        ratings: list of the reviews' stars.
        rating: stars of one review.
        category: kind of product.
        summaries: reference summaries, a list or one text.
        chosen: preferred summary of a pair.
        rejected: the other one.
        pairs: list of objects with `chosen` and `rejected` (one row a product).
        id: id of the pair, or of the product where a row is a product.
        split: train, judge, validation (valid, val, dev) or test; null reads none.
    """

    product: str | None = None
    reviews: str | None = None
    review: str | None = None
    ratings: str | None = None
    rating: str | None = None
    category: str | None = None
    summaries: str | None = None
    chosen: str = "chosen"
    rejected: str = "rejected"
    pairs: str = "pairs"
    id: str = "id"
    split: str | None = "split"


class ProductFractions(Component):
    """Share of the pairs of each split, and of the products without pairs; scaled to sum to 1."""

    train: float = Field(default=0.5, gt=0)
    judge: float = Field(default=0.2, ge=0)
    validation: float = Field(default=0.0, ge=0)
    test: float = Field(default=0.3, gt=0)


class EcommerceDataConfig(Component):
    """How reviews, summaries and preferences are read and split.

    Attributes:
        adapter: the schema of every file: by its columns (auto), or named.
        columns: names of the columns of tables of one's own.
        products: a second file, folder or ``hub:ID`` of products, with or without summaries, for the training split;
            a path that is not absolute is looked for beside the data, then in the working folder.
        gold: a third one of products with summaries that people wrote, for the test split.
        summary_prompt: how reviews are put before a model, and which of them.
        tier_pairs: pairs made of each product of PromptOpinSumm from its tiers of quality (the paper's synthetic
            feedback); 0 makes none.
        score_least: least value of a given feature score; a row with one below is bad.
        score_most: greatest value of a given feature score.
        min_reviews: products with fewer are left out: there is nothing to summarise.
        max_reviews: reviews kept of one product, by content hash; null keeps all.
        max_products: products without pairs that are kept, by content hash; null keeps all.
        min_margin: least margin of pairs that have one.
        max_pairs_per_group: pairs kept of one product, by content hash; null keeps all.
        max_pairs: pairs kept in all, of as many products as possible; null keeps all.
        max_summary_chars: longest summary of a pair, in characters; null sets no limit.
        near_duplicates: keep pairs whose prompt and summaries all nearly repeat another pair's, or drop them; exact
            repeats are always dropped.
        near_duplicate_similarity: share of common word pairs (Jaccard similarity) from which texts are near-duplicates.
        max_bad_share: share of rows that lack something, or hold a score outside its range or a text in place of a
            list, above which the data are refused.
        max_broken_share: the same for rows that cannot be read (broken JSON, a rating that is no number).
        fractions: sizes of the splits that the data do not give themselves.
        split_mode: quota (fractions met) or hash (stable when rows are added).
        split_salt: another value gives another split.
        licence: of the data, as their source states it.
        location: hub data set, set by `--data hub:ID`.
        deidentify: masking before anything is stored; cannot be switched off without a stated reason.
    """

    adapter: Literal["auto"] | Schema = "auto"
    columns: ProductColumns = ProductColumns()
    products: str | None = None
    gold: str | None = None
    summary_prompt: SummaryPrompt = SummaryPrompt()
    tier_pairs: int = Field(default=0, ge=0, le=27)
    score_least: float = 0.0
    score_most: float = 5.0
    min_reviews: int = Field(default=2, ge=1)
    max_reviews: int | None = Field(default=500, ge=1)
    max_products: int | None = Field(default=None, ge=1)
    min_margin: float = Field(default=0.0, ge=0)
    max_pairs_per_group: int | None = Field(default=None, ge=1)
    max_pairs: int | None = Field(default=None, ge=4)
    max_summary_chars: int | None = Field(default=None, ge=1)
    near_duplicates: NearDuplicates = "keep"
    near_duplicate_similarity: float = Field(default=0.8, ge=0.5, le=1)
    max_bad_share: float = Field(default=0.05, ge=0, le=1)
    max_broken_share: float = Field(default=0.0, ge=0, le=1)
    fractions: ProductFractions = ProductFractions()
    split_mode: Literal["quota", "hash"] = "quota"
    split_salt: str = "valign"
    licence: str | None = None
    location: str | None = None
    deidentify: DeidentifyConfig = DeidentifyConfig()

    @model_validator(mode="after")
    def _ranges(self) -> "EcommerceDataConfig":
        if self.score_least >= self.score_most:
            raise ValueError("score_least must be below score_most")
        if self.max_reviews is not None and self.max_reviews < self.min_reviews:
            raise ValueError("max_reviews must not be below min_reviews")
        return self

    def shares(self) -> dict[str, float]:
        """Fraction of each split, in the order of `SPLITS`."""
        return {split: getattr(self.fractions, split) for split in SPLITS}
