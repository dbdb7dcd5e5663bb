"""The training children of a process, as the operating system lists them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path


def training_children(pid: int) -> list[int]:
    """Ids of running trainings that a process started: in processes of their own, or forked from its warm worker."""
    parents: dict[int, tuple[int, str]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            status = dict(
                line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
            )
        except OSError:  # it has just ended
            continue
        if "shared.training.w" in command and not status["State"].startswith("Z"):
            parents[int(process.name)] = int(status["PPid"]), command
    warm = {one for one, (parent, command) in parents.items() if parent == pid and "warm_worker" in command}
    return sorted(one for one, (parent, _) in parents.items() if one not in warm and parent in {pid, *warm})


def kill_child_at(step: int, number: int = signal.SIGKILL) -> Callable[[int, int, dict[str, float]], None]:
    """A progress callback that signals the trainings of this process once one has reported a step."""

    def callback(done: int, _total: int, _metrics: dict[str, float]) -> None:
        if done == step:
            for child in training_children(os.getpid()):
                os.kill(child, number)

    return callback
