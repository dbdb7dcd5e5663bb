"""Every figure of a log: latency, computation-aware latency and quality, with what a reader must know beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.translation.latency.delays import Delays
from domains.translation.latency.logs import LoggedSentence, read_log
from domains.translation.latency.summary import LatencySummary, summarise
from domains.translation.quality import bleu_statistics, chrf_statistics, comet_statistics, tokenizer_of
from domains.translation.units import Unit
from shared.errors import DataError, UsageError
from shared.evaluation.intervals import Estimate, Groups

_KANA = range(0x3040, 0x3100)
_HAN = range(0x4E00, 0xA000)


@dataclass(frozen=True, slots=True)
class LogScores:
    """What `score_sentences` found.

    Attributes:
        unit: of the target.
        measure: what delays are counted in: ``ms`` of speech, ``source units`` of a text.
        latency: from the delays alone.
        aware: with the time of computing, in ms; None where there is none.
        quality: BLEU, chrF and COMET by name, with their signatures.
        notices: sentences that a reader of the figures must know.
    """

    unit: Unit
    measure: str
    latency: LatencySummary
    aware: LatencySummary | None
    quality: dict[str, tuple[Estimate, str]]
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "unit": self.unit,
            "measure": self.measure,
            "latency": self.latency.to_json(),
            "computation_aware": self.aware.to_json() if self.aware else None,
            "quality": {
                name: {**estimate.to_json(), "signature": signature}
                for name, (estimate, signature) in self.quality.items()
            },
            "notices": list(self.notices),
        }


def score_log(
    path: Path,
    references: Path | None = None,
    *,
    unit: Unit = "word",
    tokenizer: str | None = None,
    source_ms_per_unit: float | None = None,
    comet: Path | None = None,
    n_resamples: int = 2000,
) -> LogScores:
    """Reads and scores a log.

    Args:
        path: instances.log, or its folder.
        references: one a line, in place of those in the log.
        unit: of the target.
        tokenizer: of BLEU; None: ``13a`` of words, of characters that of Chinese or Japanese.
        source_ms_per_unit: of a text: milliseconds in which a source unit comes in, for computation-aware figures.
        comet: checkpoint of a COMET model.
        n_resamples: bootstrap resamples of sentences.

    Raises:
        DataError: the log or the references cannot be used.
        UsageError: an unknown tokenizer, a clock for a source that is speech, COMET without source sentences.
    """
    return score_sentences(
        read_log(path, unit, references),
        unit=unit,
        tokenizer=tokenizer,
        source_ms_per_unit=source_ms_per_unit,
        comet=comet,
        n_resamples=n_resamples,
    )


def score_sentences(
    sentences: Sequence[LoggedSentence],
    *,
    unit: Unit = "word",
    tokenizer: str | None = None,
    source_ms_per_unit: float | None = None,
    comet: Path | None = None,
    groups: Groups = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> LogScores:
    """Scores sentences.

    Args:
        sentences: of one system [n].
        unit: of the target.
        tokenizer: of BLEU; None: ``13a`` of words, of characters that of Chinese or Japanese.
        source_ms_per_unit: of a text: milliseconds in which a source unit comes in, for computation-aware figures.
        comet: checkpoint of a COMET model.
        groups: what is resampled together (documents) [n]; None: every sentence by itself.
        n_resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        DataError: every reference is empty.
        UsageError: as `score_log`.
    """
    of_speech = all(one.source is None for one in sentences)
    predictions = [one.prediction for one in sentences]
    references = [one.reference for one in sentences]
    chosen = tokenizer or _tokenizer(references, unit)
    statistics = [bleu_statistics(predictions, references, chosen), chrf_statistics(predictions, references)]
    if comet is not None:
        if any(one.source is None for one in sentences):
            raise UsageError("COMET reads the source sentences, and this log has none (its source is speech).")
        sources = [one.source or "" for one in sentences]
        statistics.append(comet_statistics(sources, predictions, references, comet))
    corpus = [one.delays for one in sentences]
    aware, why_not = _aware(corpus, of_speech, source_ms_per_unit)
    notices = [why_not] if why_not else []
    return LogScores(
        unit,
        "ms" if of_speech else "source units",
        summarise(corpus, groups, n_resamples=n_resamples, seed=seed),
        summarise(aware, groups, n_resamples=n_resamples, seed=seed) if aware else None,
        {one.metric: (one.estimate(groups, n_resamples=n_resamples, seed=seed), one.signature) for one in statistics},
        (*notices, *_notices(sentences, unit, chosen)),
    )


def _aware(
    corpus: Sequence[Delays], of_speech: bool, source_ms_per_unit: float | None
) -> tuple[list[Delays] | None, str]:
    """The corpus with the time of computing, or None and why there is none."""
    if of_speech and source_ms_per_unit is not None:
        raise UsageError(
            "the source of this log is speech, which has a clock of its own: leave out --source-ms-per-unit."
        )
    timed = [one for one in corpus if one.delays and one.elapsed is not None]
    if not timed or not any(any(one.elapsed or ()) for one in timed):
        return None, "No computation-aware figures: the log has no times of computing (`elapsed`)."
    spoken = sum(bool(one.delays) for one in corpus)
    if len(timed) < spoken:
        return None, f"No computation-aware figures: {spoken - len(timed)} sentences have no times of computing."
    if of_speech:
        early = sum(
            any(time < delay for time, delay in zip(one.elapsed or (), one.delays, strict=True)) for one in timed
        )
        if early:
            return None, (
                f"No computation-aware figures: in {early} sentences `elapsed` lies before `delays`, so it is not on "
                "the clock of the source."
            )
    elif source_ms_per_unit is None:
        return None, (
            "No computation-aware figures: a source text has no clock. State one with --source-ms-per-unit, in "
            "milliseconds a source unit."
        )
    try:
        found = [one.computation_aware(source_ms_per_unit) if one.delays else one for one in corpus]
    except ValueError as error:
        raise UsageError(f"--source-ms-per-unit: {error}.") from error
    return [one for one in found if one is not None], ""


def _tokenizer(references: Sequence[str], unit: Unit) -> str:
    if unit == "word":
        return "13a"
    return tokenizer_of("ja" if any(ord(one) in _KANA for text in references for one in text) else "zh")


def _notices(sentences: Sequence[LoggedSentence], unit: Unit, tokenizer: str) -> list[str]:
    found = []
    characters = "".join(one.reference for one in sentences)
    han = sum(ord(one) in _HAN or ord(one) in _KANA for one in characters)
    if han > len(characters) / 4 and (unit == "word" or tokenizer in ("13a", "intl", "none")):
        found.append(
            f"The references are Chinese or Japanese, and were scored by {unit} with the tokenizer {tokenizer}: give "
            "--unit char and leave out --tokenizer, or BLEU and the lengths mislead."
        )
    if unit == "word":
        double = sum("  " in one.reference or one.reference != one.reference.strip(" ") for one in sentences)
        if double:
            found.append(
                f"{double} references hold double spaces or spaces at an end; each counts as a word in their length, "
                "as in SimulEval."
            )
        marked = sum(one.prediction.endswith("</s>") for one in sentences)
        if marked:
            found.append(
                f"{marked} predictions end in `</s>`; it counts as a word in latency and quality, as it was logged."
            )
    if not any(one.reference.strip() for one in sentences):
        raise DataError("every reference is empty: give the file with references behind the log.")
    return found
