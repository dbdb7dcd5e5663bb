"""Renderings of an endpoint: asked once, kept, corrected once, counted where they cannot be used; no key anywhere."""

import logging
from pathlib import Path

import pytest

from domains.translation.construction.config import WriterConfig
from domains.translation.construction.endpoint_writing import write_renderings
from shared.errors import StageError, SystemStateError, UsageError
from shared.judges.answer_cache import AnswerCache
from tests.domains.translation.construction.conftest import sentence_of, translation, word_for_word


@pytest.fixture
def cache(tmp_path: Path):
    with AnswerCache(tmp_path / "answers.sqlite") as found:
        yield found


@pytest.fixture
def write(endpoint, cache):
    """(records, endpoint's changes, writer's other settings) to what was written, in German to English."""

    def run(records, told=None, **settings):
        changes = settings.pop("endpoint", {})
        config = WriterConfig(endpoint=endpoint(**changes), **settings)
        return write_renderings(records, config, "de", "en", cache, told or (lambda done, total, text: None))

    return run


def test_every_prompt_gives_a_rendering_in_order(server, write, toy_records):
    server.script = lambda number, body: translation(word_for_word(body))
    records, told = toy_records(3), []
    found = write(records, lambda *one: told.append(one), prompts=("quality", "combined"))
    assert server.count == 6
    for record, renderings in zip(records, found.renderings, strict=True):
        assert [one.text.lower() for one in renderings] == [record.target_text] * 2
        assert [one.origin for one in renderings] == ["written:quality", "written:combined"]
        assert not any(one.on_policy or one.path for one in renderings)
    assert (found.report["questions"], found.report["used"], found.report["dropped"]) == (6, 6, {})
    assert found.report["usage"]["requests"] == 6
    assert told[-1] == (6, 6, "scripted translates")


def test_only_the_source_is_sent(server, write, toy_records):
    server.script = lambda number, body: translation(word_for_word(body))
    record = toy_records(1)[0]
    write([record])
    said = str(server.bodies[0]["messages"])
    assert record.source_text in said
    for hidden in (record.id, record.group_id, record.source, record.target_text, record.rejected_text):
        assert hidden not in said
    assert server.bodies[0]["response_format"]["json_schema"]["schema"]["required"] == ["translation"]


def test_what_cannot_be_used_is_dropped_and_counted(server, write, toy_records, says):
    records = toy_records(7)
    german = "das hier ist ein langer deutscher Satz, der nicht übersetzt wurde und deutsch bleibt"
    answers = {
        records[0].source_text: translation(""),
        records[1].source_text: translation(records[1].source_text + "."),
        records[2].source_text: translation(german),
        records[3].source_text: translation("As an AI I cannot translate this."),
        records[4].source_text: says.completion("The dog."),
    }
    server.script = lambda number, body: answers.get(sentence_of(body), translation(word_for_word(body)))
    found = write(records, endpoint={"answer_retries": 0}, max_failed_share=0.8)
    assert [len(one) for one in found.renderings] == [0, 0, 0, 0, 0, 1, 1]
    assert found.report["dropped"] == {"refused": 1, "malformed": 1, "empty": 1, "copied": 1, "untranslated": 1}
    assert found.report["used"] == 2


def test_an_unusable_answer_is_asked_for_again_with_the_reason(server, write, toy_records):
    def script(number, body):
        again = len(body["messages"]) > 2
        return translation(word_for_word(body) if again else sentence_of(body))

    server.script = script
    found = write(toy_records(2))
    assert server.count == 4
    assert found.report["corrected"] == 2
    assert found.report["dropped"] == {}
    said = server.bodies[-1]["messages"][-1]["content"]
    assert said.startswith("That cannot be used: the translation is the sentence itself.")


def test_a_refusal_is_not_argued_with(server, write, toy_records, says):
    server.script = lambda number, body: says.completion(None, refusal="no")
    with pytest.raises(StageError, match=r"0 usable translations of 2 \(2 refused\)"):
        write(toy_records(2))
    assert server.count == 2


def test_faults_are_retried_and_answers_kept(server, write, toy_records, says):
    def script(number, body):
        if number == 1:
            return says.Reply(503, "busy")
        if number == 2:
            return says.Reply(drop="before")
        return translation(word_for_word(body))

    server.script = script
    records = toy_records(4)
    first = write(records, endpoint={"concurrency": 1})
    assert first.report["dropped"] == {}
    assert sum(first.report["usage"]["retries"].values()) == 2
    asked = server.count
    second = write(records, endpoint={"concurrency": 1})
    assert server.count == asked
    assert second.renderings == first.renderings
    assert second.report["usage"]["cache_hits"] == 4


def test_a_used_up_budget_ends_it_and_a_larger_one_goes_on(server, write, toy_records):
    server.script = lambda number, body: translation(word_for_word(body))
    with pytest.raises(SystemStateError, match="max_requests"):
        write(toy_records(6), endpoint={"budget": {"max_requests": 4}, "concurrency": 1})
    assert len(write(toy_records(6)).renderings) == 6
    assert server.count == 6


@pytest.mark.parametrize(
    ("status", "error", "said"), [(401, SystemStateError, "refuses access"), (404, UsageError, "nothing at")]
)
def test_no_access_and_no_server_end_it_with_one_sentence(server, write, toy_records, says, status, error, said):
    server.script = lambda number, body: says.Reply(status, {"error": {"message": "no"}})
    with pytest.raises(error, match=said):
        write(toy_records(3))
    assert server.count == 1


def test_neither_key_nor_text_is_logged_or_reported(server, write, toy_records, says, monkeypatch, caplog):
    monkeypatch.setenv("VALIGN_JUDGE_API_KEY", "sk-very-secret")
    caplog.set_level(logging.DEBUG)
    replies = iter([says.Reply(500, "oops")])
    server.script = lambda number, body: next(replies, translation(word_for_word(body)))
    records = toy_records(2)
    found = write(records)
    assert server.headers[0]["authorization"] == "Bearer sk-very-secret"
    said = caplog.text + str(found.report)
    assert "sk-very-secret" not in said
    assert not any(record.source_text in said or record.target_text in said for record in records)
