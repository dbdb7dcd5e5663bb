"""Alignment of units: the entry point over all methods."""

from typing import TYPE_CHECKING, Literal

from domains.translation.alignment.statistical import (
    Links,
    Sentences,
    StatisticalModel,
    Symmetrisation,
    statistical_links,
)
from domains.translation.alignment.words import AlignmentWords, alignment_words, written_in_characters
from domains.translation.units import Unit

if TYPE_CHECKING:
    from domains.translation.alignment.states import StateAligner

Method = Literal["auto", "states", "hmm", "fast_align", "ibm1"]
# Sentence pairs up to which `auto` takes the HMM model, of which 24,000 take a minute of one core. Its error is lower
# with few pairs and the same with many (benchmarks/word_alignment.py); fast_align, which pulls every link to the
# diagonal, hides half of the anticipation that states and HMM find in English-Chinese talks.
HMM_PAIRS = 50_000

__all__ = ["Links", "Method", "Symmetrisation", "align"]


def align(
    sources: Sentences,
    targets: Sentences,
    method: Method = "auto",
    *,
    states: "StateAligner | None" = None,
    extra: tuple[Sentences, Sentences] = ((), ()),
    symmetrisation: Symmetrisation = "grow-diag-final-and",
    source_unit: Unit | None = None,
    target_unit: Unit | None = None,
) -> list[Links]:
    """Links between the units of sentences and of their translations.

    Args:
        sources: units of each source sentence [n].
        targets: units of each translation [n].
        method: ``states`` (hidden states of a multilingual model; nothing is learned from the sentences), a
            statistical model that is trained on the sentences themselves, or ``auto``: states where they are given,
            else ``hmm``, and ``fast_align`` for more than 50,000 sentences.
        states: the aligner that ``states`` uses.
        extra: units of further sources and targets, which statistical models are trained on too.
        symmetrisation: of the two directions of a statistical model.
        source_unit: what the units of the sources are; None: characters where each is one character long.
        target_unit: the same for the targets.

    Returns:
        For each pair the set of (source unit, target unit), counted from 0. Where units are characters, all characters
        of two linked words are linked.

    Raises:
        ValueError: another number of targets than of sources, or ``states`` without an aligner.
    """
    if len(sources) != len(targets) or len(extra[0]) != len(extra[1]):
        raise ValueError(f"{len(sources)} sources for {len(targets)} targets")
    source_words = _words([*sources, *extra[0]], source_unit)
    target_words = _words([*targets, *extra[1]], target_unit)
    n = len(sources)
    if method == "states" or (method == "auto" and states is not None):
        if states is None:
            raise ValueError("the method `states` needs an aligner")
        found = states.links(source_words[:n], target_words[:n])
    else:
        model: StatisticalModel = "hmm" if len(source_words) <= HMM_PAIRS else "fast_align"
        if method != "auto":
            model = method
        keys = [[one.keys() for one in words] for words in (source_words, target_words)]
        more = zip(keys[0][n:], keys[1][n:], strict=True)
        found = statistical_links(keys[0][:n], keys[1][:n], model, symmetrisation, more)
    return [
        unit_links(links, source, target)
        for links, source, target in zip(found, source_words[:n], target_words[:n], strict=True)
    ]


def unit_links(links: Links, source: AlignmentWords, target: AlignmentWords) -> Links:
    """Links of units from links of words: every unit of the one word with every unit of the other."""
    return {(i, j) for one, other in links for i in source.units_of(one) for j in target.units_of(other)}


def _words(sentences: Sentences, unit: Unit | None) -> list[AlignmentWords]:
    if unit is None:
        unit = "char" if written_in_characters(sentences) else "word"
    return [alignment_words(units, unit) for units in sentences]
