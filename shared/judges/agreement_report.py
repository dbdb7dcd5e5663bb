"""How far raters agree: tables of ratings from files, and every statistic that fits them, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from shared.errors import DataError
from shared.judges.agreement import (
    MISSING,
    Codes,
    Level,
    alpha_estimate,
    cohen_estimate,
    fleiss_estimate,
    raw_estimate,
)
from shared.judges.ratings import Rating

ORDERED_VERDICTS = ("b", "tie", "a")
_MOST_RATERS_SHOWN = 12  # pairs of raters grow with the square


@dataclass(frozen=True, slots=True)
class RatingTable:
    """Ratings of one kind, items by raters.

    Attributes:
        what: ``verdict``, or the name of the score.
        items: ids [n].
        groups: group of each item [n].
        raters: names [R].
        categories: in ascending order; verdicts as b < tie < a.
        codes: category of each rating [n, R], -1 for none.
        values: number of each category.
    """

    what: str
    items: tuple[str, ...]
    groups: tuple[str, ...]
    raters: tuple[str, ...]
    categories: tuple[str, ...]
    codes: Codes
    values: np.ndarray


def rating_table(ratings: Sequence[Rating], what: str = "verdict") -> RatingTable:
    """The table of verdicts, or of one score.

    Args:
        ratings: of all raters.
        what: ``verdict``, ``overall`` or a criterion.

    Raises:
        DataError: fewer than two raters, or no item that two of them rated.
    """
    chosen = [one for one in ratings if (one.verdict is not None if what == "verdict" else what in one.scores)]
    raters = sorted({one.rater for one in chosen})
    if len(raters) < 2:
        have = f"only {raters[0]} gave" if raters else "nobody gave"
        raise DataError(f"agreement needs two raters, but {have} a {what}: give the ratings of another one.")
    items = sorted({one.item for one in chosen})
    row, column = {name: at for at, name in enumerate(items)}, {name: at for at, name in enumerate(raters)}
    groups = {one.item: one.group for one in chosen}
    numbers = [] if what == "verdict" else sorted({one.scores[what] for one in chosen})
    categories = ORDERED_VERDICTS if what == "verdict" else tuple(f"{number:g}" for number in numbers)
    code = {name: at for at, name in enumerate(ORDERED_VERDICTS if what == "verdict" else numbers)}
    codes = np.full((len(items), len(raters)), MISSING, dtype=np.int64)
    for one in chosen:
        given = one.verdict or "" if what == "verdict" else one.scores[what]
        codes[row[one.item], column[one.rater]] = code[given]
    if not ((codes >= 0).sum(axis=1) > 1).any():
        raise DataError(f"no item has a {what} of two raters: the ids in the column item differ between the files.")
    values = np.asarray(numbers if numbers else [0.0, 0.5, 1.0])
    return RatingTable(
        what, tuple(items), tuple(groups[one] for one in items), tuple(raters), categories, codes, values
    )


def kinds_of(ratings: Sequence[Rating]) -> list[str]:
    """What can be compared: ``verdict`` and every score that two raters or more gave."""
    raters: dict[str, set[str]] = {}
    for one in ratings:
        for name in ("verdict",) if one.verdict is not None else tuple(one.scores):
            raters.setdefault(name, set()).add(one.rater)
    first = ("verdict", "overall")
    found = [name for name, who in raters.items() if len(who) > 1]
    return [name for name in first if name in found] + sorted(name for name in found if name not in first)


def agreement_report(table: RatingTable, *, seed: int = 0) -> dict[str, Any]:
    """Every agreement statistic of a table, each with a bootstrap interval over items (groups of items).

    Returns:
        JSON: ``raw``, ``fleiss_kappa``, ``alpha`` by level (nominal and ordinal; interval for scores) as estimates;
        ``pairs`` of raters with raw agreement, Cohen's kappa and its linear and quadratic weights; counts.
    """
    rated = (table.codes >= 0).sum(axis=1)
    together = rated > 1
    codes, groups = table.codes[together], [one for one, keep in zip(table.groups, together, strict=True) if keep]
    levels: tuple[Level, ...] = (
        ("nominal", "ordinal") if table.what == "verdict" else ("nominal", "ordinal", "interval")
    )
    pairs = []
    for one, other in list(combinations(range(len(table.raters)), 2))[: _MOST_RATERS_SHOWN**2]:
        both = (table.codes[:, one] >= 0) & (table.codes[:, other] >= 0)
        first, second = table.codes[both, one], table.codes[both, other]
        where = [name for name, keep in zip(table.groups, both, strict=True) if keep]
        row: dict[str, Any] = {
            "raters": [table.raters[one], table.raters[other]],
            "items": int(both.sum()),
            "raw": raw_estimate(np.stack([first, second], axis=1), where, seed=seed).to_json(),
        }
        weights: tuple[Literal["none", "linear", "quadratic"], ...] = ("none", "linear", "quadratic")
        for weight in weights:
            name = "cohen_kappa" if weight == "none" else f"cohen_kappa_{weight}"
            row[name] = cohen_estimate(first, second, weight, table.values, where, seed=seed).to_json()
        if table.what == "verdict":
            row["raw_without_ties"] = _without_ties(first, second, where, seed)
        pairs.append(row)
    return {
        "what": table.what,
        "raters": list(table.raters),
        "items": len(table.items),
        "items_rated_twice": int(together.sum()),
        "ratings": int(rated.sum()),
        "categories": _category_counts(table),
        "raw": raw_estimate(codes, groups, seed=seed).to_json(),
        "fleiss_kappa": fleiss_estimate(table.codes, table.groups, seed=seed).to_json(),
        "alpha": {level: alpha_estimate(codes, level, table.values, groups, seed=seed).to_json() for level in levels},
        "pairs": pairs,
    }


def _without_ties(first: Codes, second: Codes, groups: Sequence[str], seed: int) -> dict[str, Any]:
    """Raw agreement on items where neither says tie (what is often published as a judge's agreement)."""
    tie = ORDERED_VERDICTS.index("tie")
    kept = (first != tie) & (second != tie)
    where = [name for name, keep in zip(groups, kept, strict=True) if keep]
    return raw_estimate(np.stack([first[kept], second[kept]], axis=1), where, seed=seed).to_json()


def _category_counts(table: RatingTable) -> Mapping[str, Mapping[str, int]] | None:
    if len(table.categories) > 20:
        return None
    counts = {
        rater: np.bincount(column[column >= 0], minlength=len(table.categories))
        for rater, column in zip(table.raters, table.codes.T, strict=True)
    }
    return {rater: dict(zip(table.categories, found.tolist(), strict=True)) for rater, found in counts.items()}
