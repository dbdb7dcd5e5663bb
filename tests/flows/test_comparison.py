"""Runs side by side, from their records and artifacts alone."""

from pathlib import Path

import pytest

from flows.comparison import compare_runs
from shared.errors import UsageError


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
    from shared.evaluation.measured import Measured

    run_pipeline(started=1.0)
    run_pipeline("align.steps=9", started=2.0)
    read, judges = Measured.read, iter("ab")

    def of_another_judge(path):
        one = read(path)
        return Measured(one.name, one.items, measured_with={"judge": next(judges)})

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
