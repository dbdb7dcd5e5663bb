"""Texts that are empty, very short, or in another language than expected."""

from array import array
from collections import Counter, defaultdict
from typing import Any

from shared.errors import UsageError
from shared.lint.findings import Finding, Outcome, count_of, metric_name, per_cent
from shared.lint.pairs import Batch, PairTable
from shared.lint.registry import Check, Session, check

LOOKED_AT = 120  # characters from a text's beginning: enough to tell among a dozen languages


@check("empty_text", severity="warning", thresholds=("short_characters",))
class EmptyText:
    """Prompts or responses without a letter or digit, and very short responses."""

    def __init__(self, session: Session) -> None:
        self._short = session.config.short_characters
        self._rows: dict[str, list[int]] = {"prompt": [], "response": [], "short": []}

    def observe(self, batch: Batch) -> None:
        for row, record in enumerate(batch.records, batch.first_row):
            shortest = min(len(record.chosen), len(record.rejected))
            if shortest < max(self._short, 40):
                shortest = min(len(record.chosen.strip()), len(record.rejected.strip()))
                if _is_blank(record.chosen) or _is_blank(record.rejected):
                    self._rows["response"].append(row)
                elif shortest < self._short and not _is_unspaced(record.chosen):
                    self._rows["short"].append(row)
            if not any(not _is_blank(message.content) for message in record.prompt):
                self._rows["prompt"].append(row)

    def finish(self, table: PairTable) -> Outcome:
        outcome = Outcome()
        for subject, rows in self._rows.items():
            count, share = len(rows), len(rows) / max(1, len(table))
            outcome.metrics[metric_name("empty_text", subject, "share")] = share
            if not count:
                continue
            if subject == "short":
                what = f"with a response of fewer than {self._short} characters: see whether it is an answer at all."
            else:
                what = f"with an empty {subject}: leave them out."
            message = f"{count_of(count, 'pair')} ({per_cent(share)}) {what}"
            severity = "info" if subject == "short" else "warning"
            outcome.findings.append(
                Finding("empty_text", severity, count, share, message, subject, table.examples(rows))
            )
        return outcome


def _is_blank(text: str) -> bool:
    return len(text) < 200 and not any(character.isalnum() for character in text)


@check(
    "wrong_language",
    severity="warning",
    thresholds=("languages", "prompt_languages", "language_candidates", "language_characters", "language_confidence"),
)
class WrongLanguage:
    """Texts in another language than the expected one."""

    def __init__(self, session: Session) -> None:
        self._config = session.config
        named = (*session.config.languages, *session.config.prompt_languages)
        self._languages = (*named, *session.config.language_candidates)
        self._identifier: Any = None
        self._rows: defaultdict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
        self._texts: Counter[str] = Counter()
        self._prompt: tuple[int, str | None] = (0, None)

    def observe(self, batch: Batch) -> None:
        for offset, record in enumerate(batch.records):
            row = batch.first_row + offset
            if self._prompt[0] != batch.prompt_hashes[offset]:  # pairs of one prompt usually follow each other
                self._prompt = batch.prompt_hashes[offset], self._language_of(record.prompt_text())
            for field, language in (
                ("prompt", self._prompt[1]),
                ("response", self._language_of(record.chosen)),
                ("response", self._language_of(record.rejected)),
            ):
                if language:
                    self._texts[language] += 1
                    rows = self._rows[field, language]
                    if not rows or rows[-1] != row:
                        rows.append(row)

    def finish(self, table: PairTable) -> Outcome:
        if not self._texts:
            return Outcome()
        responses = self._config.languages or (self._texts.most_common(1)[0][0],)
        by_subject = {"prompt": self._config.prompt_languages or responses, "response": responses}
        known = list(dict.fromkeys([*responses, *by_subject["prompt"]]))
        outcome = Outcome(figures={"texts": dict(self._texts), "expected": known})
        for subject, expected in by_subject.items():
            others = {key[1]: rows for key, rows in self._rows.items() if key[0] == subject and key[1] not in expected}
            rows = sorted(set().union(*others.values()))
            share = len(rows) / max(1, len(table))
            outcome.metrics[metric_name("wrong_language", subject, "share")] = share
            if rows:
                seen = ", ".join(
                    f"{language} {len(found):,}"
                    for language, found in sorted(others.items(), key=lambda item: -len(item[1]))
                )
                message = (
                    f"{count_of(len(rows), 'pair')} ({per_cent(share)}) with a {subject} that is not in "
                    f"{' or '.join(expected)} ({seen}): leave them out, or name the language in "
                    f"`lint.{'prompt_' if subject == 'prompt' and self._config.prompt_languages else ''}languages`."
                )
                outcome.findings.append(
                    Finding("wrong_language", "warning", len(rows), share, message, subject, table.examples(rows))
                )
        return outcome

    def _language_of(self, text: str) -> str | None:
        """The text's language where it is long enough and the identifier is sure, else None."""
        text = text[:LOOKED_AT]
        least = self._config.language_characters
        if len(text) < least and (text.isascii() or len(text) * 5 < least or not _is_unspaced(text)):
            return None
        if self._identifier is None:
            self._identifier = self._load()
        if len(text) < least and not any("\u3040" <= character <= "\u30ff" for character in text):
            return None  # without kana a short text of Chinese characters may be Chinese or Japanese
        language, confidence = self._identifier.classify(text)
        return language if confidence >= self._config.language_confidence else None

    def _load(self) -> Any:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        unknown = sorted(set(self._languages) - set(identifier.labels))
        if unknown:
            raise UsageError(
                f"lint.languages: no language is called {', '.join(unknown)}; give ISO 639-1 codes such as en, de, ja."
            )
        identifier.set_languages(sorted(set(self._languages)))
        return identifier


def _is_unspaced(text: str) -> bool:
    """Whether a script without spaces between words (Chinese, Japanese, Thai) prevails."""
    return sum(character >= "\u0e00" for character in text) * 2 > len(text)


CHECKS: tuple[Check, ...] = (EmptyText, WrongLanguage)
