"""What was measured of one model, item by item, so that another model can be compared with it in pairs."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import DataError
from shared.evaluation.intervals import Floats, finite_or_none


@dataclass(frozen=True, slots=True)
class ItemValues:
    """One metric of one model on every test item, for one or several training seeds.

    Attributes:
        ids: id of each item, unique [n].
        groups: group of each item [n].
        values: [seeds, n].
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    values: Floats

    @classmethod
    def of(cls, ids: Any, groups: Any, values: Any) -> "ItemValues":
        """Makes item values of sequences; `values` is [n] for one seed or [seeds, n].

        Raises:
            ValueError: the lengths differ or an id occurs twice.
        """
        table = np.atleast_2d(np.asarray(values, dtype=np.float64))
        names = tuple(str(name) for name in ids)
        clusters = names if groups is None else tuple(str(group) for group in groups)
        if table.ndim != 2 or table.shape[1] != len(names) or len(clusters) != len(names):
            raise ValueError(f"{len(names)} ids and {len(clusters)} groups for values of {table.shape}")
        if len(set(names)) != len(names):
            raise ValueError("an item id occurs twice in the values of one metric")
        return cls(names, clusters, table)

    @property
    def seeds(self) -> int:
        """Number of training seeds."""
        return self.values.shape[0]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything the gate knows of a model.

    Attributes:
        name: of the model, for messages.
        items: per-item values by metric.
        scalars: metrics that exist only as one number for the whole model.
        promoted_seed: row of the item values that belongs to the model that would be registered. It must be
            fixed before the results are looked at: the best of several seeds is better by selection.
        data_licence: licence of the training data as its source states it; None where it states none.
        measured_with: what else must be equal for two measurements to be comparable (digest of the judge,
            prompt format, sampling), by name.
    """

    name: str
    items: Mapping[str, ItemValues]
    scalars: Mapping[str, float] = field(default_factory=dict)
    promoted_seed: int = 0
    data_licence: str | None = None
    measured_with: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON; values that are not finite become None."""
        return {
            "name": self.name,
            "items": {
                metric: {
                    "ids": list(values.ids),
                    "groups": list(values.groups),
                    "values": [[finite_or_none(value) for value in row] for row in values.values.tolist()],
                }
                for metric, values in self.items.items()
            },
            "scalars": {metric: finite_or_none(float(value)) for metric, value in self.scalars.items()},
            "promoted_seed": self.promoted_seed,
            "data_licence": self.data_licence,
            "measured_with": dict(self.measured_with),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Measured":
        """The inverse of `to_json` (None becomes NaN)."""
        return cls(
            name=row["name"],
            items={
                metric: ItemValues.of(
                    values["ids"],
                    values["groups"],
                    [[math.nan if value is None else value for value in seed] for seed in values["values"]],
                )
                for metric, values in row["items"].items()
            },
            scalars={metric: math.nan if value is None else value for metric, value in row["scalars"].items()},
            promoted_seed=row["promoted_seed"],
            data_licence=row["data_licence"],
            measured_with=row["measured_with"],
        )

    def write(self, path: Path) -> None:
        """Writes the measurement as JSON."""
        path.write_text(json.dumps(self.to_json(), allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Measured":
        """Reads what `write` wrote.

        Raises:
            DataError: the file is missing or is no measurement.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is no measurement ({error}); run the evaluation again.") from error
