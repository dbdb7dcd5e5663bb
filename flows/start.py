"""Starts a domain's flow in this process: its own flow file where it has one, the general flow for plug-ins."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.embedded_server import EmbeddedServer, embedded_server
from flows.request import RunRequest
from flows.watch import Listener, watching
from shared.domain import installed_domains
from shared.errors import SystemStateError, ValignError


def run_flow(
    domain: str,
    request: RunRequest,
    announce: Callable[[str, str, str], None] = lambda stage, state, why: None,
    progress: Callable[[str, int, int, str], None] = lambda stage, done, total, text: None,
) -> dict[str, Any]:
    """Runs the flow and returns the run's record (run.json).

    Raises:
        ValignError: as a stage raised it.
        SystemStateError: no Prefect server could be started or reached.
    """
    with watching(Listener(announce, progress)), embedded_server() as server:
        flow = _flow_of(domain)
        try:
            with _api(server):
                return flow(request)
        except ValignError:
            raise
        except (RuntimeError, OSError) as error:
            if _is_server_trouble(error):
                raise SystemStateError(
                    "the Prefect server cannot be reached or started: start it (`prefect server start`) and set "
                    "PREFECT_API_URL, or unset PREFECT_API_URL to use the embedded one."
                ) from error
            raise


@contextmanager
def _api(server: EmbeddedServer | None) -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

    if server is None:
        yield
        return
    with temporary_settings({PREFECT_API_URL: server.url(), PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}):
        yield


def _flow_of(domain: str) -> Callable[[RunRequest], dict[str, Any]]:
    point = installed_domains().get(domain)
    if point is not None and point.value.startswith(f"domains.{domain}."):
        flow: Callable[[RunRequest], dict[str, Any]] = getattr(importlib.import_module(f"flows.{domain}"), domain)
        return flow
    from flows.any_domain import any_domain

    general: Any = any_domain
    return lambda request: general(domain, request)


def _is_server_trouble(error: BaseException) -> bool:
    import httpx

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, httpx.HTTPError):
            return True
        text = str(seen)
        if "ephemeral" in text or "Failed to reach API" in text or "Timed out while attempting to connect" in text:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
