"""A language model at an endpoint picks between two renderings, once for every preference and in both orders.

What it says of each preference counts +1, 0 or -1 with the recipe's weight; latency is measured. The margin of a pair
is the weighted mean, so that it reads as the score of `domains.translation.construction.scoring` does.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domains.translation.construction.candidates import Progress
from domains.translation.construction.config import TEXT_PREFERENCES, ConstructionConfig, TextPreference, WriterConfig
from domains.translation.construction.prompts import preference_rubrics, question
from domains.translation.construction.selection import ChosenPair, Scored
from domains.translation.records import SentencePair
from shared.data.text_keys import text_key
from shared.errors import StageError, SystemStateError, UsageError
from shared.judges.answer_cache import AnswerCache
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.endpoint_judge import EndpointJudge
from shared.judges.protocol import PairItem, Verdict, Verdicts

Duel = tuple[Scored, Scored]


@dataclass(frozen=True, slots=True)
class JudgedDuels:
    """What a judge said.

    Attributes:
        pairs: of each duel the pair it gives, or why there is none: ``ties``, or the failure of an answer.
        report: verdicts, failures and use of the endpoint, by preference (JSON values).
    """

    pairs: list[ChosenPair | str]
    report: dict[str, Any]


def duel_of(candidates: Sequence[Scored]) -> Duel | None:
    """The two renderings of a source that are shown to a judge: highest and lowest score, of different texts.

    Of renderings with the same words the highest-scoring path stands for all. None where all words are the same.
    """
    by_text: dict[str, Scored] = {}
    for one in sorted(candidates, key=lambda scored: -scored.order):
        by_text.setdefault(text_key(one.rendering.text), one)
    ranked = list(by_text.values())
    return (ranked[0], ranked[-1]) if len(ranked) > 1 else None


def judge_duels(
    pairs: Sequence[SentencePair],
    duels: Sequence[Duel],
    config: ConstructionConfig,
    source_language: str,
    target_language: str,
    cache: AnswerCache,
    on_progress: Progress,
) -> JudgedDuels:
    """Asks about every duel under every preference that has a weight.

    Args:
        pairs: the record of each duel.
        duels: two renderings each.
        config: weights, least margin, endpoint and preferences of the writer.
        source_language: code of the sources' language.
        target_language: code of the renderings' language.
        cache: answers kept on disk.
        on_progress: called with (answers, questions, text).

    Raises:
        UsageError: every preference that is asked about has weight 0; the endpoint does not know the model.
        SystemStateError: the endpoint is gone, refuses access, or the budget is used up.
        StageError: too many duels without a verdict.
    """
    writer = config.writer
    assert writer is not None
    weights: dict[TextPreference, float] = {
        one: float(getattr(config.weights, one)) for one in TEXT_PREFERENCES if one in writer.preferences
    }
    asked: list[TextPreference] = [one for one, weight in weights.items() if weight > 0]
    if not asked:
        raise UsageError(
            "every preference of construction.writer.preferences has weight 0 in construction.weights: give one of "
            f"{', '.join(writer.preferences)} a weight."
        )
    items = [
        PairItem(
            pair.id,
            pair.group_id,
            question(pair.source_text, source_language, target_language),
            first.rendering.text,
            second.rendering.text,
        )
        for pair, (first, second) in zip(pairs, duels, strict=True)
    ]
    found: dict[TextPreference, Verdicts] = {}
    endpoint, said = writer.endpoint, None
    for name, rubric in zip(asked, preference_rubrics(asked, source_language, target_language), strict=True):
        if said is not None:
            endpoint = _with_what_is_left(endpoint, said, writer.endpoint)
        judge = EndpointJudge(endpoint, rubric, cache)

        def told(done: int, total: int, name: str = name) -> None:
            on_progress(done, total, f"{writer.endpoint.model} judges {name}")

        said = judge.compare(items, told)
        if said.stopped is not None:
            raise said.stopped
        found[name] = said
    verdicts = {name: said.rows for name, said in found.items()}
    judged: list[ChosenPair | str] = [
        _pair(duel, {name: rows[number] for name, rows in verdicts.items()}, config)
        for number, duel in enumerate(duels)
    ]
    _require_enough(judged, writer)
    return JudgedDuels(judged, {name: _report(said) for name, said in found.items()})


def _with_what_is_left(endpoint: EndpointConfig, said: Verdicts, whole: EndpointConfig) -> EndpointConfig:
    """The endpoint with what is left of its budget, which is for all preferences together."""
    usage: Any = said.facts["usage"]
    requests, cost = endpoint.budget.max_requests, endpoint.budget.max_cost
    if requests is not None:
        requests -= usage["requests"]
    if cost is not None:
        cost -= usage["cost"] or 0.0
    if (requests is not None and requests < 1) or (cost is not None and cost <= 0):
        limit = f"{whole.budget.max_requests} requests" if requests is not None and requests < 1 else "money"
        raise SystemStateError(
            f"the judge's budget ({limit}) is used up before every preference was asked about: what is done is kept; "
            "raise construction.writer.endpoint.budget to go on."
        )
    budget = endpoint.budget.model_copy(update={"max_requests": requests, "max_cost": cost})
    return endpoint.model_copy(update={"budget": budget})


def _pair(duel: Duel, verdicts: Mapping[str, Verdict], config: ConstructionConfig) -> ChosenPair | str:
    failure = next((one.failure for one in verdicts.values() if one.failure is not None), None)
    if failure is not None:
        return failure
    value = {"a": 1.0, "b": -1.0, "tie": 0.0, None: 0.0}
    weighted = [(float(getattr(config.weights, name)), value[one.winner]) for name, one in verdicts.items()]
    first, second = duel
    if "latency" in first.measures and "latency" in second.measures:
        weighted.append((float(config.weights.latency), first.measures["latency"] - second.measures["latency"]))
    margin = sum(weight * one for weight, one in weighted) / sum(weight for weight, _ in weighted)
    chosen, rejected = duel if margin > 0 else (second, first)
    if abs(margin) <= config.pairing.min_margin:
        return "ties"
    if chosen.rendering.cut and not config.pairing.cut_may_win:
        return "cut"
    return ChosenPair(chosen, rejected, abs(margin))


def _report(said: Verdicts) -> dict[str, Any]:
    """Of one preference; `a` is the rendering with the higher measured score."""
    winners = Counter(one.winner for one in said.rows if one.winner is not None)
    failures = Counter(one.failure for one in said.rows if one.failure is not None)
    orders = [one.orders[0] for one in said.rows if one.orders]
    decided = [place for both in orders for place in zip(both, ("a", "b"), strict=True) if place[0] != "tie"]
    return {
        "for_higher_score": winners["a"],
        "for_lower_score": winners["b"],
        "ties": winners["tie"],
        "orders_differ": sum(both[0] != both[1] for both in orders),
        "first_wins": sum(winner == shown for winner, shown in decided) / len(decided) if decided else None,
        "failures": dict(failures),
        "facts": dict(said.facts),
    }


def _require_enough(judged: Sequence[ChosenPair | str], writer: WriterConfig) -> None:
    failed = Counter(one for one in judged if isinstance(one, str) and one not in ("ties", "cut"))
    lost = sum(failed.values())
    if lost > writer.max_failed_share * len(judged):
        reasons = ", ".join(f"{count} {name}" for name, count in failed.items())
        raise StageError(
            f"{writer.endpoint.model} judged {len(judged) - lost} of {len(judged)} pairs ({reasons}): use a model that "
            "keeps to the form, raise construction.writer.endpoint.max_tokens, or allow more with "
            "construction.writer.max_failed_share."
        )
