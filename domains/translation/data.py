"""Translation's data stage: read, clean, mask, drop duplicates and leaks, split; what is left out is written down."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from domains.translation.adapters import open_data, sentence_pairs
from domains.translation.data_config import SPLITS, TranslationDataConfig, primary
from domains.translation.pair_files import pair_texts, pair_writer
from domains.translation.pair_intake import PairIntake
from domains.translation.pair_splits import KEPT, Assigned, assign_pairs, staying_order
from domains.translation.records import SentencePair
from domains.translation.text_findings import TextFindings
from shared.data.preparing import write_dropped
from shared.data.reading import source_digest
from shared.data.record_files import deal_records
from shared.data.rows import BadRow, RowTally
from shared.data.split import Mask, components
from shared.deidentify.config import require_deidentification
from shared.deidentify.deidentifier import Deidentifier
from shared.deidentify.identifiers import split_source
from shared.durable import write_json
from shared.errors import DataError
from shared.stages import StageContext

log = logging.getLogger(__name__)

SPOOL = ".pairs.spool.arrow"


def prepare(context: StageContext) -> dict[str, float]:
    """Reads the data and writes ``train.arrow``, ``validation.arrow``, ``test.arrow`` (sentence pairs; those with and
    those without a rejected rendering in one file), ``dropped.jsonl`` (source and reason, never text) and
    ``summary.json``.

    Config: `TranslationDataConfig`. Files: ``data``, a folder, table or file of parallel text whose partners lie beside
    it (`domains.translation.adapters.data_files` names them, so that their content enters the stage's key).

    Returns:
        ``data/pairs``, ``data/groups``, ``data/components``, ``data/preferences``, ``data/paths``, ``data/bad_rows``,
        ``data/left_out``, ``data/leaks``, ``data/tokenised_share_{source,target}``, pairs and preferences by split, and
        the masker's counts.

    Raises:
        UsageError: a language without a unit, or masking that is off without a reason.
        DataError: unreadable data, unequal numbers of lines, wrong columns, wrong languages, no pair, too few to split.
        SystemStateError: a hub data set cannot be fetched, or no space is left.
    """
    config = TranslationDataConfig.model_validate(context.config)
    require_deidentification(config.deidentify, "translation")
    languages = config.languages()
    location: str | Path = config.location or context.files["data"]
    name = location if isinstance(location, str) else location.name
    tally = RowTally(config.max_bad_share, config.max_broken_share)
    findings = TextFindings(languages, config.max_tokenised_share)
    opened = open_data(location, config, tally)
    masker, intake = pair_masker(config), PairIntake(config, languages, tally)
    waiting: deque[str | None] = deque()  # given splits of the pairs that the masker holds, in their order

    def pairs() -> Iterator[SentencePair]:
        for split, pair in sentence_pairs(opened, languages, tally, findings):
            waiting.append(split)
            yield pair

    spool = context.out / SPOOL
    try:
        with pair_writer(spool) as writer:
            for pair in masker.mask_records(pairs()):
                stored = intake.take(pair, waiting.popleft())
                if stored is not None:
                    writer.write(stored)
        findings.check(name)
        given = intake.given.numbers()
        single = _single(intake, spool, config)
        assigned = assign_pairs(intake.index, given, single, config)
        reasons = assigned.reasons(config)
        for number, source in deal_records(spool, [context.out / f"{one}.arrow" for one in SPLITS], assigned.split):
            tally.leave_out(source, reasons[int(assigned.fate[number])])
    finally:
        spool.unlink(missing_ok=True)
    kept = assigned.fate == KEPT
    parts = int(components(intake.index, kept).max(initial=-1)) + 1
    counts = intake.counts(assigned.split)
    _check(assigned, counts, parts, tally, config, name)
    for rows in (tally.bad, tally.left_out):
        rows[:] = [BadRow(_masked(row.source, masker), row.reason) for row in rows]
    dropped = write_dropped(context.out / "dropped.jsonl", tally)
    notes = findings.notes()
    for note in notes:
        log.warning("%s", note["text"])
    groups = len(np.unique(intake.index.groups[kept]))
    summary = {
        "name": name if isinstance(location, str) else masker.masked_identifier(name),
        "form": opened.form,
        "languages": languages.model_dump(),
        "licence": config.licence,
        "source_digests": {name: source_digest(path) for name, path in context.files.items()},
        "split": {
            "given": list(assigned.given),
            "salt": config.split_salt,
            "mode": config.split_mode,
            "fractions": config.fractions.model_dump(),
            "max_pairs": config.max_pairs.model_dump(),
            "leaks": assigned.leaks,
        },
        "masking": config.masking(),
        "deidentified": masker.report.to_json(),
        "findings": notes,
        "rows": {"read": tally.total, "bad": len(tally.bad)},
        "pairs": {"read": intake.read, "kept": int(kept.sum())},
        "groups": groups,
        "components": parts,
        "contradictions": intake.index.contradictions(kept),
        "ids_made_unique": intake.renamed,
        "paths_dropped_by_masking": intake.paths_dropped,
        "near_duplicates": None if intake.signatures is None else int((~single).sum()),
        "splits": counts,
        "dropped": dropped,
    }
    write_json(context.out / "summary.json", summary)
    log.info("%d pairs of %d groups kept, %d rows or pairs left out", kept.sum(), groups, sum(dropped.values()))
    return {**_metrics(summary, findings), **masker.report.metrics()}


def pair_masker(config: TranslationDataConfig) -> Deidentifier:
    """The masker of sentence pairs: patterns in all texts, with one numbering for the texts of a group, so that a value
    has the same placeholder on both sides; names, where the recipe wants them, are looked for in English texts only and
    masked wherever they stand.
    """
    languages = (primary(config.source_language), primary(config.target_language))
    fields = (("source_text",), ("target_text", "rejected_text"))
    english = [name for language, names in zip(languages, fields, strict=True) if language == "en" for name in names]
    return Deidentifier(config.deidentify.model_copy(update={"languages": languages}), name_fields=english)


def _single(intake: PairIntake, spool: Path, config: TranslationDataConfig) -> Mask:
    """False for pairs that nearly repeat one that stays. [pairs]"""
    if intake.signatures is None:
        return np.ones(len(intake.index), dtype=bool)
    order = staying_order(intake.index, intake.given.numbers())
    with pair_texts(spool) as texts:

        def three(number: int) -> tuple[str, str, str]:
            source, target, rejected = texts.values(number)
            return source, target, rejected or ""

        return ~intake.signatures.repeated(order, config.near_duplicate_similarity, three)


def _masked(source: str, masker: Deidentifier) -> str:
    file, row = split_source(source)
    return masker.masked_identifier(file) + row


def _metrics(summary: Mapping[str, Any], findings: TextFindings) -> dict[str, float]:
    splits: Mapping[str, Mapping[str, Any]] = summary["splits"]
    near = summary["near_duplicates"]
    return {
        "data/pairs": float(summary["pairs"]["kept"]),
        "data/groups": float(summary["groups"]),
        "data/components": float(summary["components"]),
        "data/preferences": float(sum(one["preferences"] for one in splits.values())),
        "data/paths": float(sum(one["paths"] for one in splits.values())),
        "data/bad_rows": float(summary["rows"]["bad"]),
        "data/left_out": float(sum(summary["dropped"].values()) - summary["rows"]["bad"]),
        "data/leaks": float(sum(summary["split"]["leaks"].values())),
        "data/tokenised_share_source": findings.tokenised_share("source"),
        "data/tokenised_share_target": findings.tokenised_share("target"),
        **({} if near is None else {"data/near_duplicates": float(near)}),
        **{
            f"data/{what}_{split}": float(one[what])
            for split, one in splits.items()
            for what in ("pairs", "preferences")
        },
    }


def _check(
    assigned: Assigned,
    counts: Mapping[str, Mapping[str, Any]],
    parts: int,
    tally: RowTally,
    config: TranslationDataConfig,
    name: str,
) -> None:
    pairs = int((assigned.fate == KEPT).sum())
    if not pairs:
        why = f" (the first: {tally.left_out[0].source}: {tally.left_out[0].reason})" if tally.left_out else ""
        raise DataError(
            f"{name} holds no sentence pair that can be used: every one is left out{why}; give more data, or widen "
            "data.min_units, data.max_source_units or data.max_target_units."
        )
    for split in SPLITS:
        if counts[split]["pairs"] or (split == "validation" and not config.fractions.validation):
            continue
        if assigned.given:
            lost = ", ".join(f"{number} of {one}" for one, number in assigned.leaks.items() if number) or "none"
            raise DataError(
                f"{name}: the split {split!r} is empty (left out for a text or group shared with a held-out split: "
                f"{lost}): give more pairs, splits without common sentences, or one file without splits."
            )
        raise DataError(
            f"{name} has too few separate sentences for the splits: {pairs} pairs make {parts} parts without a text in "
            f"common, and {split!r} is empty; give more pairs, or change data.fractions."
        )
