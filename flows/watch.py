"""Who watches a run: set by the command line around a flow call, empty in a deployment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from flows.request import RunRequest


@dataclass
class Listener:
    """What the command line shows and knows of a run; a deployment leaves the defaults.

    Prefect stores a flow's parameters and its errors' messages. A path, a column's name or a row may hold a person's
    name, so what the command line was given and what went wrong are passed here, beside Prefect.

    Attributes:
        announce: called with (stage, state, reason).
        progress: called with (stage, done, total, text).
        request: what was really asked for; the flow's own parameter then holds no path.
        error: the error that ended a stage, with its full message.
    """

    announce: Callable[[str, str, str], None] = lambda stage, state, why: None
    progress: Callable[[str, int, int, str], None] = lambda stage, done, total, text: None
    request: RunRequest | None = None
    error: BaseException | None = None


_WATCHER: ContextVar[Listener | None] = ContextVar("valign_watcher", default=None)


@contextmanager
def watching(listener: Listener) -> Iterator[None]:
    """Runs started inside tell `listener` how they go on."""
    token = _WATCHER.set(listener)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def watcher() -> Listener:
    """The listener of the present run; one that does nothing where nobody watches."""
    return _WATCHER.get() or Listener()
