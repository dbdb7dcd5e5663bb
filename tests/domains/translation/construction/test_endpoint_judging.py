"""A judge at an endpoint: both orders for each preference, latency measured, ties and failures counted."""

import pytest

from domains.translation.construction.candidates import Rendering
from domains.translation.construction.config import TEXT_PREFERENCES, ConstructionConfig
from domains.translation.construction.endpoint_judging import duel_of, judge_duels
from domains.translation.construction.selection import ChosenPair, Scored
from shared.errors import StageError, SystemStateError, UsageError
from shared.judges.answer_cache import AnswerCache


def scored(text: str, score: float, latency: float = 0.5, cut: bool = False) -> Scored:
    path = tuple(range(1, len(text.split()) + 1))
    return Scored(Rendering(text, "offline", path, True, cut), {"latency": latency}, score)


@pytest.fixture
def judge(endpoint, tmp_path, toy_records):
    """(duels, weights, writer's and endpoint's settings) to what the judge said."""

    def run(duels, weights=None, budget=None, least=0.0, told=None, **writer):
        settings = {"task": "judge", "endpoint": endpoint(budget=budget or {}, answer_retries=0), **writer}
        config = ConstructionConfig.model_validate(
            {
                "mode": "endpoint",
                "writer": settings,
                "weights": weights or {},
                "pairing": {"min_margin": least},
            }
        )
        with AnswerCache(tmp_path / "answers.sqlite") as cache:
            records = toy_records(len(duels))
            return judge_duels(records, duels, config, "de", "en", cache, told or (lambda *one: None))

    return run


def asks_about(body) -> str:
    text = body["messages"][1]["content"]
    return next(name for name in TEXT_PREFERENCES if f"- {name}:" in text)


def test_every_preference_is_asked_about_in_both_orders(server, judge, says):
    server.script = lambda number, body: says.verdict(says.fair(body))
    told = []
    found = judge([(scored("good one", 0.9), scored("bad one", 0.1))] * 2, told=lambda *one: told.append(one))
    assert server.count == 16
    assert {asks_about(body) for body in server.bodies} == set(TEXT_PREFERENCES)
    for one in found.pairs:
        assert isinstance(one, ChosenPair)
        assert one.chosen.rendering.text == "good one"
    assert found.report["quality"]["for_higher_score"] == 2
    assert found.report["quality"]["first_wins"] == 0.5
    assert told[-1] == (4, 4, "scripted judges simplicity")


def test_the_margin_is_the_weighted_mean_with_latency_measured(server, judge, says):
    def script(number, body):  # good wins quality, loses monotonicity, ties elsewhere
        name = asks_about(body)
        fair = says.fair(body)
        other = {"first": "second", "second": "first"}[fair]
        return says.verdict({"quality": fair, "monotonicity": other}.get(name, "tie"))

    server.script = script
    weights = {"quality": 3, "monotonicity": 1, "key_points": 1, "simplicity": 1, "latency": 2}
    duel = (scored("good one", 0.9, latency=0.2), scored("bad one", 0.1, latency=0.6))
    (one,) = judge([duel], weights).pairs
    assert isinstance(one, ChosenPair)
    assert one.chosen.rendering.text == "good one"
    assert one.margin == pytest.approx((3 - 1 + 2 * (0.2 - 0.6)) / 8)
    late = {**weights, "latency": 20}
    (one,) = judge([duel], late).pairs
    assert isinstance(one, ChosenPair)
    assert one.chosen.rendering.text == "bad one"
    assert judge([duel], weights, least=0.3).pairs == ["ties"]


def test_a_judge_by_position_prefers_nothing(server, judge):
    found = judge([(scored("good one", 0.9), scored("bad one", 0.1))] * 3)  # always "first"
    assert found.pairs == ["ties"] * 3
    assert found.report["quality"]["orders_differ"] == 3
    assert found.report["quality"]["first_wins"] == 1.0


def test_preferences_without_weight_are_not_asked_about(server, judge, says):
    server.script = lambda number, body: says.verdict(says.fair(body))
    judge([(scored("good one", 0.9), scored("bad one", 0.1))], {"quality": 0, "key_points": 0})
    assert {asks_about(body) for body in server.bodies} == {"monotonicity", "simplicity"}
    with pytest.raises(UsageError, match="has weight 0"):
        judge([(scored("good one", 0.9), scored("bad one", 0.1))], {"quality": 0}, preferences=["quality"])


def test_failures_are_counted_and_too_many_fail(server, judge, says):
    def script(number, body):
        if asks_about(body) == "key_points" and "good 1" in body["messages"][1]["content"]:
            return says.completion("I'm sorry, I can't.")
        return says.verdict(says.fair(body))

    server.script = script
    duels = [(scored(f"good {number}", 0.9), scored(f"bad {number}", 0.1)) for number in range(3)]
    found = judge(duels, max_failed_share=0.4)
    assert [isinstance(one, ChosenPair) for one in found.pairs] == [True, False, True]
    assert found.pairs[1] == "refused"
    with pytest.raises(StageError, match=r"judged 2 of 3 pairs \(1 refused\)"):
        judge(duels)


def test_the_budget_is_for_all_preferences_together(server, judge, says):
    server.script = lambda number, body: says.verdict(says.fair(body))
    duel = (scored("good one", 0.9), scored("bad one", 0.1))
    for most in (2, 5):
        with pytest.raises(SystemStateError, match="budget"):
            judge([duel], budget={"max_requests": most})
    assert server.count == 7
    assert isinstance(judge([duel], budget={"max_requests": 1}).pairs[0], ChosenPair)
    assert server.count == 8


def test_a_cut_rendering_does_not_win(server, judge, says):
    server.script = lambda number, body: says.verdict(says.fair(body))
    assert judge([(scored("good one", 0.9, cut=True), scored("bad one", 0.1))]).pairs == ["cut"]


def test_a_duel_is_between_different_texts():
    many = [scored("a b", 0.5), scored("A  b", 0.9), scored("c d", 0.4), scored("e f", 0.6)]
    found = duel_of(many)
    assert found is not None
    assert [one.score for one in found] == [0.9, 0.4]
    assert duel_of(many[:2]) is None
    assert duel_of([]) is None
