"""From a request to a run's id and stages."""

import shutil

import pytest
from pydantic import ValidationError

from flows.preparation import prepare
from flows.request import RunRequest
from shared.domain import load_domain
from shared.errors import DataError, UsageError

pytestmark = pytest.mark.usefixtures("tiny_installed")


def run_id(**request):
    return prepare("tiny", RunRequest(**request)).run_id


def test_the_same_request_is_the_same_run(tmp_path):
    assert run_id() == run_id() == run_id(overrides=["align.steps=6"])
    copy = tmp_path / "copy.csv"
    shutil.copyfile(load_domain("tiny").sample, copy)
    assert run_id(data=str(copy)) == run_id()


def test_data_recipe_and_code_make_another_run(tmp_path, monkeypatch):
    data = tmp_path / "data.csv"
    data.write_text(load_domain("tiny").sample.read_text() + "x,q99,aaa,b\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("align:\n  rate: 0.3\n")
    ids = {run_id(), run_id(data=str(data)), run_id(recipe=str(recipe)), run_id(overrides=["align.steps=7"])}
    assert len(ids) == 4
    accepted = run_id(accept_code_change=True)
    monkeypatch.setattr("flows.preparation.code_digests", lambda module: {module: "edited"})
    assert run_id() not in ids
    assert run_id(accept_code_change=True) == accepted


def test_preparing_makes_no_database(tmp_path):
    prepare("tiny", RunRequest())
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


def test_wrong_requests(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match="is empty"):
        run_id(data=str(tmp_path / "empty.csv"))
    with pytest.raises(DataError, match="is not there"):
        run_id(data=str(tmp_path / "none.csv"))
    with pytest.raises(UsageError, match="reads files only"):
        run_id(data="hub:someone/something")
    with pytest.raises(UsageError, match="names a stage twice"):
        run_id(overrides=["align.seeds=[0, 0]"])
    with pytest.raises(UsageError, match="unknown domain"):
        prepare("tinny", RunRequest())
    with pytest.raises(ValidationError, match="extra"):
        RunRequest(dta="x")
