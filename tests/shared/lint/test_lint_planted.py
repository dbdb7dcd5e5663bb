"""Recall and precision of every check on planted defects, with floors."""

import pytest

from benchmarks.lint_planted import CONFIG, defects_of_whole_data, flips_by_confidence, length_biased, run, scores
from benchmarks.planted_pairs import Planted, planted
from benchmarks.synthetic_pairs import clean_pairs


@pytest.fixture(scope="module")
def data():
    return planted(2000, seed=3)


@pytest.mark.slow
def test_planted_defects_are_found_and_little_else(data):
    rows = scores(data, run(data))
    assert {row.check for row in rows} >= {"ties", "leak_group", "personal_data", "preference_cycles", "label_flips"}
    for row in rows:
        # Words tell a flipped label only partly; chance precision would be .04.
        recall, precision = (0.1, 0.4) if row.check == "label_flips" else (0.95, 0.95)
        assert row.recall >= recall, row
        assert row.precision >= precision, row


@pytest.mark.slow
def test_a_lower_confidence_finds_more_flips_less_surely(data):
    strict, loose = flips_by_confidence(data, (0.9, 0.7))
    assert loose.recall > max(0.4, 2 * strict.recall)
    assert strict.precision > loose.precision > 0.2


@pytest.mark.slow
def test_length_bias_is_found_where_it_was_planted_only(data):
    config = CONFIG.model_copy(update={"severities": {"label_flips": "off"}})
    assert not run(data, config).of("length_bias")
    assert run(length_biased(data), config).of("length_bias")


def test_what_holds_for_a_whole_data_set_is_found_where_it_holds_only():
    rows = defects_of_whole_data(80, seed=2)
    assert {(row.check, row.found, row.hits) for row in rows} == {("all_tied", 1, 1), ("one_group", 1, 1)}


def test_clean_pairs_are_called_clean():
    pairs = list(clean_pairs(800, seed=11))
    found = run(Planted(pairs[:640], pairs[640:])).findings
    assert {each.check for each in found if each.severity != "info"} <= {"label_flips"}
