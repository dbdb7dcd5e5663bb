"""A sweep from the command line: one data stage, a training a value, a comparison, and no promotion."""

import pytest

pytestmark = pytest.mark.slow


def test_a_sweep_shares_what_its_key_does_not_change_and_compares(own_tiny):
    result = own_tiny.json("run", "tiny", "--sweep", "align.steps=3,5")
    assert len(result["runs"]) == 2
    [steps] = [one for one in result["params"] if one["key"] == "align.steps"]
    assert sorted(map(int, steps["values"])) == [3, 5]
    objects = own_tiny.home / "store" / "objects"
    assert len([path for path in (objects / "data").iterdir() if not path.name.startswith(".")]) == 1
    trained = [path for path in objects.glob("align*/**/manifest.json")]
    assert len(trained) == 2
    aliases = [one["aliases"] for one in own_tiny.json("models")["registered"]]
    assert aliases
    assert not any("champion" in one for one in aliases)


def test_a_mistake_in_a_later_value_is_told_before_anything_runs(own_tiny):
    done = own_tiny("run", "tiny", "--sweep", "align.steps=3,many", code=2)
    assert "align.steps" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(own_tiny.home.glob("store/objects/*/*"))
