"""Renderings are put on paths, measured, and scored by the weights; quality only where the reference is no side."""

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu import sentence_bleu, sentence_chrf

from domains.translation.construction.candidates import Rendering
from domains.translation.construction.config import ConstructionConfig
from domains.translation.construction.scoring import scored_renderings, sentence_quality
from domains.translation.construction.task import Task
from domains.translation.construction.weighted_score import score_of
from domains.translation.preferences import Weights
from domains.translation.settings import SimulFormat
from shared.errors import UsageError
from tests.domains.translation.construction.conftest import FORMAT

NAMES = ("quality", "monotonicity", "key_points", "simplicity", "latency")
TEXTS = ["the old dog sees a small house today", "a dog", "no word of it is there at all"]
REFERENCES = ["the old dog sees the small house", "the dog is here", "something else"]


def task_of(base: Path | None = None, **values) -> Task:
    config = ConstructionConfig.model_validate(values)
    return Task(config, SimulFormat.model_validate(FORMAT), 0, None, base, "float32", lambda *one: None)


def renderings_of(records) -> list[list[Rendering]]:
    found = []
    for record in records:
        units = len(record.source_text.split())
        late = Rendering(record.target_text, "wait-k:9", (units,) * units, True)
        short = Rendering("the house", "offline", (1, 1), True, cut=True)
        found.append([Rendering(record.target_text, "target"), late, short, Rendering("", "offline", (), True)])
    return found


def test_scores_are_those_of_the_weights_and_measures(toy_records):
    records, counts = toy_records(12), Counter()
    weights = {"quality": 2.0, "simplicity": 0.0}
    found = scored_renderings(
        records, renderings_of(records), task_of(weights=weights), counts, with_quality=True
    ).records
    assert counts == {"candidates": 36, "empty": 12, "cut": 12}
    config = ConstructionConfig.model_validate({"weights": weights})
    for record, (target, late, short) in zip(records, found, strict=True):
        assert target.rendering.path is not None
        assert len(target.rendering.path) == len(record.target_text.split())
        assert target.measures["quality"] == late.measures["quality"] == pytest.approx(1.0)
        assert late.measures["latency"] == 0.0
        assert target.measures["latency"] > late.measures["latency"]
        assert short.measures["quality"] < 0.7
        assert target.score > late.score
        for one in (target, late, short):
            assert one.score == score_of(one.measures, config.weights)


def test_without_a_reference_there_is_no_quality_and_a_score_of_it_alone_is_none(toy_records):
    records = toy_records(3)
    found = scored_renderings(records, renderings_of(records), task_of(), Counter(), with_quality=False).records
    assert all("quality" not in one.measures and one.score == one.order for several in found for one in several)
    zero = {"monotonicity": 0, "key_points": 0, "simplicity": 0, "latency": 0}
    found = scored_renderings(
        records, renderings_of(records), task_of(weights=zero), Counter(), with_quality=False
    ).records
    assert all(math.isnan(one.score) and one.order == -math.inf for several in found for one in several)


def test_a_score_is_the_weighted_mean_of_the_preferences_there_are():
    weights = Weights(quality=3, monotonicity=0, key_points=0, simplicity=0, latency=1)
    assert score_of({"quality": 0.8, "latency": 0.4, "simplicity": 0.9}, weights) == pytest.approx((2.4 + 0.4) / 4)
    assert score_of({"latency": 0.4, "simplicity": 0.9, "length": 7.0}, weights) == pytest.approx(0.4)
    assert math.isnan(score_of({"simplicity": 0.9}, weights))


@given(st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1)), st.lists(st.floats(0.01, 5), min_size=5, max_size=5))
def test_a_score_lies_between_its_measures(measures, numbers):
    score = score_of(measures, Weights(**dict(zip(NAMES, numbers, strict=True))))
    assert math.isnan(score) == (not measures)
    assert not measures or min(measures.values()) - 1e-9 <= score <= max(measures.values()) + 1e-9


def test_quality_is_the_sentence_score_of_sacrebleu():
    both = list(zip(TEXTS, REFERENCES, strict=True))
    chrf = [sentence_chrf(one, [other]).score / 100 for one, other in both]
    bleu = [sentence_bleu(one, [other], use_effective_order=False).score / 100 for one, other in both]
    assert sentence_quality(TEXTS, REFERENCES, "en", "chrf") == pytest.approx(chrf)
    assert sentence_quality(TEXTS, REFERENCES, "en", "bleu") == pytest.approx(bleu)
    means = [(one + other) / 2 for one, other in zip(chrf, bleu, strict=True)]
    assert sentence_quality(TEXTS, REFERENCES, "en", "both") == pytest.approx(means)
    assert sentence_quality(["今天很高兴"], ["今天很高兴"], "zh", "both") == pytest.approx([1.0])
    assert sentence_quality([], [], "en", "both") == []


def test_alignment_by_states_needs_a_base_model_and_takes_it(toy_records, supervised):
    records = toy_records(2)
    with pytest.raises(UsageError, match="has no base model"):
        scored_renderings(records, renderings_of(records), task_of(alignment="states"), Counter(), True)
    task = task_of(supervised / "model", alignment="states")
    found = scored_renderings(records, renderings_of(records), task, Counter(), True).records
    assert [len(several) for several in found] == [3, 3]
