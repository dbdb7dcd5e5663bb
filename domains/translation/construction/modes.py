"""The ways to pairs: sampled from the policy, written or judged at an endpoint, given in the data.

Each takes training records and gives pairs with paths and measures, and counts why other records gave none.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domains.translation.construction.candidates import (
    REJECTED,
    TARGET,
    Rendering,
    given_renderings,
    sampled_renderings,
)
from domains.translation.construction.endpoint_judging import Duel, duel_of, judge_duels
from domains.translation.construction.endpoint_writing import write_renderings
from domains.translation.construction.scoring import scored_renderings
from domains.translation.construction.selection import ChosenPair, Scored, select
from domains.translation.construction.task import Task
from domains.translation.records import SentencePair
from shared.data.text_keys import text_key
from shared.judges.answer_cache import AnswerCache, default_cache_file


@dataclass(frozen=True, slots=True)
class Constructed:
    """What a mode found.

    Attributes:
        pairs: (record, pair) in the order of the records.
        no_pair: records without a pair by reason.
        counts: ``candidates`` (different renderings that were scored), ``empty``, ``repeated``, ``cut`` renderings.
        report: what else a reader wants to know, of endpoints (JSON values).
    """

    pairs: list[tuple[SentencePair, ChosenPair]] = field(default_factory=list)
    no_pair: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    report: dict[str, Any] = field(default_factory=dict)


def from_samples(pairs: Sequence[SentencePair], task: Task) -> Constructed:
    """The policy's renderings at several latencies and the given ones, scored; one is chosen over another."""
    found = Constructed()
    scored = _candidates(pairs, task, found)
    for pair, candidates in zip(pairs, scored, strict=True):
        draw = random.Random(f"{task.seed}:{pair.id}")
        taken, reason = select(candidates, task.config.pairing, draw)
        found.pairs.extend((pair, one) for one in taken)
        if reason is not None:
            found.no_pair[reason] += 1
    return found


def from_data(pairs: Sequence[SentencePair], task: Task) -> Constructed:
    """The data's own preference: the target over the rejected rendering, whatever is measured of them."""
    found = Constructed()
    known = [pair for pair in pairs if pair.rejected_text is not None]
    found.no_pair["no_rejected"] = len(pairs) - len(known)
    renderings = [given_renderings(pair, "all") for pair in known]
    # The reference is one of the two, so that its quality would say nothing.
    scored = _scored(known, renderings, task, found, with_quality=False)
    for pair, candidates in zip(known, scored, strict=True):
        chosen, rejected = _by_origin(candidates, TARGET), _by_origin(candidates, REJECTED)
        if chosen is not None and rejected is not None:
            _take(found, pair, [(chosen, rejected)])
        else:
            same = text_key(pair.target_text) == text_key(pair.rejected_text or "")
            found.no_pair["same_text" if same else "unfit"] += 1
    return found


def from_writer(pairs: Sequence[SentencePair], task: Task) -> Constructed:
    """A language model's rendering over the given target, the rejected one, or the policy's worst."""
    config = task.config
    writer = config.writer
    assert writer is not None
    assert task.format.target_unit is not None
    found = Constructed()
    known = [pair for pair in pairs if writer.against != "rejected" or pair.rejected_text is not None]
    found.no_pair["no_rejected"] = len(pairs) - len(known)
    with AnswerCache(default_cache_file()) as cache:
        written = write_renderings(
            known, writer, task.format.source_language, task.format.target_language, cache, task.progress
        )
    found.report["writer"] = written.report
    others: list[list[Rendering]]
    if writer.against == "policy":
        others = sampled_renderings(task.policy(), known, config.sampling, task.seed, task.progress)
    else:
        wanted = TARGET if writer.against == "target" else REJECTED
        others = [[one for one in given_renderings(pair, "all") if one.origin == wanted] for pair in known]
    renderings = [[*new, *old] for new, old in zip(written.renderings, others, strict=True)]
    scored = _scored(known, renderings, task, found, with_quality=writer.against != "target")
    for pair, new, candidates in zip(known, written.renderings, scored, strict=True):
        origins = {one.origin for one in new}
        chosen = [one for one in candidates if one.rendering.origin in origins]
        # What repeats a written rendering is not among the candidates any more.
        rest = [one for one in candidates if one.rendering.origin not in origins]
        worst = min(rest, key=lambda one: one.order, default=None)
        if not new:
            found.no_pair["unwritten"] += 1
        elif worst is None:
            found.no_pair["same_text"] += 1
        else:
            _take(found, pair, [(one, worst) for one in chosen])
    return found


def from_judge(pairs: Sequence[SentencePair], task: Task) -> Constructed:
    """A language model picks between the highest- and the lowest-scored rendering."""
    found = Constructed()
    asked: list[tuple[SentencePair, Duel]] = []
    for pair, candidates in zip(pairs, _candidates(pairs, task, found), strict=True):
        duel = duel_of(candidates)
        if duel is None:
            found.no_pair["too_few"] += 1
        else:
            asked.append((pair, duel))
    if not asked:
        return found
    known, duels = [pair for pair, _ in asked], [duel for _, duel in asked]
    with AnswerCache(default_cache_file()) as cache:
        judged = judge_duels(
            known, duels, task.config, task.format.source_language, task.format.target_language, cache, task.progress
        )
    found.report["judge"] = judged.report
    for pair, one in zip(known, judged.pairs, strict=True):
        if isinstance(one, ChosenPair):
            found.pairs.append((pair, one))
        else:
            found.no_pair[one] += 1
    return found


def _candidates(pairs: Sequence[SentencePair], task: Task, found: Constructed) -> list[list[Scored]]:
    """Sampled and given renderings of every record, different ones, scored."""
    config = task.config
    renderings = [given_renderings(pair, config.pairing.given) for pair in pairs]
    if config.sampling.rules:
        sampled = sampled_renderings(task.policy(), pairs, config.sampling, task.seed, task.progress)
        renderings = [[*given, *written] for given, written in zip(renderings, sampled, strict=True)]
    return _scored(pairs, renderings, task, found, with_quality=True)


def _scored(
    pairs: Sequence[SentencePair],
    renderings: Sequence[Sequence[Rendering]],
    task: Task,
    found: Constructed,
    with_quality: bool,
) -> list[list[Scored]]:
    scored = scored_renderings(pairs, renderings, task, found.counts, with_quality)
    found.report["weights"] = scored.weights.model_dump()
    return scored.records


def _by_origin(candidates: Sequence[Scored], origin: str) -> Scored | None:
    return next((one for one in candidates if one.rendering.origin == origin), None)


def _take(found: Constructed, pair: SentencePair, both: Sequence[tuple[Scored, Scored]]) -> None:
    """Adds pairs (chosen, rejected) that are stated, not measured, but of a text over itself on another path."""
    taken = [
        ChosenPair(chosen, rejected, chosen.score - rejected.score)
        for chosen, rejected in both
        if text_key(chosen.rendering.text) != text_key(rejected.rendering.text)
    ]
    found.pairs.extend((pair, one) for one in taken)
    found.no_pair["same_text"] += not taken
