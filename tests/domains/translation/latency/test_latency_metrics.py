"""Latency metrics: known answers, the formulas written out, properties, and SimulEval's own scorers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.translation.latency.delays import Delays, prediction_units, reference_units
from domains.translation.latency.metrics import (
    average_lagging,
    average_proportion,
    differentiable_average_lagging,
    expected_simultaneous_words_share,
    is_degenerate,
    length_adaptive_average_lagging,
    padded,
    simultaneous_words_share,
    words_before_source_end,
    yet_another_average_lagging,
)


def wait_k(k, source, target):
    return [min(k + i, source) for i in range(target)]


def test_over_generation_is_rewarded_by_al_and_less_by_laal():
    early = [1] * 16
    assert average_lagging(early, 8, 8) == pytest.approx(-6.5)
    assert length_adaptive_average_lagging(early, 8, 8) == pytest.approx(-2.75)
    assert yet_another_average_lagging(early, 8, 8) == pytest.approx(-2.75)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_wait_k_of_equal_lengths_lags_by_k(k):
    delays = wait_k(k, 8, 8)
    for metric in (average_lagging, length_adaptive_average_lagging, yet_another_average_lagging):
        assert metric(delays, 8, 8) == pytest.approx(k)
    assert differentiable_average_lagging(delays, 8) == pytest.approx(k)


def test_offline_translation():
    offline = [6, 6, 6]
    assert average_lagging(offline, 6, 3) == 6
    assert average_proportion(offline, 6, 3) == 1
    assert differentiable_average_lagging(offline, 6) == 6
    assert math.isnan(yet_another_average_lagging(offline, 6, 3))
    assert words_before_source_end(offline, 6) == 0


def test_yaal_does_not_count_what_is_written_after_the_source():
    # d = 1, 2, 4, 4, 4 with X = 4 and max(Y, H) = 5: mean of 1 and 2 - 4/5.
    assert yet_another_average_lagging([1, 2, 4, 4, 4], 4, 2) == pytest.approx((1 + 2 - 0.8) / 2)
    assert length_adaptive_average_lagging([1, 2, 4, 4, 4], 4, 2) == pytest.approx((1 + 2 - 0.8 + 4 - 1.6) / 3)


def test_delays_beyond_the_source():
    assert average_lagging([9, 9], 8, 2) == 9  # d_1 > X
    assert math.isnan(yet_another_average_lagging([9, 9], 8, 2))
    assert average_lagging([7, 10], 8, 2) == pytest.approx((7 + 10 - 4) / 2)
    assert average_proportion([9, 9], 8, 2) == 18 / 16


def test_one_unit_and_none():
    assert average_lagging([3], 8, 5) == 3
    assert yet_another_average_lagging([3], 8, 5) == 3
    assert differentiable_average_lagging([3], 8) == 3
    assert average_proportion([4], 8, 1) == 0.5
    for metric in (average_lagging, length_adaptive_average_lagging, yet_another_average_lagging, average_proportion):
        assert math.isnan(metric([], 8, 5))
    assert math.isnan(differentiable_average_lagging([], 8))
    assert words_before_source_end([], 8) == 0


def test_shares_and_degeneracy():
    assert simultaneous_words_share([1, 0, 3], [4, 2, 4]) == 40.0
    # The sentence without YAAL is in neither sum; lagging beyond the source counts 0, not less.
    assert expected_simultaneous_words_share([2.0, math.nan, 12.0], [10.0, 50.0, 10.0]) == 40.0
    twice = [[2, 1, 0], [1, 7, 2]]
    assert expected_simultaneous_words_share([2.0, math.nan, 12.0], [10.0, 50.0, 10.0], twice) == pytest.approx(
        [80.0, 100 * 8 / 30]
    )
    assert simultaneous_words_share([1, 0, 3], [4, 2, 4], twice) == pytest.approx([20.0, 100 * 7 / 26])
    assert math.isnan(expected_simultaneous_words_share([math.nan], [5.0]))
    assert math.isnan(simultaneous_words_share([], []))
    assert is_degenerate(81.1, 32.9)
    assert is_degenerate(10.0, 30.1)
    assert not is_degenerate(50.0, 30.0)


# The formulas as they are printed, sum by sum.
def al(d, X, Y):
    if d[0] > X:
        return d[0]
    tau = next((i for i, one in enumerate(d, 1) if one >= X), len(d))
    return sum(d[i - 1] - (i - 1) * X / Y for i in range(1, tau + 1)) / tau


def yaal(d, X, Y):
    tau = next((i for i, one in enumerate(d, 1) if one >= X), len(d) + 1) - 1
    return sum(d[i - 1] - (i - 1) * X / max(Y, len(d)) for i in range(1, tau + 1)) / tau if tau else math.nan


def dal(d, X):
    step, late, total = X / len(d), -math.inf, 0.0
    for i, one in enumerate(d, 1):
        late = one if i == 1 else max(one, late + step)
        total += late - (i - 1) * step
    return total / len(d)


@st.composite
def sentences(draw, least=1):
    source = draw(st.integers(1, 40))
    delays = sorted(draw(st.lists(st.integers(0, source + 3), min_size=least, max_size=50)))
    return delays, source, draw(st.integers(1, 50))


@settings(max_examples=150, deadline=None)
@given(sentences())
def test_every_metric_is_its_formula(sentence):
    d, X, Y = sentence
    assert average_lagging(d, X, Y) == pytest.approx(al(d, X, Y), abs=1e-9)
    assert length_adaptive_average_lagging(d, X, Y) == pytest.approx(al(d, X, max(Y, len(d))), abs=1e-9)
    assert yet_another_average_lagging(d, X, Y) == pytest.approx(yaal(d, X, Y), abs=1e-9, nan_ok=True)
    assert differentiable_average_lagging(d, X) == pytest.approx(dal(d, X), abs=1e-9)
    assert average_proportion(d, X, Y) == pytest.approx(sum(d) / X / Y)


@settings(max_examples=60, deadline=None)
@given(sentences(), st.floats(0.5, 500))
def test_in_milliseconds_a_text_has_its_lag_times_the_clock(sentence, clock):
    d, X, Y = sentence
    ms = [one * clock for one in d]
    assert average_proportion(ms, X * clock, Y) == pytest.approx(average_proportion(d, X, Y))
    assert average_lagging(ms, X * clock, Y) == pytest.approx(clock * average_lagging(d, X, Y), abs=1e-6)
    assert differentiable_average_lagging(ms, X * clock) == pytest.approx(
        clock * differentiable_average_lagging(d, X), abs=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(sentences())
def test_reading_one_unit_later_never_lowers_the_latency_that_does_not_look_at_the_end(sentence):
    d, X, Y = sentence
    later = [one + 1 for one in d]
    assert average_proportion(later, X, Y) > average_proportion(d, X, Y)
    assert differentiable_average_lagging(later, X) == pytest.approx(differentiable_average_lagging(d, X) + 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(sentences(least=0), min_size=1, max_size=6))
def test_a_table_of_sentences_gives_what_each_gives_alone(rows):
    table = padded([d for d, _, _ in rows])
    X, Y = (np.array([row[place] for row in rows], dtype=float) for place in (1, 2))
    for metric in (average_lagging, length_adaptive_average_lagging, yet_another_average_lagging, average_proportion):
        np.testing.assert_allclose(metric(table, X, Y), [metric(*row) for row in rows], atol=1e-9)
    alone = [differentiable_average_lagging(d, x) for d, x, _ in rows]
    np.testing.assert_allclose(differentiable_average_lagging(table, X), alone, atol=1e-9)
    assert words_before_source_end(table, X).tolist() == [sum(one < x for one in d) for d, x, _ in rows]


@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize("aware", [False, True])
def test_simulevals_own_scorers_agree(unit, aware):
    scorers = pytest.importorskip("simuleval.evaluator.scorers.latency_scorer")
    from simuleval.evaluator.instance import LogInstance

    rng = np.random.default_rng(0)
    for _ in range(300):
        source, written = int(rng.integers(1, 30)), int(rng.integers(1, 40))
        delays = np.sort(rng.integers(0, source + 3, written)).tolist()
        elapsed = (np.array(delays) + np.cumsum(rng.random(written))).tolist()
        reference = " ".join("word" for _ in range(int(rng.integers(1, 40))))
        row = {"index": 0, "delays": delays, "elapsed": elapsed, "reference": reference, "source_length": source}
        instance = LogInstance(json.dumps(row), unit)
        d, Y = (elapsed if aware else delays), reference_units(reference, unit)
        ours = {
            "AL": average_lagging(d, source, Y),
            "LAAL": length_adaptive_average_lagging(d, source, Y),
            "AP": average_proportion(d, source, Y),
            "DAL": differentiable_average_lagging(d, source),
        }
        for name, value in ours.items():
            scorer = scorers.LATENCY_SCORERS_DICT[name](computation_aware=aware)
            assert value == pytest.approx(scorer({0: instance}), rel=1e-12, abs=1e-9), name


def test_computation_aware_delays():
    speech = Delays((1000.0, 2000.0), 2500.0, 3, 2, (1080.5, 2300.0))
    assert speech.computation_aware().delays == (1080.5, 2300.0)
    text = Delays((1, 3), 4, 3, 2, (20.0, 90.0))
    aware = text.computation_aware(250)
    assert (aware.delays, aware.source_length) == ((270.0, 840.0), 1000)
    assert Delays((1,), 4, 3, 1).computation_aware(250) is None
    for clock in (0, -5, math.nan, math.inf):
        with pytest.raises(ValueError, match="cannot take"):
            text.computation_aware(clock)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((3, 2), 4, 3, 2), "delays that go back \\(3, then 2 at unit 2\\)"),
        (((1, 2, 2), 4, 3, 2), "3 delays for a prediction of 2 units"),
        (((1, math.nan), 4, 3, 2), "delay 2 is negative, too large or no number"),
        (((-1, 2), 4, 3, 2), "delay 1 is negative, too large or no number"),
        (((1, 10**400), 4, 3, 2), "delay 2 is negative, too large or no number"),
        (((1, 2), 4, 3, 2, (5.0,)), "1 elapsed times for 2 delays"),
        (((1, 2), 4, 3, 2, (5.0, 4.0)), "elapsed times that go back"),
        (((1, 2), 0, 3, 2), "although source or reference is empty"),
        (((1, 2), math.inf, 3, 2), "a source length that is negative"),
        (((1, 2), 4, -1, 2), "a reference length of -1"),
    ],
)
def test_delays_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Delays(*arguments)


def test_lengths_are_counted_as_simuleval_counts_them():
    assert reference_units("a  b c", "word") == 4
    assert reference_units(" 你 好 ", "char") == 3
    assert prediction_units("a  b </s>", "word") == 3
    assert prediction_units("你 好", "char") == 2
