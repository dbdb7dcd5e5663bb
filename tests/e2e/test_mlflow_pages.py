"""Two runs in a real MLflow server, found in its pages and compared side by side under the same metric names."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared import registry
from shared.tracking import Tracker, TrainerTracking, experiment_name, runs

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
METRICS = ("eval/ranking_accuracy", "eval/win_rate", "reward/accuracy")

pytestmark = pytest.mark.slow


def make_runs(uri: str) -> list[str]:
    """Two finished pipeline runs with different beta; their MLflow ids."""
    tracker = Tracker("counseling", uri)
    made = []
    for index, beta in enumerate((0.1, 0.3)):
        parent = tracker.parent(f"20260301-14150{index}-run", {"align": {"beta": beta, "steps": 40}})
        stage = tracker.stage(parent, "align/seed-0", {"valign.cache": "miss"})
        child = TrainerTracking(**stage.address)
        for step in range(40):
            child.log_metrics({"align/loss": 0.69 - step * beta / 100}, step)
        child.close()
        tracker.finish(stage)
        tracker.log_dataset(parent, "sample", "ab" * 32, "store:data", "training", {"train": 64})
        tracker.log_metrics(parent, {name: 0.5 + 0.1 * index + i / 50 for i, name in enumerate(METRICS)})
        tracker.finish(parent)
        made.append(parent.run_id)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of `mlflow server` on loopback over a fresh SQLite database, with two runs; and the runs' ids."""
    folder = tmp_path_factory.mktemp("server")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    made = make_runs(uri)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--artifacts-destination", str(folder / "served"), "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_MODEL_CATALOG_URI": ""}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **quiet}, cwd=folder, start_new_session=True
        )
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                try:
                    with urllib.request.urlopen(f"{address}/health", timeout=2):
                        break
                except (urllib.error.URLError, OSError):
                    assert process.poll() is None, (folder / "server.log").read_text()
                    time.sleep(0.5)
            else:
                pytest.fail((folder / "server.log").read_text())
            yield address, made
        finally:
            os.killpg(process.pid, 15)
            process.wait(timeout=30)


def test_runs_and_registry_through_the_server(server, tmp_path, monkeypatch):
    """What works on a local database works through a server, too; the model is uploaded and downloaded."""
    address, made = server
    assert [r.mlflow_run_id for r in runs("counseling", address)] == made[::-1]
    tracker = Tracker("ads", address)
    run = tracker.parent("r1", {"beta": 0.1})
    assert tracker.parent("r1").run_id == run.run_id
    assert tracker.log_series(run, [{"step": 1, "align/loss": 0.5}]) == 1
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "adapter.safetensors").write_bytes(b"weights")
    for _ in range(2):
        version = registry.register(folder, "valign-ads", "cd" * 32, run.run_id, uri=address)
        assert (version.version, version.aliases) == (1, ("candidate",))
    registry.promote("valign-ads", 1, address)
    for _ in range(2):
        found, path = registry.resolve_alias("valign-ads@champion", address)
        assert (found.version, (path / "adapter.safetensors").read_bytes()) == (1, b"weights")
    assert path != folder
    assert path.is_relative_to(Path(os.environ["VALIGN_HOME"]))


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it or name it in the variable CHROMIUM")
def test_two_runs_stand_side_by_side_in_mlflows_pages(server):
    from playwright.sync_api import sync_playwright

    address, made = server
    shots = os.environ.get("VALIGN_SCREENSHOTS")
    experiment = Tracker("counseling", address).experiment_id
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 1400})
        page.route(lambda url: urlsplit(url).hostname != "127.0.0.1", lambda route: route.abort())
        page.goto(f"{address}/#/experiments/{experiment}/runs")
        for run in ("20260301-141500-run", "20260301-141501-run"):
            page.get_by_text(run).first.wait_for(timeout=60_000)
        assert page.get_by_text(experiment_name("counseling")).count() > 0
        if shots:
            page.screenshot(path=Path(shots) / "mlflow-runs.png")
        page.goto(f"{address}/#/compare-runs?runs={json.dumps(made)}&experiments={json.dumps([experiment])}")
        for metric in METRICS:
            page.get_by_text(metric).first.wait_for(timeout=60_000)
        shown = page.inner_text("body")
        assert "align.beta" in shown
        for value in ("0.1", "0.3", "0.5", "0.6"):
            assert value in shown
        page.locator(".js-plotly-plot").first.wait_for(timeout=60_000)
        if shots:
            page.screenshot(path=Path(shots) / "mlflow-compare.png", full_page=True)
        browser.close()
