"""Gold paths: the equation on alignments, and the model's own agreement with itself."""

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domains.translation.gold_paths import path_of_links, paths_of_predictions, with_aligned_paths
from domains.translation.policy import SimulPolicy
from domains.translation.streams import Branch
from domains.translation.tokens import TargetTokens
from tests.domains.translation.path_cases import path_pairs_of
from tests.domains.translation.toy_streams import FORMAT, alone, random_source, random_target
from tests.shared.training.tiny_architectures import tiny


def test_links_by_hand() -> None:
    assert path_of_links([(0, 0), (3, 1), (1, 2), (2, 2)], 5, 4) == (1, 4, 4, 4)
    assert path_of_links([], 3, 2) == (1, 1)
    with pytest.raises(ValueError, match="the link 3-0 of 3 source and 2 target units"):
        path_of_links([(3, 0)], 3, 2)


@given(
    st.integers(1, 8).flatmap(
        lambda x: st.tuples(st.just(x), st.sets(st.tuples(st.integers(0, x - 1), st.integers(0, 5))))
    )
)
def test_links_follow_the_equation(given: tuple[int, set[tuple[int, int]]]) -> None:
    units, links = given
    path, before = path_of_links(links, units, 6), 1
    for target in range(6):
        before = max([before, *(source + 1 for source, other in links if other == target)])
        assert path[target] == before


@pytest.mark.parametrize("budget", [40, 4096])
def test_predictions_agree_with_the_whole_source(budget: int) -> None:
    draw = Random(4)
    model = tiny("llama")
    pairs = [(random_source(draw, units), random_target(draw, words)) for units, words in ((6, 5), (1, 2), (4, 1))]
    found = paths_of_predictions(SimulPolicy(model, FORMAT).eval(), pairs, budget)
    plain = tiny("llama").double()
    for (source, target), path in zip(pairs, found, strict=True):

        def predicted(read: int) -> list[int]:
            branch = Branch(target, (*[read] * (target.segments - 1), source.units))  # noqa: B023
            with torch.no_grad():
                states = alone(plain, source, branch, None)[len(source.marker) - 1 :]  # noqa: B023
                return plain.lm_head(states).argmax(-1).tolist()

        by_read = {read: predicted(read) for read in range(1, source.units + 1)}
        least, expected = 1, []
        for segment in range(target.segments - 1):
            part = slice(target.starts[segment], target.starts[segment + 1])
            agreed = min(read for read, tokens in by_read.items() if tokens[part] == by_read[source.units][part])
            least = max(least, agreed)
            expected.append(least)
        assert path == tuple(expected)
    assert any(len(set(path)) > 1 for path in found)


def test_units_of_one_segment_share_their_path() -> None:
    target = TargetTokens((5, 6, 2), (0, 1, 2), (2, 3, 3))  # the first token writes two characters
    source = random_source(Random(0), 3)
    path = paths_of_predictions(SimulPolicy(tiny("llama"), FORMAT).eval(), [(source, target)])[0]
    assert len(path) == 3
    assert path[0] == path[1]


def test_pairs_without_a_path_get_that_of_their_alignment() -> None:
    order = {
        "uno": "one",
        "due": "two",
        "tre": "three",
        "casa": "house",
        "via": "road",
        "oggi": "today",
        "mai": "never",
    }
    pairs = []
    for pair in path_pairs_of(40):
        words = [order[word] for word in pair.source_text.split()]
        pairs.append(replace(pair, target_text=" ".join(reversed(words)), target_path=None))
    kept = replace(pairs[0], target_path=(1,) * len(pairs[0].target_text.split()))
    empty = replace(pairs[1], target_text="")
    found = with_aligned_paths([kept, empty, *pairs[2:]], FORMAT, "hmm")
    assert found[0] == kept
    assert found[1] == empty
    whole = 0
    for pair in found[2:]:
        units = len(pair.source_text.split())
        assert pair.target_path is not None
        assert len(pair.target_path) == units
        assert list(pair.target_path) == sorted(pair.target_path)
        whole += pair.target_path[0] == units  # reversed: the first word waits for the last
    assert whole > len(found) / 2
