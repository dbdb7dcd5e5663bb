"""Statistical aligners, trained in process on the sentences that they align (thot, LGPL-3.0).

IBM model 1 (Brown et al. 1993), the HMM model (Vogel, Ney and Tillmann 1996) and fast_align's log-linear
reparameterisation of IBM model 2 (Dyer, Chahuneau and Smith 2013), each trained in both directions and symmetrised
(Och and Ney 2003; grow-diag-final-and: Koehn et al. 2005).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

Links = set[tuple[int, int]]
StatisticalModel = Literal["ibm1", "hmm", "fast_align"]
Symmetrisation = Literal["intersection", "union", "grow-diag", "grow-diag-final-and"]
Sentences = Sequence[Sequence[str]]

ITERATIONS = 5  # of expectation maximisation a model, as fast_align and GIZA++ have it
LONGEST = 200  # words; a longer sentence is left out of training and gets no links


def statistical_links(
    sources: Sentences,
    targets: Sentences,
    model: StatisticalModel,
    symmetrisation: Symmetrisation = "grow-diag-final-and",
    extra: Iterable[tuple[Sequence[str], Sequence[str]]] = (),
) -> list[Links]:
    """Links of each sentence pair, from models trained on all of them.

    Args:
        sources: words of each source sentence [n]; as they are counted (`word_key`).
        targets: words of each translation [n].
        model: which model; ``hmm`` starts from IBM 1.
        symmetrisation: how the two directions become one alignment.
        extra: further sentence pairs that the models are trained on.

    Returns:
        For each pair its (source word, target word) links.
    """
    import thot.alignment as thot

    usable = [
        number
        for number, (source, target) in enumerate(zip(sources, targets, strict=True))
        if 0 < len(source) <= LONGEST and 0 < len(target) <= LONGEST
    ]
    found: list[Links] = [set() for _ in sources]
    if not usable:
        return found
    asked = [(list(sources[number]), list(targets[number])) for number in usable]
    corpus = asked + [
        (list(source), list(target))
        for source, target in extra
        if 0 < len(source) <= LONGEST and 0 < len(target) <= LONGEST
    ]
    forward = _trained(model, corpus)
    backward = _trained(model, [(target, source) for source, target in corpus])
    aligner = thot.SymmetrizedAligner(forward, backward)
    aligner.heuristic = getattr(thot.SymmetrizationHeuristic, symmetrisation.upper().replace("-", "_"))
    results = aligner.get_best_alignments([source for source, _ in asked], [target for _, target in asked])
    for number, (_, matrix) in zip(usable, results, strict=True):
        found[number] = {(int(i), int(j)) for i, j in zip(*matrix.to_numpy().nonzero(), strict=True)}
    return found


def _trained(model: StatisticalModel, corpus: Sequence[tuple[list[str], list[str]]]) -> Any:
    """A model of target given source."""
    import thot.alignment as thot

    first: Any = thot.FastAlignModel() if model == "fast_align" else thot.Ibm1AlignmentModel()
    for source, target in corpus:
        first.add_sentence_pair(source, target, 1)
    _train(first)
    if model != "hmm":
        return first
    second: Any = thot.HmmAlignmentModel(first)
    _train(second)
    return second


def _train(model: Any) -> None:
    model.start_training()
    for _ in range(ITERATIONS):
        model.train()
    model.end_training()
