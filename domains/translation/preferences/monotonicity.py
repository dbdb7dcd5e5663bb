"""How far a translation keeps the order of its source, by a word alignment."""

from collections.abc import Collection

Links = Collection[tuple[int, int]]


def inversion_rate(links: Links) -> float | None:
    """Share of pairs of links that cross, of those whose sides both differ (Kendall's tau is 1 - 2 x this).

    Args:
        links: (source unit, target unit), from 0.

    Returns:
        From 0 to 1; None with fewer than two links that differ on both sides.
    """
    ordered = sorted({(target, source) for source, target in links})
    crossed = compared = 0
    for number, (target, source) in enumerate(ordered):
        for other_target, other_source in ordered[number + 1 :]:
            if other_target != target and other_source != source:
                compared += 1
                crossed += other_source < source
    return crossed / compared if compared else None


def anticipation_rate(links: Links, k: int) -> float | None:
    """Share of linked target units that translate a source unit which wait-k has not read when it writes them.

    Target unit i (from 0) is written by wait-k after k + i source units; it is anticipated where one of its links
    points to source unit j >= k + i (Chen et al. 2021, arXiv:2010.11247).

    Returns:
        From 0 to 1; None without links.
    """
    last = _last_source(links)
    return sum(source >= k + target for target, source in last.items()) / len(last) if last else None


def mean_anticipation(links: Links, source_units: int, target_units: int) -> float | None:
    """Source units that linked target units look ahead of an even pace, in the mean; None without links."""
    last = _last_source(links)
    if not last:
        return None
    pace = source_units / target_units
    return sum(max(0.0, source + 1 - (target + 1) * pace) for target, source in last.items()) / len(last)


def _last_source(links: Links) -> dict[int, int]:
    """The last source unit that each linked target unit translates."""
    last: dict[int, int] = {}
    for source, target in links:
        last[target] = max(source, last.get(target, source))
    return last
