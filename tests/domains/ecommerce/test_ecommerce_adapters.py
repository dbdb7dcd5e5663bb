"""Rows with anything in them: read, or said to be bad, and never anything else."""

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.ecommerce.adapters import SchemaReader
from domains.ecommerce.data_config import EcommerceDataConfig, Schema
from domains.ecommerce.review_rows import gathered
from domains.ecommerce.review_texts import CleaningCounts
from shared.data.rows import Row, RowTally
from tests.domains.ecommerce.ecommerce_cases import gold, opinpref, prompt_opin_summ, reviews

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
ROWS: dict[Schema, dict[str, Any]] = {
    "opinpref": opinpref(1),
    "prompt-opin-summ": prompt_opin_summ(1),
    "opinion-summaries": {"group_id": "g", "review_text": repr(reviews(1)), "summary": "['Fine.']"},
    "amazon-gold": gold(1),
    "summary-pairs": {"reviews": reviews(1), "chosen": "a", "rejected": "b", "chosen_scores": {"x": 1.0}, "id": "1"},
    "products": {
        "reviews": reviews(1),
        "ratings": [1, 2, 3],
        "summaries": ["a"],
        "pairs": [{"chosen": "a", "rejected": "b"}],
    },
}


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within a row."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, item in inside for one in ((*prefix, key), *paths(item, (*prefix, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def test_every_schema_of_a_file_with_one_row_a_product_has_a_reader() -> None:
    assert {*ROWS, "reviews"} == set(get_args(Schema))


@pytest.mark.parametrize("schema", list(ROWS))
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_row_is_read_or_said_to_be_bad(schema: Schema, data: st.DataObject) -> None:
    row = ROWS[schema]
    path = data.draw(st.sampled_from(paths(row)))
    values = replaced(row, path, data.draw(VALUES))
    reader = SchemaReader(schema, EcommerceDataConfig(tier_pairs=3), RowTally(1, 1), {})
    found, problem = [], ""
    try:
        found = reader.rows(Row(values, "a.jsonl:1"))
    except ValueError as error:
        problem = str(error)
    assert bool(found) != bool(problem)
    assert "\n" not in problem
    for one in found:
        assert one.ratings is None or len(one.ratings) == len(one.reviews)
        assert all(isinstance(text, str) for _, text in one.texts())
        scores = [] if one.pair is None else [*one.pair.scores_chosen.values(), *one.pair.scores_rejected.values()]
        assert all(0 <= score <= 5 for score in scores)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries({"product": SCALARS, "review": VALUES, "rating": SCALARS}), max_size=8))
def test_rows_of_single_reviews_are_all_accounted_for(rows: list[dict[str, Any]]) -> None:
    tally, counts = RowTally(1, 1), CleaningCounts()
    found = list(
        gathered(
            (Row(values, f"a.jsonl:{number}") for number, values in enumerate(rows, start=1)),
            EcommerceDataConfig(min_reviews=1, max_reviews=2),
            tally,
            counts,
            lambda row: -1,
        )
    )
    kept = sum(len(one.reviews) for one in found)
    assert kept + counts.repeated_reviews + counts.surplus_reviews == tally.good
    assert tally.good + len(tally.bad) == len(rows)
    assert all(len(one.reviews) <= 2 for one in found)
