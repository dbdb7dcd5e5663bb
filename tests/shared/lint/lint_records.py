"""Short ways to make records for tests of lint."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.lint.config import LintConfig
from shared.lint.findings import LintReport
from shared.lint.registry import Check
from shared.lint.run import lint
from shared.records import Message, PreferenceRecord

TEXTS = (
    "The quiet river bends around seven old mills before noon",
    "A careful answer names the feeling and asks one open question",
    "Nobody in the village remembers who planted these crooked pear trees",
    "Plan small steps for tomorrow and tell your sister about them",
    "Bright lanterns hang along the harbour wall until the ferry leaves",
    "She keeps three ledgers and a broken compass in the drawer",
)


def pair(number: int, **values: Any) -> PreferenceRecord:
    """A record of its own group, without any defect; `values` replace fields."""
    fields: dict[str, Any] = {
        "id": f"r{number}",
        "group_id": f"g{number}",
        "source": f"rows.csv:{number + 2}",
        "prompt": (Message("user", f"Question {number} about {TEXTS[number % 6].lower()} and the number {number}?"),),
        "chosen": f"{TEXTS[(number * 5 + 1) % 6]}, says reply {number} of the first kind.",
        "rejected": f"{TEXTS[(number * 5 + 3) % 6]}, says reply {number} of the other kind.",
    }
    if isinstance(values.get("prompt"), str):
        values["prompt"] = (Message("user", values["prompt"]),)
    return PreferenceRecord(**{**fields, **values})


def report_on(
    *splits: Sequence[PreferenceRecord],
    config: LintConfig | Mapping[str, Any] | None = None,
    tokenizer: Any = None,
    extra: Sequence[Check] = (),
) -> LintReport:
    """Lints lists of records as the splits train, validation, test."""
    if not isinstance(config, LintConfig):
        config = LintConfig(**{"examples": 1000, **(config or {})})
    names = ("train", "validation", "test") if len(splits) > 2 else ("train", "test")
    named = {name: (lambda records=records: records) for name, records in zip(names, splits, strict=False)}
    return lint(named, config, tokenizer, extra)


def ids_of(report: LintReport, check: str, subject: str | None = None) -> set[str]:
    """Ids of all records that a check names."""
    return {example.id for each in report.of(check, subject) for example in each.examples}
