"""The training children of a process, as the operating system lists them."""

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
