"""Making room and lineage: what runs and registered models need stays, and is found in both directions."""

import os
import time

import pytest

from flows.garbage import collect
from flows.lineage import trace
from shared.data.record_files import write_records
from shared.errors import UsageError
from shared.home import runs_folder
from shared.records import Message, PreferenceRecord


@pytest.fixture
def registry(monkeypatch):
    """Registered versions by model name, in place of MLflow's."""
    listed = []
    monkeypatch.setattr("shared.registry.versions", lambda name, uri=None: [one for one in listed if one.name == name])
    return listed


def version_of(folder, number=1, aliases=("champion",)):
    from shared.registry import RegisteredVersion

    return RegisteredVersion("valign-tiny", number, "d" * 64, "r", folder.as_uri(), aliases, {})


def keys(store):
    return {manifest["key"] for manifest in store.list()}


def test_what_a_run_or_a_registered_model_needs_stays(run_pipeline, store, registry):
    kept = run_pipeline()
    left = run_pipeline("align.steps=9")
    (runs_folder() / left["run_id"] / "run.json").unlink()
    card = left["stages"][-1]
    registry.append(version_of(store.path("card", card["key"])))
    everything = keys(store)
    planned = collect(store, older_than_days=0, dry_run=True)
    assert {one["stage"] for one in planned["artifacts"]} == {"align/seed-0", "eval", "gate"}
    assert planned["megabytes"] > 0
    assert keys(store) == everything
    assert collect(store, older_than_days=1, dry_run=False)["artifacts"] == []
    removed = collect(store, older_than_days=0, dry_run=False)
    assert removed == planned
    assert keys(store) == {one["key"] for one in kept["stages"]} | {card["key"]}
    assert store.get("card", card["key"]) is not None


def test_leftovers_of_crashes_go_when_they_are_old(tiny_installed, store, registry):
    work = store.work("align/seed-0", "abc")
    (work / "state.json").write_text("1234")
    assert collect(store, older_than_days=1, dry_run=False)["leftovers"] == 0
    old = time.time() - 2 * 86400
    os.utime(work, (old, old))
    assert collect(store, older_than_days=1, dry_run=True) == {"artifacts": [], "leftovers": 1, "megabytes": 4e-6}
    assert work.exists()
    collect(store, older_than_days=1, dry_run=False)
    assert not work.exists()


def test_lineage_both_ways(run_pipeline, store, registry):
    record = run_pipeline()
    by_stage = {one["stage"]: one["key"] for one in record["stages"]}
    registry.append(version_of(store.path("card", by_stage["card"])))
    of_eval = trace(store, by_stage["eval"][:10])
    assert {one["stage"] for one in of_eval["upstream"]} == {"data", "align/seed-0"}
    assert {one["stage"] for one in of_eval["downstream"]} == {"gate", "card"}
    assert [(one["name"], one["version"]) for one in of_eval["models"]] == [("valign-tiny", 1)]
    of_card = trace(store, by_stage["card"])
    assert {one["stage"] for one in of_card["upstream"]} == {"data", "align/seed-0", "eval", "gate"}
    assert of_card["downstream"] == []
    whole = trace(store, record["run_id"])
    assert whole["upstream"] == []
    assert len(whole["models"]) == 1


def test_lineage_of_a_record(run_pipeline, store, registry):
    run_pipeline()
    found = trace(store, "p02")
    assert [(one["stage"], one["split"]) for one in found["record"]] == [("data", "train")]
    assert {one["stage"] for one in found["downstream"]} == {"align/seed-0", "eval", "gate", "card"}
    with pytest.raises(UsageError, match="'p99' is no artifact's key"):
        trace(store, "p99")


def test_a_record_of_two_artifacts_and_a_file_that_is_none(tiny_installed, store, registry, caplog):
    record = PreferenceRecord("r1", "g", "a.csv:2", (Message("user", "q"),), "yes", "no")
    for key, split in (("aaaa", "train"), ("bbbb", "judge")):
        with store.writing("data", key) as folder:
            write_records(folder / f"{split}.arrow", [record])
            (folder / "other.arrow").write_bytes(b"not arrow")
            store.commit("data", key, folder, {})
    found = trace(store, "r1")["record"]
    assert {(one["key"], one["split"]) for one in found} == {("aaaa", "train"), ("bbbb", "judge")}
    assert "other.arrow cannot be read" in caplog.text
