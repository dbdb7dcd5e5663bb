"""The client against a server that fails in every way servers do: exact request counts, waits, budgets, errors."""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.errors import SystemStateError, UsageError
from shared.judges.answer_cache import AnswerCache
from shared.judges.chat_client import ChatClient
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.prompting import ChatRequest, pair_schema
from shared.judges.wire import retry_after, server_error
from shared.records import Message


def question(number=0, text="which?", sample=0):
    return ChatRequest((Message("user", f"{text} {number}"),), "pair", pair_schema(), sample)


def questions(count):
    return [question(number) for number in range(count)]


def test_every_request_is_sent_once_and_answers_stand_in_order(server, endpoint, says):
    server.script = lambda number, body: says.completion(body["messages"][0]["content"])
    client = ChatClient(endpoint())
    answers = client.answer_all(questions(20))
    assert [one.text for one in answers] == [f"which? {number}" for number in range(20)]
    assert server.count == client.usage.requests == client.usage.answers == 20
    assert (client.usage.prompt_tokens, client.usage.completion_tokens) == (2000, 200)


def test_equal_requests_are_asked_once(server, endpoint):
    answers = ChatClient(endpoint()).answer_all([question(1), question(2), question(1)])
    assert server.count == 2
    assert answers[0] == answers[2]


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_requests_are_under_way_than_allowed(server, endpoint, says, limit):
    def slow(number, body):
        reply = says.verdict("first")
        reply.delay = 0.05
        return reply

    server.script = slow
    ChatClient(endpoint(concurrency=limit)).answer_all(questions(12))
    assert server.most_at_once == limit
    assert server.count == 12


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_passing_troubles_are_tried_again(server, endpoint, says, status):
    server.script = lambda number, body: says.Reply(status, {"error": "busy"}) if number == 0 else says.verdict("tie")
    client = ChatClient(endpoint())
    (answer,) = client.answer_all([question()])
    assert json.loads(answer.text)["verdict"] == "tie"
    assert server.count == 2
    assert dict(client.usage.retries) == {str(status): 1}


@pytest.mark.parametrize("drop", ["before", "middle"])
def test_a_lost_connection_is_tried_again(server, endpoint, says, drop):
    def script(number, body):
        reply = says.verdict("first")
        reply.drop = drop if number < 2 else ""
        return reply

    server.script = script
    client = ChatClient(endpoint())
    (answer,) = client.answer_all([question()])
    assert answer.finish == "stop"
    assert server.count == 3
    assert dict(client.usage.retries) == {"connection": 2}


def test_a_slow_answer_is_a_timeout_and_is_tried_again(server, endpoint, says):
    server.script = lambda number, body: says.Reply(delay=1.0) if number == 0 else says.verdict("first")
    client = ChatClient(endpoint(timeout_s=0.3))
    (answer,) = client.answer_all([question()])
    assert answer.finish == "stop"
    assert dict(client.usage.retries) == {"timeout": 1}


def test_a_broken_body_is_tried_again_and_then_said(server, endpoint, says):
    server.script = lambda number, body: says.Reply(200, "<html>hello</html>")
    client = ChatClient(endpoint(retries=2))
    with pytest.raises(SystemStateError, match="OpenAI-compatible"):
        client.answer_all(questions(3))
    assert server.count == 3  # the first request alone, and twice again


def test_retry_after_is_kept_by_all_requests(server, endpoint, says):
    def script(number, body):
        limited = says.Reply(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"})
        return limited if number == 1 else says.verdict("first")

    server.script = script
    client = ChatClient(endpoint(concurrency=1))
    client.answer_all(questions(3))
    assert server.count == 4
    assert 1.0 <= server.times[2] - server.times[1] < 2.5
    assert client.usage.waited_s > 0.9


def test_a_wait_that_is_too_long_ends_the_judging(server, endpoint, says):
    def script(number, body):
        return says.verdict("first") if number < 2 else says.Reply(429, {}, {"Retry-After": "7200"})

    server.script = script
    client = ChatClient(endpoint(concurrency=1))
    answers = client.answer_all(questions(5))
    assert [getattr(one, "failure", None) for one in answers] == [None, None, "skipped", "skipped", "skipped"]
    assert "7200 s" in str(client.stopped)
    assert server.count == 3


def test_retries_end_and_failures_in_a_row_end_the_judging(server, endpoint, says):
    server.script = lambda number, body: says.verdict("first") if number == 0 else says.Reply(503, {"error": "down"})
    client = ChatClient(endpoint(retries=1, give_up_after=2, concurrency=1))
    answers = client.answer_all(questions(6))
    assert [getattr(one, "failure", None) for one in answers] == [
        None, "unreachable", "unreachable", "skipped", "skipped", "skipped"
    ]  # fmt: skip
    assert server.count == 1 + 2 * 2
    assert isinstance(client.stopped, SystemStateError)
    assert "keeps failing (503: down)" in str(client.stopped)


def test_nobody_there_is_said_after_one_request():
    client = ChatClient(EndpointConfig(base_url="http://127.0.0.1:9/v1", model="m", retries=1, backoff_s=0.01))
    with pytest.raises(SystemStateError, match="no connection to http://127"):
        client.answer_all(questions(50))
    assert client.usage.requests == 2


def test_a_refused_key_ends_at_once_and_is_never_shown(server, endpoint, says, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret")
    server.script = lambda number, body: says.Reply(401, {"error": {"message": "bad key sk-very-secret"}})
    client = ChatClient(endpoint(api_key_env="JUDGE_KEY"))
    with pytest.raises(SystemStateError, match="401") as caught:
        client.answer_all(questions(10))
    assert server.count == 1
    assert server.headers[0]["authorization"] == "Bearer sk-very-secret"
    assert "JUDGE_KEY" in str(caught.value)
    assert "secret" not in str(caught.value) + caplog.text
    assert "which?" not in caplog.text


def test_a_key_that_is_named_and_not_set_is_said_before_anything_is_sent(server, endpoint, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(SystemStateError, match="NO_SUCH_KEY is not set"):
        ChatClient(endpoint(api_key_env="NO_SUCH_KEY"))
    assert server.count == 0


def test_no_key_is_sent_where_none_is_set(server, endpoint, monkeypatch):
    monkeypatch.delenv("VALIGN_JUDGE_API_KEY", raising=False)
    ChatClient(endpoint()).answer_all([question()])
    assert "authorization" not in server.headers[0]


def test_an_unknown_model_is_said_with_those_there_are(server, endpoint, says):
    server.models = ["small", "large"]
    missing = {"error": {"code": "model_not_found", "message": "The model `typo` does not exist"}}
    server.script = lambda number, body: says.Reply(404, missing)
    with pytest.raises(UsageError, match="knows no model typo: it has small, large"):
        ChatClient(endpoint(model="typo")).answer_all(questions(5))
    assert server.count == 1


def test_a_wrong_path_is_said(server, endpoint):
    with pytest.raises(UsageError, match="there is nothing at"):
        ChatClient(endpoint(base_url=server.url + "/more")).answer_all([question()])


def test_an_empty_account_ends_the_judging(server, endpoint, says):
    empty = {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}
    server.script = lambda number, body: says.Reply(429, empty)
    with pytest.raises(SystemStateError, match="is used up"):
        ChatClient(endpoint()).answer_all(questions(5))
    assert server.count == 1


def test_a_redirect_is_not_followed_with_the_key(server, endpoint, says):
    server.script = lambda number, body: says.Reply(307, {}, {"Location": "http://127.0.0.1:9/v1/chat/completions"})
    with pytest.raises(UsageError, match="redirects"):
        ChatClient(endpoint()).answer_all([question()])


def test_a_server_without_json_schema_gets_json_object_then_text(server, endpoint, says):
    def script(number, body):
        kind = body.get("response_format", {}).get("type")
        if kind == "json_schema":
            return says.Reply(400, {"error": {"message": "response_format json_schema is not supported"}})
        return says.Reply(422, {"detail": "no"}) if kind == "json_object" else says.verdict("first")

    server.script = script
    client = ChatClient(endpoint())
    client.answer_all(questions(5))
    assert server.count == 3 + 5  # found out once, by the request that goes alone
    assert client.usage.adapted == [f"answer format {name}" for name in ("json_object_schema", "json_object", "text")]
    assert all("response_format" not in body for body in server.bodies[3:])


def test_a_server_that_fails_on_json_schema_with_500_is_understood(server, endpoint, says):
    def script(number, body):
        return says.Reply(500, {}) if body["response_format"]["type"] == "json_schema" else says.verdict("first")

    server.script = script
    client = ChatClient(endpoint())
    answers = client.answer_all(questions(3))
    assert all(hasattr(one, "text") for one in answers)
    assert server.count == 2 + 3  # a first 500 may pass; the second one speaks of the field


def test_a_server_that_names_the_format_in_its_500_is_not_asked_twice(server, endpoint, says):
    def script(number, body):
        if "schema" in body["response_format"]:  # as llama-cpp-python takes it
            return says.verdict("first")
        return says.Reply(500, {"error": {"message": "('body', 'response_format', 'type'): input should be text"}})

    server.script = script
    ChatClient(endpoint()).answer_all(questions(3))
    assert server.count == 1 + 3
    assert server.bodies[-1]["response_format"]["schema"]["required"] == ["reason", "verdict"]


def test_fields_a_server_does_not_take_are_renamed_or_left_out(server, endpoint, says):
    def script(number, body):
        if "max_tokens" in body:
            text = "Unsupported parameter: 'max_tokens' is not supported, use 'max_completion_tokens' instead."
            return says.Reply(400, {"error": {"message": text}})
        if "temperature" in body:
            return says.Reply(400, {"error": {"message": "Unsupported value: 'temperature' does not support 0"}})
        return says.verdict("first")

    server.script = script
    client = ChatClient(endpoint())
    client.answer_all(questions(2))
    assert server.bodies[-1]["max_completion_tokens"] == 512
    assert client.usage.adapted == ["max_completion_tokens in place of max_tokens", "without temperature"]
    assert server.bodies[-1]["response_format"]["type"] == "json_schema"


def test_a_request_that_is_rejected_is_counted_and_the_others_go_on(server, endpoint, says):
    def script(number, body):
        if body["messages"][0]["content"] == "which? 3":
            return says.Reply(400, {"error": {"code": "context_length_exceeded", "message": "too long"}})
        return says.verdict("first")

    server.script = script
    client = ChatClient(endpoint())
    answers = client.answer_all(questions(6))
    assert [getattr(one, "failure", None) for one in answers] == [None, None, None, "rejected", None, None]
    assert dict(client.usage.rejected) == {"400": 1}


def test_a_content_filter_is_a_refusal(server, endpoint, says):
    filtered = {"error": {"code": "content_filter", "message": "content management policy"}}
    server.script = lambda number, body: says.Reply(400, filtered) if number == 1 else says.verdict("first")
    answers = ChatClient(endpoint(concurrency=1)).answer_all(questions(3))
    assert [getattr(one, "failure", None) for one in answers] == [None, "refused", None]


def test_an_error_that_quotes_the_request_is_not_shown(server, endpoint, says):
    secret = "my name is Jane and I live in Elm Street"

    def script(number, body):
        return says.Reply(400, {"error": {"message": f"invalid input: {body['messages'][0]['content']}"}})

    server.script = script
    with pytest.raises(SystemStateError, match="rejects the requests") as caught:
        ChatClient(endpoint(give_up_after=1, answer_format="text")).answer_all([question(text=secret)])
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("allowed", [1, 4])
def test_the_request_budget_is_exact_and_what_is_done_is_kept(server, endpoint, tmp_path, allowed):
    config = endpoint(budget={"max_requests": allowed}, concurrency=3)
    with AnswerCache(tmp_path / "a.sqlite") as cache:
        client = ChatClient(config, cache)
        answers = client.answer_all(questions(10))
        assert server.count == allowed
        assert sum(hasattr(one, "text") for one in answers) == allowed
        assert f"budget of {allowed} requests is used up" in str(client.stopped)
        again = ChatClient(endpoint(), cache)
        assert all(hasattr(one, "text") for one in again.answer_all(questions(10)))
    assert server.count == 10  # nothing was paid twice
    assert again.usage.cache_hits == allowed


def test_the_cost_budget_is_not_exceeded(server, endpoint):
    prices = {"price_prompt": 10.0, "price_completion": 100.0, "max_tokens": 10}
    one = (100 * 10 + 10 * 100) / 1e6
    client = ChatClient(endpoint(budget={"max_cost": 6.5 * one}, concurrency=4, **prices))
    client.answer_all(questions(20))
    assert client.usage.cost == pytest.approx(server.count * one)
    assert client.usage.cost <= 6.5 * one
    assert server.count >= 4
    assert "max_cost" in str(client.stopped)


def test_an_answer_without_token_counts_is_charged_by_its_length(server, endpoint, says):
    server.script = lambda number, body: says.completion("{}", usage=False)
    client = ChatClient(endpoint(price_prompt=1.0, price_completion=1.0))
    client.answer_all([question()])
    assert client.usage.without_usage == 1
    assert client.usage.cost > 512 / 1e6
    assert client.usage.prompt_tokens == 0


def test_a_budget_of_money_needs_prices():
    with pytest.raises(ValidationError, match="needs price_prompt"):
        EndpointConfig(base_url="http://x/v1", model="m", budget={"max_cost": 1})


def test_it_runs_inside_a_running_event_loop(endpoint):
    async def notebook():
        return ChatClient(endpoint()).answer_all(questions(2))

    assert len(asyncio.run(notebook())) == 2


def test_repetitions_have_seeds_of_their_own(server, endpoint):
    ChatClient(endpoint(seed=7)).answer_all([question(sample=0), question(sample=1)])
    assert sorted(body["seed"] for body in server.bodies) == [7, 8]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("https://host/v1/", "https://host/v1"),
        ("https://host/openai/v1/chat/completions", "https://host/openai/v1"),
    ],
)
def test_addresses_are_understood(given, expected):
    assert EndpointConfig(base_url=given, model="m").base_url == expected


@pytest.mark.parametrize("wrong", ["host:8000", "ftp://host", "http://user:pw@host/v1", "http://host/v1?key=1", ""])
def test_wrong_addresses_are_refused(wrong):
    with pytest.raises(ValidationError):
        EndpointConfig(base_url=wrong, model="m")


def test_secrets_do_not_go_into_recipes():
    with pytest.raises(ValidationError, match="api_key_env"):
        EndpointConfig(base_url="http://h/v1", model="m", headers={"X-Api-Key": "s"})


def test_retry_after_in_all_its_forms():
    now = datetime(2025, 1, 1, tzinfo=UTC)
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": format_datetime(now + timedelta(seconds=9))}, now) == 9
    assert retry_after({"retry-after": format_datetime(now - timedelta(seconds=9))}, now) == 0
    assert retry_after({}) is None


@given(st.text())
def test_any_retry_after_is_a_time_or_none(text):
    found = retry_after({"retry-after": text})
    assert found is None or found >= 0


@given(st.binary(), st.integers(400, 599))
def test_any_error_body_is_read(content, status):
    error = server_error(status, content, question())
    assert error.status == status
    assert len(error.message) <= 200


def test_a_stopped_judging_does_not_sleep_on(server, endpoint, says):
    def script(number, body):
        if number == 0:
            return says.verdict("first")
        return says.Reply(503, {}) if number == 1 else says.Reply(401, {}, delay=0.2)

    server.script = script
    started = time.monotonic()
    ChatClient(endpoint(concurrency=2, backoff_s=30.0)).answer_all(questions(3))
    assert time.monotonic() - started < 5
