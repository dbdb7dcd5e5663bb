"""Which files are which split."""

import pytest

from shared.data.given_splits import given_splits, values_of_column
from shared.errors import DataError, UsageError


@pytest.fixture
def folder(tmp_path):
    for name in ("train.csv", "test.csv", "other.csv"):
        (tmp_path / name).write_text("prompt,chosen,rejected,part\nq,a,b,x\nq,a,c,y\n")
    return tmp_path


def names_of(found):
    return {split: [getattr(one, "name", one) for one in sources] for split, sources in found.items()}


def test_one_file_is_one_split_and_names_may_be_given(folder):
    assert names_of(given_splits([f"{folder}/test.csv"])) == {"all": ["test.csv"]}
    given = [f"heldout={folder}/test.csv", f"train={folder}/train.csv", f"train={folder}/other.csv"]
    assert list(names_of(given_splits(given)).items()) == [
        ("train", ["train.csv", "other.csv"]),
        ("heldout", ["test.csv"]),
    ]


def test_several_files_are_named_for_themselves(folder):
    found = given_splits([f"{folder}/other.csv", f"{folder}/test.csv", f"{folder}/train.csv"])
    assert list(found) == ["train", "test", "other"]


def test_a_folder_of_splits_and_a_folder_of_parts(folder, tmp_path):
    (folder / "other.csv").unlink()
    assert names_of(given_splits([str(folder)])) == {"train": ["train.csv"], "test": ["test.csv"]}
    (folder / "test.csv").rename(folder / "train-2.csv")
    assert names_of(given_splits([str(folder)])) == {"all": [folder.name]}
    nested = folder / "nested"
    (nested / "dev").mkdir(parents=True)
    (nested / "dev" / "data.csv").write_text("x\n1\n")
    (folder / "train.csv").rename(nested / "my_train.csv")
    assert names_of(given_splits([str(nested)])) == {"train": ["my_train.csv"], "validation": ["data.csv"]}


def test_a_file_whose_name_holds_a_sign_of_equality(folder):
    odd = folder / "train=1.csv"
    odd.write_text("x\n1\n")
    assert names_of(given_splits([str(odd)])) == {"all": ["train=1.csv"]}


def test_hub_data_sets():
    assert given_splits(["train=hub:a/b:train", "test=hub:a/b:test"]) == {
        "train": ["hub:a/b:train"],
        "test": ["hub:a/b:test"],
    }


def test_what_cannot_be_told(folder):
    with pytest.raises(DataError, match=r"and others \(other.csv\)"):
        given_splits([str(folder)])
    with pytest.raises(DataError, match=r"nowhere\.csv is not there"):
        given_splits(["train=/nowhere.csv"])
    with pytest.raises(UsageError, match="--data FILE"):
        given_splits([])


def test_the_values_of_a_column_that_names_splits(folder):
    path = folder / "parts.csv"
    path.write_text("part\nvalid\ntrain\ntest\ntrain\nextra\n")
    assert values_of_column([path], "part") == ["train", "valid", "test", "extra"]
    assert values_of_column([path], "absent") == []
    path.write_text("part\nonly\nonly\n")
    assert values_of_column([path], "part") == []
    path.write_text("part\n" + "\n".join(map(str, range(30))))
    assert values_of_column([path], "part") == []
