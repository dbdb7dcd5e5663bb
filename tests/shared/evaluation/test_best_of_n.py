"""Best of n: the estimate against every subset, and against sampling."""

from itertools import combinations

import numpy as np
import pytest

from shared.evaluation.best_of_n import expected_best, kl_bound, sizes


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_expected_best_is_the_mean_over_all_subsets(k: int) -> None:
    draw = np.random.default_rng(0)
    chosen_by, values = draw.normal(size=(4, 5)), draw.normal(size=(4, 5))
    expected = [
        np.mean([values[row, max(part, key=lambda i: chosen_by[row, i])] for part in combinations(range(5), k)])
        for row in range(4)
    ]
    assert expected_best(chosen_by, values, k) == pytest.approx(np.array(expected), abs=1e-12)


def test_more_samples_are_never_worse_under_the_score_that_chooses() -> None:
    scores = np.random.default_rng(1).normal(size=(50, 8))
    means = [expected_best(scores, scores, k).mean() for k in sizes(8)]
    assert means == sorted(means)
    assert means[0] == pytest.approx(scores.mean())
    assert means[-1] == pytest.approx(scores.max(axis=1).mean())


def test_sizes_and_the_bound() -> None:
    assert sizes(1) == [1]
    assert sizes(6) == [1, 2, 4, 6]
    assert sizes(8) == [1, 2, 4, 8]
    assert kl_bound(1) == 0
    assert kl_bound(4) == pytest.approx(np.log(4) - 0.75)
