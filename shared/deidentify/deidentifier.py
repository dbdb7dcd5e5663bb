"""Masking of texts and records as a stream.

All texts of a batch are searched at once (equal texts once); a name found in a record is searched again in every
other text of its group so far (a signature gives away the same name in lower case); then placeholders are given.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from shared.deidentify import common_names as words
from shared.deidentify.config import DeidentifyConfig
from shared.deidentify.counts import DeidentifyReport
from shared.deidentify.findings import Finding, resolve
from shared.deidentify.identifiers import mask_identifier, safe_id, slug_names, split_source
from shared.deidentify.placeholders import OpenGroups, PlaceholderBook, known_names_expression, normalise
from shared.deidentify.recognisers import PatternRecogniser, Recogniser, build_recogniser
from shared.deidentify.record_fields import collect_texts, replace_texts
from shared.records import Record

R = TypeVar("R", bound=Record)
_CACHED_TEXTS = 20_000  # texts whose findings are remembered: answers return in several pairs
_DIGEST, _NO_NAMES = 16, b"-"  # bytes that stand for a text, and what marks one that the name model does not read
_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?([^/:?#]+)")


class Deidentifier:
    """Replaces personal data and secrets by placeholders.

    Args:
        config: what to mask; see `DeidentifyConfig`.
        name_fields: fields of records, as `collect_texts` calls them, whose texts the name model reads; None: all.
            For records in two languages: a name found in one field is masked in every field of its group.

    Raises:
        SystemStateError: names are to be recognised, but a package for it is missing.
        UsageError: an unknown recogniser is named.
    """

    def __init__(self, config: DeidentifyConfig | None = None, name_fields: Collection[str] | None = None) -> None:
        self.config = config or DeidentifyConfig()
        self.report = DeidentifyReport(self.config)
        self._patterns = PatternRecogniser()
        self._batched: list[Recogniser] = [build_recogniser(name) for name in self.config.recognisers]
        self._lists: Any = None
        self._names: Recogniser | None = None
        self._name_fields = None if name_fields is None else frozenset(name_fields)
        if self.config.names_by_model:
            from shared.deidentify.names import NameRecogniser

            recogniser = NameRecogniser()
            self._lists, self._names = recogniser.lists, recogniser
            self._batched.append(recogniser)
        self._entities = frozenset(self.config.entities)
        self._allowed = frozenset(
            normalise(entity, value) for value in self.config.allow_list for entity in ("NAME", "PHONE", "URL")
        ) - {""}
        self._person_fields = frozenset(name.casefold() for name in self.config.person_fields)
        self._known: OrderedDict[bytes, list[Finding]] = OrderedDict()
        self._identifiers: OrderedDict[str, str] = OrderedDict()

    # Texts

    def mask_text(self, text: str) -> tuple[str, list[Finding]]:
        """One text with its own numbering; not counted in `report`.

        Returns:
            The masked text, and the findings with their places in the text given.
        """
        if not self.config.enabled:
            return text, []
        return self._mask_scope([("text", text)], [self._search([text])[0]], PlaceholderBook())[0]

    def deidentify_texts(self, texts: Sequence[str], *, one_scope: bool = False) -> list[str]:
        """Masked texts, in order; what was masked is counted in `report` under the field ``text``.

        Args:
            texts: any strings, analysed as one batch.
            one_scope: number values across all texts (they belong together), not within each.
        """
        if not self.config.enabled:
            return list(texts)
        found = self._search(texts)
        named = [("text", text) for text in texts]
        if one_scope:
            masked = self._mask_scope(named, found, PlaceholderBook())
        else:
            masked = [self._mask_scope([t], [f], PlaceholderBook())[0] for t, f in zip(named, found, strict=True)]
        self.report.texts += len(texts)
        self.report.characters += sum(map(len, texts))
        for _, findings in masked:
            for finding in findings:
                self.report.count("text", finding.entity, finding.recogniser)
        return [text for text, _ in masked]

    # Records

    def mask_records(self, records: Iterable[R]) -> Iterator[R]:
        """The records with every text masked, in order, holding `batch_records` of them in memory.

        Masks prompt turns, responses, context, rationale, metadata and every other string of the record, column names
        (keys of mappings) and the file name in `source`; hashes ids that are no plain counters or digests. Counts go
        to `report`. With `enabled: false` the records pass unchanged and are counted.

        Args:
            records: dataclass records; rows of one group should stand together, see `open_groups`.
        """
        groups = OpenGroups(self.config.open_groups)
        stream = iter(records)
        while batch := list(islice(stream, self.config.batch_records)):
            if not self.config.enabled:
                self.report.records += len(batch)
                yield from batch
                continue
            fields = [collect_texts(record) for record in batch]
            named = [field for texts in fields for field, _ in texts]
            found = iter(self._search([text for texts in fields for _, text in texts], named))
            for record, texts in zip(batch, fields, strict=True):
                yield self._mask_record(record, texts, [next(found) for _ in texts], groups)

    def _mask_record(
        self, record: R, texts: list[tuple[str, str]], found: list[list[Finding]], groups: OpenGroups
    ) -> R:
        report = self.report
        report.records += 1
        report.texts += len(texts)
        changes: dict[str, Any] = {}
        touched = False
        for number, (field, text) in enumerate(texts):
            report.characters += len(text)
            if text and "." in field and self._is_person(field):
                found[number] = [Finding(0, len(text), "NAME", 1.0, "person-field")]
        # A group without findings leaves nothing in memory.
        if any(found) or groups.known(record.group_id):
            masked = self._mask_scope(texts, found, groups.book(record.group_id))
            for (field, _), (_, findings) in zip(texts, masked, strict=True):
                for finding in findings:
                    report.count(self._field_label(field), finding.entity, finding.recogniser)
            changes = replace_texts(record, iter([text for text, _ in masked]))
            touched = bool(changes)
        for name in ("id", "group_id"):
            value = getattr(record, name)
            clean = safe_id(value)
            if clean != value:
                changes[name] = clean
                report.ids_hashed += 1
        file, row = split_source(record.source)
        if (clean := self.masked_identifier(file)) != file:
            changes["source"] = clean + row
            report.sources_masked += 1
            touched = True
        columns = self._columns(record, changes)
        if columns:
            changes.update(columns)
            report.columns_masked += 1
            touched = True
        report.records_touched += touched
        return replace(record, **changes) if changes else record  # type: ignore[type-var]

    def _columns(self, record: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
        renamed: dict[str, Any] = {}
        for name in record.__dataclass_fields__:
            value = changes.get(name, getattr(record, name))
            if not isinstance(value, Mapping) or all(self.masked_identifier(str(key)) == key for key in value):
                continue
            clean: dict[str, Any] = {}
            for key, item in value.items():
                label = base = self.masked_identifier(str(key))
                serial = 2
                while label in clean:
                    label, serial = f"{base}_{serial}", serial + 1
                clean[label] = item
            renamed[name] = clean
        return renamed

    def _is_person(self, field: str) -> bool:
        return "NAME" in self._entities and field.rsplit(".", 1)[1].casefold() in self._person_fields

    def _field_label(self, field: str) -> str:
        head, dot, key = field.partition(".")
        return f"{head}.{self.masked_identifier(key)}" if dot else head

    def masked_identifier(self, name: str) -> str:
        """A file or column name with what it gives away masked; remembered, since there are few."""
        clean = self._identifiers.get(name)
        if clean is None:
            findings = [f for f in self._patterns.find_one(name) if f.entity not in {"URL", "NAME"}]
            lists = self._lists
            if lists is None:
                findings += slug_names(name)
            else:
                findings += slug_names(
                    name,
                    lambda word: word in words.GIVEN_NAMES or lists.rare_given(word),
                    lambda word: word in words.SURNAMES or (len(word) > 3 and word not in lists.ordinary),
                )
            clean = mask_identifier(name, self._wanted(name, findings))
            self._identifiers[name] = clean
            if len(self._identifiers) > _CACHED_TEXTS:
                self._identifiers.popitem(last=False)
        return clean

    # Search and replacement

    def _wanted(self, text: str, findings: list[Finding]) -> list[Finding]:
        entities, least = self._entities, self.config.min_score
        kept = []
        for finding in findings:
            if finding.score < least or finding.entity not in entities:
                continue
            if self._allowed and self._is_allowed(finding.entity, text[finding.start : finding.end]):
                self.report.allowed += 1
                continue
            kept.append(finding)
        return kept

    def _is_allowed(self, entity: str, value: str) -> bool:
        clean = normalise(entity, value)
        if clean in self._allowed:
            return True
        if entity == "URL" and (match := _HOST.match(clean)):
            labels = match[1].split(".")
            return any(".".join(labels[start:]) in self._allowed for start in range(len(labels) - 1))
        return False

    def _search(self, texts: Sequence[str], fields: Sequence[str] | None = None) -> list[list[Finding]]:
        """The wanted findings of each text (fresh lists); recognisers see each distinct text once."""
        if not self._batched:
            findings = {text: self._patterns.find_one(text) for text in dict.fromkeys(texts)}
            return [self._wanted(text, found) if (found := findings[text]) else [] for text in texts]
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest() for text in texts]
        if fields is not None and self._name_fields is not None:
            keys = [
                key if field in self._name_fields else key + _NO_NAMES for key, field in zip(keys, fields, strict=True)
            ]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        fresh: dict[bytes, list[Finding]] = {key: self._patterns.find_one(text) for key, text in missing.items()}
        for recogniser in self._batched:
            read = missing
            if recogniser is self._names:
                read = {key: text for key, text in missing.items() if not key[_DIGEST:]}
            for key, found in zip(read, recogniser.find(list(read.values())), strict=True):
                fresh[key] += found
        result: list[list[Finding]] = []
        for key, text in zip(keys, texts, strict=True):
            found = fresh[key] if key in fresh else self._known[key]
            result.append(self._wanted(text, found))
        self._known.update(fresh)
        while len(self._known) > _CACHED_TEXTS:
            self._known.popitem(last=False)
        return result

    def _mask_scope(
        self, texts: Sequence[tuple[str, str]], found: Sequence[list[Finding]], book: PlaceholderBook
    ) -> list[tuple[str, list[Finding]]]:
        for _, text in texts:
            book.reserve(text)
        spans = [resolve(text, findings) if findings else [] for (_, text), findings in zip(texts, found, strict=True)]
        for (_, text), findings in zip(texts, spans, strict=True):
            for finding in findings:
                book.number(finding.entity, text[finding.start : finding.end])
        again = known_names_expression(book.names, self._distinctive) if book.names else None
        result: list[tuple[str, list[Finding]]] = []
        for (_, text), findings in zip(texts, spans, strict=True):
            if again is not None:
                repeated = [Finding(*m.span(), "NAME", 0.9, "name-repeated") for m in again.finditer(text)]
                findings = resolve(text, [*findings, *self._wanted(text, repeated)]) if repeated else findings
            result.append((self._replace(text, findings, book) if findings else text, findings))
        return result

    def _distinctive(self, part: str) -> bool:
        """Whether part of a found name is searched on its own: it must be no ordinary word."""
        if part in words.GIVEN_NAMES:
            return True
        if self._lists is None or part in words.AMBIGUOUS_GIVEN_NAMES or part in words.SURNAMES:
            return False
        return len(part) > 3 and part not in self._lists.ordinary

    def _replace(self, text: str, findings: Sequence[Finding], book: PlaceholderBook) -> str:
        numbered = self.config.placeholder == "numbered"
        parts: list[str] = []
        position = 0
        for finding in findings:
            parts.append(text[position : finding.start])
            number = book.number(finding.entity, text[finding.start : finding.end]) if numbered else 0
            parts.append(f"[{finding.entity}_{number}]" if numbered else f"[{finding.entity}]")
            position = finding.end
        parts.append(text[position:])
        return "".join(parts)


def deidentify_texts(
    texts: Sequence[str], config: DeidentifyConfig | None = None, *, one_scope: bool = False
) -> list[str]:
    """Masked texts, for adapters that hold no records yet; make a `Deidentifier` once where there are many batches."""
    return Deidentifier(config).deidentify_texts(texts, one_scope=one_scope)
