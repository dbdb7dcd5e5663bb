"""From a stream of preference records to the record files of a data artifact, in two passes; no text stays in memory.

The first pass drops exact duplicates, writes what remains to a spool file and keeps some hashes of every pair (and
where near-duplicates are dropped, a signature of its texts); the second deals the pairs out to the files of the splits.
"""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.data.near_duplicates import PairSignatures
from shared.data.record_files import RecordTexts, RecordWriter, deal_records
from shared.data.rows import RowTally
from shared.data.split import Labels, Mask, Mode, PairIndex, assign, cap_groups, cap_total, components
from shared.durable import disk_errors
from shared.records import PreferenceRecord, content_id

SPOOL = ".pairs.spool.arrow"
NearDuplicates = Literal["keep", "drop"]
Transform = Callable[[PreferenceRecord], PreferenceRecord]


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How pairs are chosen and split.

    Attributes:
        fractions: share of the pairs by split; scaled to sum to 1.
        salt: another value gives another split.
        mode: quota (fractions met) or hash (stable when rows are added); see `shared.data.split`.
        max_pairs_per_group: pairs kept of one group, by content hash; None keeps all.
        max_pairs: pairs kept in all, from as many groups as possible; None keeps all.
        max_prompt_chars: longest prompt, in characters; None sets no limit.
        max_answer_chars: longest response, in characters; None sets no limit.
        near_duplicates: keep pairs that nearly repeat another, or drop them (see `shared.data.near_duplicates`); word
            for word repeats are always dropped.
        near_duplicate_similarity: Jaccard similarity of word pairs that prompt, chosen and rejected response must each
            reach.
    """

    fractions: Mapping[str, float]
    salt: str = "valign"
    mode: Mode = "quota"
    max_pairs_per_group: int | None = None
    max_pairs: int | None = None
    max_prompt_chars: int | None = None
    max_answer_chars: int | None = None
    near_duplicates: NearDuplicates = "keep"
    near_duplicate_similarity: float = 0.8


@dataclass
class SplitCounts:
    """What one split holds; words are separated by white space."""

    pairs: int = 0
    groups: int = 0
    words_prompt: float | None = None
    words_chosen: float | None = None
    words_rejected: float | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was read and kept.

    Attributes:
        read: pairs that came in.
        splits: counts by split.
        groups: groups kept.
        components: sets of groups without a text in common; what a split can tell apart.
        largest_component: pairs of the largest of them.
        contradictions: pairs kept whose reverse is there too.
        ids_made_unique: pairs whose id stood in an earlier row already, and was extended by a hash.
        near_duplicates: pairs dropped because they nearly repeat another; None where that was not looked for.
    """

    read: int
    splits: dict[str, SplitCounts]
    groups: int
    components: int
    largest_component: int
    contradictions: int
    ids_made_unique: int
    near_duplicates: int | None = None

    @property
    def kept(self) -> int:
        """Pairs in all splits."""
        return sum(split.pairs for split in self.splits.values())


def prepare_records(
    records: Iterable[PreferenceRecord],
    folder: Path,
    settings: SplitSettings,
    tally: RowTally,
    transform: Transform | None = None,
) -> Prepared:
    """Writes ``<split>.arrow`` for every split of `settings`, empty ones too.

    Args:
        records: as adapted, in any number.
        folder: where to write.
        settings: how to choose and split.
        tally: gets the pairs left out, with the reason.
        transform: applied to every record before anything of it is stored (masking of personal data).

    Raises:
        SystemStateError: no space is left.
        DataError: as `records` raises it.
    """
    spool = folder / SPOOL
    signatures = PairSignatures() if settings.near_duplicates == "drop" else None
    try:
        index, words, read, renamed = _spool(records, spool, settings, tally, transform, signatures)
        single = np.ones(len(index), dtype=bool)
        if signatures is not None:
            with RecordTexts(spool) as texts:
                single = ~signatures.repeated(index.order, settings.near_duplicate_similarity, texts.pair)
        in_group = cap_groups(index, single, settings.max_pairs_per_group)
        kept = cap_total(index, in_group, settings.max_pairs)
        split_of = assign(index, kept, settings.fractions, settings.salt, settings.mode)
        label = components(index, kept)
        sizes = np.bincount(label[kept]) if kept.any() else np.zeros(1, np.int64)
        _deal(spool, folder, settings, split_of, single, in_group, tally)
    finally:
        spool.unlink(missing_ok=True)
    return Prepared(
        read=read,
        splits={
            name: _counts(index.groups[split_of == number], words[split_of == number])
            for number, name in enumerate(settings.fractions)
        },
        groups=len(np.unique(index.groups[kept])),
        components=len(sizes) if kept.any() else 0,
        largest_component=int(sizes.max()),
        contradictions=index.contradictions(kept),
        ids_made_unique=renamed,
        near_duplicates=None if signatures is None else int((~single).sum()),
    )


def _spool(
    records: Iterable[PreferenceRecord],
    spool: Path,
    settings: SplitSettings,
    tally: RowTally,
    transform: Transform | None,
    signatures: PairSignatures | None,
) -> tuple[PairIndex, NDArray[np.int32], int, int]:
    """The index, words of each pair [pairs, 3], pairs that came in, and ids that were extended."""
    index, seen, ids = PairIndex(), set(), set()
    words = array("i")
    read = renamed = 0
    with RecordWriter(spool) as writer:
        for given in records:
            read += 1
            record = transform(given) if transform is not None else given
            if too_long := _too_long(record, settings):
                tally.leave_out(record.source, too_long)
                continue
            keys = index.keys(record)
            if keys.pair in seen:
                tally.leave_out(record.source, "repeats an earlier pair")
                continue
            seen.add(keys.pair)
            if record.id in ids:
                renamed += 1
                unique = content_id(record.prompt_text(), record.chosen, record.rejected)
                record = replace(record, id=f"{record.id}-{unique}")
            ids.add(record.id)
            index.add(record.group_id, keys)
            words.extend(len(text.split()) for text in (record.prompt_text(), record.chosen, record.rejected))
            if signatures is not None:
                signatures.add(record.prompt_text(), record.chosen, record.rejected)
            writer.write(record)
    return index, np.array(words, dtype=np.int32).reshape(-1, 3), read, renamed


def _too_long(record: PreferenceRecord, settings: SplitSettings) -> str | None:
    if settings.max_prompt_chars is not None and len(record.prompt_text()) > settings.max_prompt_chars:
        return f"prompt of more than {settings.max_prompt_chars} characters"
    longest = max(len(record.chosen), len(record.rejected))
    if settings.max_answer_chars is not None and longest > settings.max_answer_chars:
        return f"response of more than {settings.max_answer_chars} characters"
    return None


def _deal(
    spool: Path,
    folder: Path,
    settings: SplitSettings,
    split_of: Labels,
    single: Mask,
    in_group: Mask,
    tally: RowTally,
) -> None:
    targets = [folder / f"{name}.arrow" for name in settings.fractions]
    for number, source in deal_records(spool, targets, split_of):
        if not single[number]:
            tally.leave_out(source, "nearly repeats another pair")
        else:
            tally.leave_out(source, f"beyond the pairs kept {'in all' if in_group[number] else 'of one group'}")


def _counts(groups: Labels, words: NDArray[np.int32]) -> SplitCounts:
    """Counts of one split, from group number [pairs] and words of prompt, chosen and rejected [pairs, 3]."""
    if not len(groups):
        return SplitCounts()
    means = [round(float(mean), 1) for mean in words.mean(axis=0)]
    return SplitCounts(len(groups), len(np.unique(groups)), *means)


def write_dropped(path: Path, tally: RowTally) -> dict[str, int]:
    """Writes source and reason of every row or pair left out, one JSON object a line, never a text.

    Returns:
        How many were left out, by reason, the commonest first.

    Raises:
        SystemStateError: no space is left.
    """
    counts: Counter[str] = Counter()
    with disk_errors(path), path.open("w", encoding="utf-8") as file:
        for row in (*tally.bad, *tally.left_out):
            counts[row.reason] += 1
            file.write(json.dumps({"source": row.source, "reason": row.reason}, ensure_ascii=False) + "\n")
    return dict(counts.most_common())


def summary_of(prepared: Prepared, tally: RowTally, dropped: Mapping[str, int]) -> dict[str, Any]:
    """The part of ``summary.json`` that every domain's data have."""
    return {
        "rows": {"read": tally.total, "bad": len(tally.bad)},
        "pairs": {"read": prepared.read, "kept": prepared.kept},
        "groups": prepared.groups,
        "components": prepared.components,
        "largest_component": prepared.largest_component,
        "contradictions": prepared.contradictions,
        "ids_made_unique": prepared.ids_made_unique,
        "near_duplicates": prepared.near_duplicates,
        "splits": {
            name: {
                "pairs": split.pairs,
                "groups": split.groups,
                "words_prompt": split.words_prompt,
                "words_chosen": split.words_chosen,
                "words_rejected": split.words_rejected,
            }
            for name, split in prepared.splits.items()
        },
        "dropped": dict(dropped),
    }
