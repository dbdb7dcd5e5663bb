"""Which flow a domain gets, and what counts as trouble with Prefect's server."""

import socket

import httpx
import pytest

from flows import start
from flows.embedded_server import EmbeddedServer
from flows.start import _flow_of, _is_server_trouble
from shared.errors import SystemStateError

API = "http://127.0.0.1:4200/api"


def test_a_domain_has_its_own_flow_and_a_plug_in_the_general_one():
    from flows.counseling import counseling

    assert _flow_of("counseling") is counseling
    for name in ("tiny", "promote", "any_domain", "garbage"):  # names of modules of ours are no flows of a domain
        assert _flow_of(name).__qualname__.endswith("<lambda>")


def test_only_what_was_asked_of_prefect_is_its_trouble():
    def asked(address):
        return httpx.ConnectError("refused", request=httpx.Request("POST", address))

    assert _is_server_trouble(asked(f"{API}/flows/"), API)
    assert not _is_server_trouble(asked("https://hub.example/api/models/x"), API)
    assert not _is_server_trouble(httpx.ReadTimeout("no request known"), API)
    assert not _is_server_trouble(RuntimeError("out of memory"), API)
    assert _is_server_trouble(RuntimeError(f"Failed to reach API at {API}"), API)
    wrapped = RuntimeError("flow failed")
    wrapped.__cause__ = asked(f"{API}/health")
    assert _is_server_trouble(wrapped, API)


def test_a_named_server_that_says_nothing_is_given_up_soon(monkeypatch):
    monkeypatch.setattr(start, "SECONDS_TO_ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PREFECT_API_URL", f"http://me:secret@127.0.0.1:{silent.getsockname()[1]}/api")
        with pytest.raises(SystemStateError, match="unset PREFECT_API_URL") as caught:
            start.require_server()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["nonsense", "http://", "http://[", "ftp://127.0.0.1/api"])
def test_an_address_of_no_server(monkeypatch, address):
    monkeypatch.setenv("PREFECT_API_URL", address)
    with pytest.raises(SystemStateError, match="cannot be reached"):
        start.require_server()


@pytest.mark.slow
def test_an_embedded_server_that_cannot_start_says_why(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file" / "below"))
    server = EmbeddedServer()
    with pytest.raises(SystemStateError, match="ended while it started"):
        server.url()
    server.stop()


@pytest.mark.slow
def test_an_embedded_server_answers_and_ends_with_its_pipe(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    server = EmbeddedServer()
    url = server.url()
    assert httpx.get(f"{url}/health", timeout=20).json() is True
    assert server.process.stdin is not None
    server.process.stdin.close()  # as a killed parent does
    server.process.wait(timeout=10)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", timeout=5)
    server.stop()
