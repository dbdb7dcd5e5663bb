"""The cache survives kills, serves several processes and never trusts a damaged file."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.digest import json_digest
from shared.errors import SystemStateError
from shared.judges.answer_cache import AnswerCache
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.prompting import ChatRequest, pair_schema
from shared.judges.wire import cache_key_values
from shared.records import Message


@given(st.dictionaries(st.text(), st.text(alphabet=st.characters(blacklist_categories=("Cs",)))))
@settings(max_examples=25, deadline=None)
def test_what_is_put_is_got(tmp_path_factory, answers):
    answers = {json_digest([key.encode("utf-8", "replace").decode()]): text for key, text in answers.items()}
    path = tmp_path_factory.mktemp("cache") / "deep" / "answers.sqlite"
    with AnswerCache(path) as cache:
        for key, text in answers.items():
            cache.put(key, {"text": text})
    with AnswerCache(path) as cache:
        assert {key: cache.get(key) for key in answers} == {key: {"text": text} for key, text in answers.items()}
        assert len(cache) == len(answers)
        assert cache.get("no such key") is None


def test_it_is_readable_by_its_owner_only(tmp_path):
    with AnswerCache(tmp_path / "judges" / "answers.sqlite") as cache:
        cache.put("k", {"text": "t"})
        assert cache.path.stat().st_mode & 0o077 == 0


def test_fresh_asks_anew_and_writes_over(tmp_path):
    with AnswerCache(tmp_path / "a.sqlite") as cache:
        cache.put("k", {"text": "old"})
    with AnswerCache(tmp_path / "a.sqlite", read=False) as cache:
        assert cache.get("k") is None
        cache.put("k", {"text": "new"})
    with AnswerCache(tmp_path / "a.sqlite") as cache:
        assert cache.get("k") == {"text": "new"}


def test_a_damaged_file_is_set_aside(tmp_path, caplog):
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"this is no database, and longer than a header of sixteen bytes" * 40)
    with AnswerCache(path) as cache:
        cache.put("k", {"text": "t"})
        assert cache.get("k") == {"text": "t"}
    assert len(list(tmp_path.glob("a.sqlite.damaged-*"))) == 1
    assert "set aside" in caplog.text


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "a.sqlite").mkdir()
    with pytest.raises(SystemStateError, match="cannot be used"):
        AnswerCache(tmp_path / "a.sqlite")


def test_kill_9_loses_no_answer_that_was_put(tmp_path):
    path = tmp_path / "a.sqlite"
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from shared.judges.answer_cache import AnswerCache
        cache = AnswerCache(Path({str(path)!r}))
        number = 0
        while True:
            cache.put(str(number), {{"text": "x" * 2000}})
            number += 1
            print(number, flush=True)
        """
    )
    child = subprocess.Popen([sys.executable, "-P", "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    put = 0
    deadline = time.monotonic() + 30
    while put < 25 and time.monotonic() < deadline:
        put = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split("\n")
    child.wait()
    put = max([put, *(int(line) for line in rest if line.isdigit())])
    assert put >= 25
    with AnswerCache(path) as cache:
        assert all(cache.get(str(number)) == {"text": "x" * 2000} for number in range(put))


def key_of(config, request):
    return json_digest(cache_key_values(config, request))


def test_the_key_holds_all_that_an_answer_depends_on_and_no_api_key(monkeypatch):
    monkeypatch.setenv("VALIGN_JUDGE_API_KEY", "secret")
    values = {"base_url": "http://h/v1", "model": "m"}
    config = EndpointConfig(**values)
    request = ChatRequest((Message("user", "q"),), "pair", pair_schema())
    base = key_of(config, request)
    changed = [{"model": "n"}, {"temperature": 0.5}, {"seed": 1}, {"max_tokens": 9}, {"answer_format": "text"}]
    changed += [{"base_url": "http://other/v1"}, {"extra_body": {"top_k": 1}}]
    keys = {key_of(EndpointConfig(**{**values, **change}), request) for change in changed}
    keys.add(key_of(config, ChatRequest((Message("user", "r"),), "pair", pair_schema())))
    keys.add(key_of(config, ChatRequest((Message("user", "q"),), "pair", pair_schema(), 1)))
    assert len(keys | {base}) == len(changed) + 3
    monkeypatch.setenv("VALIGN_JUDGE_API_KEY", "another")
    same = EndpointConfig(**values, concurrency=2, timeout_s=1, retries=0, price_prompt=3)
    assert key_of(same, request) == base
    assert "secret" not in str(cache_key_values(config, request))


def test_several_processes_share_one_file(tmp_path):
    path = tmp_path / "a.sqlite"
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from shared.judges.answer_cache import AnswerCache
        with AnswerCache(Path({str(path)!r})) as cache:
            for number in range(40):
                cache.put(f"{{sys.argv[1]}}-{{number}}", {{"text": sys.argv[1]}})
        """
    )
    children = [subprocess.Popen([sys.executable, "-P", "-c", script, str(who)]) for who in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    with AnswerCache(path) as cache:
        assert len(cache) == 120
        assert cache.get("2-39") == {"text": "2"}
