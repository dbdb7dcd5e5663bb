"""Preferences before and after: paired, also at equal latency; and what the report says of how pairs were scored."""

import math

import numpy as np
import pytest

from domains.translation.preference_stage import _changes, _nearest
from domains.translation.report import _pairs


def test_the_threshold_of_nearest_latency_is_compared_with():
    latencies = {"offline": 4.4, "wait-k:3": 4.4, "threshold:0.5": 1.0, "threshold:0.75": 7.2, "threshold:0.65": 4.0}
    assert _nearest({**latencies, "threshold:0.75,2,4": 4.5}, 4.5) == "threshold:0.65"
    assert _nearest(latencies, 7.0) == "threshold:0.75"
    assert _nearest({"threshold:0.5": math.nan, "threshold:0.9": 9.0}, 1.0) == "threshold:0.9"


def test_changes_are_paired_over_the_sentences_that_have_both():
    before = [{"inversion_rate": 0.2, "quality": 0.5}, {"inversion_rate": 0.4, "quality": 0.5}, {"quality": 0.1}]
    after = [{"inversion_rate": 0.1, "quality": 0.5}, {"inversion_rate": 0.1, "quality": 0.6}, {"quality": 0.1}]
    found = _changes(before, after, ["a", "b", "c"])
    assert found["inversion_rate"]["sentences"] == 2
    assert found["inversion_rate"]["difference"]["difference"] == pytest.approx(-0.2)
    assert not found["inversion_rate"]["higher_is_better"]
    assert found["quality"]["sentences"] == 3
    assert found["quality"]["difference"]["difference"] == pytest.approx(np.mean([0, 0.1, 0]))
    assert found["number_recall"]["difference"]["difference"] is None
    assert found["number_recall"]["reason"]


@pytest.mark.parametrize(("mode", "told"), [("sample", True), ("endpoint", True), ("given", False)])
def test_weights_are_told_where_scores_decide(mode, told):
    summary = {"mode": mode, "weights": {"quality": 2.0, "latency": 1.24}, "origins": {"chosen": {"wait-k:1": 3}}}
    captions = [
        table.caption for table in _pairs({**summary, "origins": {**summary["origins"], "rejected": {}}}).tables
    ]
    assert ("What each preference counts in a score" in captions) == told
    assert "Where renderings came from" in captions
