"""What lint reports: findings, the report they stand in, and its forms (table, JSON, metrics). Never a text."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from shared.errors import DataError

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Example:
    """Where a finding can be looked at: a record's id, its source (file and row) and its split."""

    id: str
    source: str
    split: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: name of the check.
        severity: ``error`` stops a run, ``warning`` is shown in card and report, ``info`` is recorded.
        count: records (or what the message counts) concerned.
        share: count over all that were looked at, 0..1.
        message: one sentence: what is there, and what to do.
        subject: which kind, column or field, where a check looks at several.
        examples: records to look at, at most as many as the configuration says.
    """

    check: str
    severity: Severity
    count: int
    share: float
    message: str
    subject: str = ""
    examples: tuple[Example, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What a check returns: findings, numbers for plots and tables (JSON values), and flat metrics."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class LintError(DataError):
    """Findings of severity error stop the run; the reports come along, so that a command can still show them.

    Args:
        message: every error's sentence.
        reports: the reports by part.
    """

    def __init__(self, message: str, reports: "Mapping[str, LintReport]") -> None:
        super().__init__(message)
        self.reports = reports


@dataclass(frozen=True, slots=True)
class LintReport:
    """Everything that lint found.

    Attributes:
        splits: number of records by split, in the order given.
        findings: errors first, then warnings, then infos.
        checks: what became of every check: ``found``, ``clean``, ``off`` or ``not applicable: <why>``.
        figures: JSON values for plots and tables, by check.
        metrics: flat numbers named ``data/lint/...``.
        about: what every check looks for.
    """

    splits: Mapping[str, int]
    findings: tuple[Finding, ...]
    checks: Mapping[str, str]
    figures: Mapping[str, Any]
    metrics: Mapping[str, float]
    about: Mapping[str, str] = field(default_factory=dict)

    def of(self, check: str, subject: str | None = None) -> list[Finding]:
        """The findings of one check, or of one of its subjects."""
        return [each for each in self.findings if each.check == check and subject in (None, each.subject)]

    def with_severity(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [each for each in self.findings if each.severity == severity]

    def raise_for_errors(self) -> None:
        """Raises LintError with every error's message, where there is any."""
        stop_on_errors({"data": self})

    def to_rows(self) -> list[dict[str, Any]]:
        """One flat row a finding, for a table: severity, check, subject, count, share, message, examples."""
        return [
            {
                "severity": each.severity,
                "check": each.check,
                "subject": each.subject,
                "count": each.count,
                "share": each.share,
                "message": each.message,
                "examples": ", ".join(f"{example.id} ({example.source})" for example in each.examples),
            }
            for each in self.findings
        ]

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON; numbers that are not finite become None."""
        return _finite(
            {
                "splits": dict(self.splits),
                "findings": [asdict(each) for each in self.findings],
                "checks": dict(self.checks),
                "figures": dict(self.figures),
                "metrics": dict(self.metrics),
                "about": dict(self.about),
            }
        )

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "LintReport":
        """The inverse of `to_json` (up to numbers that are not finite)."""
        findings = tuple(
            Finding(**{**each, "examples": tuple(Example(**example) for example in each["examples"])})
            for each in row["findings"]
        )
        return cls(row["splits"], findings, row["checks"], row["figures"], row["metrics"], row.get("about", {}))


def stop_on_errors(reports: Mapping[str, LintReport]) -> None:
    """Ends a run whose data have errors.

    Args:
        reports: by part (``source``, ``splits``).

    Raises:
        LintError: with every error's message, each once.
    """
    errors = [each.message for report in reports.values() for each in report.with_severity("error")]
    if errors:
        hint = "(A check's severity can be changed in the recipe: `lint.severities`.)"
        raise LintError(" ".join([*dict.fromkeys(errors), hint]), reports)


def metric_name(*parts: str) -> str:
    """``data/lint/`` and the parts, with what trackers refuse in a metric's name replaced by an underscore."""
    return "data/lint/" + "_".join(re.sub(r"[^\w.-]+", "_", part).strip("_") for part in parts if part)


def count_of(number: int, noun: str) -> str:
    """``1 pair`` or ``2,345 pairs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def per_cent(share: float) -> str:
    """A share 0..1 in per cent, precise enough that a small one is not shown as 0."""
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "<0.1%"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
