"""Runs side by side, from their records and artifacts alone."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.comparison import compare_runs, headline_of, interval_ends
from shared.domain import load_domain
from shared.errors import UsageError
from shared.evaluation.intervals import bootstrap_mean
from shared.evaluation.measured import ItemValues, Measured


def test_two_runs(run_pipeline):
    first = run_pipeline(started=1.0)
    second = run_pipeline("align.steps=9", "align.rate=0.2", started=2.0)
    result = compare_runs("tiny", [], 4, [])
    assert [one["run_id"] for one in result["runs"]] == [first["run_id"], second["run_id"]]
    assert {one["key"]: one["values"] for one in result["params"]} == {"align.steps": [6, 9], "align.rate": [0.1, 0.2]}
    assert {"align/loss (seed-0)", "eval/margin/candidate", "data/train"} <= {one["key"] for one in result["metrics"]}
    (paired,) = result["paired"]
    assert (paired["metric"], paired["run"], paired["n"], paired["n_groups"]) == ("margin", second["run_id"], 12, 6)
    assert 0 < paired["low"] <= paired["difference"] <= paired["high"]
    assert "Paired differences" in Path(result["page"]).read_text()


@pytest.fixture
def measured_run(tiny_installed, save_record, tmp_path):
    """Writes a run whose evaluation kept the items of base and candidate; `lift` is added to the candidate's."""
    groups = [f"g{n // 3}" for n in range(30)]

    def save(run_id, lift):
        folder = tmp_path / run_id / "measured"
        folder.mkdir(parents=True)
        metrics = {"data/train": 12.0, "eval/loss": 0.5 + lift}
        for name, key, more in (("base", "eval/base/score", 0.0), ("candidate", "eval/score", lift)):
            values = np.sin(np.arange(30) * 1.7) + more
            items = ItemValues.of([f"i{n}" for n in range(30)], groups, values)
            Measured(name, {"eval/score": items}).write(folder / f"{name}.json")
            metrics[key] = float(values.mean())
        stage = {"stage": "eval", "key": "k", "path": str(folder.parent), "metrics": metrics}
        row = {"name": "Score", "value": metrics["eval/score"], "low": -1.0, "high": 1.0 + lift}
        return save_record(run_id, stages=[stage], headline=[row], started=lift, updated=lift)

    return save


def test_results_and_metrics_carry_the_intervals_of_every_run(measured_run):
    measured_run("tiny-1", 0.0)
    measured_run("tiny-2", 0.5)
    result = compare_runs("tiny", [], 4, [])
    (row,) = result["results"]
    assert (row["key"], row["low"], row["high"]) == ("Score", [-1.0, -1.0], [1.0, 1.5])
    metrics = {one["key"]: one for one in result["metrics"]}
    for key in ("eval/score", "eval/base/score"):
        ends = zip(metrics[key]["low"], metrics[key]["values"], metrics[key]["high"], strict=True)
        assert all(low < value < high for low, value, high in ends)
    assert "low" not in metrics["eval/loss"]
    page = Path(result["page"]).read_text().replace("\N{MINUS SIGN}", "-")
    score = metrics["eval/score"]
    assert f"[{score['low'][1]:.3f}, {score['high'][1]:.3f}]" in page


def test_an_interval_is_given_only_where_the_items_are_those_of_the_metric(measured_run):
    record = measured_run("tiny-1", 0.3)
    domain, (stage,) = load_domain("tiny"), record["stages"]
    ends = interval_ends(domain, record, stage["metrics"])
    items = Measured.read(Path(stage["path"]) / "measured" / "candidate.json").items["eval/score"]
    expected = bootstrap_mean(items.values[0], items.groups)
    assert ends["eval/score"] == (expected.low, expected.high)
    assert set(ends) == {"eval/score", "eval/base/score"}
    assert interval_ends(domain, record, {"eval/score": 99.0, "eval/loss": 0.3}) == {}


def test_the_command_shows_intervals_and_leaves_out_what_is_the_same(measured_run):
    measured_run("tiny-1", 0.0)
    measured_run("tiny-2", 0.5)
    shown = CliRunner().invoke(app, ["compare", "tiny"])
    assert shown.exit_code == 0
    metrics = shown.stdout.partition("Metrics that differ")[2].partition("Paired differences")[0]
    lines = {line.split()[0]: line for line in metrics.splitlines() if line.strip()}
    assert lines["eval/score"].count("[") == 2
    assert "data/train" not in lines
    assert "eval/base/score" not in lines


def test_rows_of_a_result_table_get_names_of_their_own():
    names = ["Pairs", "Accuracy: base", "  aligned", "  gain", "Win rate", "  length-controlled", "  gain"]
    record = {"headline": [{"name": name, "value": n} for n, name in enumerate(names)]}
    assert {name: row["value"] for name, row in headline_of(record).items()} == {
        "Pairs": 0,
        "Accuracy: base": 1,
        "Accuracy: aligned": 2,
        "Accuracy: gain": 3,
        "Win rate": 4,
        "Win rate: length-controlled": 5,
        "Win rate: gain": 6,
    }


def test_one_run_and_filters(run_pipeline):
    record = run_pipeline()
    result = compare_runs("tiny", [record["run_id"][:8]], 4, ["loss"])
    assert result["params"] == []
    assert result["paired"] == []
    assert [one["key"] for one in result["metrics"]] == ["align/loss (seed-0)"]
    with pytest.raises(UsageError, match="'lost'"):
        compare_runs("tiny", [], 4, ["lost"])


def test_seeds_keep_their_own_metrics_and_missing_ones_are_none(run_pipeline):
    run_pipeline(started=1.0)
    run_pipeline("align.seeds=[0, 1]", started=2.0)
    metrics = {one["key"]: one["values"] for one in compare_runs("tiny", [], 4, [])["metrics"]}
    assert metrics["align/loss (seed-1)"][0] is None
    assert metrics["align/loss (seed-0)"][0] == metrics["align/loss (seed-0)"][1]


def test_what_was_measured_otherwise_is_not_paired(run_pipeline, monkeypatch):
    run_pipeline(started=1.0)
    run_pipeline("align.steps=9", started=2.0)
    read = Measured.read

    def of_another_judge(path):
        one = read(path)
        return Measured(one.name, one.items, measured_with={"judge": str(path.parent)})

    monkeypatch.setattr(Measured, "read", of_another_judge)
    assert compare_runs("tiny", [], 4, [])["paired"] == []


def test_wrong_requests(tiny_installed, save_record):
    with pytest.raises(UsageError, match="no runs yet"):
        compare_runs("tiny", [], 4, [])
    with pytest.raises(UsageError, match="unknown domain"):
        compare_runs("tinny", [], 4, [])
    save_record("other-1")
    with pytest.raises(UsageError, match="is one of other"):
        compare_runs("tiny", ["other-1"], 4, [])


def test_a_run_whose_artifacts_are_gone_is_still_compared(tiny_installed, save_record):
    gone = {"stage": "eval", "key": "k", "path": "/nowhere", "metrics": {"eval/margin": 1.0}}
    save_record("tiny-1", stages=[gone], headline=[{"name": "Words", "value": "many"}])
    result = compare_runs("tiny", [], 4, [])
    assert result["metrics"] == [{"key": "eval/margin", "values": [1.0]}]
