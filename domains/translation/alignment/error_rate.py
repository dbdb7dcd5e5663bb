"""Alignment error rate, and files of gold alignments."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domains.translation.alignment.statistical import Links
from domains.translation.resampling import weighted_bootstrap
from shared.errors import DataError
from shared.evaluation.intervals import Estimate

_LINK = re.compile(r"(\d+)-(\d+)(-P)?")


@dataclass(frozen=True, slots=True)
class GoldAlignment:
    """Sentences that people aligned.

    Attributes:
        sources: words of each source sentence.
        targets: words of each translation.
        sure: links that must be found.
        possible: links that may be found; the sure ones among them.
    """

    sources: list[list[str]]
    targets: list[list[str]]
    sure: list[Links]
    possible: list[Links]


@dataclass(frozen=True, slots=True)
class AlignmentQuality:
    """How links agree with gold ones.

    Attributes:
        error_rate: AER, 0 is best, with an interval over sentences.
        precision: share of the found links that are possible.
        recall: share of the sure links that are found.
    """

    error_rate: Estimate
    precision: float
    recall: float


def alignment_error_rate(found: Sequence[Links], sure: Sequence[Links], possible: Sequence[Links]) -> float:
    """AER (Och and Ney 2003): ``1 - (|A & S| + |A & P|) / (|A| + |S|)`` over all sentences; NaN without links."""
    return float(_error_rate(_counts(found, sure, possible).sum(axis=0)))


def alignment_quality(
    found: Sequence[Links], gold: GoldAlignment, *, resamples: int = 1000, seed: int = 0
) -> AlignmentQuality:
    """Error rate with its interval from resampling sentences, precision, recall."""
    counts = _counts(found, gold.sure, gold.possible)
    (rate,) = weighted_bootstrap(
        lambda weights: _error_rate(weights @ counts)[:, None],
        np.ones((1, len(counts)), dtype=bool),
        n_resamples=resamples,
        seed=seed,
    )
    links, sure, hit_sure, hit_possible = counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return AlignmentQuality(rate, float(hit_possible / links), float(hit_sure / sure))


def read_gold(source: Path, target: Path, links: Path) -> GoldAlignment:
    """Gold alignments of tokenised text, a sentence a line.

    A link is ``i-j``, words of source and target counted from 0, in any order; ``-P`` behind it marks a link that is
    possible and not sure.

    Raises:
        DataError: unequal numbers of lines, or a link that is none or points beyond its sentence; naming the line.
    """
    sides = [_lines(path) for path in (source, target, links)]
    if len({len(side) for side in sides}) > 1:
        sizes = ", ".join(f"{path.name} {len(side)}" for path, side in zip((source, target, links), sides, strict=True))
        raise DataError(f"gold alignments with unequal numbers of lines ({sizes}): give files of the same sentences.")
    gold = GoldAlignment([], [], [], [])
    for number, (left, right, line) in enumerate(zip(*sides, strict=True), 1):
        words = left.split(), right.split()
        sure: Links = set()
        possible: Links = set()
        for text in line.split():
            match = _LINK.fullmatch(text)
            if match is None:
                raise DataError(f"{links.name}:{number}: {text!r} is no link: write i-j or i-j-P.")
            link = int(match[1]), int(match[2])
            if link[0] >= len(words[0]) or link[1] >= len(words[1]):
                raise DataError(
                    f"{links.name}:{number}: the link {text} points beyond its sentence of {len(words[0])} and "
                    f"{len(words[1])} words: source comes first, and words count from 0."
                )
            possible.add(link)
            if not match[3]:
                sure.add(link)
        gold.sources.append(words[0])
        gold.targets.append(words[1])
        gold.sure.append(sure)
        gold.possible.append(possible)
    return gold


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read ({error}): give a UTF-8 text file.") from error


def _counts(found: Sequence[Links], sure: Sequence[Links], possible: Sequence[Links]) -> NDArray[np.float64]:
    """|A|, |S|, |A & S|, |A & P| of each sentence [n, 4]."""
    rows = [(len(a), len(s), len(a & s), len(a & (p | s))) for a, s, p in zip(found, sure, possible, strict=True)]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def _error_rate(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - (sums[..., 2] + sums[..., 3]) / (sums[..., 0] + sums[..., 1])
