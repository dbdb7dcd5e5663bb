"""Ctrl-C and SIGTERM, and how none is lost."""

import threading
from typing import NoReturn

# A KeyboardInterrupt that is raised while a library runs a callback or a destructor is printed and forgotten. The
# signal handler therefore also sets this, and a run looks at it between stages and whenever a stage tells its progress.
_STOP_ASKED = threading.Event()


def ask_to_stop() -> NoReturn:
    """Called by the handlers of Ctrl-C and SIGTERM.

    Raises:
        KeyboardInterrupt: always.
    """
    _STOP_ASKED.set()
    raise KeyboardInterrupt


def stop_if_asked() -> None:
    """Raises what `ask_to_stop` raised, where that got lost.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came.
    """
    if _STOP_ASKED.is_set():
        raise KeyboardInterrupt
