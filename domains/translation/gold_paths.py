"""Paths that read no more than a translation needs: from a word alignment, or from the model's own predictions."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from domains.translation.records import Path, SentencePair
from domains.translation.settings import SimulFormat
from domains.translation.units import split_units

if TYPE_CHECKING:
    from domains.translation.alignment.align import Method
    from domains.translation.alignment.states import StateAligner
    from domains.translation.policy import SimulPolicy
    from domains.translation.tokens import SourceTokens, TargetTokens


def path_of_links(links: Iterable[tuple[int, int]], source_units: int, target_units: int) -> Path:
    """``g_i = max(g_{i-1}, max{ j : (j, i) in A })``, at least 1: each target unit waits for what it is aligned to.

    Args:
        links: (source unit, target unit) of the alignment A, counted from 0.
        source_units: |x|, at least 1.
        target_units: |y|.

    Returns:
        Source units read before each target unit, [|y|].

    Raises:
        ValueError: a link beyond the units of a side.
    """
    needed = [1] * target_units
    for source, target in links:
        if not (0 <= source < source_units and 0 <= target < target_units):
            raise ValueError(f"the link {source}-{target} of {source_units} source and {target_units} target units")
        needed[target] = max(needed[target], source + 1)
    return tuple(accumulate(needed, max))


def with_aligned_paths(
    pairs: Sequence[SentencePair], format: SimulFormat, method: "Method", states: "StateAligner | None" = None
) -> list[SentencePair]:
    """Pairs with a path; those that have none get that of a word alignment over all pairs.

    Args:
        pairs: the pairs, empty ones allowed.
        format: whose units are aligned.
        method: of `domains.translation.alignment.align`.
        states: the aligner of the method ``states``.
    """
    from domains.translation.alignment.align import align

    assert format.source_unit is not None
    assert format.target_unit is not None
    sources = [split_units(pair.source_text, format.source_unit) for pair in pairs]
    targets = [split_units(pair.target_text, format.target_unit) for pair in pairs]
    full = [number for number in range(len(pairs)) if sources[number] and targets[number]]
    links = align(
        [sources[number] for number in full],
        [targets[number] for number in full],
        method,
        states=states,
        source_unit=format.source_unit,
        target_unit=format.target_unit,
    )
    found = list(pairs)
    for number, of_pair in zip(full, links, strict=True):
        if found[number].target_path is None:
            path = path_of_links(of_pair, len(sources[number]), len(targets[number]))
            found[number] = replace(found[number], target_path=path)
    return found


def paths_of_predictions(
    policy: "SimulPolicy", pairs: Sequence[tuple["SourceTokens", "TargetTokens"]], micro_batch_tokens: int = 4096
) -> list[Path]:
    """Paths from the smallest prefix under which the model predicts what it predicts under the whole source.

    The target is given; each prefix of the source is a branch in which the whole target is written after it, so that
    no earlier word brings in what the prefix lacks. A segment's prefix is the smallest under which all its tokens are
    predicted as under the whole source; a path then waits for the most that any segment so far needed.

    Args:
        policy: on its device; all weights as they are (evaluation mode).
        pairs: (source, target) of each sentence.
        micro_batch_tokens: most tokens of a forward pass.

    Returns:
        For each sentence the source units read before each target unit.
    """
    from domains.translation.streams import Branch, Stream, pack_streams
    from shared.training.trees import cut_by_tokens

    streams = [
        Stream(
            source,
            tuple(
                Branch(target, (*[read] * (target.segments - 1), source.units)) for read in range(1, source.units + 1)
            ),
        )
        for source, target in pairs
    ]
    # A long sentence has as many branches as source units: more than a pass is for. Pieces each keep the whole source.
    pieces: list[tuple[int, int, Stream]] = []
    for number, stream in enumerate(streams):
        shared = len(stream.source.prompt) + len(stream.source.tokens)
        each = (stream.tokens - shared) // len(stream.branches)
        most = max(1, (micro_batch_tokens - shared) // each)
        for first in range(0, len(stream.branches), most):
            pieces.append((number, first, Stream(stream.source, stream.branches[first : first + most])))
    predicted: dict[tuple[int, int], list[int]] = {}
    for group in cut_by_tokens([piece[2].tokens for piece in pieces], micro_batch_tokens):
        packed = pack_streams([pieces[index][2] for index in group], policy.format.target_position)
        tokens = iter(policy.predictions(packed).tolist())
        for index in group:
            number, first, piece = pieces[index]
            for branch in range(len(piece.branches)):
                count = len(piece.branches[branch].target.tokens)
                predicted[number, first + branch + 1] = [next(tokens) for _ in range(count)]
    return [
        _path([predicted[number, read] for read in range(1, source.units + 1)], target)
        for number, (source, target) in enumerate(pairs)
    ]


def _path(predictions: Sequence[Sequence[int]], target: "TargetTokens") -> Path:
    """From the predictions under 1, 2, ... |x| units, each of every target token."""
    whole = predictions[-1]
    reads: list[int] = []
    for first, end in pairwise(target.starts):
        agreed = next(read for read, tokens in enumerate(predictions, 1) if tokens[first:end] == whole[first:end])
        reads.append(max(agreed, reads[-1] if reads else 1))
    return target.path_of_reads((*reads, len(predictions)))
