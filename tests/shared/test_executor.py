"""Stages: done once, again only where something they depend on changed; the plan says why."""

import pytest

from shared.errors import DataError, StageError
from shared.executor import Executor
from shared.stages import Stage
from shared.store import Store

CALLS: list[str] = []


def first(context):
    CALLS.append("first")
    text = context.files["data"].read_text()
    (context.out / "lines.txt").write_text("\n".join(sorted(text.split())))
    return {"data/lines": float(len(text.split()))}


def second(context):
    CALLS.append("second")
    lines = (context.inputs["lines"] / "lines.txt").read_text().split()
    (context.out / "sum.txt").write_text(str(context.config["scale"] * len(lines)))
    return {"align/sum": float(context.config["scale"] * len(lines))}


def breaks(context):
    (context.work / "checkpoint").write_text("1")
    raise DataError("row 3 of x.csv has no answer: fill it in.")


def diverges(context):
    return {"align/loss": float("nan")}


@pytest.fixture
def data(tmp_path):
    CALLS.clear()
    path = tmp_path / "data.txt"
    path.write_text("b a c")
    return path


def stages(data, scale=2.0):
    return [
        Stage("data", first, files={"data": data}),
        Stage("align/seed-0", second, config={"scale": scale, "seed": 0}, inputs={"lines": "data"}),
    ]


def run(store, listed, **options):
    executor, done = Executor(store, **options), {}
    for stage in listed:
        done[stage.name] = executor.run(stage, done)
    return done


def statuses(store, listed, **options):
    return {one.name: (one.status, one.why) for one in Executor(store, **options).plan(listed)}


def test_a_second_run_does_nothing(tmp_path, data):
    store = Store(tmp_path / "store")
    made = run(store, stages(data))
    again = run(store, stages(data))
    assert CALLS == ["first", "second"]
    assert all(result.hit for result in again.values())
    assert again["align/seed-0"].metrics == made["align/seed-0"].metrics == {"align/sum": 6.0}
    assert {one.status for one in Executor(store).plan(stages(data))} == {"hit"}


def test_the_plan_says_why(tmp_path, data):
    store = Store(tmp_path / "store")
    found = statuses(store, stages(data))
    assert found["data"] == ("miss", "was never run")
    assert found["align/seed-0"][0] == "waits"
    run(store, stages(data))
    assert statuses(store, stages(data, 3.0))["align/seed-0"] == ("miss", "config.scale 2.0 -> 3.0")
    data.write_text("a b c d")
    assert statuses(store, stages(data))["data"] == ("miss", "file `data` changed")
    assert statuses(store, stages(data), fresh=True)["data"] == ("miss", "asked for by --fresh")
    assert CALLS == ["first", "second"]


def test_equal_output_of_a_changed_input_stops_the_work_there(tmp_path, data):
    store = Store(tmp_path / "store")
    run(store, stages(data))
    data.write_text("c b a")
    done = run(store, stages(data))
    assert CALLS == ["first", "second", "first"]
    assert done["align/seed-0"].hit


def test_fresh_does_everything_again(tmp_path, data):
    store = Store(tmp_path / "store")
    run(store, stages(data))
    done = run(store, stages(data), fresh=True)
    assert CALLS == ["first", "second"] * 2
    assert not any(result.hit for result in done.values())


def test_a_failure_stores_nothing_and_keeps_the_checkpoints(tmp_path, data):
    store = Store(tmp_path / "store")
    stage = Stage("align/seed-0", breaks)
    with pytest.raises(DataError, match="row 3"):
        run(store, [stage])
    assert list(store.list()) == []
    (planned,) = Executor(store).plan([stage])
    assert planned.status == "miss"
    assert "interrupted" in planned.why
    assert (store.work("align/seed-0", planned.key) / "checkpoint").exists()


def test_a_metric_that_is_no_number_fails_the_stage(tmp_path, data):
    with pytest.raises(StageError, match="align/loss"):
        run(Store(tmp_path / "store"), [Stage("align", diverges)])


def test_code_change_reruns_unless_accepted(tmp_path, data, monkeypatch):
    store = Store(tmp_path / "store")
    run(store, stages(data))
    monkeypatch.setattr("shared.executor.code_digests", lambda module: {module: "another"})
    assert "changed" in statuses(store, stages(data))["data"][1]
    done = run(store, stages(data), accept_code_change=True)
    assert CALLS == ["first", "second"]
    assert all(result.accepted_code_change for result in done.values())
    done = run(store, stages(data))
    assert CALLS == ["first", "second"] * 2


def test_a_damaged_artifact_is_made_again(tmp_path, data):
    store = Store(tmp_path / "store")
    made = run(store, stages(data))
    (made["data"].artifact.path / "lines.txt").write_text("x")
    done = run(store, stages(data))
    assert not done["data"].hit
    assert done["align/seed-0"].hit
