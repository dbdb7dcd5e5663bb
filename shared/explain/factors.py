"""Named factors of a text: what each is, its scale, the direction that is better, and one way to measure many at once.

A *factor* is a number of one item (a response with what it answers to). A domain makes one `FactorRegistry`, tells it
how an item is looked at (its *views*, one kind for each cost) and registers factors, each a function of a view. What
several factors need is thus computed once, in batches, and measured values are kept on disk under a key that changes
with the item, the code, the library versions and the models they come from.
"""

import difflib
import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Generic, Literal, TypeVar, get_args

from shared.code_digest import code_digests
from shared.digest import json_digest
from shared.errors import UsageError
from shared.explain.factor_cache import FactorCache

Item = TypeVar("Item")
Sign = Literal["+", "-"]
Cost = Literal["lexical", "embedding", "language-model"]
COSTS: tuple[Cost, ...] = get_args(Cost)
Measured = dict[str, float]


@dataclass(frozen=True, slots=True)
class Factor:
    """A named number of an item.

    Attributes:
        name: lower case with hyphens; stands in records as ``measured.<name>``.
        definition: what is counted, in one or two sentences, with what an item has that holds nothing to count.
        scale: unit and range: ``share 0-1``, ``log words``.
        sign: whether the domain holds more of it to be better (``+``), worse (``-``), or does not say (None).
        cost: what has to be computed for it.
        measure: view of the factor's cost -> value, always finite.
    """

    name: str
    definition: str
    scale: str
    sign: Sign | None
    cost: Cost
    measure: Callable[[Any], float]


def factor(name: str, *, scale: str, sign: Sign | None, cost: Cost) -> Callable[[Callable[[Any], float]], Factor]:
    """Makes a `Factor` of a function of a view; its docstring is the definition."""

    def make(measure: Callable[[Any], float]) -> Factor:
        definition = " ".join((measure.__doc__ or "").split())
        if not definition:
            raise ValueError(f"the factor {name!r} has no definition: write it as the function's docstring")
        return Factor(name, definition, scale, sign, cost, measure)

    return make


@dataclass(frozen=True, slots=True)
class ViewSource(Generic[Item]):
    """How items are looked at for the factors of one cost.

    Attributes:
        views: items -> one view each, in order; called with many items, so that models run on batches and items that
            share a part (the reviews of a product) have it worked out once.
        libraries: distributions whose versions decide the values.
        models: revisions of the models and the number format they run in, by name; called when a cache is used.
    """

    views: Callable[[Sequence[Item]], Iterable[Any]]
    libraries: tuple[str, ...] = ()
    models: Callable[[], Mapping[str, str]] | None = None


class FactorRegistry(Generic[Item]):
    """The factors of one domain.

    Args:
        name: of the domain, for messages.
        sources: how items are looked at, by cost.
        item_key: what identifies an item: any JSON value that holds all that its factors depend on.
    """

    def __init__(self, name: str, sources: Mapping[Cost, ViewSource[Item]], item_key: Callable[[Item], Any]) -> None:
        self.name = name
        self._sources, self._item_key = dict(sources), item_key
        self._factors: dict[str, Factor] = {}
        self._versions: dict[Cost, str | None] = {}

    def register(self, *factors: Factor) -> None:
        """Adds factors.

        Raises:
            ValueError: a name is taken, or items cannot be looked at in the way that a factor needs.
        """
        for one in factors:
            if one.name in self._factors:
                raise ValueError(f"there is a factor {one.name!r} in {self.name} already")
            if one.cost not in self._sources:
                raise ValueError(f"the factor {one.name!r} needs views of the cost {one.cost!r}; {self.name} has none")
            self._factors[one.name] = one
        self._versions.clear()

    def __iter__(self) -> Iterator[Factor]:
        return iter(self._factors.values())

    def __len__(self) -> int:
        return len(self._factors)

    def __getitem__(self, name: str) -> Factor:
        """A factor by its name. Raises UsageError where there is none, naming the nearest."""
        if name not in self._factors:
            nearest = difflib.get_close_matches(name, self._factors, n=1, cutoff=0.4)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(self._factors)}."
            raise UsageError(f"{self.name} has no factor {name}: {hint}")
        return self._factors[name]

    def names(self, patterns: Iterable[str] = ("*",), costs: Iterable[Cost] = COSTS) -> list[str]:
        """Names that match any pattern, of factors of these costs, in the order they were registered.

        Raises:
            UsageError: a pattern matches no factor at all; names the nearest.
        """
        wanted, allowed = list(patterns), set(costs)
        for pattern in wanted:
            if not any(fnmatchcase(name, pattern) for name in self._factors):
                self[pattern]
        return [one.name for one in self if one.cost in allowed and any(fnmatchcase(one.name, each) for each in wanted)]

    def catalogue(self) -> list[dict[str, Any]]:
        """What reports and cards show of every factor: name, definition, scale, sign, cost."""
        return [{key: getattr(one, key) for key in ("name", "definition", "scale", "sign", "cost")} for one in self]

    def measure(
        self,
        items: Sequence[Item],
        names: Sequence[str] | None = None,
        cache: FactorCache | None = None,
        progress: Callable[[int, int], None] | None = None,
        batch: int = 256,
    ) -> list[Measured]:
        """Measures factors of items.

        Equal items are measured once. Put items that share a part (the summaries of one product) side by side.

        Args:
            items: what to measure.
            names: factors wanted; None: all.
            cache: where values are looked up and kept.
            progress: called with (items done, items to do) of the costs that have to be computed, one after another.
            batch: items given to a view source at once; what was measured is kept in the cache after each batch.

        Returns:
            A value of every wanted factor for each item, in the order of `items`.

        Raises:
            UsageError: an unknown name.
            ValueError: a factor gave a value that is not finite.
        """
        wanted = self.names() if names is None else [self[name].name for name in names]
        keys = [json_digest(self._item_key(item)) for item in items]
        unique = dict(zip(keys, items, strict=True))
        rows: dict[str, Measured] = {key: {} for key in unique}
        for cost in COSTS:
            factors = [one for one in self if one.cost == cost and one.name in set(wanted)]
            if factors:
                self._measure(cost, factors, unique, rows, cache, progress, batch)
        return [{name: rows[key][name] for name in wanted} for key in keys]

    def _measure(
        self,
        cost: Cost,
        wanted: Sequence[Factor],
        items: Mapping[str, Item],
        rows: dict[str, Measured],
        cache: FactorCache | None,
        progress: Callable[[int, int], None] | None,
        batch: int,
    ) -> None:
        """Fills `rows` with the factors of one cost. Of a view all its factors are kept: the view is what costs."""
        version = self.version(cost) if cache is not None else None
        missing = dict(items)
        if cache is not None and version is not None:
            places = {json_digest([version, key]): key for key in items}
            for place, value in cache.get_many(places).items():
                rows[places[place]].update(json.loads(value))
                missing.pop(places[place])
        factors = wanted if version is None else [one for one in self if one.cost == cost]
        todo = list(missing)
        for start in range(0, len(todo), batch):
            some = todo[start : start + batch]
            measured = {
                key: {one.name: _finite(one, view) for one in factors}
                for key, view in zip(some, self._sources[cost].views([items[key] for key in some]), strict=True)
            }
            if cache is not None and version is not None:
                cache.put_many(
                    {json_digest([version, key]): json.dumps(values).encode() for key, values in measured.items()}
                )
            for key, values in measured.items():
                rows[key].update(values)
            if progress is not None:
                progress(start + len(some), len(todo))

    def version(self, cost: Cost) -> str | None:
        """Digest of all that the values of one cost depend on beside the item: code, libraries, models, processor.

        None where the source of a factor cannot be found (one that was defined in a notebook): its values and those of
        its cost are then not kept.
        """
        if cost not in self._versions:
            self._versions[cost] = self._version(cost)
        return self._versions[cost]

    def _version(self, cost: Cost) -> str | None:
        source = self._sources[cost]
        factors = [one for one in self if one.cost == cost]
        code: dict[str, str] = {}
        for function in (source.views, *(one.measure for one in factors)):
            module = function.__module__
            found = code_digests(module)
            if module not in found:
                return None
            code |= found
        libraries = {name: importlib.metadata.version(name) for name in source.libraries}
        # The last bits of a model's numbers differ between kinds of processor.
        models = {} if source.models is None else {**source.models(), "machine": platform.machine()}
        return json_digest([cost, [one.name for one in factors], code, libraries, models])


def _finite(factor: Factor, view: Any) -> float:
    value = float(factor.measure(view))
    if not math.isfinite(value):
        raise ValueError(f"the factor {factor.name!r} gave {value}: a factor is a finite number of every item")
    return value
