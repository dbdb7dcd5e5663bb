"""A sweep from the command line: one data stage, a training a value, a comparison, and no promotion."""

import json
import sqlite3
from contextlib import closing

import pytest

pytestmark = pytest.mark.slow

SWEEP = ("run", "tiny", "--sweep", "align.steps=3,5")


def test_a_sweep_shares_what_its_key_does_not_change_and_compares(own_tiny):
    before = {flow for flow, _, _ in _tasks(own_tiny)}
    done = own_tiny(*SWEEP, "--json")
    result = json.loads(done.stdout)
    assert len(result["runs"]) == 2
    [steps] = [one for one in result["params"] if one["key"] == "align.steps"]
    assert sorted(map(int, steps["values"])) == [3, 5]
    objects = own_tiny.home / "store" / "objects"
    assert len([path for path in (objects / "data").iterdir() if not path.name.startswith(".")]) == 1
    trained = [path for path in objects.glob("align*/**/manifest.json")]
    assert len(trained) == 2
    aliases = [one["aliases"] for one in own_tiny.json("models")["registered"]]
    assert aliases
    assert not any("champion" in one for one in aliases)

    # Each run has a server of its own; what Prefect sends in the background must reach it, also in the second run.
    assert "prefect" not in done.stderr.lower()
    rows = [row for row in _tasks(own_tiny) if row[0] not in before]
    assert len({flow for flow, _, _ in rows}) == 2
    assert {state for _, state, _ in rows} == {"COMPLETED"}
    assert [count for _, _, count in rows] == [rows[0][2]] * 2

    planned = own_tiny(*SWEEP, "--dry-run")
    for number, value in ((1, 3), (2, 5)):
        assert f"sweep {number} of 2: align.steps={value}" in planned.stderr
    assert planned.stdout.count("nothing it depends on has changed") == 2 * len(_stages(own_tiny))


def _stages(tiny):
    """Stages of a run."""
    return tiny.json("show", tiny.json("status")[0]["run_id"])["stages"]


def _tasks(tiny):
    """(flow run, state, number of its tasks in that state) of all that Prefect knows."""
    path = tiny.site / "prefect" / "prefect.db"
    if not path.is_file():
        return []
    with closing(sqlite3.connect(path)) as database:
        return database.execute(
            "select flow_run_id, state_type, count(*) from task_run group by flow_run_id, state_type"
        ).fetchall()


def test_a_mistake_in_a_later_value_is_told_before_anything_runs(own_tiny):
    done = own_tiny("run", "tiny", "--sweep", "align.steps=3,many", code=2)
    assert "align.steps" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(own_tiny.home.glob("store/objects/*/*"))
