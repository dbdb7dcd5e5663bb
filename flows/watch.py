"""Who watches a run: set by the command line around a flow call, empty in a deployment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Listener:
    """What the command line shows of a run; a deployment leaves the defaults."""

    announce: Callable[[str, str, str], None] = lambda stage, state, why: None
    progress: Callable[[str, int, int, str], None] = lambda stage, done, total, text: None


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
