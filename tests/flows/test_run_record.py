"""run.json found again by the beginning of its id."""

from types import SimpleNamespace

import pytest

from flows.preparation import prepare
from flows.processes import this_process
from flows.request import RunRequest
from flows.run_record import all_records, read_record, write_record
from shared.errors import UsageError
from shared.home import runs_folder


def test_a_record_is_found_by_a_unique_beginning(save_record):
    save_record("tiny-aa11")
    save_record("tiny-aa12")
    save_record("tiny-aa", updated=1.0)
    assert read_record("tiny-aa11")["run_id"] == "tiny-aa11"
    assert read_record("tiny-aa")["run_id"] == "tiny-aa"  # a whole id wins over those it begins
    with pytest.raises(UsageError, match=r"several runs begin with 'tiny-aa1': tiny-aa11, tiny-aa12"):
        read_record("tiny-aa1")
    with pytest.raises(UsageError, match="no run 'other'; the latest are: tiny-aa1"):
        read_record("other")


def test_no_runs_yet():
    assert all_records() == []
    with pytest.raises(UsageError, match="none yet"):
        read_record("x")


def test_records_are_listed_newest_first_and_by_domain(save_record):
    save_record("tiny-1", updated=1.0)
    save_record("tiny-2", updated=3.0)
    save_record("other-1", updated=2.0)
    assert [one["run_id"] for one in all_records()] == ["tiny-2", "other-1", "tiny-1"]
    assert [one["run_id"] for one in all_records("tiny")] == ["tiny-2", "tiny-1"]


def test_a_broken_record_is_left_out_and_named_when_asked_for(save_record):
    save_record("tiny-1")
    (runs_folder() / "tiny-1" / "run.json").write_text("{")
    assert all_records() == []
    with pytest.raises(UsageError, match="tiny-1 cannot be read"):
        read_record("tiny-1")


def test_a_run_whose_process_was_killed_is_interrupted(save_record):
    save_record("tiny-1", status="running", process={**this_process(), "started": 1}, updated=3.0)
    save_record("tiny-2", status="running", process=this_process(), updated=2.0)
    save_record("tiny-3", status="running", updated=1.0)  # as an earlier version wrote it
    assert [one["status"] for one in all_records()] == ["interrupted", "running", "running"]
    assert read_record("tiny-1")["status"] == "interrupted"
    assert read_record("tiny-2")["status"] == "running"


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"run_id": 1}', "[" * 100_000, "\udcff"])
def test_a_record_that_valign_did_not_write_is_left_out(save_record, text):
    save_record("tiny-1")
    save_record("tiny-2")
    (runs_folder() / "tiny-2" / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert [one["run_id"] for one in all_records()] == ["tiny-1"]


def test_an_early_stop_of_a_second_start_keeps_what_the_first_had_done(run_pipeline, tiny_installed):
    prepared = prepare("tiny", RunRequest())
    run_pipeline()
    run = SimpleNamespace(prepared=prepared, done={}, started=5.0, parent=None)
    record = write_record(run, "running")  # pyright: ignore[reportArgumentType]
    assert record["process"] == this_process()
    assert [one["stage"] for one in record["stages"]] == [stage.name for stage in prepared.stages]
    assert write_record(run, "failed")["process"] is None  # pyright: ignore[reportArgumentType]
