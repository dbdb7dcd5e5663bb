"""Every test gets a home of its own; nothing is read from or written to the user's."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "true")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, where VALIGN_DATA_DIR names it."""
    folder = os.environ.get("VALIGN_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("VALIGN_DATA_DIR names no folder of real data")
    return Path(folder).resolve()
