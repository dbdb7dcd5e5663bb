"""A scripted OpenAI-compatible server on loopback that fails as it is told, and small pairs to judge."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from shared.judges.endpoint_config import EndpointConfig
from shared.judges.protocol import PairItem, ResponseItem
from shared.judges.rubric import Rubric, load_rubric
from shared.records import Message


@dataclass
class Reply:
    """What the server does with one request.

    Attributes:
        status: HTTP status.
        body: JSON value or raw text.
        headers: further headers.
        delay: seconds before it answers.
        drop: the connection is closed: before the answer, or in the middle of its body.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: str = ""


def completion(text: str | None, finish: str = "stop", refusal: str | None = None, usage: bool = True) -> Reply:
    """A chat completion of 100 prompt tokens and 10 of answer."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body: dict[str, Any] = {"model": "scripted", "choices": [{"message": message, "finish_reason": finish}]}
    if usage:
        body["usage"] = {"prompt_tokens": 100, "completion_tokens": 10}
    return Reply(body=body)


def verdict(place: str, reason: str = "because") -> Reply:
    """An answer to a question for the better of two."""
    return completion(json.dumps({"reason": reason, "verdict": place}))


Script = Callable[[int, dict[str, Any]], Reply]


class ScriptedServer:
    """Serves /v1/chat/completions by a script of (number of the request from 0, its body) -> Reply."""

    def __init__(self) -> None:
        self.script: Script = lambda number, body: verdict("first")
        self.models = ["scripted"]
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                body = {"data": [{"id": name} for name in owner.models]}
                self._send(Reply(200 if self.path == "/v1/models" else 404, body))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path != "/v1/chat/completions":
                    self._send(Reply(404, "nothing here"))
                    return
                with owner._lock:
                    number = len(owner.bodies)
                    owner.bodies.append(body)
                    owner.headers.append({name.lower(): value for name, value in self.headers.items()})
                    owner.times.append(time.monotonic())
                    owner._at_once += 1
                    owner.most_at_once = max(owner.most_at_once, owner._at_once)
                try:
                    reply = owner.script(number, body)
                    time.sleep(reply.delay)
                    self._send(reply)
                finally:
                    with owner._lock:
                        owner._at_once -= 1

            def _send(self, reply: Reply) -> None:
                text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                data = text.encode()
                self.close_connection = bool(reply.drop)
                if reply.drop == "before":
                    return
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data[: len(data) // 2] if reply.drop == "middle" else data)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client's patience ended before

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        """Requests for completions so far."""
        return len(self.bodies)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A scripted server; it answers `first` unless `script` is set."""
    running = ScriptedServer()
    yield running
    running.close()


@pytest.fixture
def endpoint(server: ScriptedServer) -> Callable[..., EndpointConfig]:
    """The configuration of the scripted server, impatient."""

    def make(**changes: Any) -> EndpointConfig:
        values = {"base_url": server.url, "model": "scripted", "backoff_s": 0.01, "timeout_s": 5.0, **changes}
        return EndpointConfig.model_validate(values)

    return make


@pytest.fixture
def rubric() -> Rubric:
    """The packaged rubric."""
    return load_rubric("general")


@pytest.fixture
def items() -> Callable[[int], list[PairItem]]:
    """Pairs whose response a is good, b is bad."""

    def make(count: int) -> list[PairItem]:
        return [
            PairItem(f"pair-{n}", f"group-{n // 2}", (Message("user", f"question {n}"),), f"good {n}", f"bad {n} bad")
            for n in range(count)
        ]

    return make


@pytest.fixture
def responses() -> Callable[[int], list[ResponseItem]]:
    """Responses to score."""

    def make(count: int) -> list[ResponseItem]:
        return [
            ResponseItem(f"r-{n}", f"g-{n}", (Message("user", f"question {n}"),), f"answer {n}") for n in range(count)
        ]

    return make


@pytest.fixture
def says() -> SimpleNamespace:
    """The functions that scripts are written with: says.verdict, says.completion, says.Reply, says.fair."""

    return SimpleNamespace(verdict=verdict, completion=completion, Reply=Reply, fair=fair_place)


def fair_place(body: dict[str, Any]) -> str:
    """Where the good response stands."""
    text = body["messages"][1]["content"]
    return "first" if "-first>\ngood" in text else "second"
