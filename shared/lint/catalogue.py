"""The list of all checks, from the registry itself: for `valign lint --checks` and the table in the documentation."""

from dataclasses import asdict, dataclass
from typing import Any

from shared.lint.config import LintConfig
from shared.lint.findings import Severity
from shared.lint.run import CHECKS

NEEDED = {
    "votes": "votes",
    "margin": "margins",
    "splits": "several splits",
    "tokenizer": "a tokenizer and max_length",
}


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One check as it is listed.

    Attributes:
        name: of the check.
        severity: of its findings by default, at most.
        needs: what the data must bring, in words; empty where nothing.
        thresholds: keys of the recipe's section `lint`, each with its default.
        about: what it looks for.
    """

    name: str
    severity: Severity
    needs: str
    thresholds: tuple[str, ...]
    about: str

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self) | {"thresholds": list(self.thresholds)}


def catalogue() -> list[CatalogueRow]:
    """All checks of valign in the order they run."""
    defaults = LintConfig()
    return [
        CatalogueRow(
            each.name,
            each.severity,
            ", ".join(NEEDED[need] for need in sorted(each.needs)),
            tuple(_with_default(key, getattr(defaults, key)) for key in each.thresholds),
            each.about,
        )
        for each in CHECKS
    ]


def _with_default(key: str, value: Any) -> str:
    """``tie_margin=0``; without a value where it is a list or a group of keys."""
    return f"{key}={value:g}" if isinstance(value, int | float) else key


def markdown_table() -> str:
    """The catalogue as a Markdown table."""
    lines = ["| check | looks for | severity | thresholds (`lint.…`) | needs |", "| --- | --- | --- | --- | --- |"]
    for row in catalogue():
        thresholds = ", ".join(f"`{key}`" for key in row.thresholds)
        lines.append(f"| `{row.name}` | {row.about} | {row.severity} | {thresholds} | {row.needs} |")
    return "\n".join(lines)
