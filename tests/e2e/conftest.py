"""A domain package outside the tree, and the `valign` command in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

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
            # One database of Prefect's for all homes of a session: to make one takes ten seconds.
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


@pytest.fixture(scope="session")
def tiny_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that holds the tiny domain's package."""
    site = tmp_path_factory.mktemp("site")
    install_package(site)
    return site


def _made(tiny_site: Path, folder: Path) -> Tiny:
    working = folder / "working"
    working.mkdir()
    return Tiny(folder / "home", tiny_site, working)


@pytest.fixture(scope="module")
def tiny(tiny_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """One home for a module's tests, which use its runs."""
    return _made(tiny_site, tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def own_tiny(tiny_site: Path, tmp_path: Path) -> Tiny:
    """A home for one test alone."""
    return _made(tiny_site, tmp_path)
