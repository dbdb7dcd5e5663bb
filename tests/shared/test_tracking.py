"""Tracking and registry against a real SQLite database: resume, idempotence, two processes, clear errors."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared import registry, tracking_child
from shared.errors import SystemStateError, UsageError
from shared.tracking import Tracker, TrainerTracking, flat_params, runs, show_run, tracking_uri
from shared.tracking_client import client, is_server, shown

DIGEST = "ab" * 32


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """One initialised database (some 1.5 s to make), copied for each test."""
    folder = tmp_path_factory.mktemp("mlflow")
    client(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


@pytest.fixture
def home(tmp_path, monkeypatch, template):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("VALIGN_HOME", str(tmp_path))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(template.read_bytes())
    return tmp_path


@pytest.fixture
def tracker(home):
    return Tracker("counseling")


def history(tracker, run, key):
    return [(m.step, m.value) for m in client(tracker.uri).get_metric_history(run.run_id, key)]


def test_uri_is_absolute_wherever_the_process_stands(home, monkeypatch):
    assert tracking_uri() == f"sqlite:///{home}/mlflow/mlflow.db"
    monkeypatch.chdir(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here.db")
    assert tracking_uri() == f"sqlite:///{home}/here.db"
    assert is_server("http://127.0.0.1:5000")
    assert shown("postgresql://me:secret@db/mlflow") == "postgresql://***@db/mlflow"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_folder_store_is_refused_with_one_sentence(home, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(SystemStateError, match="neither a database nor a server"):
        tracking_uri()


def test_importing_tracking_does_not_import_mlflow():
    code = "import sys, shared.tracking, shared.registry; print('mlflow' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


@pytest.mark.slow
def test_telemetry_is_off_before_mlflow_is_imported(home):
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    code = (
        "from shared.tracking_client import client, tracking_uri; client(tracking_uri());"
        "from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    )
    bare = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "CI")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    assert done.stdout.strip() == "True"
    assert done.stderr == ""


def test_killed_run_is_taken_up_again_and_finishing_twice_is_harmless(tracker):
    first = tracker.parent("run-1", {"align": {"beta": 0.1}}, {"config_sha256": "c"})
    stage = tracker.stage(first, "align/seed-0", {"valign.cache": "miss"}, {"beta": 0.1})
    assert not first.finished

    again = Tracker("counseling")
    parent = again.parent("run-1", {"align": {"beta": 0.1}}, {"config_sha256": "c"})
    assert (parent.run_id, parent.finished) == (first.run_id, False)
    assert again.stage(parent, "align/seed-0").run_id == stage.run_id
    assert again.stage(parent, "align/seed-1").run_id != stage.run_id

    again.finish(stage)
    end = client(again.uri).get_run(stage.run_id).info.end_time
    again.finish(stage)
    assert client(again.uri).get_run(stage.run_id).info.end_time == end
    assert again.stage(parent, "align/seed-0").finished
    again.finish(parent, "FAILED")
    assert not again.parent("run-1").finished
    assert client(again.uri).get_run(parent.run_id).info.status == "RUNNING"
    assert len(runs("counseling")) == 1


def test_metrics_curves_and_tables_are_logged_once(tracker):
    run = tracker.parent("run-1")
    metrics = {"eval/accuracy": 0.61, "eval/ece": float("nan")}
    assert tracker.log_metrics(run, metrics) == 2
    assert tracker.log_metrics(run, metrics) == 0
    rows = [{"step": s, "align/loss": 0.7 - s / 100, "align/accuracy": 0.5} for s in range(5)]
    assert tracker.log_series(run, rows[:3]) == 6
    assert tracker.log_series(run, rows) == 4
    assert tracker.log_metrics(run, {"align/loss": 9.0}, step=4) == 0
    assert history(tracker, run, "align/loss") == [(s, pytest.approx(0.7 - s / 100)) for s in range(5)]
    for _ in range(2):
        tracker.log_table(run, "generations", ["prompt", "win"], [["a", 1], ["b", 0]])
    opened = client(tracker.uri)
    table = json.loads(Path(opened.download_artifacts(run.run_id, "tables/generations.json")).read_text())
    assert table == {"columns": ["prompt", "win"], "data": [["a", 1], ["b", 0]]}
    tag = opened.get_run(run.run_id).data.tags["mlflow.loggedArtifacts"]
    assert tag == '[{"path": "tables/generations.json", "type": "table"}]'


def test_artifacts_and_dataset_with_our_digest(tracker, tmp_path):
    run = tracker.parent("run-1")
    (tmp_path / "report.html").write_text("<p>report</p>")
    tracker.log_artifacts(run, tmp_path / "report.html")
    tracker.log_artifacts(run, tmp_path / "report.html")
    tracker.log_dataset(run, "counsel_chat", DIGEST, "store:data/1", "training", {"train": 64, "test": 20})
    opened = client(tracker.uri)
    assert [a.path for a in opened.list_artifacts(run.run_id)] == ["report.html"]
    kept = opened.get_run(run.run_id)
    assert kept.info.artifact_uri.startswith("file:///")
    assert [d.dataset.digest for d in kept.inputs.dataset_inputs] == [DIGEST[:36]]
    assert kept.data.tags["data_sha256"] == DIGEST


def test_params_never_hold_texts(tracker):
    flat = flat_params({"align": {"beta": 0.1, "targets": ["q", "v"]}, "system": "You are\nkind", "seed": None})
    assert flat["align.beta"] == "0.1"
    assert flat["align.targets"] == '["q", "v"]'
    assert flat["system"].startswith("sha256:")
    run = tracker.parent("run-1", {"system": "x" * 500})
    assert len(client(tracker.uri).get_run(run.run_id).data.params["system"]) < 40
    assert "mlflow.source.name" not in client(tracker.uri).get_run(run.run_id).data.tags


def test_runs_and_show_run(tracker):
    for name in ("20260101-a", "20260102-b"):
        parent = tracker.parent(name, {"beta": 0.1})
        tracker.log_metrics(parent, {"eval/accuracy": 0.6})
        for stage in ("data", "reward"):
            tracker.stage(parent, stage)
        tracker.finish(parent)
    other = Tracker("ads")
    other.parent("20260103-c")
    listed = runs("counseling")
    assert [r.run_id for r in listed] == ["20260102-b", "20260101-a"]
    assert listed[0].metrics == {"eval/accuracy": 0.6}
    assert len(runs()) == 3
    run, stages = show_run("20260102")
    assert (run.run_id, [s.stage for s in stages]) == ("20260102-b", ["data", "reward"])
    with pytest.raises(UsageError, match="3 runs begin with"):
        show_run("2026")
    with pytest.raises(UsageError, match="No run is called"):
        show_run("nothing")
    with pytest.raises(UsageError, match="cannot be the name"):
        tracker.parent("x' or '1'='1")


def test_training_child_resumes_without_double_points(tracker):
    run = tracker.stage(tracker.parent("run-1"), "align/seed-0")
    first = TrainerTracking(**run.address)
    for step in range(60):
        first.log_metrics({"align/loss": 1.0 - step / 100, "align/accuracy": 0.5}, step)
    first.close()
    second = TrainerTracking(**run.address)
    for step in range(40, 80):
        second.log_metrics({"align/loss": 1.0 - step / 100}, step)
    assert second.flush()
    second.close()
    steps = [step for step, _ in history(tracker, run, "align/loss")]
    assert steps == list(range(80))


def test_training_goes_on_while_the_database_cannot_be_written(tracker, caplog, monkeypatch):
    run = tracker.stage(tracker.parent("run-1"), "align/seed-0")
    broken = threading.Event()
    broken.set()
    real = client

    def sometimes(uri):
        if broken.is_set():
            raise SystemStateError("The MLflow database is locked.")
        return real(uri)

    monkeypatch.setattr(tracking_child, "client", sometimes)
    child = TrainerTracking(**run.address, seconds=0.05)
    for step in range(3):
        child.log_metrics({"align/loss": 0.5}, step)
        assert not child.flush(attempts=2)
    assert sum("cannot be logged" in record.message for record in caplog.records) == 1
    broken.clear()
    child.close()
    assert [step for step, _ in history(tracker, run, "align/loss")] == [0, 1, 2]


def test_locked_and_damaged_databases_are_one_sentence(home, monkeypatch):
    file = home / "mlflow" / "mlflow.db"
    tracker = Tracker("counseling")
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def impatient(connection, cursor, statement, parameters, context, executemany):
        if "busy_timeout" in statement:
            cursor.connection.execute("PRAGMA busy_timeout = 100")

    event.listen(Engine, "after_cursor_execute", impatient)
    try:
        with pytest.raises(SystemStateError, match=r"is locked by another process; end the process"):
            tracker.parent("run-1")
    finally:
        event.remove(Engine, "after_cursor_execute", impatient)
        holder.close()
    damaged = home / "damaged.db"
    damaged.write_text("this is no database, " * 100)
    with pytest.raises(SystemStateError, match="damaged or not an SQLite file"):
        Tracker("counseling", uri=f"sqlite:///{damaged}")


def test_read_only_database_is_one_sentence(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MLflow makes a folder of what it takes for the path of such a URI
    file = home / "mlflow" / "mlflow.db"
    Tracker("counseling")
    read_only = f"sqlite:///file:{file}?mode=ro&uri=true"
    with pytest.raises(SystemStateError, match="read-only"):
        Tracker("ads", uri=read_only)


def test_unreachable_server_is_one_sentence(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SystemStateError, match=r"The MLflow server http://127\.0\.0\.1:9 .*start it"):
        Tracker("counseling", uri="http://127.0.0.1:9")


def model_folder(root: Path, name: str) -> Path:
    folder = root / "store" / "objects" / "align" / name
    folder.mkdir(parents=True)
    (folder / "adapter.safetensors").write_bytes(name.encode())
    return folder


def test_registering_the_same_digest_again_makes_no_new_version(tracker, home):
    run = tracker.parent("run-1")
    folder = model_folder(home, "one model")
    first = registry.register(folder, "valign-counseling", DIGEST, run.run_id, {"domain": "counseling"}, "A model.")
    again = registry.register(folder, "valign-counseling", DIGEST, run.run_id)
    assert (first.version, first.aliases) == (again.version, again.aliases) == (1, ("candidate",))
    assert first.tags["domain"] == "counseling"
    other = registry.register(folder, "valign-counseling", "cd" * 32, run.run_id)
    assert other.version == 2
    assert len(registry.versions("valign-counseling")) == 2


def test_promotion_moves_the_aliases_once(tracker, home):
    run = tracker.parent("run-1")
    name = "valign-counseling"
    folders = [model_folder(home, f"m{i}") for i in range(3)]
    made = [registry.register(f, name, f"{i}" * 64, run.run_id) for i, f in enumerate(folders)]
    assert registry.champion(name) is None
    for version in (1, 1):
        assert registry.promote(name, version).aliases == ("champion",)
    for version in (3, 3):
        registry.promote(name, version)
        assert {a: v.version for v in registry.versions(name) for a in v.aliases} == {"previous": 1, "champion": 3}
    assert registry.register(folders[2], name, "2" * 64, run.run_id).aliases == ("champion",)
    registry.promote(name, 1)
    assert {a: v.version for v in registry.versions(name) for a in v.aliases} == {"previous": 3, "champion": 1}
    found, path = registry.resolve_alias(f"{name}@champion")
    assert (found.version, path) == (made[0].version, folders[0])
    assert registry.local_folder(found) == folders[0]
    with pytest.raises(UsageError, match=r"no registered model.*@champion, @previous"):
        registry.resolve_alias(f"{name}@candidate")
    with pytest.raises(UsageError, match="no version 9"):
        registry.promote(name, 9)


def test_a_model_folder_that_is_gone_is_said_and_registered_anew(tracker, home):
    run = tracker.parent("run-1")
    folder = model_folder(home, "gone")
    registry.register(folder, "valign-counseling", DIGEST, run.run_id)
    kept = folder.rename(folder.with_name("kept"))
    with pytest.raises(SystemStateError, match="is gone; run the pipeline again"):
        registry.resolve_alias("valign-counseling@candidate")
    assert registry.register(kept, "valign-counseling", DIGEST, run.run_id).version == 2


@pytest.mark.slow
def test_two_processes_at_once_make_one_run_and_one_version(home):
    folder = model_folder(home, "m")
    code = f"""
from pathlib import Path
from shared.registry import register
from shared.tracking import Tracker
t = Tracker("counseling")
r = t.parent("run-1")
made = register(Path({str(folder)!r}), "valign-counseling", "ef" * 32, r.run_id)
print(r.run_id, t.stage(r, "align").run_id, made.version)
"""
    (home / "mlflow" / "mlflow.db").unlink()  # also the creation of the database is raced for
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [p.communicate(timeout=120)[0] for p in started]
    assert [p.returncode for p in started] == [0, 0, 0]
    assert len(set(printed)) == 1
    assert printed[0].endswith(" 1\n")
    assert len(registry.versions("valign-counseling")) == 1


def test_registered_model_can_be_fetched_with_mlflow_itself(tracker, home, tmp_path_factory):
    run = tracker.parent("run-1")
    folder = model_folder(home, "with space")
    registry.register(folder, "valign-counseling", DIGEST, run.run_id)
    import mlflow

    target = tmp_path_factory.mktemp("fetched")
    before = mlflow.get_registry_uri(), mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracker.uri)
    mlflow.set_registry_uri(tracker.uri)
    try:
        got = mlflow.artifacts.download_artifacts("models:/valign-counseling@candidate", dst_path=str(target))
    finally:
        mlflow.set_registry_uri(before[0])
        mlflow.set_tracking_uri(before[1])
    assert (Path(got) / "adapter.safetensors").read_bytes() == b"with space"
    assert [f.name for f in folder.iterdir()] == ["adapter.safetensors"]
