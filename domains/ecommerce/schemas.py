"""Which published schema, or which table of one's own, a file holds: told by its columns."""

from collections.abc import Collection, Sequence

from domains.ecommerce.data_config import ProductColumns, Schema
from shared.data.columns import require_columns
from shared.errors import DataError

# Usual names, in the order of preference: a parent id stands for all variants of a product.
USUAL: dict[str, tuple[str, ...]] = {
    "product": (
        "product", "product_id", "prod_id", "productId", "ProductId", "parent_asin", "asin", "group_id", "item_id",
        "entity_id", "business_id",
    ),
    "reviews": ("reviews", "review_texts"),
    "review": ("review", "review_text", "reviewText", "review_body", "text", "Text", "content", "body"),
    "ratings": ("ratings", "stars_list"),
    "rating": ("rating", "overall", "stars", "star_rating", "score", "Score"),
    "category": ("category", "cat", "product_category", "main_category"),
    "summaries": ("summaries", "gold_summaries", "references", "summary"),
}  # fmt: skip
SUMMARY_COLUMNS = tuple(f"summ{number}" for number in range(1, 10))
REVIEW_COLUMNS = tuple(f"rev{number}" for number in range(1, 65))


def column_of(kind: str, columns: ProductColumns, present: Collection[str]) -> str | None:
    """The column of a kind: the one that the recipe names, or the first usual name that is there; None for none."""
    named = getattr(columns, kind)
    if named is not None:
        return named if named in present else None
    return next((name for name in USUAL[kind] if name in present), None)


def schema_of(present: Collection[str], columns: ProductColumns) -> Schema | None:
    """The schema of a file with such columns; None where it is none that is known."""
    names = set(present)
    if "summary-pairs" in names:
        return "opinpref"
    if "rev1" in names and names & {"prod_id", *SUMMARY_COLUMNS}:
        return "amazon-gold"
    if {"group_id", "review_text", "summary"} <= names:
        return "opinion-summaries"
    if column_of("reviews", columns, names):
        if columns.chosen in names and columns.rejected in names:
            return "summary-pairs"
        return "prompt-opin-summ" if {"unique-id", "summaries"} <= names else "products"
    if column_of("product", columns, names) and column_of("review", columns, names):
        return "reviews"
    return None


def required(schema: Schema, columns: ProductColumns) -> tuple[str, ...]:
    """Columns without which no row of a schema can be read."""
    if schema == "opinpref":
        return ("reviews", "summary-pairs", "preference-data")
    if schema == "amazon-gold":
        return ("rev1",)
    if schema == "opinion-summaries":
        return ("group_id", "review_text", "summary")
    if schema == "prompt-opin-summ":
        return ("reviews", "summaries")
    if schema == "summary-pairs":
        return (columns.reviews or "reviews", columns.chosen, columns.rejected)
    return (columns.reviews or "reviews",) if schema == "products" else ()


def checked_schema(wanted: str, present: Sequence[str], columns: ProductColumns, source: str) -> Schema:
    """The schema of a file, and that its columns are there.

    Args:
        wanted: ``auto``, or the schema that the recipe names.
        present: columns of the file's first rows.
        columns: names that the recipe maps.
        source: file and row, for messages.

    Raises:
        DataError: no known schema, or a column of it is missing.
    """
    fields = ProductColumns.model_fields
    named = [getattr(columns, name) for name in fields if getattr(columns, name) != fields[name].default]
    require_columns([name for name in named if name is not None], present, source)
    schema = schema_of(present, columns) if wanted == "auto" else wanted
    if schema is None:
        listed = ", ".join(sorted(str(one)[:40] for one in present if str(one))[:12]) or "none"
        raise DataError(
            f"{source} has columns of no kind that is known ({listed}): give one row a product with a list 'reviews' "
            "(and 'summaries', or 'chosen' and 'rejected'), or one row a review with 'product' and 'review', or map "
            "them with data.columns in the recipe."
        )
    checked: Schema = schema  # type: ignore[assignment]  # the recipe's Literal
    require_columns(required(checked, columns), present, source)
    if checked == "reviews":
        for kind in ("product", "review"):
            if column_of(kind, columns, present) is None:
                require_columns((getattr(columns, kind) or kind,), present, source)
    return checked
