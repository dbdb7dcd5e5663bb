"""All measures of translations at once."""

from collections.abc import Collection, Mapping, Sequence

from domains.translation.preferences.key_points import key_point_recall, number_recall
from domains.translation.preferences.monotonicity import anticipation_rate, inversion_rate, mean_anticipation
from domains.translation.preferences.simplicity import UsualText, clauses, rare_share, simplicity
from domains.translation.preferences.words import words_of
from domains.translation.records import Path, SentencePair
from domains.translation.settings import SimulFormat
from domains.translation.units import split_units


def usual_text(pairs: Sequence[SentencePair], format: SimulFormat) -> UsualText:
    """What translations are like in these data: the words of both renderings of a pair count alike.

    Args:
        pairs: such as the training pairs.
        format: languages and units.
    """
    source_unit, target_unit = format.source_unit, format.target_unit
    assert source_unit is not None
    assert target_unit is not None
    texts = [(pair.source_text, text) for pair in pairs for text in (pair.target_text, pair.rejected_text) if text]
    written = [split_units(text, target_unit) for _, text in texts]
    return UsualText.of(
        (words_of(one, target_unit) for one in written),
        sum(len(split_units(source, source_unit)) for source, _ in texts),
        sum(map(len, written)),
    )


def measure(
    sources: Sequence[str],
    texts: Sequence[str],
    paths: Sequence[Path | None],
    usual: UsualText,
    links: Sequence[Collection[tuple[int, int]]],
    format: SimulFormat,
) -> list[Mapping[str, float]]:
    """Every measure but quality, which has a module of its own (`domains.translation.quality`).

    Args:
        sources: source sentence of each translation [n].
        texts: the translations [n].
        paths: source units read before each target unit; None where there is no path: it then has no latency.
        usual: what translations are like in these data (`usual_text`), learned once for all that are compared.
        links: word alignment of each source with its translation, in units from 0.
        format: languages and units.

    Returns:
        For each translation its measures by name (`definitions.MEASURES`); one that cannot be had (no links, no number,
        a language without word lists) is absent, and an empty translation has none.
    """
    source_unit, target_unit = format.source_unit, format.target_unit
    assert source_unit is not None
    assert target_unit is not None
    split_sources = [split_units(one, source_unit) for one in sources]
    found: list[Mapping[str, float]] = []
    for source, units, text, path, linked in zip(sources, split_sources, texts, paths, links, strict=True):
        written = split_units(text, target_unit)
        if not written or not units:
            found.append({})
            continue
        words = words_of(written, target_unit)
        ratio, count = len(written) / len(units), clauses(text, words, format.target_language)
        rare = rare_share(words, usual)
        inverted = inversion_rate(linked)
        row: dict[str, float | None] = {
            "monotonicity": None if inverted is None else 1 - inverted,
            "inversion_rate": inverted,
            "anticipation_1": anticipation_rate(linked, 1),
            "anticipation_3": anticipation_rate(linked, 3),
            "mean_anticipation": mean_anticipation(linked, len(units), len(written)),
            "key_points": key_point_recall(
                source,
                text,
                words_of(units, source_unit),
                linked,
                format.source_language,
                format.target_language,
            ),
            "number_recall": number_recall(source, text, format.source_language, format.target_language),
            "simplicity": simplicity(ratio, count, rare, usual),
            "length_ratio": ratio,
            "clauses": float(count),
            "rare_share": rare,
            "latency": None if path is None else 1 - sum(path) / (len(path) * len(units)),
        }
        found.append({name: value for name, value in row.items() if value is not None})
    return found
