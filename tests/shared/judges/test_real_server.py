"""A judge over the wire of a real server (`transformers serve`) with the packaged model."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.judges.answer_cache import AnswerCache
from shared.judges.answers import PairAnswer, read_pair
from shared.judges.chat_client import ChatClient
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.endpoint_judge import EndpointJudge
from shared.judges.prompting import ChatRequest, pair_schema
from shared.judges.protocol import PairItem, count_failures
from shared.judges.rubric import Criterion, Rubric
from shared.judges.wire import ChatAnswer
from shared.models import resolve
from shared.records import Message

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("openai") is None, reason="`transformers serve` needs the package openai"
    ),
]


@pytest.fixture(scope="module")
def served(packaged_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointConfig]:
    """The packaged SmolLM2 behind `transformers serve` on a free port of loopback."""
    folder = resolve("smollm2-135m-instruct", packaged_cache).path
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = tmp_path_factory.mktemp("server")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(place), "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (place / "log.txt").open("w") as log:
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log, cwd=place)
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, place / "log.txt")
            yield EndpointConfig(
                base_url=f"http://127.0.0.1:{port}", model=str(folder), max_tokens=48, timeout_s=300, concurrency=2
            )
        finally:
            process.terminate()
            process.wait(30)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(address, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {log.read_text()[-500:]}")


def test_a_real_answer_is_read_and_counted(served):
    turns = []
    for place in ("first", "tie"):  # two turns to copy from: what the smallest of models can do
        answer = f'{{"reason": "short", "verdict": "{place}"}}'
        turns += [Message("user", f"Repeat: {answer}"), Message("assistant", answer)]
    turns.append(Message("user", 'Repeat: {"reason": "short", "verdict": "second"}'))
    request = ChatRequest(tuple(turns), "pair", pair_schema())
    client = ChatClient(served)
    (answer,) = client.answer_all([request])
    assert isinstance(answer, ChatAnswer)
    read = read_pair(answer.text, answer.finish, answer.refusal)
    assert isinstance(read, PairAnswer)
    assert read.verdict == "second"
    assert 10 < client.usage.prompt_tokens < 200
    assert 5 < client.usage.completion_tokens <= 48
    assert client.usage.requests == 1


def test_every_pair_has_a_verdict_or_a_counted_reason_and_is_paid_for_once(served, tmp_path):
    """The packaged model has 135M parameters and seldom keeps to the form without a grammar: nothing is made up."""
    rubric = Rubric(name="short", criteria=(Criterion(name="true", definition="It is true."),))
    items = [
        PairItem("1", "1", (Message("user", "What is the capital of France?"),), "Paris.", "London, I believe."),
        PairItem("2", "2", (Message("user", "What is 2 + 2?"),), "5", "4"),
    ]
    with AnswerCache(tmp_path / "answers.sqlite") as cache:
        found = EndpointJudge(served, rubric, cache).compare(items)
        usage = found.facts["usage"]
        answered = sum(one.winner is not None for one in found.rows)
        assert answered + sum(count_failures(found.rows).values()) == 2
        assert set(count_failures(found.rows)) <= {"malformed", "truncated", "refused"}
        assert usage["requests"] == usage["answers"] == len(cache)
        assert 4 <= usage["requests"] <= 8  # both orders, each corrected once at most
        assert usage["prompt_tokens"] > 4 * 100
        again = EndpointJudge(served, rubric, cache).compare(items)
    assert again.rows == found.rows
    assert again.facts["usage"]["requests"] == 0
