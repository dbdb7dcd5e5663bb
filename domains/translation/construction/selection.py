"""Which scored renderings of a source are chosen over which, and why a source gives no pair."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from domains.translation.construction.candidates import Rendering
from domains.translation.construction.config import PairingConfig
from domains.translation.records import SentencePair
from domains.translation.units import Unit, split_units
from shared.data.text_keys import text_key
from shared.records import content_id

NoPair = Literal["too_few", "ties", "cut"]


@dataclass(frozen=True, slots=True)
class Scored:
    """A rendering with what was measured of it.

    Attributes:
        rendering: with its path.
        measures: preferences by name, from 0 to 1, higher is better; those that are not defined are absent.
        score: their weighted mean; compares within one construction. NaN where none of them has a weight.
    """

    rendering: Rendering
    measures: Mapping[str, float]
    score: float

    @property
    def order(self) -> float:
        """The score, or the least there is where there is none: for sorting."""
        return self.score if math.isfinite(self.score) else -math.inf


@dataclass(frozen=True, slots=True)
class ChosenPair:
    """A pair of one source's renderings.

    Attributes:
        chosen: the preferred one.
        rejected: the other.
        margin: by how much it is preferred: the difference of their scores, or a judge's votes; NaN where neither is
            known.
    """

    chosen: Scored
    rejected: Scored
    margin: float

    @property
    def margin_of_scores(self) -> float:
        """Difference of the measured scores, whoever preferred; NaN where one has none."""
        return self.chosen.score - self.rejected.score

    @property
    def same_text(self) -> bool:
        """Whether they differ in their paths alone."""
        return text_key(self.chosen.rendering.text) == text_key(self.rejected.rendering.text)


def select(
    candidates: Sequence[Scored], config: PairingConfig, draw: random.Random
) -> tuple[list[ChosenPair], NoPair | None]:
    """The pairs of one source.

    Args:
        candidates: different renderings, none of them empty; those without a score are not compared.
        config: strategy, least margin.
        draw: of the random other under ``best-random``.

    Returns:
        (pairs, why there is none): ``too_few`` (fewer than two renderings), ``ties`` (no difference above the least
        margin), ``cut`` (only a rendering that was cut would have won).
    """
    candidates = [one for one in candidates if math.isfinite(one.score)]
    if len(candidates) < 2:
        return [], "too_few"
    taken: list[ChosenPair] = []
    used: set[int] = set()
    was_cut = False
    wanted = config.max_pairs if config.strategy == "margin" else 1
    for better, other in _ordered(candidates, config, draw):
        if len(taken) == wanted:
            break
        margin = candidates[better].score - candidates[other].score
        if margin <= config.min_margin or better in used or other in used:
            continue
        if candidates[better].rendering.cut and not config.cut_may_win:
            was_cut = True
            continue
        taken.append(ChosenPair(candidates[better], candidates[other], margin))
        used |= {better, other}
    return taken, None if taken else "cut" if was_cut else "ties"


def _ordered(candidates: Sequence[Scored], config: PairingConfig, draw: random.Random) -> Iterator[tuple[int, int]]:
    """(better, other) in the order in which the strategy wants them."""
    ranked = sorted(range(len(candidates)), key=lambda place: (-candidates[place].score, place))
    if config.strategy == "best-random":
        # The best that may win; its others in random order.
        for number, better in enumerate(ranked):
            others = ranked[number + 1 :]
            draw.shuffle(others)
            yield from ((better, other) for other in others)
        return
    both = [(better, other) for number, better in enumerate(ranked) for other in ranked[number + 1 :]]
    yield from sorted(both, key=lambda pair: (candidates[pair[1]].score - candidates[pair[0]].score, pair))


def pair_record(pair: SentencePair, found: ChosenPair, mode: str, unit: Unit) -> SentencePair:
    """The training record of a constructed pair; where it came from stands in its metadata.

    Raises:
        ValueError: a rendering without a path.
    """
    chosen, rejected = found.chosen.rendering, found.rejected.rendering
    if chosen.path is None or rejected.path is None:
        raise ValueError("a rendering without a path")
    return SentencePair(
        id=content_id("constructed", pair.id, chosen.text, str(chosen.path), rejected.text, str(rejected.path)),
        group_id=pair.group_id,
        source=pair.source,
        source_text=pair.source_text,
        target_text=chosen.text,
        rejected_text=rejected.text,
        target_path=chosen.path,
        rejected_path=rejected.path,
        weight=pair.weight,
        scores_target=_scores(found.chosen),
        scores_rejected=_scores(found.rejected),
        metadata={
            **pair.metadata,
            "construction": mode,
            "record": pair.id,
            "chosen_origin": chosen.origin,
            "rejected_origin": rejected.origin,
            "margin": found.margin if math.isfinite(found.margin) else None,
            "chosen_units": len(split_units(chosen.text, unit)),
            "rejected_units": len(split_units(rejected.text, unit)),
        },
    )


def _scores(scored: Scored) -> dict[str, float]:
    return {**scored.measures, **({"score": scored.score} if math.isfinite(scored.score) else {})}
