"""Preference pairs of translations with paths, as streams: what the reference and SimulDPO both go over.

Both renderings are branches of one stream, so a pair's source is computed once.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domains.translation.path_logps import check_path
from domains.translation.records import Path, SentencePair
from domains.translation.settings import SimulFormat
from domains.translation.streams import Branch, Probes, Stream
from domains.translation.tokens import SourceTokens, TargetTokens
from shared.digest import json_digest
from shared.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PathPair:
    """A pair as tokens.

    Attributes:
        id: of the record.
        stream: source, and as branches the chosen and the rejected rendering, with the states of their paths.
        chosen_path: source units read before each target unit, as they are written: units of one segment together.
        rejected_path: the same of the rejected rendering.
        weight: of the record.
    """

    id: str
    stream: Stream
    chosen_path: Path
    rejected_path: Path
    weight: float

    def with_probes(self, chosen: Probes, rejected: Probes) -> Stream:
        """The stream with other policy states."""
        both = zip(self.stream.branches, (chosen, rejected), strict=True)
        return Stream(self.stream.source, tuple(Branch(branch.target, branch.reads, probes) for branch, probes in both))

    def chosen_grid(self) -> Stream:
        """The chosen rendering alone, with every policy state."""
        chosen = self.stream.branches[0]
        return Stream(self.stream.source, (Branch(chosen.target, chosen.reads, "grid"),))

    def digest(self, target_position: int) -> str:
        """Hash of all that the pair's log-probabilities depend on beside the policy."""
        source = self.stream.source
        branches = [[one.target.tokens, one.target.starts, one.reads] for one in self.stream.branches]
        return json_digest([source.prompt, source.tokens, source.ends, source.marker, branches, target_position])


def path_pairs(
    pairs: Sequence[SentencePair], format: SimulFormat, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> tuple[list[PathPair], int]:
    """Pairs as tokens, in their order.

    Args:
        pairs: with a rejected rendering and both paths.
        format: of the policy.
        tokenizer: of the policy.
        max_length: most tokens of prompt, source, marker and a rendering; a longer pair is left out, since a sentence
            that is cut has no end to be translated to.

    Returns:
        (the pairs, how many were left out: too long, or the same text and path on both sides).

    Raises:
        DataError: a record without a rejected rendering or paths, or whose path does not fit its texts; no pair left.
    """
    found: list[PathPair] = []
    too_long = alike = 0
    for pair in pairs:
        if pair.rejected_text is None or pair.target_path is None or pair.rejected_path is None:
            lacks = "rejected rendering" if pair.rejected_text is None else "read/write path of each rendering"
            raise DataError(
                f"{pair.source}: the record {pair.id} has no {lacks}, which SimulDPO compares; give it one, or let "
                "preferences and paths be constructed."
            )
        source = format.source(tokenizer, pair.source_text)
        chosen = _branch(pair, "target_path", pair.target_path, format.target(tokenizer, pair.target_text), source)
        rejected = _branch(
            pair, "rejected_path", pair.rejected_path, format.target(tokenizer, pair.rejected_text), source
        )
        before = len(source.prompt) + len(source.tokens) + len(source.marker)
        if before + max(len(chosen.target.tokens), len(rejected.target.tokens)) > max_length:
            too_long += 1
        elif (chosen.target, chosen.reads) == (rejected.target, rejected.reads):
            alike += 1
        else:
            of_chosen, of_rejected = (one.target.path_of_reads(one.reads) for one in (chosen, rejected))
            found.append(PathPair(pair.id, Stream(source, (chosen, rejected)), of_chosen, of_rejected, pair.weight))
    if too_long or alike:
        log.warning(
            "%d of %d pairs are longer than %d tokens and %d have the same text and path on both sides: left out",
            too_long,
            len(pairs),
            max_length,
            alike,
        )
    if not found:
        raise DataError(
            f"no pair is left of {len(pairs)}: {too_long} are longer than max_length ({max_length} tokens) and {alike} "
            "have the same text and path on both sides."
        )
    return found, too_long + alike


def _branch(pair: SentencePair, name: str, path: Path, target: TargetTokens, source: SourceTokens) -> Branch:
    where = f"{pair.source}: the record {pair.id}"
    units = target.units[-1]
    if not units or not source.units:
        raise DataError(f"{where} has an empty {'source' if not source.units else 'rendering'}; remove it.")
    if len(path) != units:
        raise DataError(
            f"{where}: {name} has {len(path)} numbers and its text {units} units; give one for each unit of the text."
        )
    try:
        check_path(path, source.units)
    except ValueError as error:
        raise DataError(
            f"{where}: {name} is {error}; it must rise from 1 or more to at most the source's {source.units} units."
        ) from error
    return Branch(target, target.reads_of_path(path, source.units), "path")
