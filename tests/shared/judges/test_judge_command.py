"""`valign judge`: from files to verdicts and agreement, resumed, with clear errors."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli import judge_command
from shared.errors import DataError, StageError, SystemStateError, UsageError


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"id": f"s{n}", "prompt": f"question {n} of bob@example.org", "chosen": f"good {n}", "rejected": f"bad {n} bad"}
        for n in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def invoke(*arguments):
    """The command; an error of ours is raised, as `main` gets it."""
    result = CliRunner().invoke(judge_command.app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def at(server):
    return ("--endpoint", server.url, "--model", "scripted", "--set", "endpoint.backoff_s=0.01")


@pytest.fixture(autouse=True)
def _patterns_only(monkeypatch):
    """Masking by patterns: the name model takes seconds to load, and has tests of its own."""
    monkeypatch.setattr("shared.deidentify.config.DeidentifyConfig.names_by_model", property(lambda self: False))


def test_pairs_are_judged_masked_and_resumed(server, says, data, tmp_path):
    server.script = lambda number, body: says.verdict(says.fair(body))
    out = tmp_path / "verdicts.jsonl"
    result = invoke("pairs", "--data", data, *at(server), "--out", out, "--json")
    report = json.loads(result.stdout)
    assert report["labels"]["accuracy"]["value"] == 1.0
    assert server.count == 12
    assert not any("bob@example.org" in json.dumps(body) for body in server.bodies)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["item"] for row in rows] == [f"s{n}" for n in range(6)]
    again = json.loads(invoke("pairs", "--data", data, *at(server), "--json").stdout)
    assert again["facts"]["usage"]["cache_hits"] == 12
    assert server.count == 12
    invoke("pairs", "--data", data, *at(server), "--fresh", "--limit", 2)
    assert server.count == 16


def test_a_folder_gets_everything(server, says, data, tmp_path):
    server.script = lambda number, body: says.verdict(says.fair(body))
    result = invoke("pairs", "--data", data, *at(server), "--out", tmp_path / "out", "--already-deidentified")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "verdicts.jsonl", "ranked.jsonl", "pairs.arrow", "report.json"
    }  # fmt: skip
    assert "6 of 6 pairs answered" in result.stdout
    assert "first wins" in result.stdout
    assert "Requests: 12 sent (0 again), 0 from the cache; tokens: 1200 in, 120 out" in result.stdout
    assert "bob@example.org" in json.dumps(server.bodies[0])  # as the option says


def test_scores_and_the_agreement_of_two_judges(server, says, data, tmp_path, rubric):
    def script(number, body):
        good = "good" in body["messages"][1]["content"].split("-response>")[1]
        least = 2 if body["model"] == "scripted" else 1
        scores = {one.name: {"reason": "r", "score": least + 2 * good} for one in rubric.criteria}
        return says.completion(json.dumps(scores))

    server.script = script
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    invoke("scores", "--data", data, *at(server), "--out", paths[0])
    invoke("scores", "--data", data, "--endpoint", server.url, "--model", "other", "--out", paths[1])
    reports = json.loads(invoke("agreement", *paths, "--json").stdout)
    assert [one["what"] for one in reports][:2] == ["overall", "clarity"]
    assert reports[0]["raters"] == ["other/general-1", "scripted/general-1"]
    assert reports[0]["raw"]["value"] == 0.0
    assert 0 < reports[0]["alpha"]["interval"]["value"] < 1
    shown = invoke("agreement", *paths, "--what", "overall").stdout
    assert "Krippendorff's alpha, ordinal" in shown
    assert "Cohen's kappa, quadratic weights" in shown


def test_people_and_a_judge_agree(server, says, data, tmp_path):
    server.script = lambda number, body: says.verdict(says.fair(body))
    out = tmp_path / "verdicts.jsonl"
    invoke("pairs", "--data", data, *at(server), "--out", out)
    winners = [json.loads(line)["verdict"] for line in out.read_text().splitlines()]
    people = tmp_path / "people.csv"
    people.write_text("id,best\n" + "".join(f"s{n},{one}\n" for n, one in enumerate(winners)))
    columns = ("--column", "item=id", "--column", "verdict=best")
    with pytest.raises(DataError, match="'id'"):
        invoke("agreement", out, people, *columns)  # the verdict file has other columns
    people.write_text(people.read_text().replace("id,best", "item,verdict"))
    (report,) = json.loads(invoke("agreement", out, people, "--json").stdout)
    assert report["raw"]["value"] == 1.0
    again = json.loads(invoke("pairs", "--data", data, "--ratings", people, "--json").stdout)
    assert again["labels"]["accuracy"]["value"] == 1.0


def test_a_budget_stops_writes_and_says_so(server, says, data, tmp_path):
    server.script = lambda number, body: says.verdict(says.fair(body))
    out = tmp_path / "verdicts.jsonl"
    limits = ("--set", "endpoint.budget.max_requests=6", "--set", "endpoint.concurrency=1")
    with pytest.raises(SystemStateError, match="budget of 6 requests is used up"):
        invoke("pairs", "--data", data, *at(server), *limits, "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.get("failure") for row in rows] == [None] * 3 + ["skipped"] * 3
    invoke("pairs", "--data", data, *at(server), "--out", out)
    assert server.count == 12


def test_errors_say_what_to_do(server, says, data, tmp_path):
    with pytest.raises(UsageError, match="name a judge"):
        invoke("pairs", "--data", data)
    with pytest.raises(UsageError, match="name a judge"):
        invoke("pairs", "--data", data, "--endpoint", server.url)
    with pytest.raises(UsageError, match="give one judge"):
        invoke("pairs", "--data", data, *at(server), "--reward", tmp_path)
    with pytest.raises(UsageError, match="nearest known one"):
        invoke("pairs", "--data", data, *at(server), "--set", "endpoint.concurency=3")
    with pytest.raises(UsageError, match="there is no rubric strict"):
        invoke("pairs", "--data", data, *at(server), "--rubric", "strict")
    with pytest.raises(DataError, match="is not there"):
        invoke("pairs", "--data", tmp_path / "none.jsonl", *at(server))
    with pytest.raises(SystemStateError, match="NO_KEY is not set"):
        invoke("pairs", "--data", data, *at(server), "--api-key-env", "NO_KEY")
    with pytest.raises(DataError, match="holds no reward model"):
        invoke("pairs", "--data", data, "--reward", tmp_path)
    assert server.count == 0
    with pytest.raises(SystemStateError, match="no connection"):
        invoke("pairs", "--data", data, "--endpoint", "http://127.0.0.1:9", "--model", "m", *at(server)[4:],
               "--set", "endpoint.retries=0")  # fmt: skip
    server.script = lambda number, body: says.Reply(401, {"error": {"message": "no"}})
    with pytest.raises(SystemStateError, match=r"refuses access \(401\)"):
        invoke("pairs", "--data", data, *at(server))
    server.script = lambda number, body: says.Reply(404, {"error": {"message": "The model does not exist"}})
    with pytest.raises(UsageError, match="knows no model scriptet: it has scripted"):
        invoke("pairs", "--data", data, "--endpoint", server.url, "--model", "scriptet")
    server.script = lambda number, body: says.completion("dear me")
    with pytest.raises(StageError, match="6 malformed"):
        invoke("pairs", "--data", data, *at(server))


def test_a_configuration_file_with_options_on_top(server, says, data, tmp_path):
    server.script = lambda number, body: says.verdict(says.fair(body))
    config = tmp_path / "judge.yaml"
    config.write_text(f"kind: endpoint\nendpoint: {{base_url: '{server.url}', model: from-file, seed: 5}}\n")
    invoke("pairs", "--data", data, "--config", config, "--set", "endpoint.max_tokens=77")
    assert {(body["model"], body["seed"], body["max_tokens"]) for body in server.bodies} == {("from-file", 5, 77)}
