"""The whole counseling pipeline from the command line, with real (tiny, random) models, servers and store."""

import csv
import json
import sqlite3
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CANARY_NAME = "Quintavia Brambleworth"
CANARY_KEY = "sk-canary9f8e7d6c5b4a39281706f5e4d3c2b1a0"
TOPICS = ["sleep", "work", "grief", "exams", "family", "money", "friends", "anger", "health", "moving", "faith", "debt"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, tiny_model, tiny_encoder) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    training = {"epochs": 1, "batch_size": 4, "max_length": 128, "lora": None}
    values = {
        "model": str(tiny_model),
        "precision": "float32",
        "data": {"fractions": {"train": 0.4, "judge": 0.3, "test": 0.3}},
        "reward": {"body": str(tiny_encoder), "training": training},
        "judge": {"body": str(tiny_model), "training": training},
        "align": {**training, "learning_rate": 1e-2, "epochs": 3, "lora": {"rank": 4, "alpha": 8}, "seeds": [0, 1]},
        "evaluate": {
            "prompts": 4,
            "kl_prompts": 2,
            "kl_tokens": 8,
            "max_length": 256,
            "examples": 2,
            "sampling": {"max_new_tokens": 8, "temperature": 0.7, "batch_size": 4},
        },
    }
    path.write_text(json.dumps(values))  # JSON is YAML
    return path


@pytest.fixture(scope="module")
def counsel_chat(tmp_path_factory) -> Path:
    """A file in counsel-chat's columns with a canary name and key in every place that a person could leave one."""
    path = tmp_path_factory.mktemp("data") / "Quintavia_Brambleworth_export.csv"
    slug = CANARY_NAME.lower().replace(" ", "-")
    with path.open("w", newline="", encoding="utf-8") as file:
        columns = [
            "questionID",
            "questionTitle",
            "questionText",
            "questionLink",
            "topic",
            "therapistInfo",
            "therapistURL",
        ]
        writer = csv.DictWriter(file, [*columns, "answerText", "upvotes", "views", CANARY_NAME])
        writer.writeheader()
        for number, topic in enumerate(TOPICS * 2):
            for votes in (3, 1, 0):
                answer = f"Answer {votes} about {topic} {number}: " + "rest and talk with somebody you trust. " * (
                    votes + 1
                )
                if number == 0:
                    answer += f"You can call me on 555-867-5309. Yours, {CANARY_NAME}, LMFT"
                question = f"I have trouble with {topic} for {number + 2} weeks."
                if number == 1:
                    question += f" My name is {CANARY_NAME} and my key is {CANARY_KEY}."
                writer.writerow(
                    {
                        "questionID": number,
                        "questionTitle": f"What about {topic} number {number}?",
                        "questionText": question,
                        "questionLink": f"https://example.org/questions/{slug}",
                        "topic": topic,
                        "therapistInfo": f"{CANARY_NAME}, licensed",
                        "therapistURL": f"https://example.org/{slug}",
                        "answerText": answer,
                        "upvotes": votes,
                        "views": 10 * votes + number,
                        CANARY_NAME: "x",
                    }
                )
    return path


@pytest.fixture(scope="module")
def finished(tiny, recipe, counsel_chat):
    """(command, arguments, record of the finished run)."""
    arguments = ("run", "counseling", "--data", str(counsel_chat), "--recipe", str(recipe))
    return tiny, arguments, tiny.json(*arguments)


def test_the_run_ends_with_figures_a_decision_and_a_version(finished):
    command, _, record = finished
    assert record["status"] == "finished"
    names = [row["name"] for row in record["headline"]]
    assert "Reward model accuracy" in names
    assert "  views only" in names
    assert "  length only" in names
    for row in record["headline"]:
        if isinstance(row["value"], float) and row.get("low") is not None:
            assert row["low"] <= row["value"] <= row["high"], row
    assert isinstance(record["decision"]["promoted"], bool)
    assert record["registered"]["version"] == 1
    stages = [one["stage"] for one in record["stages"]]
    assert stages[:2] == ["data", "lint"]
    assert stages[-3:] == ["eval", "gate", "card"]
    model = Path(record["registered"]["folder"])
    assert {"README.md", "adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= {
        one.name for one in model.iterdir()
    }
    assert not list(command.home.rglob("training_args.bin"))
    report = (command.home / "runs" / record["run_id"] / "report.html").read_text()
    for section in ("Lint", "Training", "Reward model and judge", "Policy on held-out pairs", "Win rate", "Gate"):
        assert f">{section}<" in report


def test_a_second_start_does_no_work_and_registers_nothing(finished):
    command, arguments, record = finished
    again = command.json(*arguments)
    assert all(one["hit"] for one in again["stages"])
    assert again["run_id"] == record["run_id"]
    assert again["registered"]["version"] == 1
    assert len(command.json("models")["registered"]) == 1


def test_another_beta_uses_the_same_reference_and_scorers(finished):
    command, arguments, record = finished
    planned = command.json(*arguments, "--set", "align.beta=0.2", "--dry-run")
    status = {one["stage"]: one for one in planned["stages"]}
    assert {name for name, one in status.items() if one["status"] == "hit"} >= {"data", "reward", "judge", "reference"}
    assert status["align/seed-0"]["why"] == "config.align.beta 0.1 -> 0.2"
    assert planned["run_id"] != record["run_id"]


def test_evaluate_measures_a_registered_model(finished):
    command, arguments, record = finished
    alias = record["registered"]["aliases"][0]
    options = arguments[2:]
    evaluated = command.json("evaluate", "counseling", "--model", f"valign-counseling@{alias}", *options)
    assert [one["stage"] for one in evaluated["stages"]][-1] == "eval"
    ours = next(row for row in record["headline"] if row["name"] == "  aligned, seed 0")
    theirs = next(row for row in evaluated["headline"] if row["name"] == "  given model")
    assert theirs["value"] == pytest.approx(ours["value"], abs=1e-9)


def test_lineage_of_a_record_reaches_the_registered_model(finished):
    from shared.data.record_files import iter_records

    command, _, record = finished
    data = next(one for one in record["stages"] if one["stage"] == "data")
    first = next(iter_records(Path(data["path"]) / "train.arrow"))
    found = command.json("store", "lineage", first.id)
    assert found["record"][0]["split"] == "train"
    assert {one["stage"] for one in found["downstream"]} >= {"reward", "align/seed-0", "card"}
    assert [one["version"] for one in found["models"]] == [1]


def test_lint_names_the_confound_and_the_personal_data(finished):
    command, arguments, _ = finished
    reports = command.json("lint", "counseling", *arguments[2:])
    found = {(one["check"], one["subject"]) for one in reports["source"]["findings"]}
    assert ("label_predictors", "covariates.views") in found
    assert ("personal_data", "phone numbers") in found


def test_doctor_finds_the_store_whole(finished):
    command, _, _ = finished
    checks = {one["name"]: one for one in command.json("doctor")}
    assert checks["store"]["state"] == "ok"
    assert checks["domain counseling"]["state"] == "ok"


def test_no_canary_is_left_anywhere(finished):
    """The name and the key stood in ten places; they stand in no artifact, database, log, report or card."""
    command, _, _ = finished
    name = CANARY_NAME.lower()
    variants = [
        v.encode() for v in (name, name.replace(" ", "-"), name.replace(" ", "_"), CANARY_KEY.lower(), "brambleworth")
    ]
    leaks = []
    for path in command.home.rglob("*"):
        if path.is_file() and not path.name.endswith((".lock", "-shm")):
            content = path.read_bytes().lower()
            leaks += [(str(path.relative_to(command.home)), v.decode()) for v in variants if v in content]
    assert leaks == []


def test_the_tracked_runs_hold_no_text(finished):
    command, _, _ = finished
    with sqlite3.connect(command.home / "mlflow" / "mlflow.db") as database:
        rows = database.execute("select value from params union select value from tags").fetchall()
    assert rows
    assert not [value for (value,) in rows if "trouble with" in str(value)]


def test_switching_masking_off_silently_is_refused(tiny, recipe, counsel_chat):
    options = ("--data", str(counsel_chat), "--recipe", str(recipe), "--set", "data.deidentify.enabled=false")
    told = tiny("lint", "counseling", *options, code=2).stderr.strip().splitlines()[-1]
    assert told.startswith("Error: ")
    assert "accept_identifiable_data" in told
