"""Starts a domain's flow in this process: its own flow file where it has one, the general flow for plug-ins."""

import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.embedded_server import EmbeddedServer, embedded_server
from flows.request import RunRequest
from flows.watch import Listener, watching
from shared.durable import is_full_disk, no_space, require_space
from shared.errors import SystemStateError, ValignError
from shared.home import valign_home

SECONDS_TO_ANSWER = 15.0


def run_flow(
    domain: str,
    request: RunRequest,
    announce: Callable[[str, str, str], None] = lambda stage, state, why: None,
    progress: Callable[[str, int, int, str], None] = lambda stage, done, total, text: None,
) -> dict[str, Any]:
    """Runs the flow and returns the run's record (run.json).

    Raises:
        ValignError: as a stage raised it.
        SystemStateError: no Prefect server could be started or reached, or next to no disk space is left.
    """
    require_space(valign_home())
    require_server()
    listener = Listener(announce, progress, request)
    shown = request.model_copy(update={"data": None if request.data is None else "given on the command line"})
    with watching(listener), embedded_server() as server:
        flow = _flow_of(domain)  # imports Prefect, while the server starts
        from httpx import HTTPError

        with _api(server) as address:
            try:
                return flow(shown)
            except ValignError as error:
                raise (listener.error or error) from None
            except (RuntimeError, OSError, HTTPError) as error:
                if not _is_server_trouble(error, address):
                    raise
                if server is not None and is_full_disk(valign_home()):
                    raise no_space(valign_home()) from error
                raise _no_server(address) from error


def require_server() -> None:
    """Where PREFECT_API_URL names a server: whether anything answers there.

    Prefect itself retries a server that takes connections and says nothing for many minutes.

    Raises:
        SystemStateError: nothing answers.
    """
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return
    import httpx

    try:
        # Any answer will do, a refusal too: whom Prefect trusts and how it signs in is its own matter.
        httpx.get(f"{address.rstrip('/')}/health", timeout=SECONDS_TO_ANSWER, verify=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _no_server(address) from error


def _no_server(address: str) -> SystemStateError:
    shown = re.sub(r"//[^/@]*@", "//***@", address)
    return SystemStateError(
        f"the Prefect server {shown} cannot be reached or does not answer as one: start it (`prefect server start`) "
        "and set PREFECT_API_URL, or unset PREFECT_API_URL to use the embedded one."
    )


@contextmanager
def _api(server: EmbeddedServer | None) -> Iterator[str]:
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

    if server is None:
        yield str(PREFECT_API_URL.value())
        return
    address = server.url()
    with temporary_settings({PREFECT_API_URL: address, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        try:
            yield address
        finally:
            _send_events()


def _send_events() -> None:
    """Waits until Prefect has sent the states of tasks, which it does in the background, and ends what sends them.

    What is not sent now would meet a server that has ended; and the sender of one run knows no other server than its
    own, so that in a sweep the events of all further runs would be lost.
    """
    from prefect.events.worker import EventsWorker

    EventsWorker.drain_all(timeout=SECONDS_TO_ANSWER)


def _flow_of(domain: str) -> Callable[[RunRequest], dict[str, Any]]:
    from prefect import Flow

    if importlib.util.find_spec(f"flows.{domain}") is not None:
        flow = getattr(importlib.import_module(f"flows.{domain}"), domain, None)
        # A plug-in may bear the name of another module of ours (`promote`): only a flow of a request is a domain's.
        if isinstance(flow, Flow) and flow.parameters.properties.keys() == {"request"}:
            return flow
    from flows.any_domain import any_domain

    return lambda request: any_domain(domain, request)


def _is_server_trouble(error: BaseException, address: str) -> bool:
    from httpx import HTTPError

    seen: BaseException | None = error
    while seen is not None:
        # A stage may speak HTTP too (to a model hub): only what was asked of Prefect's server counts.
        asked = getattr(seen, "_request", None)
        if isinstance(seen, HTTPError) and asked is not None and str(asked.url).startswith(address):
            return True
        if "Failed to reach API at" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
