"""Checks that look for patterns in every text of a record, and count them by kind and by field."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from shared.lint.findings import Finding, Outcome, Severity, count_of, metric_name, per_cent
from shared.lint.pairs import Batch, PairTable
from shared.lint.registry import Check, Session

FIELDS = ("prompt", "chosen", "rejected")


def pattern_check(
    name: str,
    *,
    severity: Severity,
    kinds: Mapping[str, Callable[[str], object]],
    advice: str,
    about: str,
    fields: Iterable[str] = FIELDS,
) -> Check:
    """Makes a check of predicates on texts.

    Args:
        name: of the check.
        severity: of its findings.
        kinds: by kind (a plural, read in the message), what is truthy of a text that has it.
        advice: what to do, the end of every message.
        about: one line for listings.
        fields: which of ``prompt``, ``chosen``, ``rejected`` are looked at.

    Returns:
        A check with one finding a kind, and figures by kind and field.
    """
    return Check(
        name,
        severity,
        lambda session: PatternObserver(name, severity, kinds, advice, tuple(fields), session),
        about=about,
    )


class PatternObserver:
    """Counts, by kind, the records and fields in which a predicate is true of a text."""

    def __init__(
        self,
        name: str,
        severity: Severity,
        kinds: Mapping[str, Callable[[str], object]],
        advice: str,
        fields: tuple[str, ...],
        session: Session,
    ) -> None:
        self._name, self._kinds, self._advice, self._fields = name, kinds, advice, fields
        self._severity: Severity = severity
        self._kept = session.config.examples
        self._records: Counter[str] = Counter()
        self._by_field: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._rows: defaultdict[str, list[int]] = defaultdict(list)

    def observe(self, batch: Batch) -> None:
        for row, record in enumerate(batch.records, batch.first_row):
            texts = {"prompt": record.prompt_text(), "chosen": record.chosen, "rejected": record.rejected}
            for kind, has in self._kinds.items():
                hits = [field for field in self._fields if has(texts[field])]
                if hits:
                    self._records[kind] += 1
                    self._by_field[kind].update(hits)
                    if len(self._rows[kind]) < self._kept:
                        self._rows[kind].append(row)

    def finish(self, table: PairTable) -> Outcome:
        outcome = Outcome()
        n = max(1, len(table))
        for kind in self._kinds:
            count = self._records[kind]
            outcome.metrics[metric_name(self._name, kind, "share")] = count / n
            outcome.figures[kind] = {
                "records": count,
                **{field: self._by_field[kind][field] for field in self._fields},
            }
            if not count:
                continue
            places = ", ".join(f"{self._by_field[kind][field]:,} {field}" for field in self._fields)
            message = f"{kind} in {count_of(count, 'pair')} ({per_cent(count / n)}; {places}): {self._advice}"
            examples = table.examples(self._rows[kind])
            outcome.findings.append(Finding(self._name, self._severity, count, count / n, message, kind, examples))
        return outcome
