"""A domain package outside the tree, and the `valign` command in a process of its own."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

SOURCE = Path(__file__).parent / "tiny_domain"
VALIGN = Path(sys.executable).with_name("valign")


def install_package(site: Path) -> None:
    """Lays the tiny domain out as pip does: the package, and beside it metadata with its entry point.

    A folder on PYTHONPATH is searched for `*.dist-info` like site-packages, so nothing has to be installed.
    """
    shutil.copytree(SOURCE, site / "tiny_domain", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "tiny_domain-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-domain\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[valign.domains]\ntiny = tiny_domain.pipeline:DOMAIN\n")


@dataclass
class Tiny:
    """The command `valign` with a home of its own and the tiny domain installed."""

    home: Path
    site: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()  # a command that ends by executing its arguments

    @property
    def log(self) -> Path:
        return self.home.with_suffix(".log")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a command and does not wait for it."""
        values = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_"))}
        values |= {
            "VALIGN_HOME": str(self.home),
            "PYTHONPATH": str(self.site),
            "TINY_LOG": str(self.log),
            # One database of Prefect's for all homes.
            "PREFECT_HOME": str(self.site / "prefect"),
            **self.environment,
            **environment,
        }
        return subprocess.Popen(
            [*self.prefix, str(VALIGN), *arguments],
            cwd=self.folder,
            env=values,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # A suite that was started in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end and checks its exit code."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=600)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def json(self, *arguments: str, code: int = 0, **environment: str) -> Any:
        """The JSON that a command prints; that it prints nothing else is part of the check."""
        return json.loads(self(*arguments, "--json", code=code, **environment).stdout)

    def error(self, *arguments: str, code: int, **environment: str) -> str:
        """The one line that a command which fails for the user's reason prints."""
        result = self(*arguments, code=code, **environment)
        assert result.stdout == ""
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("Error: ")
        return lines[0]

    def steps(self) -> list[str]:
        """The steps taken so far by all processes, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def wait_for(self, step: str, process: subprocess.Popen[str], seconds: float = 120) -> None:
        """Waits until a process is in a step."""
        end = time.monotonic() + seconds
        while step not in self.steps():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, f"{step} was not reached; {self.steps()}"
            time.sleep(0.05)

    def interrupt(self, process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str, str]:
        """Sends a signal; gives exit code, standard output and error."""
        process.send_signal(number)
        out, err = process.communicate(timeout=180)
        return process.returncode, out, err


@contextmanager
def prefect(home: Path) -> Iterator[str]:
    """The address of a Prefect server as commands start them, with its database in `home`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    code = (
        "from flows.environment import prepare_environment; prepare_environment(); "
        "from flows.embedded_server import serve; serve()"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        env={**environment, "PREFECT_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        assert process.stdout.readline() == "ready\n", process.wait()
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.stdin.close()  # which ends it
        process.wait(30)


@pytest.fixture(scope="session")
def databases(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of Prefect's and MLflow's databases without runs: to make them takes thirteen seconds of processor."""
    from shared.tracking_client import client

    folder = run_folder / "databases"
    with FileLock(run_folder / "databases.lock"):
        if not folder.is_dir():
            made, empty = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("empty")
            with prefect(made):
                pass
            client(f"sqlite:///{made / 'mlflow.db'}")
            for name in ("prefect.db", "mlflow.db"):
                with closing(sqlite3.connect(made / name)) as database:  # whose last pages may stand in its log
                    database.execute("vacuum into ?", [str(empty / name)])
            empty.rename(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_site(databases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that holds the tiny domain's package, and PREFECT_HOME."""
    site = tmp_path_factory.mktemp("site")
    install_package(site)
    (site / "prefect").mkdir()
    shutil.copyfile(databases / "prefect.db", site / "prefect" / "prefect.db")
    return site


@pytest.fixture(scope="session")
def prefect_server(databases: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prefect server for many commands: one of its own costs a command five seconds of processor."""
    home = tmp_path_factory.mktemp("prefect")
    shutil.copyfile(databases / "prefect.db", home / "prefect.db")
    with prefect(home) as address:
        yield address


def _made(tiny_site: Path, folder: Path, databases: Path | None) -> Tiny:
    working = folder / "working"
    working.mkdir()
    made = Tiny(folder / "home", tiny_site, working)
    if databases is not None:
        (made.home / "mlflow").mkdir(parents=True)
        shutil.copyfile(databases / "mlflow.db", made.home / "mlflow" / "mlflow.db")
    return made


@pytest.fixture(scope="module")
def tiny(tiny_site: Path, databases: Path, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """One home for a module's tests, which use its runs. Prefect's server is one that runs already."""
    made = _made(tiny_site, tmp_path_factory.mktemp("tiny"), databases)
    made.environment["PREFECT_API_URL"] = prefect_server
    return made


@pytest.fixture
def own_tiny(tiny_site: Path, databases: Path, tmp_path: Path) -> Tiny:
    """A home for one test alone; its commands start a Prefect server each, as they do for most users."""
    return _made(tiny_site, tmp_path, databases)


@pytest.fixture
def served_tiny(own_tiny: Tiny, prefect_server: str) -> Tiny:
    """A home for one test alone, with a Prefect server that runs already."""
    own_tiny.environment["PREFECT_API_URL"] = prefect_server
    return own_tiny


@pytest.fixture
def new_tiny(tiny_site: Path, tmp_path: Path) -> Tiny:
    """As `own_tiny`, of somebody who has never started valign: the home is not there."""
    return _made(tiny_site, tmp_path, None)
