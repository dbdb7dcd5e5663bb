import math

import numpy as np
import pytest

from shared.errors import DataError
from shared.evaluation.measured import ItemValues, Measured


def test_round_trip_through_a_file(tmp_path):
    measured = Measured(
        "seed-0",
        {"eval/a": ItemValues.of(["x", "y"], None, [[0.1, math.nan], [1 / 3, 1.0]])},
        {"eval/kl": math.nan, "eval/steps": 3},
        1,
        "MIT",
        {"judge": "abc"},
    )
    measured.write(tmp_path / "m.json")
    back = Measured.read(tmp_path / "m.json")
    values = back.items["eval/a"]
    assert (values.ids, values.groups, values.seeds) == (("x", "y"), ("x", "y"), 2)
    np.testing.assert_array_equal(values.values, measured.items["eval/a"].values)
    assert math.isnan(back.scalars["eval/kl"])
    assert back.to_json() == measured.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 1, "items": {"a": 3}}'])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "m.json"
    with pytest.raises(DataError, match="no measurement"):
        Measured.read(path)
    path.write_text(text)
    with pytest.raises(DataError, match=r"m\.json is no measurement"):
        Measured.read(path)


def test_item_values_are_checked():
    assert ItemValues.of(["a", "b"], ["g", "g"], [1, 2]).values.shape == (1, 2)
    with pytest.raises(ValueError, match="occurs twice"):
        ItemValues.of(["a", "a"], None, [1, 2])
    with pytest.raises(ValueError, match="2 ids and 1 groups"):
        ItemValues.of(["a", "b"], ["g"], [1, 2])
    with pytest.raises(ValueError, match="3 ids"):
        ItemValues.of(["a", "b", "c"], None, [1, 2])
