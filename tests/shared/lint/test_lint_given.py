"""Lint of any preference file: formats, splits, what cannot be read, and nothing that names a person."""

import json

import pytest

from shared.errors import DataError
from shared.lint.given import RECIPES, LintRecipe, lint_given
from shared.recipes import load_recipe
from tests.shared.lint.lint_records import TEXTS


def recipe(name="preferences", *overrides):
    return load_recipe(LintRecipe, RECIPES / f"{name}.yaml", overrides)


def row(number, **more):
    return {
        "prompt": f"Question {number}: {TEXTS[number % 6]}?",
        "chosen": f"{TEXTS[(number * 5 + 1) % 6]} as reply {number}.",
        "rejected": f"{TEXTS[(number * 5 + 3) % 6]} as another reply {number}.",
        **more,
    }


def write(path, rows):
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return str(path)


@pytest.mark.parametrize("name", [path.stem for path in RECIPES.glob("*.yaml")])
def test_every_recipe_is_valid(name):
    assert recipe(name).data.format in ("auto", "judged", "scored")


def test_ties_stay_in_and_rows_that_are_no_pair_are_counted(tmp_path):
    rows = [row(n, margin=n % 2) for n in range(10)] + [row(10, chosen=""), row(11, margin=-1)]
    found = lint_given([write(tmp_path / "pairs.jsonl", rows)], recipe())
    assert found.report.splits == {"all": 10}
    assert found.report.of("ties")[0].count == 5
    (unusable,) = found.report.of("unusable_rows")
    assert unusable.count == 2
    assert dict(found.left_out) == {
        "has an empty 'chosen'": 1,
        "column 'margin' is below its least value 0": 1,
    }


def test_leaks_between_given_splits_a_folder_s_and_a_column_s(tmp_path):
    train, test = [row(n) for n in range(12)], [row(n) for n in (3, 20, 21)]
    folder = tmp_path / "both"
    folder.mkdir()
    write(folder / "train.jsonl", train)
    write(folder / "test.jsonl", test)
    one_file = [{**each, "split": "dev"} for each in test] + [{**each, "split": "train"} for each in train]
    for given, name in (
        ([f"train={folder}/train.jsonl", f"test={folder}/test.jsonl"], "test"),
        ([str(folder)], "test"),
        ([write(tmp_path / "one.jsonl", one_file)], "dev"),
    ):
        report = lint_given(given, recipe()).report
        assert dict(report.splits) == {"train": 12, name: 3}
        assert report.of("leak_text", "prompt")[0].count == 1
        assert report.of("leak_group")[0].severity == "error"


def test_a_file_of_several_splits_counts_its_broken_rows_once(tmp_path):
    rows = [{**row(n), "split": "ab"[n % 2]} for n in range(20)]
    path = tmp_path / "one.jsonl"
    write(path, rows)
    path.write_text(path.read_text() + "{broken\n")
    found = lint_given([str(path)], recipe())
    assert sum(found.left_out.values()) == 1
    assert found.report.of("unusable_rows")[0].count == 1


def test_judged_rows_by_their_columns_and_by_a_mapping(tmp_path):
    rows = [
        {"prompt": each["prompt"], "response_a": each["chosen"], "response_b": each["rejected"], "best": "b"}
        for each in map(row, range(8))
    ]
    path = write(tmp_path / "judged.jsonl", rows)
    with pytest.raises(DataError, match="no column says which is preferred"):
        lint_given([path], recipe())
    report = lint_given([path], recipe("preferences", "data.judged.label=best")).report
    assert report.splits == {"all": 8}


def test_truncation_needs_a_model_and_a_length(tmp_path, tiny_model):
    path = write(tmp_path / "pairs.jsonl", [row(n) for n in range(6)])
    assert lint_given([path], recipe()).report.checks["truncation"].startswith("not applicable")
    report = lint_given([path], recipe("preferences", f"model={tiny_model}", "lint.max_length=60")).report
    assert report.of("truncation")[0].count == 6
    assert sum(report.figures["truncation"]["lengths"]["counts"]) == 6


def test_wrong_columns_name_the_nearest(tmp_path):
    rows = [{"prompt": "q", "choosen": "a", "rejected": "b"}]
    with pytest.raises(DataError, match=r"no column 'chosen': did you mean 'choosen'.*data\.columns"):
        lint_given([write(tmp_path / "pairs.jsonl", rows)], recipe())


def test_ids_and_file_names_that_name_someone_are_masked(tmp_path):
    rows = [row(n, id=f"jane.doe{n}@example.org", margin=0) for n in range(4)]
    report = lint_given([write(tmp_path / "Jane_Doe_export.jsonl", rows)], recipe()).report
    shown = json.dumps(report.to_json())
    assert "jane" not in shown.lower()
    assert report.of("ties")[0].examples[0].source.endswith(":1")


def test_adparaphrase_shows_texts_in_several_splits_and_opinpref_its_length_confound(real_data):
    off = "lint.severities.label_flips=off"
    ads = lint_given([str(real_data / "ads" / "adparaphrase_v2_pt.csv")], recipe("adparaphrase", off)).report
    assert list(ads.splits) == ["train", "valid"]
    assert ads.of("leak_text", "prompt")[0].count >= 40
    assert ads.of("length_bias", "longer")
    summaries = str(real_data / "ecommerce" / "opinpref_train.jsonl")
    opinpref = lint_given([summaries], recipe("opinpref", off)).report
    (length,) = opinpref.of("length_bias", "longer")
    assert 0.72 < length.share < 0.82
    assert opinpref.of("label_predictors", "covariates.index")


@pytest.mark.parametrize(
    ("name", "file", "least"),
    [
        ("pandalm", "general/pandalm_human.json", 900),
        ("autoj", "general/autoj_pairwise.jsonl", 1300),
        ("preferences", "general/hh_harmless_base.jsonl.gz", 1700),
        ("adparaphrase-main", "ads/adparaphrase_v2_main.csv", 15000),
        ("counsel-chat", "counseling/counsel_chat.csv", 2000),
    ],
)
def test_published_files_can_be_linted(real_data, name, file, least):
    off = [f"lint.severities.{check}=off" for check in ("label_flips", "wrong_language", "personal_data")]
    report = lint_given([str(real_data / file)], recipe(name, *off)).report
    assert sum(report.splits.values()) >= least
