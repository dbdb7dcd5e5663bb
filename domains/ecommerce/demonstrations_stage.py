"""What supervised training learns from: summaries that products have, and preferred ones of pairs."""

from collections.abc import Iterator, Sequence

from domains.ecommerce.products import Product, iter_products
from domains.ecommerce.prompting import SummaryPrompt, product_prompt
from shared.data.record_files import read_records
from shared.errors import DataError
from shared.records import content_id
from shared.stages import StageContext
from shared.training.demonstrations import Demonstration, of_preferences, write_demonstrations


def demonstrations(context: StageContext) -> dict[str, float]:
    """Writes ``demonstrations-train.arrow`` and, of validation products, ``demonstrations-validation.arrow``.

    Config: ``learn_from`` (see `domains.ecommerce.recipe.SupervisedRecipe`) and ``summary_prompt``. Input ``data``.

    Returns:
        ``demonstrations/train``, ``demonstrations/validation``.

    Raises:
        DataError: no training product has what is asked for.
    """
    learn_from = context.config["learn_from"]
    settings = SummaryPrompt.model_validate(context.config["summary_prompt"])
    counts = {}
    for split in ("train", "validation"):
        found: list[Demonstration] = []
        if "summaries" in learn_from:
            products = context.inputs["data"] / f"products-{split}.arrow"
            found += _of_products(list(iter_products(products)), settings)
        if "preferred" in learn_from:
            found += of_preferences(read_records(context.inputs["data"] / f"{split}.arrow"), "undefeated")
        counts[split] = write_demonstrations(context.out / f"demonstrations-{split}.arrow", _once(found))
    if not counts["train"]:
        raise DataError(
            f"no training product has {' or '.join(learn_from)} to learn from (sft.learn_from): give products with "
            "summaries, or set sft=null."
        )
    return {f"demonstrations/{split}": float(count) for split, count in counts.items()}


def _of_products(products: Sequence[Product], settings: SummaryPrompt) -> Iterator[Demonstration]:
    for product in products:
        for number, summary in enumerate(product.summaries):
            identifier = content_id("demonstration", product.id, str(number))
            yield Demonstration(identifier, product.id, product.source, product_prompt(product, settings), summary)


def _once(found: Sequence[Demonstration]) -> Iterator[Demonstration]:
    seen: set[tuple[str, str]] = set()
    for one in found:
        key = (one.group_id, one.response)
        if key not in seen:
            seen.add(key)
            yield one
