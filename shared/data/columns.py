"""Which column is which: names a recipe may change, and errors that name the nearest column there is."""

import difflib
import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from shared.data.rows import InvalidValueError
from shared.errors import DataError


class ColumnMapping(BaseModel):
    """Names of the columns of a preference file; all but chosen and rejected may be absent.

    A column that is named here by the user must be there; the default names are taken where they are.

    Attributes:
        prompt: question or conversation; may be absent where chosen and rejected are whole dialogues.
        chosen: preferred response.
        rejected: other response.
        id: id of the pair; default: hash of its content.
        group_id: what must not be torn across splits; default: hash of the prompt's text.
        margin: strength of the preference, at least 0.
        weight: factor of the pair's loss, at least 0.
        context: what a judge sees beside the prompt.
        rationale: why the chosen response was preferred.
        votes_chosen: raters who preferred the chosen response.
        votes_rejected: raters who preferred the other.
        votes_ties: raters without a preference.
        metadata: columns kept for reports; no other column is carried into records.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = "prompt"
    chosen: str = "chosen"
    rejected: str = "rejected"
    id: str = "id"
    group_id: str = "group_id"
    margin: str = "margin"
    weight: str = "weight"
    context: str = "context"
    rationale: str = "rationale"
    votes_chosen: str = "votes_chosen"
    votes_rejected: str = "votes_rejected"
    votes_ties: str = "votes_ties"
    metadata: tuple[str, ...] = ("topic",)

    def mapped(self) -> frozenset[str]:
        """Every column that is read as something in particular."""
        return frozenset(getattr(self, name) for name in type(self).model_fields if name != "metadata")

    def renamed(self) -> list[str]:
        """Columns whose names differ from the defaults: those must be there."""
        fields = type(self).model_fields
        return [
            getattr(self, name) for name in fields if name != "metadata" and getattr(self, name) != fields[name].default
        ]


def require_columns(wanted: Collection[str], present: Collection[str], source: str, key: str = "data.columns") -> None:
    """Raises where a column is missing.

    Args:
        wanted: columns that must be there.
        present: columns that are there.
        source: file and row.
        key: recipe key that maps columns, for the message.

    Raises:
        DataError: naming the column, the nearest one there is, and the recipe key that renames.
    """
    for name in wanted:
        if name in present:
            continue
        by_lower = {str(one).lower(): str(one) for one in present}
        near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.4)
        hint = f"did you mean {by_lower[near[0]]!r}? " if near else ""
        listed = ", ".join(sorted(str(one)[:40] for one in present if str(one))[:12]) or "none"
        raise DataError(
            f"{source} has no column {name!r}: {hint}columns there are {listed}; rename it, or map it with "
            f"{key} in the recipe."
        )


def checked_text(value: str, name: str) -> str:
    """A text without NUL characters and outer white space.

    Raises:
        InvalidValueError: it holds half of a surrogate pair, which cannot be written as UTF-8.
    """
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidValueError(f"column {name!r} holds half of a surrogate pair, which is no character") from error
    return value.replace("\0", "").strip()


def text_of(values: Mapping[str, Any], name: str) -> str:
    """A column's text, stripped; empty where it is missing or null.

    Raises:
        InvalidValueError: the value is neither text nor a number.
    """
    value = values.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return checked_text(value, name)
    if isinstance(value, float) and math.isnan(value):
        return ""  # how data frames write a missing text
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"column {name!r} holds a {type(value).__name__}, not text")
    try:
        return str(value)
    except ValueError as error:
        raise InvalidValueError(f"column {name!r} holds a number with too many digits") from error


def number_of(
    values: Mapping[str, Any], name: str, least: float | None = None, most: float | None = None
) -> float | None:
    """A column's number, None where it is missing, null or empty.

    Args:
        values: the row.
        name: the column.
        least: smallest value allowed.
        most: largest value allowed.

    Raises:
        InvalidValueError: the value is no finite number, or outside its range.
    """
    value = values.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool | bytes) or (isinstance(value, str) and "_" in value):
            raise TypeError  # which `float` would take
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValueError(f"column {name!r} holds no number") from error
    if not math.isfinite(number):
        raise InvalidValueError(f"column {name!r} holds no finite number")
    if least is not None and number < least:
        raise InvalidValueError(f"column {name!r} is below its least value {least:g}")
    if most is not None and number > most:
        raise InvalidValueError(f"column {name!r} is above its greatest value {most:g}")
    return number


def numbers_of(values: Mapping[str, Any], name: str) -> dict[str, float]:
    """A column that holds an object of numbers (or its JSON text); empty where it is missing or null.

    Raises:
        InvalidValueError: it holds something else.
    """
    value = values.get(name)
    if isinstance(value, str):
        value = value.strip()
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidValueError(f"column {name!r} holds no object of numbers") from error
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"column {name!r} holds no object of numbers")
    found = {checked_text(str(key), name): number_of(value, key) for key in value}
    return {key: number for key, number in found.items() if number is not None}


def scalar_of(values: Mapping[str, Any], name: str) -> str | float | int | bool | None:
    """A column's value as metadata: a text, a finite number, a truth value, or None.

    Raises:
        InvalidValueError: a text that is no Unicode.
    """
    value = values.get(name)
    if isinstance(value, str):
        return checked_text(value, name)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    return checked_text(str(value)[:1_000], name) if not isinstance(value, int) else None
