"""Renderings by the policy: reproducible, on their paths, independent of other rules; repeats are dropped."""

from collections import Counter

import pytest
from pydantic import ValidationError

from domains.translation.construction.candidates import (
    LoadedPolicy,
    Rendering,
    different,
    given_renderings,
    rule_seed,
    sampled_renderings,
)
from domains.translation.construction.config import SamplingConfig
from domains.translation.path_logps import check_path
from domains.translation.units import split_units
from shared.device import DeviceChoice
from shared.errors import UsageError

RULES = ("offline", "wait-k:2", "threshold:0.5")
SHORT = {"temperature": 0.7, "tokens_per_source_token": 0.3, "extra_tokens": 6}


@pytest.fixture
def loaded(make_policy, simul_tokenizer) -> LoadedPolicy:
    return LoadedPolicy(make_policy("llama"), simul_tokenizer, DeviceChoice("cpu", False, "CPU"))


def sampling(rules: tuple[str, ...], samples: int = 1) -> SamplingConfig:
    return SamplingConfig.model_validate({"rules": rules, "samples": samples, "decoding": SHORT})


def silent(done: int, total: int, text: str) -> None:
    pass


def test_every_rule_gives_its_samples_with_a_path_over_target_units(loaded, toy_records):
    records, told = toy_records(3), []
    found = sampled_renderings(loaded, records, sampling(RULES, samples=2), 0, lambda *one: told.append(one))
    assert [[one.origin for one in renderings] for renderings in found] == [[rule for rule in RULES for _ in "12"]] * 3
    units = 0
    for record, renderings in zip(records, found, strict=True):
        source = len(split_units(record.source_text, "word"))
        for one in renderings:
            assert one.on_policy
            assert one.path is not None
            assert len(one.path) == len(split_units(one.text, "word"))
            units += len(one.path)
            if one.path:
                check_path(one.path, source)
            if one.origin == "offline":
                assert set(one.path) <= {source}
    assert units > 10
    assert told[-1] == (18, 18, "sampling, threshold:0.5")
    assert [done for done, _, _ in told] == list(range(1, 19))


def test_a_seed_fixes_the_renderings_and_another_rule_changes_none(loaded, toy_records):
    records = toy_records(3)
    both = sampling(RULES[:2])
    first = sampled_renderings(loaded, records, both, 7, silent)
    assert sampled_renderings(loaded, records, both, 7, silent) == first
    assert sampled_renderings(loaded, records, both, 8, silent) != first
    alone = sampled_renderings(loaded, records, sampling(RULES[1:2]), 7, silent)
    assert alone == [renderings[1:] for renderings in first]
    assert len({rule_seed(0, 0, rule) for rule in RULES} | {rule_seed(1, 0, "offline")}) == 4


def test_repeated_and_empty_renderings_are_dropped_and_counted():
    counts: Counter[str] = Counter()
    given = [
        Rendering("The dog", "target", (1, 2)),
        Rendering("the  dog", "offline", (1, 2)),
        Rendering("the dog", "wait-k:3", (2, 2)),
        Rendering(" ", "offline", ()),
    ]
    assert different(given, "word", counts) == [given[0], given[2]]
    assert counts == {"empty": 1, "repeated": 1}
    assert different([Rendering("dog", "offline", (1, 2))], "word", counts) == []
    assert counts["unfit"] == 1
    with pytest.raises(ValueError, match="no path"):
        different([Rendering("dog", "target")], "word", counts)


@pytest.mark.parametrize(
    ("which", "origins"), [("all", ["target", "rejected"]), ("rejected", ["rejected"]), ("none", [])]
)
def test_the_records_own_renderings(toy_records, which, origins):
    record = toy_records(1, paths=True)[0]
    found = given_renderings(record, which)
    assert [one.origin for one in found] == origins
    assert all(one.path in (record.target_path, record.rejected_path) for one in found)
    assert [one.origin for one in given_renderings(toy_records(1, rejected=False)[0], "all")] == ["target"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rules": ["offline", "wait-k:3", "wait-k:3"]}, "wait-k:3 stands there twice"),
        ({"samples": 2, "decoding": {"temperature": 0}}, "samples above 1 need"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        SamplingConfig.model_validate(values)


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="wait-k:3"):
        SamplingConfig(rules=("wait:3",))
