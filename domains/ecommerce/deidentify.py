"""What de-identification must know of product reviews: brands that read like names, and shops, stay readable.

A review without the brand it is about teaches nothing, and brands, models and characters are most of what a recogniser
of names finds in reviews ("Seiko", "Mario", "Anne Klein"). Two rules tell them from people: a list of brands, and that
several reviewers of a product name its brand, while each of them signs with another name.
"""

import re
from collections.abc import Sequence
from typing import Any

from shared.deidentify.config import DeidentifyConfig
from shared.deidentify.deidentifier import Deidentifier
from shared.deidentify.findings import Finding

SHOPS = (
    "amazon.com",
    "amazon.co.uk",
    "amazon.ca",
    "amazon.de",
    "ebay.com",
    "walmart.com",
    "target.com",
    "bestbuy.com",
    "costco.com",
    "etsy.com",
    "flipkart.com",
    "homedepot.com",
    "newegg.com",
    "zappos.com",
)
# Brands, products and words of the trade that the recognisers took for people's names in public reviews. People's
# names of the same spelling ("Terry", "Luke") are none: better a terry cloth lost than a reviewer named.
BRANDS = (
    "Accuchek", "Adidas", "Andis", "Anne Klein", "Ateco", "Austin Air", "Barbie", "Bass", "Belkin", "Bissell",
    "Black and Decker", "Blu", "Blu-Ray", "Blu Ray", "Blu-Rays", "Bluetooth", "Bodum", "Braun", "Brioni", "Brita",
    "Calvin Klein", "Chuvora", "Clarks", "Coffee", "Comfort", "Crocs", "Cuisinart", "Dansko", "Darth Vader", "Denon",
    "Dr. Scholl", "Dr. Scholls", "Dyson", "Eddie Bauer", "Fisher Price", "Garmin", "George Foreman", "Hamilton Beach",
    "Hanes", "Harley Davidson", "Heater", "Henckel", "Henckels", "Hoover", "Item", "Jansport", "Johnson & Johnson",
    "Keens", "Kenwood", "Keurig", "Kindle", "Klipsch", "Levi", "Levis", "Levi's", "Logitech", "Lululemon", "Mac",
    "MacBook", "MacBook Pro", "Mardi Gras", "Mario", "Marpac", "Marshalls", "Memory", "Mickey", "Miele", "Morton",
    "Nordstrom", "Oxo", "Philips", "Price", "Pyrex", "Ray Ban", "Reebok", "Remington", "Replens", "Rod", "Roku",
    "Safari", "Samsung", "Scholl", "Scholls", "Seiko", "Seller", "Sony", "Thermos", "Tommy Hilfiger", "Toro", "Vans",
    "Valentine", "Vick", "Victoria Secret", "Vizio", "Voila", "Wilton", "Wusthof", "Zarbee", "Ziplock",
)  # fmt: skip
SEVERAL = 2  # reviews of one product that say a name, from which it is the product's
_SIGNED = ("name-closing", "person-field")  # two reviewers may sign with the same first name


def ecommerce_deidentify(config: DeidentifyConfig) -> DeidentifyConfig:
    """The recipe's configuration with shops and brands added to its allow list."""
    return config.model_copy(update={"allow_list": tuple(dict.fromkeys((*SHOPS, *BRANDS, *config.allow_list)))})


class ReviewDeidentifier(Deidentifier):
    """A `Deidentifier` that leaves names alone which several reviews of the same product say (unless they sign one).

    They are counted among what the allow list let pass.

    Args:
        config: the recipe's; shops and brands are added to its allow list.
    """

    def __init__(self, config: DeidentifyConfig | None = None) -> None:
        super().__init__(ecommerce_deidentify(config or DeidentifyConfig()))

    def _mask_record(self, record: Any, texts: list[tuple[str, str]], found: list[list[Finding]], groups: Any) -> Any:
        reviews = [text.casefold() for field, text in texts if field == "reviews"]
        kept = [self._people(text, findings, reviews) for (_, text), findings in zip(texts, found, strict=True)]
        return super()._mask_record(record, texts, kept, groups)

    def _people(self, text: str, findings: list[Finding], reviews: Sequence[str]) -> list[Finding]:
        kept = []
        for finding in findings:
            name = text[finding.start : finding.end].casefold().strip()
            of_product = finding.entity == "NAME" and finding.recogniser not in _SIGNED and _said(name, reviews)
            self.report.allowed += of_product
            if not of_product:
                kept.append(finding)
        return kept


def _said(name: str, reviews: Sequence[str]) -> bool:
    """Whether several reviews say a name, as words of its own."""
    holding = (review for review in reviews if name in review)
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    return sum(word.search(review) is not None for review in holding) >= SEVERAL
