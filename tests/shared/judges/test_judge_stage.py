"""Judging as a stage in the store: endpoint, reward model, people; killed and out of budget, then continued."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from shared.data.record_files import read_records
from shared.errors import StageError, SystemStateError, UsageError
from shared.executor import Executor
from shared.home import store_folder
from shared.judges.judge_config import JudgeConfig
from shared.judges.judge_stage import judge_stage
from shared.store import Store


@pytest.fixture
def candidates_file(tmp_path):
    path = tmp_path / "candidates.jsonl"
    rows = [
        {"id": f"s{n}", "group_id": f"g{n // 2}", "prompt": f"question {n}", "responses": [f"good {n}", f"bad {n} bad"]}
        for n in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(stage):
    return Executor(Store(store_folder())).run(stage, {})


def read(folder: Path, name: str):
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def test_an_endpoint_judges_and_pairs_are_written(server, endpoint, says, candidates_file):
    server.script = lambda number, body: says.verdict(says.fair(body))
    stage = judge_stage("judge", JudgeConfig(endpoint=endpoint()), inputs={}, files={"candidates": candidates_file})
    found = run(stage)
    assert found.metrics["judge/answered"] == found.metrics["judge/training_pairs"] == 6
    assert found.metrics["judge/inconsistent"] == 0
    assert found.metrics["judge/requests"] == 12
    folder = found.artifact.path
    assert {row["verdict"] for row in read(folder, "verdicts.jsonl")} == {"a"}
    pairs = read_records(folder / "pairs.arrow")
    assert all(one.chosen.startswith("good") and one.rejected.startswith("bad") for one in pairs)
    assert [row["best"] for row in read(folder, "ranked.jsonl")] == [0] * 6
    assert run(stage).hit
    assert server.count == 12


def test_the_rubrics_content_is_in_the_key(tmp_path, endpoint, candidates_file):
    path = tmp_path / "r.yaml"
    path.write_text("name: r\ncriteria: [{name: warm, definition: It is warm.}]\n")
    config = JudgeConfig(endpoint=endpoint(), rubric=str(path))
    files = {"candidates": candidates_file}
    before = judge_stage("judge", config, inputs={}, files=files).config
    path.write_text("name: r\ncriteria: [{name: warm, definition: It is cold.}]\n")
    assert judge_stage("judge", config, inputs={}, files=files).config != before
    assert str(path) not in json.dumps(before)


def test_out_of_budget_keeps_the_answers_and_a_larger_budget_goes_on(server, endpoint, says, candidates_file):
    server.script = lambda number, body: says.verdict(says.fair(body))
    files = {"candidates": candidates_file}
    poor = JudgeConfig(endpoint=endpoint(budget={"max_requests": 7}))
    with pytest.raises(SystemStateError, match="max_requests"):
        run(judge_stage("judge", poor, inputs={}, files=files))
    rich = JudgeConfig(endpoint=endpoint(budget={"max_requests": 100}))
    assert run(judge_stage("judge", rich, inputs={}, files=files)).metrics["judge/requests"] == 5
    assert server.count == 12


def test_too_many_unreadable_answers_fail_the_stage(server, endpoint, says, candidates_file):
    server.script = lambda number, body: says.completion("no idea")
    config = JudgeConfig(endpoint=endpoint(answer_retries=0))
    with pytest.raises(StageError, match=r"answered 0 of 6 items \(6 malformed\)"):
        run(judge_stage("judge", config, inputs={}, files={"candidates": candidates_file}))


def test_scores_of_an_endpoint(server, endpoint, says, candidates_file, rubric):
    def script(number, body):
        good = "good" in body["messages"][1]["content"].split("-response>")[1]
        scores = {one.name: {"reason": "r", "score": 5 if good else 2} for one in rubric.criteria}
        return says.completion(json.dumps(scores))

    server.script = script
    config = JudgeConfig(endpoint=endpoint(), method="scores", min_margin=1)
    found = run(judge_stage("judge", config, inputs={}, files={"candidates": candidates_file}))
    pairs = read_records(found.artifact.path / "pairs.arrow")
    assert [one.margin for one in pairs] == [3.0] * 6
    assert pairs[0].scores_chosen == {one.name: 5.0 for one in rubric.criteria}
    assert len(read(found.artifact.path, "scores.jsonl")) == 12


def test_people_judge(tmp_path, candidates_file):
    ratings = tmp_path / "people.csv"
    ratings.write_text("item,rater,verdict\n" + "".join(f"s{n},ann,{'b' if n % 2 else 'a'}\n" for n in range(5)))
    stage = judge_stage(
        "judge", JudgeConfig(kind="human"), inputs={}, files={"candidates": candidates_file, "ratings": ratings}
    )
    found = run(stage)
    assert found.metrics["judge/answered"] == 5
    assert found.metrics["judge/failed_unrated"] == 1
    assert {one.chosen[:3] for one in read_records(found.artifact.path / "pairs.arrow")} == {"goo", "bad"}


def test_a_trained_scorer_judges(tmp_path, tiny_model, candidates_file):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path / "reward"
    AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1, local_files_only=True).save_pretrained(
        folder
    )
    AutoTokenizer.from_pretrained(tiny_model, local_files_only=True).save_pretrained(folder)
    settings = {"body": "causal-lm", "prompt": {}, "max_length": 128}
    (folder / "reward.json").write_text(json.dumps(settings))
    stage = judge_stage(
        "judge", JudgeConfig(kind="reward"), inputs={}, files={"candidates": candidates_file, "judge": folder}
    )
    found = run(stage)
    rows = read(found.artifact.path, "verdicts.jsonl")
    assert found.metrics["judge/answered"] == 6
    assert all((row["log_odds"] > 0) == (row["verdict"] == "a") for row in rows)


def test_a_judge_needs_what_its_kind_needs(candidates_file):
    with pytest.raises(ValueError, match="kind endpoint needs"):
        JudgeConfig(kind="endpoint")
    for kind in ("reward", "human"):
        with pytest.raises(UsageError, match=kind):
            run(judge_stage("judge", JudgeConfig(kind=kind), inputs={}, files={"candidates": candidates_file}))


@pytest.mark.slow
def test_kill_9_in_the_middle_pays_for_no_answer_twice(server, endpoint, says, candidates_file):
    def script(number, body):
        reply = says.verdict(says.fair(body))
        reply.delay = 0.3 if number < 12 else 0.0
        return reply

    server.script = script
    config = JudgeConfig(endpoint=endpoint(concurrency=1))
    child = textwrap.dedent(
        f"""
        from pathlib import Path
        from shared.executor import Executor
        from shared.home import store_folder
        from shared.judges.judge_config import JudgeConfig
        from shared.judges.judge_stage import judge_stage
        from shared.store import Store
        config = JudgeConfig.model_validate_json({config.model_dump_json()!r})
        stage = judge_stage("judge", config, inputs={{}}, files={{"candidates": Path({str(candidates_file)!r})}})
        Executor(Store(store_folder())).run(stage, {{}})
        """
    )
    process = subprocess.Popen([sys.executable, "-P", "-c", child])
    deadline = time.monotonic() + 60
    while server.count < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    sent = server.count
    assert 5 <= sent < 12
    found = run(judge_stage("judge", config, inputs={}, files={"candidates": candidates_file}))
    assert found.metrics["judge/answered"] == 6
    assert server.count - sent in (12 - sent, 12 - sent + 1)  # the one under way when it was killed
