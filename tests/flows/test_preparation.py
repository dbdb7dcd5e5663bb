"""From a request to a run's id and stages."""

import shutil

import pytest
from pydantic import ValidationError

from flows.preparation import check_models, prepare, reach_models
from flows.request import RunRequest
from shared.domain import load_domain
from shared.errors import DataError, UsageError
from shared.stages import Stage

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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("x" * 300, "File name too long"),
        ("~nobody-of-that-name/x.csv", "a user that is not known here"),
        ("/dev/null", "neither a file nor a folder"),
        ("a\udcff.csv", "is not there"),
    ],
)
def test_paths_nobody_meant(given, words):
    with pytest.raises(DataError, match=words) as caught:
        run_id(data=given)
    assert len(str(caught.value)) < 300


def test_a_folder_of_links_and_a_hub_id_without_a_name(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").symlink_to(load_domain("tiny").sample)
    with pytest.raises(DataError, match="holds links"):
        run_id(data=str(tmp_path / "data"))
    with pytest.raises(UsageError, match="names no data set"):
        run_id(data="hub:@main")


def stage(name="a", style="chat", **models):
    return Stage(name, lambda context: {}, config={"prompt": {"style": style}}, models=models)


def test_models_are_looked_at_before_anything_runs(tiny_model, tiny_encoder, tmp_path):
    check_models([stage(base=str(tiny_model), body=str(tiny_encoder)), stage(body="minilm-l6", other="some/model")])
    with pytest.raises(UsageError, match=r"did you mean minilm-l6\?"):
        check_models([stage(base=str(tiny_model)), stage(body="minilm")])
    plain = shutil.copytree(tiny_model, tmp_path / "plain")
    (plain / "chat_template.jinja").unlink()
    check_models([stage(base=str(plain), style="plain"), stage(body=str(plain))])
    with pytest.raises(UsageError, match=r"plain has no chat template: set `prompt.style=plain`"):
        check_models([stage(base=str(plain))])
    (plain / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json cannot be read"):
        check_models([stage(body=str(plain))])


def test_only_hub_models_are_asked_for(monkeypatch, tiny_model):
    asked = []
    monkeypatch.setattr("flows.preparation.model_revision", asked.append)
    reach_models([stage(base=str(tiny_model), body="minilm-l6"), stage(base="some/model@v1"), stage(x="some/model@v1")])
    assert asked == ["some/model@v1"]
