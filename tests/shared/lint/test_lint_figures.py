"""What the plots are drawn from: histograms, intervals that hold together, similarities."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from shared.errors import DataError
from shared.evaluation.paired import holm
from shared.lint.figures import binned, shares
from shared.lint.findings import LintError, stop_on_errors
from shared.lint.near_duplicates import SimilarTexts
from shared.lint.pairs import hash_text
from shared.lint.predictors import LENGTH, simultaneous_intervals
from shared.lint.signs import SignAccuracy, sign_accuracy
from tests.shared.lint.lint_records import TEXTS, pair, report_on

numbers = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=60)


@settings(max_examples=80, deadline=None)
@given(numbers, st.booleans())
def test_a_histogram_counts_every_finite_number_once(values, symmetric):
    figure = binned(values, symmetric=symmetric)
    assert sum(figure["counts"]) == sum(math.isfinite(value) for value in values)
    if figure["counts"]:
        assert len(figure["edges"]) == len(figure["counts"]) + 1
        assert all(a < b for a, b in zip(figure["edges"], figure["edges"][1:], strict=False))
        finite = [value for value in values if math.isfinite(value)]
        outside = sum(value < figure["edges"][0] or value > figure["edges"][-1] for value in finite)
        assert figure["beyond"] == outside


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3000, 3000), min_size=1, max_size=80))
def test_bins_of_whole_numbers_are_centred_on_whole_numbers_and_on_zero(values):
    figure = binned(values, symmetric=True)
    middles = [(a + b) / 2 for a, b in zip(figure["edges"], figure["edges"][1:], strict=False)]
    assert all(middle == round(middle) for middle in middles)
    assert 0 in middles


def test_few_whole_numbers_get_a_bin_each_and_a_few_extremes_do_not_squeeze_the_rest():
    assert binned([1, 1, 2, 5]) == {"counts": [2, 1, 0, 0, 1], "edges": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "beyond": 0}
    figure = binned([*np.linspace(0, 1, 1000), 1e6, 2e6])
    assert figure["beyond"] >= 2
    assert figure["edges"][-1] < 2


def test_shares_stand_in_the_middle_of_their_bins():
    figure = shares([0.5, 0.6, 0.6, 1.0])
    counted = {round((a + b) / 2, 6): n for a, b, n in
               zip(figure["edges"], figure["edges"][1:], figure["counts"], strict=False) if n}  # fmt: skip
    assert counted == {0.5: 1, 0.6: 2, 1.0: 1}


def of_wins(wins, n):
    signs = np.array([1] * wins + [-1] * (n - wins), dtype=np.int8)
    return sign_accuracy(signs, np.arange(n))


def test_an_interval_of_another_level_is_the_formula():
    result = of_wins(60, 100)
    error = math.sqrt(100 / 99 * (60 * 0.4**2 + 40 * 0.6**2)) / 100
    assert result.error == pytest.approx(error, rel=1e-12)
    for level in (0.9, 0.95, 0.999):
        half = student.ppf((1 + level) / 2, 99) * error
        assert result.interval(level) == pytest.approx((0.6 - half, 0.6 + half), rel=1e-12)
    assert result.interval(0.95) == (result.low, result.high)
    assert all(math.isnan(end) for end in SignAccuracy(0.5, math.nan, math.nan, math.nan, 3, 1).interval(0.95))


def test_holm_s_intervals_exclude_one_half_where_holm_rejects():
    results = {f"c{wins}": of_wins(wins, 400) for wins in (205, 224, 228, 232, 260)}
    alpha = 0.05
    ends = simultaneous_intervals(results, alpha)
    adjusted = holm({name: each.p_value for name, each in results.items()})
    # The smallest p value stands at alpha / 5, the largest at alpha.
    assert ends["c260"] == pytest.approx(results["c260"].interval(1 - alpha / 5))
    assert ends["c205"] == pytest.approx(results["c205"].interval(1 - alpha))
    still = True
    for name in sorted(results, key=lambda one: results[one].p_value):
        still = still and ends[name][0] > 0.5
        assert still == (adjusted[name] < alpha), name


def test_the_length_is_one_judge_of_the_family_but_no_finding_of_it():
    records = [
        pair(n, chosen="long " * 20, rejected="short", covariates_chosen={"v": 2.0}, covariates_rejected={"v": 1.0})
        for n in range(60)
    ]
    report = report_on(records)
    rows = {row["column"]: row for row in report.figures["label_predictors"]["columns"]}
    assert set(rows) == {"covariates.v", LENGTH}
    assert rows[LENGTH]["accuracy"] == report.figures["length_bias"]["accuracy"] == 1.0
    assert rows["covariates.v"]["low_together"] < rows["covariates.v"]["low"]
    assert [each.subject for each in report.of("label_predictors")] == ["covariates.v"]


def test_similarities_count_texts_by_their_nearest_other():
    text = " ".join(TEXTS)
    near = text.replace("crooked", "straight")
    others = [" ".join(f"{n}{k}" for k in range(40)) for n in ("a", "b", "c")]
    index = SimilarTexts(0.8, 8)
    index.add([text, near, *others], [hash_text(one) for one in (text, near, *others)])
    figure = index.similarities()
    assert figure["texts"] == 5
    assert sum(figure["counts"]) == 2
    assert sum(n for n, edge in zip(figure["counts"], figure["edges"], strict=False) if edge >= 0.8) == 2


def test_an_error_carries_its_reports():
    good, bad = report_on([pair(n) for n in range(5)]), report_on([pair(n, group_id="one") for n in range(5)])
    stop_on_errors({"source": good})
    with pytest.raises(LintError, match=r"belong to one group.*lint\.severities") as caught:
        stop_on_errors({"source": bad, "splits": bad})
    assert isinstance(caught.value, DataError)
    assert str(caught.value).count("belong to one group") == 1
    assert list(caught.value.reports) == ["source", "splits"]
