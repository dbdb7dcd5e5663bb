"""Where valign keeps what it makes on this machine: artifacts, runs, tracking database, Prefect's own files."""

import os
from pathlib import Path

from shared.errors import SystemStateError


def valign_home() -> Path:
    """The root folder: the environment variable VALIGN_HOME, else ``~/.valign``. Always absolute; made on first use.

    Raises:
        SystemStateError: where the folder cannot be made or written.
    """
    home = Path(os.environ.get("VALIGN_HOME") or "~/.valign").expanduser().absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemStateError(
            f"{home} cannot be made ({error.strerror}): set VALIGN_HOME to a folder that can be written."
        ) from error
    if not os.access(home, os.W_OK):
        raise SystemStateError(f"{home} cannot be written: set VALIGN_HOME to a folder that can be.")
    return home


def _made(name: str) -> Path:
    folder = valign_home() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def store_folder() -> Path:
    """The artifact store."""
    return _made("store")


def models_folder() -> Path:
    """Packaged models, converted once."""
    return _made("models")


def runs_folder() -> Path:
    """One folder a pipeline run: run.json, report.html, card."""
    return _made("runs")


def mlflow_folder() -> Path:
    """The embedded MLflow database and its artifacts."""
    return _made("mlflow")


def prefect_folder() -> Path:
    """PREFECT_HOME of the embedded Prefect server."""
    return _made("prefect")
