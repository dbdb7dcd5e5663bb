"""How far each factor alone agrees with those who judged: a table before any model is fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import DataError
from shared.explain.factors import Sign

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from shared.evaluation.intervals import Estimate, Groups


@dataclass(frozen=True, slots=True)
class FactorAgreement:
    """One factor as a judge of pairs.

    Attributes:
        name: of the factor.
        sign: the side that was taken to win: more of it (``+``), less (``-``); None: more, for want of a known sign.
        accuracy: share of the pairs in which that side is the chosen one, a tie counting half, with an interval from
            resampling groups.
        ties: share of the pairs in which both sides have the same value.
        strata: the accuracy on parts of the pairs, by name.
    """

    name: str
    sign: Sign | None
    accuracy: "Estimate"
    ties: float
    strata: "dict[str, Estimate]"

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "name": self.name,
            "sign": self.sign,
            "accuracy": self.accuracy.to_json(),
            "ties": self.ties,
            "strata": {name: estimate.to_json() for name, estimate in self.strata.items()},
        }


def agreement_table(
    chosen: Sequence[Mapping[str, float]],
    rejected: Sequence[Mapping[str, float]],
    groups: "Groups",
    signs: Mapping[str, Sign | None],
    strata: "Mapping[str, ArrayLike] | None" = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> list[FactorAgreement]:
    """Accuracy of every factor alone on pairs, in the order of `signs`.

    Args:
        chosen: values by factor of the preferred side of each pair. [pairs]
        rejected: those of the other side. [pairs]
        groups: what must not be torn apart (the product); the unit of resampling. [pairs]
        signs: the factors wanted, each with the direction that is held to be better.
        strata: parts of the pairs, by name, as booleans (``{"same-tier": [...]}``). [pairs] each
        level: confidence level.
        seed: of the resampling.

    Raises:
        DataError: a pair lacks a factor; names it.
        ValueError: sides, groups or strata are not equally long.
    """
    import numpy as np

    from shared.evaluation.calibration import pair_outcomes
    from shared.evaluation.intervals import bootstrap_mean, unavailable

    parts = {name: np.asarray(mask, dtype=bool) for name, mask in (strata or {}).items()}
    lengths = {len(chosen), len(rejected), *map(len, parts.values())} | ({len(groups)} if groups is not None else set())
    if len(lengths) > 1:
        raise ValueError(f"sides, groups and strata of different length: {sorted(lengths)}")
    numbers = np.arange(len(chosen)) if groups is None else np.asarray([str(group) for group in groups])
    table: list[FactorAgreement] = []
    for name, sign in signs.items():
        differences = _column(chosen, name) - _column(rejected, name)
        outcomes = pair_outcomes(-differences if sign == "-" else differences)
        within = {
            part: bootstrap_mean(outcomes[mask], numbers[mask], level=level, seed=seed)
            if mask.any()
            else unavailable("no pairs", 0, level)
            for part, mask in parts.items()
        }
        overall = bootstrap_mean(outcomes, numbers, level=level, seed=seed)
        ties = float((differences == 0).mean()) if len(differences) else float("nan")
        table.append(FactorAgreement(name, sign, overall, ties, within))
    return table


def _column(rows: Sequence[Mapping[str, float]], name: str):
    import numpy as np

    missing = next((number for number, row in enumerate(rows) if name not in row), None)
    if missing is not None:
        raise DataError(f"pair {missing} has no value of the factor {name!r}: measure it, or leave the factor out.")
    return np.array([row[name] for row in rows], dtype=np.float64)
