"""Agreement of single factors with preferences: known shares, ties, directions, strata, intervals by group."""

import pytest

from shared.errors import DataError
from shared.explain.agreement import agreement_table

CHOSEN = [{"good": 1.0, "bad": 0.0, "flat": 1.0}] * 3 + [{"good": 0.0, "bad": 0.0, "flat": 1.0}]
REJECTED = [{"good": 0.0, "bad": 1.0, "flat": 1.0}] * 3 + [{"good": 1.0, "bad": 1.0, "flat": 1.0}]


def test_accuracy_follows_the_sign_and_a_tie_counts_half() -> None:
    table = agreement_table(CHOSEN, REJECTED, list("abcd"), {"good": "+", "bad": "-", "flat": None})
    assert [(row.name, row.accuracy.value, row.ties) for row in table] == [
        ("good", 0.75, 0.0),
        ("bad", 1.0, 0.0),
        ("flat", 0.5, 1.0),
    ]
    assert agreement_table(CHOSEN, REJECTED, list("abcd"), {"bad": None})[0].accuracy.value == 0.0


def test_strata_are_parts_of_the_pairs() -> None:
    strata = {"last": [False, False, False, True], "none": [False] * 4}
    row = agreement_table(CHOSEN, REJECTED, list("abcd"), {"good": "+"}, strata)[0]
    assert row.strata["last"].value == 0.0
    assert row.strata["last"].n == 1
    assert str(row.strata["none"]) == "n/a"
    assert row.to_json()["strata"]["none"]["value"] is None


def test_the_interval_is_by_group() -> None:
    chosen = [{"f": float(number % 5 != 0)} for number in range(200)]
    rejected = [{"f": 0.5}] * 200
    alone = agreement_table(chosen, rejected, range(200), {"f": "+"})[0].accuracy
    grouped = agreement_table(chosen, rejected, [number % 5 for number in range(200)], {"f": "+"})[0].accuracy
    assert alone.value == grouped.value == 0.8
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)  # whole groups are right or wrong


def test_a_missing_value_names_pair_and_factor() -> None:
    with pytest.raises(DataError, match="pair 1 has no value of the factor 'f'"):
        agreement_table([{"f": 1.0}, {}], [{"f": 0.0}] * 2, None, {"f": "+"})


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="different length"):
        agreement_table(CHOSEN, REJECTED[:3], list("abcd"), {"good": "+"})
