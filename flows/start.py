"""Starts a domain's flow in this process: its own flow file where it has one, the general flow for plug-ins."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from flows.pipeline_run import Listener
from flows.request import RunRequest
from flows.watch import watching
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
    with watching(Listener(announce, progress)):
        try:
            return _flow_of(domain)(request)
        except ValignError:
            raise
        except (RuntimeError, OSError) as error:
            if _is_server_trouble(error):
                raise SystemStateError(
                    "the Prefect server cannot be reached or started: start it (`prefect server start`) and set "
                    "PREFECT_API_URL, or unset PREFECT_API_URL to use the embedded one."
                ) from error
            raise


def _flow_of(domain: str) -> Callable[[RunRequest], dict[str, Any]]:
    if importlib.util.find_spec(f"flows.{domain}") is not None:
        module = importlib.import_module(f"flows.{domain}")
        flow = getattr(module, domain, None)
        if callable(flow):
            return flow
    from flows.any_domain import any_domain

    return lambda request: any_domain(domain, request)


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
