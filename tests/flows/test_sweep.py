"""What a sweep runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.sweep import combinations
from shared.errors import UsageError


def test_all_combinations_in_order() -> None:
    runs = combinations(["align.beta=0.05, 0.1", "align.loss=sigmoid,{name: simpo, gamma: 1.4}"])
    assert runs == [
        ["align.beta=0.05", "align.loss=sigmoid"],
        ["align.beta=0.05", "align.loss={name: simpo, gamma: 1.4}"],
        ["align.beta=0.1", "align.loss=sigmoid"],
        ["align.beta=0.1", "align.loss={name: simpo, gamma: 1.4}"],
    ]
    assert combinations(["align.seeds=[0,1],[2,3]"]) == [["align.seeds=[0,1]"], ["align.seeds=[2,3]"]]


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (["align.beta"], "key=value"),
        (["=1,2"], "key=value"),
        (["align.beta=0.1"], "at least two"),
        (["align.beta=0.1,"], "at least two"),
        (["align.beta=0.1,0.1"], "twice"),
        (["align.beta=1,2", "align.beta=3,4"], "given twice"),
        (["a=1,2,3,4,5,6,7,8,9", "b=1,2,3,4,5,6,7,8,9"], "81 runs"),
    ],
)
def test_mistakes_are_told(given_: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        combinations(given_)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=8, unique_by=str))
def test_numbers_come_through(values: list[float]) -> None:
    found = combinations(["align.beta=" + ",".join(map(str, values))])
    assert found == [[f"align.beta={value}"] for value in values]
