"""Databases and servers that cannot be used: which sentence, and how soon."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shared import tracking_client
from shared.errors import SystemStateError
from shared.tracking_client import _require_answer, _sentence, client

SQLITE = "sqlite:////home/me/mlflow.db"
POSTGRES = "postgresql://me:secret@db.example/mlflow"
SERVER = "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("uri", "text", "words"),
    [
        (SQLITE, "(sqlite3.OperationalError) attempt to write a readonly database", "is read-only"),
        (SQLITE, "(sqlite3.OperationalError) database is locked", "is locked by another process"),
        (SQLITE, "(sqlite3.OperationalError) database or disk is full", "the disk is full"),
        (SQLITE, "(sqlite3.OperationalError) disk I/O error", "the disk is full"),
        (SQLITE, "[Errno 28] No space left on device: 'report.html'", "the disk is full"),
        (SQLITE, "(sqlite3.DatabaseError) file is not a database", "is damaged or not an SQLite file"),
        (SQLITE, "(sqlite3.OperationalError) unable to open database file", "cannot be opened"),
        (POSTGRES, 'connection to server at "db.example" failed: timeout expired', "cannot be opened"),
        (
            POSTGRES,
            'connection to server failed: FATAL: password authentication failed for "me"',
            "cannot be opened",
        ),
        (POSTGRES, "No module named 'psycopg2'", "needs a package that is not here (psycopg2)"),
        (POSTGRES, "Can't load plugin: sqlalchemy.dialects:postgresql.foo", "(sqlalchemy.dialects:postgresql.foo)"),
        ("sqlite://:::x", "Could not parse SQLAlchemy URL from given URL string", "is no address"),
        (SERVER, "API request to x failed with error code 501 != 200. Response body: 'no\n<p>'", "(501 != 200. "),
    ],
)
def test_what_is_wrong_is_one_sentence(uri, text, words):
    sentence = _sentence(uri, text)
    assert sentence is not None
    assert words in sentence
    assert "\n" not in sentence
    assert "secret" not in sentence


def test_a_fault_of_our_own_is_none():
    assert _sentence(SQLITE, "Metric name 'a b' is not valid") is None


@pytest.mark.parametrize("uri", ["http://", "http://[", "https://:1"])
def test_an_address_without_a_host(uri):
    with pytest.raises(SystemStateError, match="names no host"):
        client(uri)


def test_a_server_that_says_nothing_is_given_up_soon(monkeypatch):
    monkeypatch.setattr(tracking_client, "SECONDS_TO_ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(SystemStateError, match="does not answer"):
            client(uri)
        assert time.monotonic() - start < 10


def test_any_answer_is_one():
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        _require_answer(f"http://127.0.0.1:{server.server_port}")
