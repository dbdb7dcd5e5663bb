"""Side columns of pairs (scores, covariates, twin metadata), kept as the sign of chosen minus rejected."""

import math
from array import array
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shared.records import PreferenceRecord

MISSING = 2  # in a column of signs, where a pair lacks the value on either side
MOST_CATEGORIES = 200
UNKNOWN = -1


class Columns:
    """Columns that say something of both sides of a pair.

    Names are ``scores.NAME``, ``covariates.NAME`` and ``metadata.NAME``; the last are metadata that come in twins
    (``chosen_NAME`` and ``rejected_NAME``, or ``NAME_chosen`` and ``NAME_rejected``). Numbers are kept as signs, one
    byte a pair; strings as numbers of categories, and given up beyond `MOST_CATEGORIES` values. Flags are metadata
    without a side that have at most two values.
    """

    def __init__(self) -> None:
        self._n = 0
        self._signs: dict[str, array[int]] = {}
        self._categories: dict[str, tuple[array[int], array[int]]] = {}
        self._codes: dict[str, dict[str, int]] = {}
        self._flags: dict[str, array[int]] = {}
        self._flag_values: dict[str, dict[object, int]] = {}
        self._twins: dict[tuple[str, ...], list[tuple[str, str, str]]] = {}

    def add(self, record: PreferenceRecord) -> None:
        """Takes in the columns of one more pair."""
        for kind, chosen, rejected in (
            ("scores", record.scores_chosen, record.scores_rejected),
            ("covariates", record.covariates_chosen, record.covariates_rejected),
        ):
            for name, value in chosen.items():
                if name in rejected:
                    self._number(f"{kind}.{name}", value, rejected[name])
        if record.metadata:
            for name, chosen_key, rejected_key in self._twins_of(record.metadata):
                a, b = record.metadata[chosen_key], record.metadata[rejected_key]
                if isinstance(a, str) and isinstance(b, str):
                    self._category(f"metadata.{name}", a, b)
                elif isinstance(a, int | float) and isinstance(b, int | float):
                    self._number(f"metadata.{name}", a, b)
            for name, value in record.metadata.items():
                if isinstance(value, int | str | float):
                    self._flag(name, value)
        self._n += 1

    def signs(self) -> dict[str, NDArray[np.int8]]:
        """Sign of chosen minus rejected by column [n]: -1, 0, 1 or `MISSING`."""
        return {
            name: _padded(np.frombuffer(column, dtype=np.int8), self._n, MISSING)
            for name, column in self._signs.items()
        }

    def categories(self) -> dict[str, tuple[NDArray[np.int16], NDArray[np.int16]]]:
        """Category of the chosen and of the rejected side by column [n]; `UNKNOWN` where a pair has none."""
        return {
            name: (
                _padded(np.frombuffer(chosen, dtype=np.int16), self._n, UNKNOWN),
                _padded(np.frombuffer(rejected, dtype=np.int16), self._n, UNKNOWN),
            )
            for name, (chosen, rejected) in self._categories.items()
            if len(self._codes[name]) <= MOST_CATEGORIES
        }

    def flags(self) -> dict[str, NDArray[np.int8]]:
        """Metadata with exactly two values, as 0 and 1 (`MISSING` where a pair has none), by name [n]."""
        return {
            name: _padded(np.frombuffer(column, dtype=np.int8), self._n, MISSING)
            for name, column in self._flags.items()
            if len(self._flag_values[name]) == 2
        }

    def _twins_of(self, metadata: Mapping[str, object]) -> list[tuple[str, str, str]]:
        keys = tuple(metadata)
        if keys not in self._twins:
            found = []
            for key in keys:
                if key.startswith("chosen_") and (other := "rejected_" + key[7:]) in metadata:
                    found.append((key[7:], key, other))
                elif key.endswith("_chosen") and (other := key[:-7] + "_rejected") in metadata:
                    found.append((key[:-7], key, other))
            self._twins[keys] = found
        return self._twins[keys]

    def _number(self, name: str, chosen: float, rejected: float) -> None:
        column = self._signs.setdefault(name, array("b"))
        column.extend([MISSING] * (self._n - len(column)))
        known = math.isfinite(chosen) and math.isfinite(rejected)
        column.append((chosen > rejected) - (chosen < rejected) if known else MISSING)

    def _category(self, name: str, chosen: str, rejected: str) -> None:
        codes = self._codes.setdefault(name, {})
        if len(codes) > MOST_CATEGORIES:
            return
        for column, value in zip(
            self._categories.setdefault(name, (array("h"), array("h"))), (chosen, rejected), strict=True
        ):
            column.extend([UNKNOWN] * (self._n - len(column)))
            column.append(codes.setdefault(value, len(codes)))

    def _flag(self, name: str, value: object) -> None:
        values = self._flag_values.setdefault(name, {})
        if len(values) > 2:
            return
        code = values.setdefault(value, len(values))
        column = self._flags.setdefault(name, array("b"))
        if code > 1:
            del column[:]
            return
        column.extend([MISSING] * (self._n - len(column)))
        column.append(code)


def _padded(column: NDArray, n: int, value: int) -> NDArray:
    return np.pad(column, (0, n - len(column)), constant_values=value) if len(column) < n else column
