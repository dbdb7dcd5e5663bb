"""Agreement statistics against published tables, other implementations and their own properties."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from shared.judges.agreement import (
    alpha_estimate,
    cohen_estimate,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    raw_agreement,
)

_ = -1  # no rating
# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: 4 observers, 12 units.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T
# J. L. Fleiss (1971) as in the usual worked example: 10 items, 14 raters, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_own_table(level, published):
    assert krippendorff_alpha(KRIPPENDORFF, level) == pytest.approx(published, abs=5e-4)


def test_fleiss_own_table():
    codes = np.array([np.repeat(np.arange(5), row) for row in FLEISS])
    assert fleiss_kappa(codes) == pytest.approx(0.210, abs=5e-4)


def test_cohens_kappa_of_the_textbook_table():
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert raw_agreement(np.stack([first, second], axis=1)) == pytest.approx(0.7)


tables = st.integers(2, 4).flatmap(
    lambda raters: st.lists(st.lists(st.integers(-1, 4), min_size=raters, max_size=raters), min_size=2, max_size=30)
)
full_pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40)


@given(full_pairs)
@settings(deadline=None)
def test_cohens_kappa_is_scikit_learns(pairs):
    first, second = np.array(pairs).T
    for weights, name in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = cohen_kappa_score(first, second, weights=name, labels=list(range(5)))
        assert cohen_kappa(first, second, weights) == pytest.approx(theirs, abs=1e-12, nan_ok=True)


def alpha_by_definition(codes, level, values):
    """1 - D_o / D_e from the coincidence matrix, entry by entry."""
    size = codes.max() + 1
    coincidences = np.zeros((size, size))
    for row in codes:
        given = [one for one in row if one >= 0]
        for at, one in enumerate(given):
            for other in given[:at] + given[at + 1 :]:
                coincidences[one, other] += 1 / (len(given) - 1)
    margin = coincidences.sum(axis=0)
    total = margin.sum()

    def distance(c, k):
        if level == "nominal":
            return float(c != k)
        if level == "interval":
            return (values[c] - values[k]) ** 2
        low, high = sorted((c, k))
        return (margin[low : high + 1].sum() - (margin[low] + margin[high]) / 2) ** 2 if low != high else 0.0

    apart = np.array([[distance(c, k) for k in range(size)] for c in range(size)])
    expected = (np.outer(margin, margin) * apart).sum() / (total - 1) if total > 1 else 0
    return 1 - (coincidences * apart).sum() / expected if expected > 0 else math.nan


@given(tables, st.sampled_from(["nominal", "ordinal", "interval"]))
@settings(deadline=None)
def test_alpha_is_its_definition(rows, level):
    codes = np.array(rows)
    if (codes >= 0).sum() == 0:
        return
    values = np.array([0.0, 1.0, 1.5, 4.0, 10.0])[: codes.max() + 1]
    assert krippendorff_alpha(codes, level, values) == pytest.approx(
        alpha_by_definition(codes, level, values), abs=1e-9, nan_ok=True
    )


@given(tables)
def test_agreement_does_not_depend_on_who_is_who(rows):
    codes = np.array(rows)
    turned = codes[::-1, ::-1]
    for statistic in (raw_agreement, fleiss_kappa, lambda c: krippendorff_alpha(c, "ordinal")):
        assert statistic(codes) == pytest.approx(statistic(turned), nan_ok=True)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=20).filter(lambda codes: len(set(codes)) > 1))
def test_raters_who_agree_always_have_one(codes):
    both = np.array([codes, codes]).T
    assert cohen_kappa(codes, codes) == pytest.approx(1)
    assert raw_agreement(both) == pytest.approx(1)
    assert fleiss_kappa(both) == pytest.approx(1)
    for level in ("nominal", "ordinal", "interval"):
        assert krippendorff_alpha(both, level) == pytest.approx(1)


def test_one_category_only_has_no_kappa():
    codes = np.zeros((5, 2), dtype=np.int64)
    assert math.isnan(cohen_kappa(codes[:, 0], codes[:, 1]))
    assert math.isnan(fleiss_kappa(codes))
    assert math.isnan(krippendorff_alpha(codes, "nominal"))
    assert alpha_estimate(codes, "nominal").method.startswith("the statistic is not finite")


def test_raters_by_chance_have_about_none():
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 3, size=(4000, 2))
    assert abs(cohen_kappa(codes[:, 0], codes[:, 1])) < 0.05
    assert abs(krippendorff_alpha(codes, "interval")) < 0.05


def test_intervals_hold_the_estimate_and_grow_with_groups():
    draw = np.random.default_rng(1)
    truth = np.repeat(draw.integers(0, 2, size=30), 10)
    group = np.repeat(np.arange(30), 10)
    wrong = np.repeat(draw.random(30) < 0.3, 10)  # a rater errs on whole groups
    codes = np.stack([truth, np.where(wrong, 1 - truth, truth)], axis=1)
    alone, grouped = alpha_estimate(codes, "nominal"), alpha_estimate(codes, "nominal", None, group.tolist())
    assert alone.low < alone.value < alone.high
    assert grouped.high - grouped.low > 1.8 * (alone.high - alone.low)
    kappa = cohen_estimate(codes[:, 0], codes[:, 1], groups=group.tolist())
    assert kappa.low < kappa.value < kappa.high
