"""Whatever ends a run, the next start continues it: Ctrl-C, SIGTERM, kill -9 at any moment.

The run is killed at three moments for each one that VALIGN_KILLS tells (1 by default), at nine at most.
"""

import json
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SLEEP = {"TINY_SLEEP": "0.3"}
STEPS = ["data", *(f"align/seed-0 {step}" for step in range(6)), "eval", "card"]
KILLS = min(len(STEPS), 3 * int(os.environ.get("VALIGN_KILLS", "1")))


def still_there(home: Path) -> list[str]:
    """Command lines of processes that work in `home` (the embedded server has a session of its own)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"VALIGN_HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def gone(home: Path, seconds: float = 10) -> bool:
    """Whether no process of a home is left, or none soon."""
    end = time.monotonic() + seconds
    while still_there(home) and time.monotonic() < end:
        time.sleep(0.1)
    return not still_there(home)


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["ctrl-c", "sigterm"],
)
def test_an_interrupted_run_says_so_and_goes_on_where_it_stopped(own_tiny, number, whole_group):
    process = own_tiny.start("run", "tiny", **SLEEP)
    own_tiny.wait_for("align/seed-0 2", process)
    if whole_group:  # as a terminal does: every process of the foreground group gets Ctrl-C
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("Interrupted: ")
    assert "Traceback" not in err
    assert gone(own_tiny.home)
    assert [one["status"] for one in own_tiny.json("status")] == ["interrupted"]
    before = own_tiny.steps()
    record = own_tiny.json("run", "tiny")
    assert record["status"] == "finished"
    taken = own_tiny.steps()[len(before) :]
    assert taken == [*(f"align/seed-0 {step}" for step in range(2, 6)), "eval", "card"]


def test_kill_9_at_any_moment_changes_nothing(own_tiny, tiny):
    own_tiny.environment |= SLEEP
    draw = random.Random(28)
    # A moment is a step that has begun and a pause after it, so that kills fall into stages and between them.
    moments: list[int] = []
    while len({STEPS[index].split()[0] for index in moments}) < 3:
        moments = sorted(draw.sample(range(len(STEPS)), KILLS))
    for index in moments:
        process = own_tiny.start("run", "tiny", "--json")
        own_tiny.wait_for(STEPS[index], process)
        time.sleep(draw.uniform(0, 0.9))
        process.kill()
        process.communicate(timeout=30)
        assert gone(own_tiny.home), still_there(own_tiny.home)
    record = own_tiny.json("run", "tiny", TINY_SLEEP="0")

    expected = tiny.json("run", "tiny")
    assert record["run_id"] == expected["run_id"]
    assert [one["digest"] for one in record["stages"]] == [one["digest"] for one in expected["stages"]]
    assert [one["metrics"] for one in record["stages"]] == [one["metrics"] for one in expected["stages"]]
    assert record["decision"] == expected["decision"]
    assert record["registered"]["aliases"] == ["champion"]

    assert own_tiny.json("store", "verify") == {"whole": 5, "damaged": []}
    versions = [one for one in own_tiny.json("models")["registered"] if one["name"] == "valign-tiny"]
    assert [one["version"] for one in versions] == [1]
    with sqlite3.connect(own_tiny.home / "mlflow" / "mlflow.db") as database:
        runs = database.execute(
            "select r.status, t.value from runs r join tags t on t.run_uuid = r.run_uuid where t.key = 'valign.kind'"
        ).fetchall()
    assert sorted(runs) == [("FINISHED", "pipeline"), *[("FINISHED", "stage")] * 5]
    # No step of the training was taken twice but the one that a kill fell into.
    training = [step for step in own_tiny.steps() if step.startswith("align")]
    assert len(training) <= 6 + KILLS
    assert json.loads((Path(record["stages"][1]["path"]) / "model.json").read_text())["step"] == 6
