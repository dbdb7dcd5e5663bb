"""Ranking K responses to a prompt by a judge, pairwise or by score: the best, the worst, and pairs to train on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from shared.judges.biases import transitivity
from shared.judges.candidates import CandidateSet
from shared.judges.protocol import PairItem, ResponseItem, ScoredResponse, Verdict, Winner
from shared.records import PreferenceRecord, content_id

Comparisons = Literal["all", "first"]


@dataclass(frozen=True, slots=True)
class RankedSet:
    """A candidate set with a value for each response.

    Attributes:
        candidates: the set.
        values: share of comparisons won, a tie counting half, or the score; None where the judge gave none [K].
        unit: what the values are: ``win share`` in 0..1, or ``score``.
        scores: scores by criterion of each response [K].
        cycles: triples that beat each other in a circle.
        triples: triples that were compared all with all.
    """

    candidates: CandidateSet
    values: tuple[float | None, ...]
    unit: Literal["win share", "score"]
    scores: tuple[Mapping[str, float], ...] = field(default=())
    cycles: int = 0
    triples: int = 0

    @property
    def best(self) -> int | None:
        """Index of the best response, the earliest of equals; None where nothing was judged."""
        judged = [index for index, value in enumerate(self.values) if value is not None]
        return max(judged, key=lambda index: (self._value(index), -index), default=None)

    @property
    def worst(self) -> int | None:
        """Index of the worst response, the latest of equals; None where nothing was judged."""
        judged = [index for index, value in enumerate(self.values) if value is not None]
        return min(judged, key=lambda index: (self._value(index), -index), default=None)

    @property
    def margin(self) -> float | None:
        """Value of the best less that of the worst; None where fewer than two were judged."""
        if self.best is None or self.worst is None or self.best == self.worst:
            return None
        return self._value(self.best) - self._value(self.worst)

    def _value(self, index: int) -> float:
        value = self.values[index]
        assert value is not None
        return value


def pair_items(sets: Sequence[CandidateSet], comparisons: Comparisons = "all") -> list[PairItem]:
    """The comparisons of each set; a set of two has one, named as the set itself, others are named ``set:i-j``.

    Args:
        sets: candidate sets.
        comparisons: ``all`` pairs, or every response against the ``first`` (a baseline).
    """
    items = []
    for one in sets:
        for first, second in _pairs(len(one.responses), comparisons):
            a, b = one.responses[first], one.responses[second]
            items.append(PairItem(_pair_id(one, first, second), one.group_id, one.prompt, a, b, one.context))
    return items


def response_items(sets: Sequence[CandidateSet]) -> list[ResponseItem]:
    """Every response by itself; a set of one is named as the set, others ``set:i``."""
    return [
        ResponseItem(_response_id(one, index), one.group_id, one.prompt, response, one.context)
        for one in sets
        for index, response in enumerate(one.responses)
    ]


def labels_of(sets: Sequence[CandidateSet]) -> dict[str, Winner]:
    """The winner that the data name, by comparison; sets of two with a label only."""
    return {
        one.id: "a" if one.preferred == 0 else "b"
        for one in sets
        if one.preferred is not None and len(one.responses) == 2
    }


def rank_by_verdicts(
    sets: Sequence[CandidateSet], verdicts: Sequence[Verdict], comparisons: Comparisons = "all"
) -> list[RankedSet]:
    """Ranks by the share of comparisons won (Copeland's rule, ties counting half).

    Args:
        sets: as given to `pair_items`.
        verdicts: one for each of its items.
        comparisons: as given there.
    """
    given = iter(verdicts)
    ranked = []
    for one in sets:
        size = len(one.responses)
        won, met = [0.0] * size, [0] * size
        winners: dict[tuple[int, int], Winner] = {}
        for first, second in _pairs(size, comparisons):
            verdict = next(given)
            if verdict.winner is None or verdict.preference is None:
                continue
            winners[first, second] = verdict.winner
            won[first] += verdict.preference
            won[second] += 1 - verdict.preference
            met[first] += 1
            met[second] += 1
        values = tuple(wins / count if count else None for wins, count in zip(won, met, strict=True))
        cycles, triples = transitivity(winners, size)
        ranked.append(RankedSet(one, values, "win share", cycles=cycles, triples=triples))
    return ranked


def rank_by_scores(sets: Sequence[CandidateSet], scores: Sequence[ScoredResponse]) -> list[RankedSet]:
    """Ranks by overall score; one score for each of `response_items`."""
    given = iter(scores)
    ranked = []
    for one in sets:
        found = [next(given) for _ in one.responses]
        values = tuple(score.overall for score in found)
        ranked.append(RankedSet(one, values, "score", tuple(score.criteria for score in found)))
    return ranked


def best_against_worst(ranked: Sequence[RankedSet], judge: str, min_margin: float = 0.0) -> Iterator[PreferenceRecord]:
    """The best response against the worst of each set, as pairs to train on.

    Sets without a margin above 0 and at least `min_margin` (in the unit of the values) give none, nor do those whose
    best and worst are the same text.

    Args:
        ranked: sets with values.
        judge: its name, kept as metadata.
        min_margin: least margin.
    """
    for one in ranked:
        margin, best, worst = one.margin, one.best, one.worst
        if margin is None or best is None or worst is None or margin <= 0 or margin < min_margin - 1e-9:
            continue
        candidates = one.candidates
        chosen, rejected = candidates.responses[best], candidates.responses[worst]
        if chosen.strip() == rejected.strip():
            continue
        asked = "\n".join(turn.content for turn in candidates.prompt)
        yield PreferenceRecord(
            id=content_id(asked, chosen, rejected),
            group_id=candidates.group_id,
            source=candidates.source,
            prompt=candidates.prompt,
            chosen=chosen,
            rejected=rejected,
            margin=margin,
            scores_chosen=one.scores[best] if one.scores else {},
            scores_rejected=one.scores[worst] if one.scores else {},
            context=candidates.context,
            metadata={"judge": judge, "candidates": len(candidates.responses)},
        )


def _pairs(size: int, comparisons: Comparisons) -> list[tuple[int, int]]:
    return list(combinations(range(size), 2)) if comparisons == "all" else [(0, other) for other in range(1, size)]


def _pair_id(one: CandidateSet, first: int, second: int) -> str:
    return one.id if len(one.responses) == 2 else f"{one.id}:{first}-{second}"


def _response_id(one: CandidateSet, index: int) -> str:
    return one.id if len(one.responses) == 1 else f"{one.id}:{index}"
