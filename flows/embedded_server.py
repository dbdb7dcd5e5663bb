"""The Prefect server of one command: on loopback, in a process that ends with the command, however that ends.

Prefect's own temporary server lives in the terminal's process group and outlives a killed parent: Ctrl-C ends it before
the flow could report its state, and `kill -9` leaves it behind. This one has a session of its own and ends when its
standard input closes, which the operating system sees to. It starts while the command still imports its libraries.

Run as ``python -P -m flows.embedded_server`` it is the server: it writes its port, then ``ready``.
"""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.durable import is_full_disk, no_space
from shared.errors import SystemStateError

STARTUP_SECONDS = 180.0  # a new database is migrated first: 12 s on two idle cores


class EmbeddedServer:
    """A server process of this command. Made at once, waited for by `url`."""

    def __init__(self) -> None:
        environment = {**os.environ, "PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
        environment.pop("PREFECT_API_URL", None)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.embedded_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )

    def url(self) -> str:
        """The API's address, as soon as it answers.

        Raises:
            SystemStateError: the server ended or took too long.
        """
        lines, end = b"", time.monotonic() + STARTUP_SECONDS
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"ready\n" not in lines:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.stop()
                    raise SystemStateError(
                        f"the embedded Prefect server did not start within {STARTUP_SECONDS:.0f} s: try again when "
                        "the machine is less busy, or set PREFECT_API_URL to a running server."
                    )
                part = os.read(self.process.stdout.fileno(), 4096)
                if not part:
                    if (home := os.environ.get("PREFECT_HOME")) and Path(home).is_dir() and is_full_disk(Path(home)):
                        raise no_space(Path(home))
                    raise SystemStateError(
                        f"the embedded Prefect server ended while it started ({self._last_words()}): check the disk "
                        "and PREFECT_HOME, or set PREFECT_API_URL to a running server."
                    )
                lines += part
        return f"http://127.0.0.1:{int(lines.split()[0])}/api"

    def _last_words(self) -> str:
        assert self.process.stderr is not None
        lines = self.process.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else f"exit code {self.process.wait()}"

    def stop(self) -> None:
        """Ends the server; all it has to keep is in its database."""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        try:
            self.process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def embedded_server() -> Iterator[EmbeddedServer | None]:
    """A starting server, or None where PREFECT_API_URL names one."""
    if os.environ.get("PREFECT_API_URL"):
        yield None
        return
    server = EmbeddedServer()
    try:
        yield server
    finally:
        server.stop()


def serve() -> None:
    """Serves until standard input closes."""
    import socket
    import threading

    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    os.write(1, f"{listening.getsockname()[1]}\n".encode())

    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="critical", lifespan="on")
    server = uvicorn.Server(config)

    def end_with_parent() -> None:
        while os.read(0, 1):
            pass
        # Not by a graceful end: it waits for open connections, and nothing is left to be written.
        os._exit(0)

    def tell_when_ready() -> None:
        while not server.started:
            time.sleep(0.02)
        os.write(1, b"ready\n")

    for watch in (end_with_parent, tell_when_ready):
        threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[listening])
    sys.exit(0 if server.started else 1)


if __name__ == "__main__":
    serve()
