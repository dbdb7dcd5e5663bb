"""The neutral price of latency: what waiting buys on average, so that the chosen renderings wait no longer."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domains.translation.construction.candidates import Rendering
from domains.translation.construction.config import ConstructionConfig
from domains.translation.construction.latency_price import neutral_price, priced
from domains.translation.construction.scoring import scored_renderings
from domains.translation.construction.task import Task
from domains.translation.construction.weighted_score import score_of
from domains.translation.preferences import Weights
from domains.translation.settings import SimulFormat

NEUTRAL = Weights(quality=2, monotonicity=0.5, key_points=0, simplicity=0, latency="neutral")
rows = st.lists(
    st.lists(st.fixed_dictionaries({"quality": st.floats(0, 1), "latency": st.floats(0, 1)}), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)


def within(values: list[list[float]]) -> np.ndarray:
    return np.concatenate([np.array(several) - np.mean(several) for several in values])


def test_where_waiting_buys_quality_the_price_is_what_it_buys():
    # A unit of latency costs .3 of quality, two of its weight; each source has a level of its own.
    sources = [
        [{"quality": level - 0.3 * latency, "monotonicity": 0.5, "latency": latency} for latency in (0.1, 0.5, 0.9)]
        for level in (0.5, 0.9)
    ]
    assert neutral_price(NEUTRAL, sources) == pytest.approx(0.6)
    assert priced(NEUTRAL, sources).latency == pytest.approx(0.6)
    assert priced(NEUTRAL, sources).quality == 2


def test_where_waiting_buys_nothing_it_has_no_price():
    faster_is_better = [[{"quality": 0.4, "latency": 0.1}, {"quality": 0.6, "latency": 0.8}]]
    assert neutral_price(NEUTRAL, faster_is_better) == 0
    assert neutral_price(NEUTRAL, [[{"quality": 0.4, "latency": 0.1}], []]) == 0
    assert neutral_price(NEUTRAL, [[{"quality": 0.4}, {"quality": 0.9}]]) == 0
    assert priced(Weights(latency=3), faster_is_better).latency == 3


@given(rows)
def test_the_score_has_no_slope_over_latency_within_sources(sources):
    weights = priced(NEUTRAL, sources)
    assert isinstance(weights.latency, float)
    latencies = within([[one["latency"] for one in several] for several in sources])
    scores = within([[score_of(one, weights) for one in several] for several in sources])
    if weights.latency:
        assert float(scores @ latencies) == pytest.approx(0, abs=1e-9)
    else:
        assert float(scores @ latencies) >= -1e-9


def test_under_the_neutral_price_the_best_no_longer_wait_longer(toy_records):
    records = toy_records(24)
    draw = random.Random(0)
    renderings: list[list[Rendering]] = []
    for record in records:
        words, units = record.target_text.split(), len(record.source_text.split())
        several = []
        for wait in range(1, units + 1):
            # The longer one waits, the likelier every word is right.
            text = " ".join(word if draw.random() < wait / units else "thing" for word in words)
            path = tuple(min(units, wait + place) for place in range(len(words)))
            several.append(Rendering(text, f"wait-k:{wait}", path, True))
        renderings.append(several)

    def best_latency(weights: dict[str, Any]) -> float:
        config = ConstructionConfig.model_validate({"weights": weights})
        format = SimulFormat(source_language="de", target_language="en", source_unit="word", target_unit="word")
        task = Task(config, format, 0, None, None, "float32", lambda *_: None)
        found = scored_renderings(records, renderings, task, Counter(), with_quality=True)
        best = [max(several, key=lambda one: one.order) for several in found.records]
        means = [sum(one.measures["latency"] for one in several) / len(several) for several in found.records]
        return sum(one.measures["latency"] - mean for one, mean in zip(best, means, strict=True)) / len(best)

    assert best_latency({"latency": 0}) < -0.1  # the best are the ones that waited
    assert abs(best_latency({"latency": "neutral"})) < 0.05


def test_neutral_needs_another_preference_and_no_judge():
    with pytest.raises(ValidationError, match="all are 0"):
        Weights(quality=0, monotonicity=0, key_points=0, simplicity=0, latency="neutral")
    with pytest.raises(ValidationError, match="a number"):
        ConstructionConfig.model_validate(
            {
                "mode": "endpoint",
                "weights": {"latency": "neutral"},
                "writer": {"task": "judge", "endpoint": {"base_url": "http://localhost:1/v1", "model": "m"}},
            }
        )
