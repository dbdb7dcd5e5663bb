"""Columns of both sides: a judgement is a score, never a covariate that would tell a baseline the label."""

from typing import Any

import pytest

from shared.data.columns import ColumnMapping
from shared.data.preferences import preference_record
from shared.data.rows import InvalidValueError, Row
from shared.records import PreferenceRecord, Votes

PAIR = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}


def record(names: ColumnMapping | None = None, **columns: Any) -> PreferenceRecord:
    return preference_record(Row({**PAIR, **columns}, "a.csv:2"), names or ColumnMapping())


@pytest.mark.parametrize("name", ["score", "rating", "reward"])
def test_an_overall_judgement_is_a_score(name: str) -> None:
    found = record(None, **{f"chosen_{name}": "5", f"rejected_{name}": 2})
    assert (found.scores_chosen, found.scores_rejected) == ({"overall": 5.0}, {"overall": 2.0})
    assert (found.covariates_chosen, found.covariates_rejected) == ({}, {})


@pytest.mark.parametrize("name", ["votes", "upvotes"])
def test_votes_are_no_covariate(name: str) -> None:
    found = record(None, **{f"chosen_{name}": 5, f"rejected_{name}": 2})
    assert (found.covariates_chosen, found.covariates_rejected) == ({}, {})


def test_mapped_columns_are_no_covariates() -> None:
    names = ColumnMapping(votes_chosen="chosen_raters", votes_rejected="rejected_raters")
    found = record(names, chosen_raters=4, rejected_raters=1, chosen_views=10, rejected_views=20)
    assert found.votes == Votes(4, 1)
    assert (found.covariates_chosen, found.covariates_rejected) == ({"views": 10.0}, {"views": 20.0})


def test_a_covariate_stands_on_both_sides_or_on_neither() -> None:
    found = record(chosen_views=1, chosen_place=1, rejected_place="", chosen_note="x", rejected_note="y")
    assert (found.covariates_chosen, found.covariates_rejected) == ({}, {})


def test_blank_cells_are_missing_values() -> None:
    found = record(chosen_scores=" ", rejected_scores="", margin=" ", weight="", topic=float("nan"))
    assert (found.scores_chosen, found.margin, found.weight, dict(found.metadata)) == ({}, None, 1.0, {})


@pytest.mark.parametrize("value", ["1_000", b"3", True, "1,5", "nan", float("inf")])
def test_what_python_takes_for_a_number_but_a_data_set_does_not(value: Any) -> None:
    with pytest.raises(InvalidValueError, match="column 'margin' holds no"):
        record(margin=value)


def test_integers_as_ids() -> None:
    found = record(id=17, group_id=3)
    assert (found.id, found.group_id) == ("17", "3")
