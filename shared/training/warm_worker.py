"""A process that has imported what trainings need and is forked for each of them: some five seconds less a training.

``python -P -m shared.training.warm_worker`` reads one JSON line a training from its standard input, forks, and writes
``{"pid": ...}`` and, when that child ended, ``{"code": ...}``. It ends with its input, and a running child with it; a
SIGTERM it hands on to the child. The process that forks starts no thread and never touches an accelerator, so that
forking it is safe; trainings on CUDA start a process of their own.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODULE = "shared.training.warm_worker"
# Differ from training to training without a meaning for what was imported; any other change starts a new process.
_VOLATILE = ("VALIGN_HOME", "VALIGN_PARENT", "PYTEST_CURRENT_TEST", "PREFECT_", "MLFLOW_")


class WarmChild:
    """A training that was forked; what `shared.training.launch` asks of a `subprocess.Popen`."""

    def __init__(self, worker: "WarmWorker", pid: int) -> None:
        self.pid, self._worker, self._code = pid, worker, None

    def poll(self) -> int | None:
        """The exit code as `subprocess` has it, or None while it runs."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float) -> int:
        """The same, after at most `timeout` seconds.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self._code is None:
            self._code = self._worker.code(timeout)
        return self._code


class WarmWorker:
    """The process that is forked, for one training at a time.

    Args:
        environment: of the process and of every training.

    Attributes:
        busy: whether a training runs whose exit code nobody has asked for.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.busy = False
        self._environment = _lasting(environment)
        self._answers = b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where it cannot import, neither can a process of its own, whose output is kept
            env=dict(environment),
            process_group=0,
            bufsize=0,
        )

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Whether it lives and has this environment, but for what means nothing to it."""
        return self._process.poll() is None and self._environment == _lasting(environment)

    def start(self, arguments: list[str], log: Path, folder: Path, environment: Mapping[str, str]) -> WarmChild | None:
        """Forks a training; None where the process has ended meanwhile.

        Args:
            arguments: of `shared.training.worker.main`.
            log: file that its output is added to.
            folder: working folder.
            environment: whole.
        """
        told = {"arguments": arguments, "log": str(log), "folder": str(folder), "environment": dict(environment)}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
        except BrokenPipeError:
            return None
        answer = self._answer(None)
        self.busy = answer is not None
        return None if answer is None else WarmChild(self, int(answer["pid"]))

    def code(self, timeout: float) -> int:
        """Exit code of the running child; that of this process where it ended, and the child with it.

        Raises:
            subprocess.TimeoutExpired: the child still runs.
        """
        answer = self._answer(timeout)
        self.busy = False
        if answer is not None:
            return int(answer["code"])
        return self._process.wait(10.0) or 1

    def close(self) -> None:
        """Ends the process and a running child."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(10.0)

    def _answer(self, timeout: float | None) -> dict[str, Any] | None:
        """The next line; None where the process has ended."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._answers:
            if not select.select([descriptor], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(MODULE, timeout or 0.0)
            part = os.read(descriptor, 4096)
            if not part:
                return None
            self._answers += part
        line, _, self._answers = self._answers.partition(b"\n")
        return json.loads(line)


def can_be_forked() -> bool:
    """Whether this system has what a warm worker needs: Linux, which also ends children with their parent."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def _lasting(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_VOLATILE)}


def _import_what_trainings_need() -> None:
    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers.trainer  # noqa: F401

    import shared.training.dpo
    import shared.training.grpo_job
    import shared.training.reward  # noqa: F401


def serve() -> None:
    """Forks a training for every line of the standard input, until it ends."""
    child = 0

    def hand_on(number: int, _frame: object) -> None:
        if not child:
            os._exit(128 + number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    signal.signal(signal.SIGTERM, hand_on)
    answers = os.dup(1)
    os.dup2(2, 1)  # a library that prints is no answer
    _import_what_trainings_need()
    waiting = b""
    while True:
        while b"\n" not in waiting:
            part = os.read(0, 1 << 16)
            if not part:
                return
            waiting += part
        line, _, waiting = waiting.partition(b"\n")
        told = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        here = os.getpid()
        child = os.fork()
        if not child:
            os.close(answers)  # it is the end of these that tells of this process's end
            _train(told, parent=here)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)  # as the child does: whoever is first, its group is there when its id is told
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.write(answers, json.dumps({"pid": child}).encode() + b"\n")
        code = _code_of(child)
        child = 0
        os.write(answers, json.dumps({"code": code}).encode() + b"\n")


def _code_of(child: int) -> int:
    """Waits for the child; ends with it where the standard input ends first."""
    watched = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([watched, 0], [], [])
        if watched not in ready:  # nothing is asked while a child runs: the input has ended
            os.killpg(child, signal.SIGKILL)
            os._exit(1)
    finally:
        os.close(watched)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _train(told: Mapping[str, Any], parent: int) -> None:
    """The child: never returns. It ends with its parent, even with one that ended before it could ask who that is."""
    from shared.training.worker import main

    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        output = os.open(told["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for here, there in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(here, there)
        os.chdir(told["folder"])
        os.environ.clear()
        os.environ.update(told["environment"], VALIGN_PARENT=str(parent))
        code = main(told["arguments"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - what the interpreter would print
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
