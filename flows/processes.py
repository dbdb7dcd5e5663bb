"""Which process works on a run, so that another one can tell whether it still does."""

import os
import platform
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What tells this process from every other, also after a restart of the machine.

    Returns:
        ``pid``, ``started`` (of the process, in the operating system's own count), ``host``, ``boot`` (id of the
        machine's present start) and ``namespace`` (of process ids: a container has its own); None where the operating
        system does not say.
    """
    return {"pid": os.getpid(), "started": _started(os.getpid()), **_here()}


def has_ended(process: Any) -> bool:
    """Whether a process that `this_process` described is known to have ended.

    One of another host or container may still be at work, for all that can be seen from here.
    """
    if not isinstance(process, dict) or not isinstance(process.get("pid"), int):
        return False
    here = _here()
    if process.get("host") != here["host"]:
        return False
    if process.get("boot") != here["boot"]:
        return True
    if process.get("namespace") != here["namespace"]:
        return False
    return not _is_alive(process["pid"]) or _started(process["pid"]) != process.get("started")


def _here() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "boot": _first_line(Path("/proc/sys/kernel/random/boot_id")),
        "namespace": _link(Path("/proc/self/ns/pid")),
    }


def _is_alive(pid: int) -> bool:
    state = _state(pid)
    if state is not None:
        return state[0] not in "ZX"  # a zombie has ended and waits for its parent to look
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> int | None:
    """Clock ticks from the machine's start to the process's (Linux), else None."""
    state = _state(pid)
    return int(state[19]) if state is not None else None


def _state(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command's name; field 22 of proc(5) is number 19 here."""
    line = _first_line(Path(f"/proc/{pid}/stat"))
    return line.rpartition(")")[2].split() if line else None


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return None


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None
