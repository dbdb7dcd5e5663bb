"""A row as it was read, a row that could not be used, and the count of both."""

from dataclasses import dataclass, field
from typing import Any

from shared.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """Values of one row by column, and where it stands: ``file.csv:17`` (the header is row 1)."""

    values: dict[str, Any]
    source: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: where it stands and why; never its text."""

    source: str
    reason: str


class InvalidValueError(ValueError):
    """A value that contradicts its column: wrong type, no number, outside its range. Such a row counts as broken."""


@dataclass
class RowTally:
    """Counts rows and ends reading where too many cannot be used.

    Broken rows (JSON that does not parse, a label outside its range) speak of a damaged file or of the wrong column,
    so that by default the first ends reading; rows that merely lack something (an empty answer) are tolerated up to
    a share.

    Args:
        max_bad_share: share of rows without what they need above which the data are refused; checked by `check` at
            the end, and early once a hundred rows were seen.
        max_broken_share: the same for broken rows; 0 refuses the first one at once.
    """

    max_bad_share: float = 0.05
    max_broken_share: float = 0.0
    good: int = 0
    broken: int = 0
    first_broken: BadRow | None = None
    bad: list[BadRow] = field(default_factory=list)
    left_out: list[BadRow] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Rows seen, good and bad."""
        return self.good + len(self.bad)

    def reject(self, source: str, reason: str, broken: bool = False) -> None:
        """Notes a bad row.

        Raises:
            DataError: it is broken and none may be, or too many of a hundred rows and more are bad.
        """
        row = BadRow(source, reason)
        self.bad.append(row)
        if broken:
            self.broken += 1
            self.first_broken = self.first_broken or row
            if self.max_broken_share <= 0:
                raise DataError(
                    f"{source}: {reason}; mend or remove that row, or leave such rows out with "
                    "data.max_broken_share above 0."
                )
        if self.total >= 100 and len(self.bad) > 4 * max(self.max_bad_share, self.max_broken_share) * self.total:
            self.check()

    def reject_for(self, source: str, error: ValueError) -> None:
        """Notes a bad row whose values raised `error`; an `InvalidValueError` makes it a broken one."""
        self.reject(source, str(error), broken=isinstance(error, InvalidValueError))

    def leave_out(self, source: str, reason: str) -> None:
        """Notes a sound row that is not used (a duplicate, below a threshold); it is no fault of the data."""
        self.left_out.append(BadRow(source, reason))

    def check(self) -> None:
        """Raises where more rows are bad than allowed.

        Raises:
            DataError: naming the first bad row, its reason, and how many there are.
        """
        if self.first_broken is not None and self.broken > self.max_broken_share * self.total:
            raise DataError(self._refusal(self.first_broken, self.broken, "are broken", "data.max_broken_share"))
        lacking = len(self.bad) - self.broken
        if lacking and lacking > self.max_bad_share * self.total:
            raise DataError(self._refusal(self.bad[0], len(self.bad), "cannot be used", "data.max_bad_share"))

    def _refusal(self, first: BadRow, count: int, what: str, key: str) -> str:
        return f"{first.source}: {first.reason}; {count} of {self.total} rows {what}: mend them, or raise {key}."
