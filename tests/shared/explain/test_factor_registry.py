"""A registry of factors: names, one view an item, what is kept on disk and what makes it stale."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.errors import UsageError
from shared.explain.factor_cache import FactorCache
from shared.explain.factors import Factor, FactorRegistry, ViewSource, factor


@factor("letters", scale="letters", sign=None, cost="lexical")
def letters(view: str) -> float:
    """Letters of the text."""
    return float(len(view))


@factor("vowels", scale="letters", sign="+", cost="lexical")
def vowels(view: str) -> float:
    """Vowels of the text."""
    return float(sum(letter in "aeiou" for letter in view))


@factor("weight", scale="grams", sign="-", cost="embedding")
def weight(view: float) -> float:
    """A number that a model gave."""
    return view


@factor("fragile", scale="1", sign=None, cost="lexical")
def fragile(view: str) -> float:
    """One, but of "d" none."""
    return math.inf if view == "d" else 1.0


class Sources:
    """Views that remember what they were asked for."""

    def __init__(self) -> None:
        self.lexical: list[list[str]] = []
        self.embedding: list[list[str]] = []
        self.revision = "model-1"

    def registry(self, *factors: Factor) -> FactorRegistry[str]:
        made: FactorRegistry[str] = FactorRegistry(
            "toys",
            {
                "lexical": ViewSource(self._lexical),
                "embedding": ViewSource(self._embedding, ("numpy",), lambda: {"model": self.revision}),
            },
            lambda text: text,
        )
        made.register(*(factors or (letters, vowels, weight)))
        return made

    def _lexical(self, items: Sequence[str]) -> list[str]:
        self.lexical.append(list(items))
        return [text.lower() for text in items]

    def _embedding(self, items: Sequence[str]) -> list[float]:
        self.embedding.append(list(items))
        return [len(text) / 2 for text in items]


@pytest.fixture
def cache(tmp_path: Path):
    with FactorCache(tmp_path / "factors.sqlite") as opened:
        yield opened


def test_every_wanted_factor_of_every_item_comes_back_in_order() -> None:
    rows = Sources().registry().measure(["AE", "xyz", "AE"])
    assert rows == [
        {"letters": 2.0, "vowels": 2.0, "weight": 1.0},
        {"letters": 3.0, "vowels": 0.0, "weight": 1.5},
        {"letters": 2.0, "vowels": 2.0, "weight": 1.0},
    ]
    assert Sources().registry().measure([]) == []


def test_items_are_looked_at_once_and_only_in_the_ways_that_are_wanted() -> None:
    sources = Sources()
    rows = sources.registry().measure(["a", "b", "a"], ["vowels"])
    assert rows == [{"vowels": 1.0}, {"vowels": 0.0}, {"vowels": 1.0}]
    assert sources.lexical == [["a", "b"]]
    assert sources.embedding == []


def test_batches_hold_at_most_what_was_asked_for_and_progress_is_told() -> None:
    sources, told = Sources(), []
    sources.registry().measure(list("abcde"), ["letters"], progress=lambda *counts: told.append(counts), batch=2)
    assert sources.lexical == [["a", "b"], ["c", "d"], ["e"]]
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_names_by_pattern_and_cost_in_the_order_of_registration() -> None:
    registry = Sources().registry()
    assert registry.names() == ["letters", "vowels", "weight"]
    assert registry.names(["*s"]) == ["letters", "vowels"]
    assert registry.names(costs=["embedding"]) == ["weight"]
    assert registry.names(["letters"], ["embedding"]) == []
    with pytest.raises(UsageError, match="toys has no factor leters: did you mean letters"):
        registry.names(["leters"])
    with pytest.raises(UsageError, match="there are letters, vowels, weight"):
        registry.measure(["a"], ["qqqq"])


def test_a_catalogue_says_what_every_number_is() -> None:
    assert Sources().registry().catalogue()[1] == {
        "name": "vowels",
        "definition": "Vowels of the text.",
        "scale": "letters",
        "sign": "+",
        "cost": "lexical",
    }


def test_what_cannot_be_registered() -> None:
    registry = Sources().registry()
    with pytest.raises(ValueError, match="there is a factor 'letters'"):
        registry.register(letters)
    with pytest.raises(ValueError, match="language-model"):
        registry.register(Factor("fluency", "x", "nats", "+", "language-model", lambda view: 0.0))
    with pytest.raises(ValueError, match="no definition"):
        factor("silent", scale="", sign=None, cost="lexical")(lambda view: 0.0)


def test_a_value_that_is_no_number_names_its_factor() -> None:
    broken = Factor("broken", "Divides.", "share", None, "lexical", lambda view: math.nan)
    with pytest.raises(ValueError, match="'broken' gave nan"):
        Sources().registry(broken).measure(["a"])


def test_kept_values_are_found_by_another_registry_of_the_same_code(cache: FactorCache) -> None:
    first, second = Sources(), Sources()
    rows = first.registry().measure(["a", "bc"], cache=cache)
    assert second.registry().measure(["bc", "a"], cache=cache) == rows[::-1]
    assert second.lexical == []
    assert second.embedding == []


def test_one_wanted_factor_keeps_all_of_its_view(cache: FactorCache) -> None:
    first, second = Sources(), Sources()
    first.registry().measure(["a"], ["vowels"], cache)
    assert second.registry().measure(["a"], ["letters"], cache) == [{"letters": 1.0}]
    assert second.lexical == []


def test_only_new_items_are_looked_at(cache: FactorCache) -> None:
    sources = Sources()
    registry = sources.registry()
    registry.measure(["a", "b"], ["letters"], cache)
    registry.measure(["a", "c", "b"], ["letters"], cache)
    assert sources.lexical == [["a", "b"], ["c"]]


def test_another_model_or_another_set_of_factors_measures_anew(cache: FactorCache) -> None:
    first = Sources()
    first.registry().measure(["a"], cache=cache)
    other = Sources()
    other.revision = "model-2"
    other.registry().measure(["a"], cache=cache)
    assert other.embedding == [["a"]]  # its model changed
    assert other.lexical == []  # and no word list did
    fewer = Sources()
    fewer.registry(vowels).measure(["a"], cache=cache)
    assert fewer.lexical == [["a"]]


def test_code_that_cannot_be_found_is_never_kept(cache: FactorCache) -> None:
    def measure(view: str) -> float:
        return 1.0

    measure.__module__ = "a_notebook_cell"
    made = Factor("drafted", "One.", "1", None, "lexical", measure)
    sources = Sources()
    registry = sources.registry(made)
    assert registry.version("lexical") is None
    for _ in range(2):
        assert registry.measure(["a"], cache=cache) == [{"drafted": 1.0}]
    assert sources.lexical == [["a"], ["a"]]
    assert len(cache) == 0


def test_what_was_measured_before_a_failure_is_kept(cache: FactorCache) -> None:
    with pytest.raises(ValueError, match="fragile"):
        Sources().registry(fragile).measure(list("abcd"), cache=cache, batch=2)
    assert len(cache) == 2
