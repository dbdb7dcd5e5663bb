"""Pairs from several scored answers to one question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from shared.data.text_keys import text_key
from shared.records import Message, PreferenceRecord, content_id


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """An answer with the score that orders it, and what is known of it beside (views, position).

    Attributes:
        text: the answer.
        score: what orders the answers (upvotes, a mean rating).
        source: ``file:row``.
        covariates: what is no judgement of the answer, by name.
        scores: factor scores, by name.
    """

    text: str
    score: float
    source: str
    covariates: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


def pairs_from_scored(
    group_id: str,
    prompt: tuple[Message, ...],
    answers: Sequence[ScoredAnswer],
    min_margin: float,
    metadata: Mapping[str, str | float | int | bool | None] | None = None,
    max_pairs: int | None = None,
    seed: int = 0,
) -> list[PreferenceRecord]:
    """Every pair of answers whose scores differ by at least `min_margin`, the better one chosen.

    Answers of the same text (white space and case aside) make no pair.

    Args:
        group_id: of the question.
        prompt: the question.
        answers: its answers, in any order.
        min_margin: least difference of scores; equal scores never make a pair.
        metadata: kept with each pair.
        max_pairs: most pairs returned, chosen by the hash of their content; None returns all.
        seed: another value chooses other pairs.

    Returns:
        Records in an order that depends on seed and content only; `source` is the chosen answer's and the row of the
        other, ``file:row+row``.
    """
    question = "\n".join(message.content for message in prompt)
    keys = [text_key(answer.text) for answer in answers]
    ranked: list[tuple[str, int, int]] = []
    for one, other in combinations(range(len(answers)), 2):
        better, worse = (one, other) if answers[one].score > answers[other].score else (other, one)
        margin = answers[better].score - answers[worse].score
        if margin > 0 and margin >= min_margin - 1e-9 and keys[one] != keys[other]:
            ranked.append((content_id(str(seed), question, keys[better], keys[worse]), better, worse))
    ranked.sort(key=lambda each: (each[0], answers[each[1]].source, answers[each[2]].source))
    return [
        PreferenceRecord(
            id=content_id(question, answers[better].text, answers[worse].text),
            group_id=group_id,
            source=f"{answers[better].source}+{answers[worse].source.rpartition(':')[2]}",
            prompt=prompt,
            chosen=answers[better].text,
            rejected=answers[worse].text,
            margin=answers[better].score - answers[worse].score,
            scores_chosen=answers[better].scores,
            scores_rejected=answers[worse].scores,
            covariates_chosen=answers[better].covariates,
            covariates_rejected=answers[worse].covariates,
            metadata=metadata or {},
        )
        for _, better, worse in ranked[:max_pairs]
    ]
