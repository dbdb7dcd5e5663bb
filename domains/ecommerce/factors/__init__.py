"""What can be measured of a summary from its text and its reviews, without an endpoint: named factors in one registry.

`registry.FACTORS` says what every number is; the paper's seven features (arXiv:2402.15473) are what experts or a
language model judged and stand beside these in the records.
"""

from domains.ecommerce.factors.items import SummaryItem
from domains.ecommerce.factors.registry import FACTORS, MEASURED, extract, extractor, factor_cache, measure

__all__ = ["FACTORS", "MEASURED", "SummaryItem", "extract", "extractor", "factor_cache", "measure"]
