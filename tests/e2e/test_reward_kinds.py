"""Every kind of reward model and judge through the whole pipeline, from the command line, on tiny models."""

import csv
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TOPICS = ["sleep", "work", "grief", "exams", "family", "money", "friends", "anger"]


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
        "align": {**training, "learning_rate": 1e-2, "lora": {"rank": 4, "alpha": 8}, "seeds": [0]},
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
def answers(tmp_path_factory) -> Path:
    """A file in counsel-chat's columns: three answers to each of sixteen questions."""
    path = tmp_path_factory.mktemp("data") / "answers.csv"
    columns = ["questionID", "questionTitle", "questionText", "questionLink", "topic", "therapistInfo", "therapistURL"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*columns, "answerText", "upvotes", "views"])
        writer.writeheader()
        for number, topic in enumerate(TOPICS * 2):
            for votes in (3, 1, 0):
                row = dict.fromkeys(columns, "")
                row |= {
                    "questionID": number,
                    "questionTitle": f"What about {topic} number {number}?",
                    "questionText": f"I have trouble with {topic} for {number + 2} weeks.",
                    "topic": topic,
                    "answerText": f"Answer {votes} about {topic} {number}: " + "rest and talk. " * (votes + 1),
                    "upvotes": votes,
                    "views": 10 * votes + number,
                }
                writer.writerow(row)
    return path


def run(tiny, recipe: Path, answers: Path, *options: str) -> tuple[dict, str, str]:
    """(evaluation, report page, card) of a run with options."""
    arguments = ["run", "counseling", "--data", str(answers), "--recipe", str(recipe)]
    record = tiny.json(*arguments, *(part for option in options for part in ("--set", option)))
    assert record["status"] == "finished"
    evaluated = next(one for one in record["stages"] if one["stage"] == "eval")
    evaluation = json.loads((Path(evaluated["path"]) / "evaluation.json").read_text())
    page = (tiny.home / "runs" / record["run_id"] / "report.html").read_text()
    return evaluation, page, (Path(record["registered"]["folder"]) / "README.md").read_text()


def test_a_general_preference_model_as_reward_and_judge(tiny, recipe, answers):
    options = ("reward.training.kind=gpm", "reward.training.gpm.k=2", "judge.training.kind=gpm")
    evaluation, page, card = run(tiny, recipe, answers, *options)
    told = "general preference model (encoder, 2 planes weighed by a prompt gate, tau 0.1)"
    assert evaluation["reward_model"]["model"] == told
    assert evaluation["reward_model"]["cycles"]["prompts"] > 0
    assert evaluation["judge"]["model"].startswith("general preference model (causal language model, 4 planes")
    assert 0 <= evaluation["win_rate"]["seed-0"]["win_rate"]["value"] <= 1
    assert told in page
    assert "preferences in a circle" in page
    assert told in card


def test_an_ensemble_of_networks_of_text_features(tiny, recipe, answers):
    options = (
        "reward.training.kind=features",
        "reward.training.features.inputs=[text.words, text.addressed, text.letters_a_word]",
        "reward.training.features.hidden=[3]",
        "reward.training.ensemble={members: 2, combine: min, resample: true}",
        "judge.training.kind=features",
        "judge.training.features.inputs=[text.*]",
    )
    evaluation, page, card = run(tiny, recipe, answers, *options)
    told = "ensemble of 2 (min): feature network (3 features, hidden layers of 3)"
    assert evaluation["reward_model"]["model"] == told
    assert len(evaluation["reward_model"]["ensemble"]["member_accuracy"]) == 2
    assert evaluation["judge"]["explanation"]["text.words"]["mean_size"] > 0
    assert told in page
    assert "what each feature adds" in page
    assert told in card


def test_principles_that_the_data_do_not_have_are_told_in_one_sentence(tiny, recipe, answers):
    arguments = ["run", "counseling", "--data", str(answers), "--recipe", str(recipe)]
    options = ["--set", "reward.training.kind=principles", "--set", "reward.training.principles.weights.empathy=1"]
    result = tiny(*arguments, *options, code=3)
    assert "has no score 'empathy' of the chosen side" in result.stderr
    assert "Traceback" not in result.stderr
