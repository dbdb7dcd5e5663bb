"""The translation record: a sentence pair, with a less preferred rendering and read/write paths where there are any.

A *unit* is what latency is counted in (`domains.translation.units`): a word, or a character in Chinese and Japanese.
A *path* says for every target unit how many source units were read before it was written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SentencePair:
    """One source sentence with its translation.

    Attributes:
        id: stable id (content hash unless the source has one).
        group_id: rows of one group never stand in two splits (the document, or the source sentence itself).
        source: where it was read, e.g. ``train.de:17``.
        source_text: detokenised source sentence.
        target_text: detokenised translation; the chosen rendering where there is a rejected one.
        rejected_text: a less preferred rendering, or None.
        target_path: source units read before each target unit, non-decreasing, from 1 to the source's units; or None.
        rejected_path: the same for the rejected rendering.
        weight: factor of this pair's loss.
        scores_target: measured preferences of the (chosen) translation, by name.
        scores_rejected: the same names for the rejected one.
        metadata: scalars of the source row kept for reports, never for training.
    """

    id: str
    group_id: str
    source: str
    source_text: str
    target_text: str
    rejected_text: str | None = None
    target_path: Path | None = None
    rejected_path: Path | None = None
    weight: float = 1.0
    scores_target: Mapping[str, float] = field(default_factory=dict)
    scores_rejected: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str | float | int | bool | None] = field(default_factory=dict)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yields (field name, text) of source, translation and rejected rendering."""
        yield "source_text", self.source_text
        yield "target_text", self.target_text
        if self.rejected_text is not None:
            yield "rejected_text", self.rejected_text
