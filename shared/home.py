"""Where valign keeps what it makes on this machine: artifacts, runs, tracking database, Prefect's own files."""

import os
from pathlib import Path

from shared.errors import SystemStateError


def valign_home() -> Path:
    """The root folder: the environment variable VALIGN_HOME, else ``~/.valign``. Always absolute; made on first use.

    Raises:
        SystemStateError: where the folder cannot be made or written.
    """
    given = os.environ.get("VALIGN_HOME") or "~/.valign"
    try:
        return _writable(Path(given).expanduser().absolute())
    except RuntimeError as error:  # ~name of nobody known here, or no home of one's own
        raise SystemStateError(f"VALIGN_HOME={given} begins with an unknown user: give the whole path.") from error


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemStateError(
            f"{folder} cannot be made ({error.strerror}): set VALIGN_HOME to a folder that can be written."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SystemStateError(
            f"{folder} cannot be written: mend its permissions, or set VALIGN_HOME to a folder that can be."
        )
    return folder


def _made(name: str) -> Path:
    return _writable(valign_home() / name)


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
