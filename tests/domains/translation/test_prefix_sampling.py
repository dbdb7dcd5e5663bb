"""Prefixes that are drawn: their shapes, their distribution, and that nothing but seed, step and sentence enters."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.translation.msft_config import MsftConfig, PrefixConfig
from domains.translation.prefix_sampling import (
    LAGS,
    MsftExample,
    PrefixSteps,
    drawn_sentence,
    lagging_reads,
    staircase_reads,
    wait_k_reads,
)
from tests.domains.translation.toy_streams import random_source, random_target


def example(units: int = 7, words: int = 5, gold: tuple[int, ...] | None = None, id: str = "a") -> MsftExample:
    draw = Random(0)
    source = random_source(draw, units)
    prompts = {word: (*source.prompt, number + 3) for number, word in enumerate(LAGS)}
    return MsftExample(id, source, random_target(draw, words), gold, 1.0, prompts)


def test_wait_k_by_hand() -> None:
    assert wait_k_reads(2, 5, 5) == (2, 3, 4, 5, 5)
    assert wait_k_reads(1, 3, 5) == (1, 2, 3, 3, 3)
    assert wait_k_reads(9, 4, 2) == (4, 4)


def test_lags() -> None:
    assert lagging_reads(None, 3, 6, 4) == (3, 4, 5, 6)
    assert lagging_reads((1, 1, 4, 6), 3, 6, 4) == (3, 3, 6, 6)
    assert lagging_reads((1, 1, 4, 6), 1, 6, 4) == (1, 1, 4, 6)


@given(units=st.integers(1, 30), segments=st.integers(1, 30), seed=st.integers(0, 1000))
def test_a_staircase_is_a_path(units: int, segments: int, seed: int) -> None:
    reads = staircase_reads(units, segments, Random(seed))
    assert len(reads) == segments
    assert list(reads) == sorted(reads)
    assert reads[0] >= 1
    assert reads[-1] == units


def test_staircases_rise_with_the_ratio_of_lengths_and_start_anywhere() -> None:
    draw = Random(0)
    paths = [staircase_reads(60, 21, draw) for _ in range(4000)]
    starts = Counter(path[0] for path in paths)
    assert set(starts) == set(range(1, 61))
    early = [path[1] - path[0] for path in paths if path[0] < 20]  # far from the end, which would cut them
    assert sum(early) / len(early) == pytest.approx(60 / 21, rel=0.1)
    assert max(early) > 6
    assert min(early) == 0


def test_constant_prefixes_are_uniform_and_the_end_waits() -> None:
    config = MsftConfig(prefixes=PrefixConfig(count=1, shape="constant"))
    one = example()
    counts: Counter[int] = Counter()
    for seed in range(3000):
        (stream,) = drawn_sentence(one, config, Random(seed)).streams
        whole, prefix = stream.branches
        assert whole.reads == (7,) * 6
        assert len(set(prefix.reads[:-1])) == 1
        assert prefix.reads[-1] == 7
        counts[prefix.reads[0]] += 1
    assert set(counts) == set(range(1, 8))
    assert max(counts.values()) < 1.35 * min(counts.values())


def test_shapes() -> None:
    gold = (1, 2, 2, 5, 6, 7)
    config = MsftConfig(prefixes=PrefixConfig(count=3, shape="gold"))
    (stream,) = drawn_sentence(example(gold=gold), config, Random(0)).streams
    assert [branch.reads for branch in stream.branches[1:]] == [gold] * 3
    mixed = MsftConfig(prefixes=PrefixConfig(count=40, shape="mixed"))
    (stream,) = drawn_sentence(example(gold=gold), mixed, Random(0)).streams
    reads = [branch.reads for branch in stream.branches[1:]]
    constant = [one for one in reads if len(set(one[:-1])) == 1]
    assert 5 < reads.count(gold) < 25
    assert 5 < len(constant) < 25
    (stream,) = drawn_sentence(example(), mixed, Random(0)).streams
    assert len({branch.reads for branch in stream.branches}) > 10
    (stream,) = drawn_sentence(example(), MsftConfig(policy="wait-k", wait_k=3), Random(0)).streams
    assert [branch.reads for branch in stream.branches] == [(3, 4, 5, 6, 7, 7)] * 2
    (stream,) = drawn_sentence(
        example(), MsftConfig(policy="wait-k", prefixes=PrefixConfig(count=30)), Random(0)
    ).streams
    assert {branch.reads[0] for branch in stream.branches} == set(range(1, 8))


def test_latency_words_have_prompts_and_paths_of_their_own() -> None:
    one = example(units=12)
    config = MsftConfig(policy="latency-prompt", prefixes=PrefixConfig(count=5))
    streams = drawn_sentence(one, config, Random(0)).streams
    found = {stream.source.prompt[-1]: stream.branches[0] for stream in streams}
    assert one.prompts is not None
    assert {one.prompts[word][-1]: lag for word, lag in LAGS.items()} == {
        token: branch.reads[0] for token, branch in found.items()
    }
    assert all(branch.probes == "path" for branch in found.values())


def test_draws_depend_on_seed_step_and_sentence_alone() -> None:
    examples = [example(id=str(number)) for number in range(10)]
    config = MsftConfig(prefixes=PrefixConfig(count=2, shape="staircase"))

    def paths(seed: int, rank: int = 0, ranks: int = 1) -> list[dict[str, list[tuple[int, ...]]]]:
        steps = PrefixSteps(examples, 4, 2, seed, rank, ranks, config)
        return [
            {
                drawn.example.id: [branch.reads for branch in drawn.streams[0].branches]
                for drawn in steps[index].examples
            }
            for index in reversed(range(len(steps)))  # the order of reading does not matter
        ]

    whole = paths(1)
    assert whole == paths(1)
    assert whole != paths(2)
    shared = [one | other for one, other in zip(paths(1, 0, 2), paths(1, 1, 2), strict=True)]
    assert shared == whole
    epochs = [{id: reads for step in part for id, reads in step.items()} for part in (whole[:3], whole[3:])]
    assert epochs[0].keys() == epochs[1].keys()
    assert epochs[0] != epochs[1]
