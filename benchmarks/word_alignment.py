"""Alignment error rate of every method on gold alignments of Chinese and English.

    python -m benchmarks.word_alignment FOLDER [--extra TRAIN.zh TRAIN.en] [--model gemma-3-270m]

FOLDER holds ``train.zh``, ``train.en`` (tokenised) and ``train.align``. Statistical aligners are trained on the gold
sentences' text, and on the extra text where it is given (Chinese segmented by jieba, English cut at punctuation).
Seconds are processor time of this process.
"""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domains.translation.alignment.align import align
from domains.translation.alignment.error_rate import alignment_error_rate, alignment_quality, read_gold
from domains.translation.alignment.states import (
    Links,
    StateAligner,
    StateSettings,
    mean_similarity,
    similarity_links,
)
from domains.translation.alignment.words import AlignmentWords, alignment_words, segment

# Penn Treebank writes brackets as words.
BRACKETS = {"-LRB-": "(", "-RRB-": ")"}
FOLDS = 5
DEPTHS = ((0.0,), (0.4,), (0.5,), (0.61,), (0.67,), (0.5, 0.61), (0.0, 0.5, 0.61))
TEMPERATURES, THRESHOLDS = (0.03, 0.04, 0.05, 0.06, 0.08), (0.1, 0.15, 0.2)


def english_words(text: str) -> list[str]:
    """Words and punctuation marks."""
    return re.findall(r"\w+(?:[-']\w+)*|[^\w\s]", text)


def lines_of(path: Path) -> list[str]:
    """Lines of a text file."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def cross_fitted(states: Any, gold: Any) -> tuple[list[Links], list[tuple[Any, ...]]]:
    """Links of each fold under the layers, temperature and threshold that were best on the other folds.

    Args:
        states: by depths, the similarity of each pair.
        gold: the gold alignment.

    Returns:
        (links of all pairs, (depths, temperature, threshold) of each fold).
    """
    n = len(gold.sources)
    grid = {
        (depths, temperature, threshold): [similarity_links(one, temperature, threshold) for one in similarity]
        for depths, similarity in states.items()
        for temperature in TEMPERATURES
        for threshold in THRESHOLDS
    }
    fold_of = np.random.default_rng(0).permutation(n) % FOLDS
    links: list[Links] = [set() for _ in range(n)]
    chosen = []
    for fold in range(FOLDS):
        train, held = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)

        def error(key: tuple[Any, ...], rows: Any = train) -> float:
            return alignment_error_rate(
                *([side[row] for row in rows] for side in (grid[key], gold.sure, gold.possible))
            )

        best = min(grid, key=error)
        chosen.append(best)
        for row in held:
            links[row] = grid[best][row]
    return links, chosen


def main() -> None:
    """Measures and prints a table."""
    from shared.home import models_folder
    from shared.models import resolve

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--extra", type=Path, nargs=2)
    parser.add_argument("--model", default="gemma-3-270m")
    told = parser.parse_args()
    gold = read_gold(*(told.folder / f"train.{ending}" for ending in ("zh", "en", "align")))
    targets = [[BRACKETS.get(word, word) for word in words] for words in gold.targets]
    # Words here are jieba's or the gold's own, so each is a unit.
    words: Any = {"source_unit": "word", "target_unit": "word"}
    extra: tuple[Sequence[Any], Sequence[Any]] = ((), ())
    if told.extra:
        chinese, english = map(lines_of, told.extra)
        extra = ([segment(line) for line in chinese], [english_words(line) for line in english])

    results: list[tuple[str, float, list[Links]]] = []

    def measure(name: str, make: Callable[[], list[Links]]) -> list[Links]:
        start = time.process_time()
        links = make()
        results.append((name, time.process_time() - start, links))
        quality = alignment_quality(links, gold)
        row = (name, str(quality.error_rate), f"{quality.precision:.3f}", f"{quality.recall:.3f}")
        print(f"| {' | '.join(row)} | {results[-1][1]:.1f} |", flush=True)
        return links

    print(f"{len(gold.sources)} sentence pairs, {sum(map(len, gold.sure))} sure links, {len(extra[0])} extra pairs\n")
    print("| method | AER | precision | recall | seconds |\n|---|---|---|---|---|")
    for method in ("ibm1", "hmm", "fast_align"):
        for name, more in (("", ((), ())), (" + extra text", extra)):
            if name and not told.extra:
                continue
            for how in ("grow-diag-final-and",) if name else ("intersection", "grow-diag-final-and"):
                measure(
                    f"{method}, {how}{name}",
                    lambda method=method, how=how, more=more: align(
                        gold.sources, targets, method, extra=more, symmetrisation=how, **words
                    ),  # pyright: ignore
                )
    folder = resolve(told.model, models_folder()).path
    depths = sorted({share for several in DEPTHS for share in several})
    aligner = StateAligner.load(folder, StateSettings(depths=tuple(depths)))
    sides = [[_chinese(one) for one in gold.sources], [alignment_words(one, "word") for one in targets]]
    states = [aligner.word_states(side) for side in sides]
    similarity = {
        several: [
            mean_similarity(*(side[[depths.index(share) for share in several]] for side in pair))
            for pair in zip(*states, strict=True)
        ]
        for several in DEPTHS
    }
    links, chosen = cross_fitted(similarity, gold)
    measure(f"states of {told.model}, settings of the other folds", lambda: links)
    print("\nsettings of the folds:", *chosen, "\n", sep="\n")
    fresh = StateAligner.load(folder)
    states_links = measure("states, default settings", lambda: fresh.links(sides[0], sides[1]))
    for name, _, other in list(results):
        if "grow-diag-final-and" in name and not name.startswith("ibm1"):
            measure(f"states & {name}", lambda other=other: [a & b for a, b in zip(states_links, other, strict=True)])
        if "intersection" in name and not name.startswith("ibm1"):
            measure(f"states | {name}", lambda other=other: [a | b for a, b in zip(states_links, other, strict=True)])
    characters = [list("".join(one)) for one in gold.sources]
    segmented = "states, default settings, Chinese segmented by jieba"
    measure(segmented, lambda: links_of_characters(fresh, characters, targets, gold))


def links_of_characters(aligner: StateAligner, characters: Any, targets: Any, gold: Any) -> list[Links]:
    """Links of characters brought back to the gold's words."""
    found = align(characters, targets, "states", states=aligner, source_unit="char", target_unit="word")
    links: list[Links] = []
    for words, pairs in zip(gold.sources, found, strict=True):
        owner = [number for number, word in enumerate(words) for _ in word]
        links.append({(owner[i], j) for i, j in pairs})
    return links


def _chinese(words: Sequence[str]) -> AlignmentWords:
    """The gold's words as words of characters, so that no spaces are put between them."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    return AlignmentWords(tuple(words), tuple(starts[:-1]), starts[-1], spaced=False)


if __name__ == "__main__":
    main()
