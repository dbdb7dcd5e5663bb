"""Scores of summaries by a rubric's criteria, asked of a model at an endpoint; what has no answer is counted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domains.ecommerce.rubrics.config import RubricFeaturesConfig, asked, feature_name, summary_rubric
from shared.errors import StageError, SystemStateError
from shared.judges.answer_cache import AnswerCache, default_cache_file
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.endpoint_judge import EndpointJudge
from shared.judges.protocol import ResponseItem, Scores, count_failures
from shared.judges.rubric import Rubric
from shared.records import Message, content_id
from shared.rewards.feature_rows import Extract

Progress = Callable[[int, int, str], None]
POINTS = 5.0  # of the best score, as in the paper, whatever the rubric's scale


@dataclass(frozen=True, slots=True)
class RubricScores:
    """What a judge said of n summaries.

    Attributes:
        names: of the features.
        rows: score by feature, 0 to 5, of each summary; a feature without an answer is absent.
        failures: scores without an answer, by feature and reason.
        facts: requests, tokens, cost and settings, by the name of the rubric that was asked (JSON values).
    """

    names: tuple[str, ...]
    rows: tuple[dict[str, float], ...]
    failures: dict[str, dict[str, int]]
    facts: dict[str, Any]

    @property
    def failed(self) -> int:
        """Scores without an answer."""
        return sum(sum(by_reason.values()) for by_reason in self.failures.values())


def rubric_scores(
    prompts: Sequence[tuple[Message, ...]],
    responses: Sequence[str],
    config: RubricFeaturesConfig,
    rubric: Rubric,
    cache: AnswerCache,
    on_progress: Progress = lambda done, total, text: None,
) -> RubricScores:
    """Asks for every summary's score by every criterion; equal questions are asked once.

    Args:
        prompts: the reviews, as `domains.ecommerce.prompting` writes them, of n summaries; de-identified.
        responses: the summaries.
        config: the recipe's part.
        rubric: what is asked.
        cache: answers kept on disk: a judging that was stopped goes on where it was.
        on_progress: called with (answers, questions, text) for each rubric that is asked.

    Raises:
        UsageError: the endpoint does not know the model.
        SystemStateError: the endpoint is gone, refuses access, or the budget is used up before the end.
        StageError: more scores than `max_failed_share` have no answer.
    """
    items = [
        ResponseItem(str(place), content_id(*(turn.content for turn in prompt)), prompt, response)
        for place, (prompt, response) in enumerate(zip(prompts, responses, strict=True))
    ]
    rows: list[dict[str, float]] = [{} for _ in items]
    failures: dict[str, dict[str, int]] = {}
    facts: dict[str, Any] = {}
    endpoint, said = config.endpoint, None
    for one in asked(rubric, config.ask):
        if said is not None:
            endpoint = _with_what_is_left(endpoint, said, config.endpoint)
        judge = EndpointJudge(endpoint, one, cache, repeats=config.repeats)

        def told(done: int, total: int, name: str = one.name) -> None:
            on_progress(done, total, f"{config.endpoint.model} scores {name}")

        said = judge.score(items, told)
        if said.stopped is not None:
            raise said.stopped
        for criterion in one.criteria:
            name = feature_name(criterion)
            failures[name] = count_failures(said.rows)
            for row, scored in zip(rows, said.rows, strict=True):
                if scored.failure is None:
                    row[name] = _points(scored.criteria[criterion.name], one)
        facts[one.name] = dict(said.facts)
    names = tuple(feature_name(criterion) for criterion in rubric.criteria)
    found = RubricScores(names, tuple(rows), failures, facts)
    _require_enough(found, config)
    return found


def _points(score: float, rubric: Rubric) -> float:
    return POINTS * (score - rubric.scale.least) / (rubric.scale.most - rubric.scale.least)


def _with_what_is_left(endpoint: EndpointConfig, said: Scores, whole: EndpointConfig) -> EndpointConfig:
    """The endpoint with what is left of its budget, which is for all features together."""
    usage: Any = said.facts["usage"]
    requests, cost = endpoint.budget.max_requests, endpoint.budget.max_cost
    requests = None if requests is None else requests - usage["requests"]
    cost = None if cost is None else cost - (usage["cost"] or 0.0)
    if (requests is not None and requests < 1) or (cost is not None and cost <= 0):
        limit = f"{whole.budget.max_requests} requests" if requests is not None and requests < 1 else "money"
        raise SystemStateError(
            f"the judge's budget ({limit}) is used up before every feature was asked about: what is done is kept; "
            "raise judge_features.endpoint.budget to go on."
        )
    budget = endpoint.budget.model_copy(update={"max_requests": requests, "max_cost": cost})
    return endpoint.model_copy(update={"budget": budget})


def _require_enough(found: RubricScores, config: RubricFeaturesConfig) -> None:
    asked_for = len(found.rows) * len(found.names)
    if found.failed <= config.max_failed_share * asked_for:
        return
    reasons: dict[str, int] = {}
    for by_reason in found.failures.values():
        for reason, count in by_reason.items():
            reasons[reason] = reasons.get(reason, 0) + count
    counted = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    raise StageError(
        f"{config.endpoint.model} gave {asked_for - found.failed} of {asked_for} scores ({counted}): use a model that "
        "keeps to the form, raise judge_features.endpoint.max_tokens, or allow more with "
        "judge_features.max_failed_share."
    )


def means_of(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    """Mean of each feature over the summaries that have it; the middle of the scale where none has."""
    found: dict[str, float] = {}
    for name in names:
        values = [row[name] for row in rows if name in row]
        found[name] = sum(values) / len(values) if values else POINTS / 2
    return found


def rubric_extract(config: RubricFeaturesConfig) -> Extract:
    """Features ``judge.*`` of texts that no record carries them for: sampled summaries, candidates of best-of-n.

    A summary without an answer gets the mean of the others' scores of that feature; too many of them are an error.

    Raises (when it is called):
        As `rubric_scores`.
    """
    rubric = summary_rubric(config.rubric)

    def extract(prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> list[dict[str, float]]:
        with AnswerCache(default_cache_file()) as cache:
            found = rubric_scores(prompts, responses, config, rubric, cache)
        means = means_of(found.rows, found.names)
        return [{name: row.get(name, means[name]) for name in found.names} for row in found.rows]

    return extract
