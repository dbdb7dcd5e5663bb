"""Where MLflow is and how it is opened: address, telemetry off, one-time initialisation, errors as one sentence.

The address is `MLFLOW_TRACKING_URI` where that is set, else an SQLite database in valign's home. Nothing here
sets MLflow's global state (active run, default experiment): every call goes through an explicit client.
"""

import contextlib
import functools
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from shared.errors import SystemStateError
from shared.home import mlflow_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 120.0
SECONDS_TO_ANSWER = 15.0

_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_MODEL_CATALOG_URI": "", "DO_NOT_TRACK": "true"}
# MLflow's own defaults wait some four minutes before an unreachable server is reported.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


UNREACHABLE = (
    "unable to open database",
    "could not connect",
    "connection refused",
    "connection to server",  # PostgreSQL: refused, timed out, no such host, wrong password
    "can't connect to",  # MySQL
    "access denied for user",
)


def tracking_uri() -> str:
    """The absolute address of the tracking database or server.

    Returns:
        `MLFLOW_TRACKING_URI` (a relative SQLite path made absolute), or `sqlite:////.../mlflow.db` in valign's home.

    Raises:
        SystemStateError: the address names MLflow's old folder store, which can no longer be written.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return f"sqlite:///{(mlflow_folder() / 'mlflow.db').absolute()}"
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).expanduser().absolute()}"
    if not re.match(r"(https?|sqlite|postgresql|mysql|mssql)(\+\w+)?://", uri):
        raise SystemStateError(
            f"MLFLOW_TRACKING_URI is {shown(uri)!r}, which is neither a database nor a server; "
            "set it to sqlite:////absolute/path/mlflow.db or http://host:port, or unset it."
        )
    return uri


def is_server(uri: str) -> bool:
    """Whether `uri` is a tracking server (http) and not a database that this process opens itself."""
    return uri.startswith(("http://", "https://"))


def _host(uri: str) -> str | None:
    try:
        return urlsplit(uri).hostname
    except ValueError:  # an open bracket of an IPv6 address
        return None


def shown(uri: str) -> str:
    """`uri` without user name and password, fit for a message."""
    return re.sub(r"//[^/@]*@", "//***@", uri)


def _database_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def artifact_root(uri: str, domain: str) -> str | None:
    """The absolute artifact location of a new experiment, or None where the server decides."""
    if is_server(uri):
        return None
    database = _database_file(uri)
    folder = database.parent if database else mlflow_folder()
    return (folder / "artifacts" / domain).absolute().as_uri()


@contextlib.contextmanager
def locked(uri: str) -> Iterator[None]:
    """Holds the file lock that orders find-or-create steps of the processes on this machine.

    Raises:
        SystemStateError: the lock file cannot be written, or another process held it too long.
    """
    database = _database_file(uri)
    path = database.with_name(database.name + ".lock") if database else mlflow_folder() / "server.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=LOCK_SECONDS)
        lock.acquire()
    except Timeout as error:
        raise SystemStateError(
            f"Another process has held {path} for {LOCK_SECONDS:.0f} s; wait for it or end it, then run again."
        ) from error
    except OSError as error:
        raise SystemStateError(
            f"MLflow's folder {path.parent} cannot be written ({error.strerror or error}); "
            "make it writable or set VALIGN_HOME or MLFLOW_TRACKING_URI to another place."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _sentence(uri: str, text: str) -> str | None:
    """The user's sentence for an error text of MLflow, SQLAlchemy or the network; None for a fault of our own."""
    place = f"The MLflow database {shown(uri)}"
    lowered = text.lower()
    if "readonly" in lowered or "read-only" in lowered:
        return f"{place} is read-only; make the file and its folder writable or set MLFLOW_TRACKING_URI to another one."
    if "database is locked" in lowered or "database table is locked" in lowered:
        return f"{place} is locked by another process; end the process that holds it, then run again."
    if "disk is full" in lowered or "no space left" in lowered or "disk i/o error" in lowered:
        return f"{place} cannot grow, the disk is full; free some space, then run again."
    if "not a database" in lowered or "malformed" in lowered:
        return f"{place} is damaged or not an SQLite file; move it away (its runs go with it) or restore a copy."
    if any(words in lowered for words in UNREACHABLE):
        where = "server" if is_server(uri) else "database"
        return f"The MLflow {where} {shown(uri)} cannot be opened; start it, or correct or unset MLFLOW_TRACKING_URI."
    if "no module named" in lowered or "can't load plugin" in lowered:
        needed = re.findall(r"(?:No module named|load plugin:) '?([\w.:]+)", text)
        return f"{place} needs a package that is not here ({', '.join(needed)}); install it, or correct the address."
    if "could not parse" in lowered and "url" in lowered:
        return f"MLFLOW_TRACKING_URI is {shown(uri)!r}, which is no address; correct or unset it."
    if "max retries exceeded" in lowered or "api request to" in lowered:
        problem = re.sub(r"^.*?failed with (?:exception|error code) ", "", " ".join(text.split()))[:160]
        return (
            f"The MLflow server {shown(uri)} does not answer as one ({problem}); start it, or correct or unset "
            "MLFLOW_TRACKING_URI."
        )
    if "detected out-of-date database schema" in lowered or "can't locate revision" in lowered:
        return (
            f"{place} was written by another version of MLflow; run `mlflow db upgrade {shown(uri)}` on a copy of it."
        )
    return None


@contextlib.contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Turns what a user can mend (locked, read-only, full, unreachable) into `SystemStateError`; the rest passes.

    Raises:
        SystemStateError: with one sentence: what is wrong, where, what to do.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        sentence = _sentence(uri, str(error))
        if sentence is None:
            raise
        raise SystemStateError(sentence) from error


def _require_answer(uri: str) -> None:
    """Asks whether anything answers at a server's address: MLflow retries one that says nothing for minutes.

    Raises:
        SystemStateError: nothing answers.
    """
    import httpx

    try:
        # Any answer will do, a refusal too: whom MLflow trusts and how it signs in is its own matter.
        httpx.get(f"{uri.rstrip('/')}/health", timeout=SECONDS_TO_ANSWER, verify=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SystemStateError(
            f"The MLflow server {shown(uri)} does not answer ({type(error).__name__}); start it, or correct or unset "
            "MLFLOW_TRACKING_URI."
        ) from error


@functools.lru_cache(maxsize=8)
def client(uri: str) -> "MlflowClient":
    """The client of `uri`; the first call of a process creates or checks the database under the file lock.

    Raises:
        SystemStateError: the database or server cannot be used.
    """
    os.environ.update(_QUIET)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # MLflow logs every database error with its traceback before it raises; ours is the one sentence shown.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if is_server(uri) and not _host(uri):
        raise SystemStateError(f"MLFLOW_TRACKING_URI is {shown(uri)!r}, which names no host; correct or unset it.")
    if is_server(uri):
        _require_answer(uri)
    with locked(uri), mlflow_errors(uri):
        opened = MlflowClient(tracking_uri=uri, registry_uri=uri)
        opened.search_experiments(max_results=1)
    return opened
