"""Every measure by its name: what it is, its scale, and which direction is better."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured quantity of one translation.

    Attributes:
        name: as in reports and files.
        preference: the preference that it belongs to.
        definition: one sentence.
        higher_is_better: direction.
    """

    name: str
    preference: str
    definition: str
    higher_is_better: bool


MEASURES = {
    one.name: one
    for one in (
        Measure("quality", "quality", "Sentence chrF against the reference, divided by 100.", True),
        Measure("monotonicity", "monotonicity", "1 - inversion_rate.", True),
        Measure(
            "inversion_rate",
            "monotonicity",
            "Share of pairs of word links that cross: the source word of the earlier target word stands later.",
            False,
        ),
        Measure(
            "anticipation_1",
            "monotonicity",
            "Share of linked target units i (from 0) that translate a source unit at i + 1 or later: what wait-1 would "
            "have to guess (k-anticipation rate, arXiv:2010.11247, with k = 1).",
            False,
        ),
        Measure(
            "anticipation_3", "monotonicity", "The same at i + 3 or later: what wait-3 would have to guess.", False
        ),
        Measure(
            "mean_anticipation",
            "monotonicity",
            "Mean over linked target units of how many source units beyond an even pace they look ahead: "
            "max(0, j + 1 - (i + 1) |x| / |y|).",
            False,
        ),
        Measure(
            "key_points",
            "key_points",
            "Share of the source's key points (numbers, and words that carry content) that the translation has: the "
            "same number, or a linked word.",
            True,
        ),
        Measure("number_recall", "key_points", "The same of numbers alone, where the source has one above 1.", True),
        Measure(
            "simplicity",
            "simplicity",
            "Mean of three: the length that the data lead to expect over the length there is, at most 1; 1 / clauses; "
            "1 - rare_share.",
            True,
        ),
        Measure("length_ratio", "simplicity", "Target units by source units.", False),
        Measure(
            "clauses",
            "simplicity",
            "A proxy: 1 + clause marks inside the sentence (commas, semicolons, colons, dashes) + subordinating words.",
            False,
        ),
        Measure(
            "rare_share",
            "simplicity",
            "Share of the words that are not among the words that make up 95 % of the reference texts' running words.",
            False,
        ),
        Measure("latency", "latency", "1 - mean over target units of source units read / |x|.", True),
    )
}
