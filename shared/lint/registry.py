"""How a check is written and how a domain adds its own.

A check is a `Check` object; `shared.lint.run.lint` takes those of valign and any `extra_checks`. Three decorators turn
a function into one:

- `@check(...)` for a function of the `Session` that returns an observer, which sees every batch of the stream and
  reports at the end;
- `@table_check(...)` for a function of the finished `PairTable`, which needs no texts;
- `@record_check(...)` for a predicate of one record.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from shared.lint.config import LintConfig
from shared.lint.findings import Finding, Outcome, Severity, metric_name
from shared.lint.pairs import Batch, PairTable
from shared.records import PreferenceRecord

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from shared.lint.near_duplicates import NearDuplicates

Need = Literal["votes", "margin", "splits", "tokenizer"]
NEEDS: dict[Need, str] = {
    "votes": "no pair has votes",
    "margin": "no pair has a margin",
    "splits": "there is one split only",
    "tokenizer": "no tokenizer or no max_length is given",
}


@dataclass(frozen=True)
class Session:
    """What a check is given before the first record.

    Attributes:
        config: the thresholds.
        splits: names of the splits.
        tokenizer: of the model to be trained, if there is one.
        near_duplicates: the index of near-duplicate texts, shared by the checks that read it.
    """

    config: LintConfig
    splits: tuple[str, ...]
    tokenizer: "PreTrainedTokenizerBase | None"
    near_duplicates: "NearDuplicates"


class Observer(Protocol):
    """A check at work on one stream."""

    def observe(self, batch: Batch) -> None:
        """Looks at the next records."""

    def finish(self, table: PairTable) -> Outcome:
        """Reports, once all records were seen."""
        ...


@dataclass(frozen=True)
class Check:
    """A check that can be registered.

    Attributes:
        name: lower case with underscores; the key in `LintConfig.severities`.
        severity: of its findings, unless a finding says less or the configuration says otherwise.
        start: makes the observer of one run.
        needs: what the data or the call must bring; where it does not, the check is not applicable.
        about: one line for listings.
        thresholds: the keys of `LintConfig` (the recipe's section `lint`) that decide what it finds.
    """

    name: str
    severity: Severity
    start: Callable[[Session], Observer]
    needs: frozenset[Need] = frozenset[Need]()
    about: str = ""
    thresholds: tuple[str, ...] = ()


def check(
    name: str, *, severity: Severity, needs: Iterable[Need] = (), thresholds: Iterable[str] = ()
) -> Callable[[Callable[[Session], Observer]], Check]:
    """Makes a `Check` of a function (or class) that takes the `Session` and returns an `Observer`."""

    def make(start: Callable[[Session], Observer]) -> Check:
        return Check(name, severity, start, frozenset(needs), _first_sentence(start.__doc__), tuple(thresholds))

    return make


def table_check(
    name: str, *, severity: Severity, needs: Iterable[Need] = (), thresholds: Iterable[str] = ()
) -> Callable[[Callable[[PairTable, LintConfig], Outcome]], Check]:
    """Makes a `Check` of a function of the finished table and the configuration."""

    def make(report: Callable[[PairTable, LintConfig], Outcome]) -> Check:
        def start(session: Session) -> Observer:
            return _AtTheEnd(report, session.config)

        return Check(name, severity, start, frozenset(needs), _first_sentence(report.__doc__), tuple(thresholds))

    return make


def record_check(
    name: str, *, severity: Severity, message: str, needs: Iterable[Need] = ()
) -> Callable[[Callable[[PreferenceRecord], bool]], Check]:
    """Makes a `Check` of a predicate that is true of a defective record.

    Args:
        name: of the check.
        severity: of its finding.
        message: one sentence with the places ``{count}`` and ``{share}``: what is there and what to do.
        needs: what the data must bring.
    """

    def make(is_defective: Callable[[PreferenceRecord], bool]) -> Check:
        def start(_: Session) -> Observer:
            return _EachRecord(name, severity, message, is_defective)

        return Check(name, severity, start, frozenset(needs), _first_sentence(is_defective.__doc__))

    return make


class _AtTheEnd:
    def __init__(self, report: Callable[[PairTable, LintConfig], Outcome], config: LintConfig) -> None:
        self._report, self._config = report, config

    def observe(self, batch: Batch) -> None:
        del batch

    def finish(self, table: PairTable) -> Outcome:
        return self._report(table, self._config)


class _EachRecord:
    def __init__(
        self, name: str, severity: Severity, message: str, is_defective: Callable[[PreferenceRecord], bool]
    ) -> None:
        self._name, self._message, self._is_defective = name, message, is_defective
        self._severity: Severity = severity
        self._rows: list[int] = []

    def observe(self, batch: Batch) -> None:
        first = batch.first_row
        self._rows += [first + row for row, record in enumerate(batch.records) if self._is_defective(record)]

    def finish(self, table: PairTable) -> Outcome:
        count, share = len(self._rows), len(self._rows) / max(1, len(table))
        outcome = Outcome(metrics={metric_name(self._name, "share"): share})
        if count:
            message = self._message.format(count=f"{count:,}", share=f"{share:.1%}")
            examples = table.examples(self._rows)
            outcome.findings.append(Finding(self._name, self._severity, count, share, message, examples=examples))
        return outcome


def _first_sentence(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]
