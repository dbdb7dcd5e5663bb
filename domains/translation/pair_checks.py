"""Checks of sentence pairs: languages, copies, lengths, repeated sources, paths. They keep places, never a text."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from domains.translation.data_config import PairLanguages, primary
from domains.translation.lint_config import TranslationLintConfig
from domains.translation.records import SentencePair
from domains.translation.target_marks import count_marks
from domains.translation.units import split_units
from shared.evaluation.intervals import wilson
from shared.lint.findings import Example, Finding, LintReport, Severity, metric_name, per_cent

LOOKED_AT = 200  # characters of a text whose language is told
LEAST_LETTERS = 20  # a shorter text in letters says too little of its language
LEAST_DIFFERING = 0.1  # share of the preferences whose sides differ in their marks, below which these decide little
LEAST_CHARACTERS = 6  # the same of a text without spaces


@dataclass(slots=True)
class PairsOfSplits:
    """Sentence pairs by split, and where each stands."""

    splits: Mapping[str, Sequence[SentencePair]]
    languages: PairLanguages
    config: TranslationLintConfig
    rows: list[tuple[str, SentencePair]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [(name, pair) for name, pairs in self.splits.items() for pair in pairs]

    def finding(
        self,
        check: str,
        severity: Severity,
        places: Sequence[int],
        message: str,
        subject: str = "",
        of: int | None = None,
    ) -> list[Finding]:
        """A finding of the pairs at `places`, or none; ``{count}`` and ``{share}`` stand in the message."""
        if not places:
            return []
        share = len(places) / max(1, len(self.rows) if of is None else of)
        named = [self.rows[place] for place in places[: self.config.examples]]
        examples = tuple(Example(pair.id, pair.source, split) for split, pair in named)
        told = message.format(count=f"{len(places):,}", share=per_cent(share))
        return [Finding(check, severity, len(places), share, told, subject, examples)]


def language(data: PairsOfSplits) -> list[Finding]:
    """Sentences in another language than their side's, told among the two and the commonest others."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    codes = {primary(data.languages.source), primary(data.languages.target)}
    known = sorted(codes | set(data.config.language_candidates))
    try:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        identifier.set_languages(known)
    except ValueError:  # a language that it does not know
        return []
    found: list[Finding] = []
    for side, code, unit in (
        ("source", primary(data.languages.source), data.languages.source_unit),
        ("target", primary(data.languages.target), data.languages.target_unit),
    ):
        least = LEAST_LETTERS if unit == "word" else LEAST_CHARACTERS
        other = []
        for place, (_, pair) in enumerate(data.rows):
            text = pair.source_text if side == "source" else pair.target_text
            if sum(map(str.isalpha, text)) < least:
                continue
            told, confidence = identifier.classify(text[:LOOKED_AT])
            if told != code and float(confidence) >= data.config.language_confidence:
                other.append(place)
        share = len(other) / max(1, len(data.rows))
        found += data.finding(
            "pair_language",
            "warning" if share >= data.config.language_share else "info",
            other,
            f"{{count}} {side} sentences ({{share}}) are in another language than {code}: drop them, or swap sides.",
            side,
        )
    return found


def copies(data: PairsOfSplits) -> list[Finding]:
    """Translations that are their source, letter for letter."""
    same = [
        place
        for place, (_, pair) in enumerate(data.rows)
        if pair.source_text.casefold() == pair.target_text.casefold() and any(map(str.isalpha, pair.source_text))
    ]
    share = len(same) / max(1, len(data.rows))
    return data.finding(
        "untranslated_copy",
        "warning" if share >= data.config.copied_share else "info",
        same,
        "{count} translations ({share}) are copies of their source: a model learns to copy; leave them out.",
    )


def lengths(data: PairsOfSplits) -> list[Finding]:
    """Translations far longer or shorter than the data's usual."""
    ratios = [
        len(split_units(pair.target_text, data.languages.target_unit))
        / max(1, len(split_units(pair.source_text, data.languages.source_unit)))
        for _, pair in data.rows
    ]
    usual = median(ratios) if ratios else 1.0
    far = [
        place
        for place, ratio in enumerate(ratios)
        if not usual / data.config.length_ratio <= ratio <= usual * data.config.length_ratio
    ]
    return data.finding(
        "pair_length_ratio",
        "info",
        far,
        f"{{count}} translations ({{share}}) are {data.config.length_ratio:g} times longer or shorter than the usual "
        f"{usual:.2f} target units by source unit: sentences may be shifted against each other; look at them.",
    )


def repeated_sources(data: PairsOfSplits) -> list[Finding]:
    """Sources with several different translations."""
    texts: dict[str, set[str]] = defaultdict(set)
    for _, pair in data.rows:
        texts[pair.source_text].add(pair.target_text)
    several = [place for place, (_, pair) in enumerate(data.rows) if len(texts[pair.source_text]) > 1]
    return data.finding(
        "several_translations",
        "info",
        several,
        "{count} pairs ({share}) have a source that is translated differently elsewhere in the data.",
    )


def leaks(data: PairsOfSplits) -> list[Finding]:
    """Sources or translations that stand in several splits."""
    found: list[Finding] = []
    for side in ("source", "target"):
        where: dict[str, set[str]] = defaultdict(set)
        for split, pair in data.rows:
            where[pair.source_text if side == "source" else pair.target_text].add(split)
        leaking = [
            place
            for place, (_, pair) in enumerate(data.rows)
            if len(where[pair.source_text if side == "source" else pair.target_text]) > 1
        ]
        found += data.finding(
            "pair_leak",
            "error",
            leaking,
            f"{{count}} pairs ({{share}}) have a {side} sentence that stands in several splits: what is measured "
            "on the test split would be remembered.",
            side,
        )
    return found


def long_paths(data: PairsOfSplits) -> list[Finding]:
    """Paths that read more units than their source has, or do not fit their translation."""
    wrong = []
    for place, (_, pair) in enumerate(data.rows):
        units = len(split_units(pair.source_text, data.languages.source_unit))
        for path, text in ((pair.target_path, pair.target_text), (pair.rejected_path, pair.rejected_text)):
            if path is None or text is None:
                continue
            written = len(split_units(text, data.languages.target_unit))
            if len(path) != written or path[-1] > units or path[0] < 1 or list(path) != sorted(path):
                wrong.append(place)
                break
    return data.finding(
        "pair_path",
        "error",
        wrong,
        "{count} pairs ({share}) have a read/write path that does not fit: one number for each target unit, never "
        "falling, from 1 to the source's units.",
    )


def marks(data: PairsOfSplits) -> list[Finding]:
    """Punctuation that tells the preferred rendering from the other."""
    differing: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for place, (_, pair) in enumerate(data.rows):
        if pair.rejected_text is None:
            continue
        chosen, rejected = (
            count_marks(text, data.languages.target_unit) for text in (pair.target_text, pair.rejected_text)
        )
        for name, count in chosen.items():
            if count != rejected[name]:
                differing[name].append((place, count > rejected[name]))
    compared = sum(pair.rejected_text is not None for _, pair in data.rows)
    found: list[Finding] = []
    for name, rows in differing.items():
        more = sum(is_more for _, is_more in rows) * 2 >= len(rows)
        told = [place for place, is_more in rows if is_more == more]
        accuracy = wilson(len(told), len(rows))
        if (
            accuracy.low is not None
            and accuracy.low >= data.config.marks_accuracy
            and len(rows) >= LEAST_DIFFERING * compared
        ):
            what = f"has {'more' if more else 'fewer'} {name}"
            if name == "final mark":
                what = "ends in a mark" if more else "does not end in a mark"
            found += data.finding(
                "preference_marks",
                "warning",
                told,
                f"the preferred rendering {what} in {per_cent(accuracy.value)} of the {len(rows):,} preferences that "
                "differ in this ({count} of "
                f"{compared:,}): a policy can prefer by such marks alone; data.target_marks=drop trains on words.",
                name.replace(" ", "_"),
                of=compared,
            )
    return found


PairCheck = Callable[[PairsOfSplits], list[Finding]]
CHECKS: dict[str, tuple[PairCheck, bool]] = {  # whether it needs several splits
    "pair_language": (language, False),
    "untranslated_copy": (copies, False),
    "pair_length_ratio": (lengths, False),
    "several_translations": (repeated_sources, False),
    "pair_leak": (leaks, True),
    "pair_path": (long_paths, False),
    "preference_marks": (marks, False),
}


def lint_pairs(
    splits: Mapping[str, Sequence[SentencePair]], languages: PairLanguages, config: TranslationLintConfig
) -> LintReport:
    """All checks of sentence pairs.

    Args:
        splits: pairs by split.
        languages: of both sides.
        config: thresholds and severities.
    """
    data = PairsOfSplits(splits, languages, config)
    findings: list[Finding] = []
    status: dict[str, str] = {}
    for name, (check, several) in CHECKS.items():
        set_to = config.severities.get(name)
        if set_to == "off":
            status[name] = "off"
            continue
        if several and len(splits) < 2:
            status[name] = "not applicable: there is one split"
            continue
        found = check(data)
        findings += [_with_severity(one, set_to) for one in found]
        status[name] = "found" if found else "clean"
    findings.sort(key=lambda one: ("error", "warning", "info").index(one.severity))
    counts = Counter(one.severity for one in findings)
    metrics = {metric_name("sentence_pairs"): float(len(data.rows))}
    metrics |= {metric_name(one.check, one.subject, "share"): one.share for one in findings}
    metrics |= {metric_name(f"pair_{severity}s"): float(counts[severity]) for severity in ("error", "warning", "info")}
    about = {name: (check.__doc__ or "").strip() for name, (check, _) in CHECKS.items()}
    sizes = {name: len(pairs) for name, pairs in splits.items()}
    return LintReport(sizes, tuple(findings), status, {}, metrics, about)


def _with_severity(finding: Finding, severity: Any) -> Finding:
    from dataclasses import replace

    return replace(finding, severity=severity) if severity else finding
