"""A domain in a package outside the tree, through the command line: run, reuse, compare, promote, verify, errors.

Real servers: Prefect's, which commands embed where the home is a test's own, and MLflow's SQLite database. The package
stands on PYTHONPATH with its metadata (`conftest.install_package`), as `pip install` would leave it in site-packages.
"""

import json
import sqlite3
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STAGES = ["data", "align/seed-0", "eval", "gate", "card"]


@pytest.fixture(scope="module")
def first(tiny):
    """The record of the first run of the module's home."""
    return tiny.json("run", "tiny")


@pytest.fixture(scope="module")
def longer(tiny, first):
    """A run with more steps, after the first."""
    return tiny.json("run", "tiny", "--set", "align.steps=9")


def registered(tiny):
    return {
        one["version"]: (set(one["aliases"]), one["tags"]["valign.run_id"])
        for one in tiny.json("models")["registered"]
        if one["name"] == "valign-tiny"
    }


def tracked_parents(tiny):
    with sqlite3.connect(tiny.home / "mlflow" / "mlflow.db") as database:
        return database.execute(
            "select r.status, r.run_uuid from runs r join tags t on t.run_uuid = r.run_uuid "
            "where t.key = 'valign.kind' and t.value = 'pipeline'"
        ).fetchall()


def test_a_first_dry_run_says_why_and_writes_nothing(new_tiny):
    plan = new_tiny.json("run", "tiny", "--dry-run")
    assert [(one["stage"], one["status"]) for one in plan["stages"]] == [
        ("data", "miss"),
        *[(stage, "waits") for stage in STAGES[1:]],
    ]
    assert plan["stages"][0]["why"] == "was never run"
    assert [path for path in new_tiny.home.rglob("*") if path.is_file()] == []


def test_the_first_run_registers_and_promotes(tiny, first):
    assert first["status"] == "finished"
    assert [one["stage"] for one in first["stages"]] == STAGES
    assert not any(one["hit"] for one in first["stages"])
    assert first["decision"]["promoted"]
    assert first["registered"]["aliases"] == ["champion"]
    assert [row["name"] for row in first["headline"]] == ["margin of base", "margin of candidate", "not estimable"]
    assert first["headline"][2]["value"] is None
    folder = tiny.home / "runs" / first["run_id"]
    assert {path.name for path in folder.iterdir()} == {"run.json", "report.html", "card.md"}
    assert "margin of candidate" in (folder / "report.html").read_text()
    assert json.loads((folder / "run.json").read_text()) == first
    assert ("FINISHED", first["mlflow_run_id"]) in tracked_parents(tiny)


def test_a_second_run_does_nothing_again(tiny, first):
    steps, versions = tiny.steps(), registered(tiny)
    result = tiny("run", "tiny")
    assert tiny.steps() == steps
    assert registered(tiny) == versions
    lines = [line.split() for line in result.stderr.splitlines()[1:]]
    assert lines == [["reuse", stage] for stage in STAGES]
    record = json.loads((tiny.home / "runs" / first["run_id"] / "run.json").read_text())
    assert all(one["hit"] for one in record["stages"])
    assert record["registered"] == first["registered"]
    assert len([one for one in tracked_parents(tiny) if one[1] == first["mlflow_run_id"]]) == 1
    # Not a terminal: no colours, no bars, no line folded.
    assert "\x1b" not in result.stdout + result.stderr
    assert "\r" not in result.stderr
    for reason in first["decision"]["reasons"]:
        assert f"  - {reason}\n" in result.stdout
    assert f"{first['registered']['folder']}\n" in result.stdout


def test_another_setting_is_another_run_measured_against_the_champion(tiny, first, longer):
    assert longer["run_id"] != first["run_id"]
    assert [one["hit"] for one in longer["stages"]] == [True, False, False, False, False]
    assert longer["champion"]["version"] == str(first["registered"]["version"])
    assert longer["decision"]["evidence"]["champion"] == "champion"
    assert longer["decision"]["promoted"]
    aliases = registered(tiny)
    assert aliases[longer["registered"]["version"]] == ({"champion"}, longer["run_id"])
    assert aliases[first["registered"]["version"]] == ({"previous"}, first["run_id"])


def test_a_promoted_run_again_is_measured_against_what_it_replaced(tiny, longer):
    steps, versions = tiny.steps(), registered(tiny)
    again = tiny.json("run", "tiny", "--set", "align.steps=9")
    assert again["run_id"] == longer["run_id"]
    assert tiny.steps() == steps
    assert registered(tiny) == versions


def test_compare_shows_what_differs(tiny, first, longer):
    result = tiny.json("compare", "tiny", first["run_id"], longer["run_id"])
    assert [one["run_id"] for one in result["runs"]] == [first["run_id"], longer["run_id"]]
    assert result["params"] == [{"key": "align.steps", "values": [6, 9]}]
    losses = next(one["values"] for one in result["metrics"] if one["key"] == "align/loss (seed-0)")
    assert losses == [first["stages"][1]["metrics"]["align/loss"], longer["stages"][1]["metrics"]["align/loss"]]
    (paired,) = result["paired"]
    assert paired["metric"] == "margin"
    assert paired["difference"] == pytest.approx(_margin(longer) - _margin(first))
    assert paired["low"] > 0
    page = Path(result["page"]).read_text()
    assert first["run_id"] in page
    assert longer["run_id"] in page
    assert "align.steps" in page
    latest = tiny("compare", "tiny", "--metric", "margin/candidate").stdout
    assert "align/loss" not in latest
    assert "eval/margin/candidate" in latest


def _margin(record):
    return next(row["value"] for row in record["headline"] if row["name"] == "margin of candidate")


def test_every_listing_is_json(tiny, first, longer):
    assert {first["run_id"], longer["run_id"]} <= {one["run_id"] for one in tiny.json("status")}
    assert tiny.json("show", first["run_id"][:-3])["run_id"] == first["run_id"]
    artifacts = tiny.json("store", "ls")
    assert {one["stage"] for one in artifacts} == set(STAGES)
    assert tiny.json("store", "verify") == {"whole": len(artifacts), "damaged": []}
    assert tiny.json("store", "gc", "--older-than", "0")["artifacts"] == []
    key = first["stages"][0]["key"]
    lineage = tiny.json("store", "lineage", key[:12])
    assert lineage["upstream"] == []
    assert {one["stage"] for one in lineage["downstream"]} == {"align/seed-0", "eval", "gate", "card"}
    assert {one["version"] for one in lineage["models"]} == {1, 2}
    assert [one["split"] for one in tiny.json("store", "lineage", "p00")["record"]] == ["test"]
    for command in (["status"], ["show", first["run_id"]], ["store", "ls"], ["store", "lineage", key], ["models"]):
        shown = tiny(*command)
        assert shown.stdout.strip()
        assert "\x1b" not in shown.stdout + shown.stderr


def test_a_registered_model_can_be_evaluated_alone(tiny, longer):
    record = tiny.json("evaluate", "tiny", "--model", "valign-tiny@champion")
    assert [one["stage"] for one in record["stages"]] == ["data", "eval"]
    assert _margin(longer) == pytest.approx(record["headline"][1]["value"])
    assert "registered" not in record


def test_a_refusal_is_exit_code_10_where_promotion_is_required(tiny, longer):
    worse = ("run", "tiny", "--set", "align.steps=2", "--json")
    record = json.loads(tiny(*worse, "--require-promotion", code=10).stdout)
    assert not record["decision"]["promoted"]
    assert record["registered"]["aliases"] == ["candidate"]
    assert registered(tiny)[longer["registered"]["version"]][0] == {"champion"}


def test_a_flipped_byte_is_found_and_mended(served_tiny):
    record = served_tiny.json("run", "tiny")
    model = Path(record["stages"][1]["path"]) / "model.json"
    content = bytearray(model.read_bytes())
    content[5] ^= 1
    model.write_bytes(bytes(content))
    found = served_tiny.json("store", "verify", code=4)
    assert [one["key"] for one in found["damaged"]] == [record["stages"][1]["key"]]
    again = served_tiny.json("run", "tiny")
    assert [one["stage"] for one in again["stages"] if not one["hit"]] == ["align/seed-0"]
    assert [one["digest"] for one in again["stages"]] == [one["digest"] for one in record["stages"]]
    assert served_tiny.json("store", "verify")["damaged"] == []
    assert set(registered(served_tiny)) == {1}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "tinny"], 2, "did you mean tiny?"),
        (["run", "tiny", "--recipe", "gpu"], 2, "known are cpu"),
        (["run", "tiny", "--recipe", "no/such.yaml"], 2, "no/such.yaml is not there"),
        (["run", "tiny", "--set", "align.stebs=3"], 2, "'align.steps'"),
        (["run", "tiny", "--set", "align.steps"], 2, "key.sub=value"),
        (["run", "tiny", "--set", "align.steps=0"], 2, "'align.steps'"),
        (["run", "tiny", "--data", "none.csv"], 3, "none.csv is not there"),
        (["evaluate", "tiny", "--model", "no-such-model"], 2, "no-such-model"),
        (["evaluate", "tiny", "--model", "valign-tiny@champion"], 2, "nothing is registered under that name"),
        (["show", "tiny-0"], 2, "no run 'tiny-0'"),
        (["compare", "tiny"], 2, "no runs yet"),
        (["compare", "tinny"], 2, "unknown domain"),
        (["store", "lineage", "abcdef"], 2, "valign store ls"),
    ],
)
def test_a_mistake_is_one_sentence(served_tiny, arguments, code, words):
    assert words in served_tiny.error(*arguments, code=code)


def test_data_that_cannot_be_read_fail_the_run_in_one_sentence(served_tiny):
    (served_tiny.folder / "bad.csv").write_text("id,question\n1,2\n")
    message = served_tiny.error("run", "tiny", "--data", "bad.csv", "--json", code=3)
    assert message == "Error: bad.csv has no column answer: name the preferred answer so."
    assert [one["status"] for one in served_tiny.json("status")] == ["failed"]


def test_a_server_out_of_reach_is_one_sentence_and_soon(served_tiny):
    message = served_tiny.error("run", "tiny", "--json", code=4, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert "http://127.0.0.1:9/api" in message
    message = served_tiny.error("run", "tiny", "--json", code=4, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert "MLFLOW_TRACKING_URI" in message


def test_ui_prints_its_command(served_tiny):
    command = served_tiny("ui", "--print", "--port", "5099").stdout
    assert "--host 127.0.0.1 --port 5099" in command
    assert f"sqlite:///{served_tiny.home}/mlflow/mlflow.db" in command
