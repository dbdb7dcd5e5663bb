"""The tiny domain of the end-to-end tests, in this process and without servers."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from shared.domain import GROUP
from shared.durable import write_json
from shared.home import runs_folder, store_folder
from shared.stages import Stage
from shared.store import Store


@pytest.fixture
def tiny_installed(monkeypatch):
    """Makes `tiny` an installed domain."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "e2e"))
    point = EntryPoint("tiny", "tiny_domain.pipeline:DOMAIN", GROUP)
    monkeypatch.setattr("shared.domain.entry_points", lambda group: [point])


@pytest.fixture
def store():
    """The store of the test's home."""
    return Store(store_folder())


@pytest.fixture
def run_pipeline(tiny_installed, store):
    """Plans, runs and records a pipeline without Prefect and MLflow; gives its record."""
    from flows.preparation import prepare
    from flows.request import RunRequest
    from shared.executor import Executor

    def run(*overrides, **more):
        prepared = prepare("tiny", RunRequest(overrides=list(overrides)))
        done = {}
        stage: Stage
        for stage in prepared.stages:
            done[stage.name] = Executor(store).run(stage, done)
        return save_record(
            prepared.run_id,
            recipe={"name": "cpu", "sha256": prepared.config_sha256, "values": prepared.recipe.model_dump(mode="json")},
            data={"name": prepared.data_name, "sha256": prepared.data_sha256},
            stages=[
                {
                    "stage": name,
                    "key": result.artifact.key,
                    "digest": result.artifact.digest,
                    "hit": result.hit,
                    "seconds": result.seconds,
                    "path": str(result.artifact.path),
                    "metrics": dict(result.metrics),
                }
                for name, result in done.items()
            ],
            headline=prepared.domain.headline({name: result.artifact.path for name, result in done.items()})[:-1],
            **more,
        )

    return run


def save_record(run_id, **more):
    """Writes a run.json."""
    record = {
        "run_id": run_id,
        "domain": run_id.partition("-")[0],
        "status": "finished",
        "started": 1000.0,
        "updated": 2000.0,
        "data": {"name": "sample.csv", "sha256": "ab" * 32},
        "recipe": {"name": "cpu", "values": {"align": {"steps": 1}}},
        "request": {"data": None, "overrides": [], "evaluate": None},
        "stages": [],
        **more,
    }
    write_json(runs_folder() / run_id / "run.json", record)
    return record


@pytest.fixture(name="save_record")
def save_record_fixture():
    """The function that writes a run.json."""
    return save_record
