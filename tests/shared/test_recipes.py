"""Recipes: what is wrong, where, and the nearest known key."""

from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import model_validator

from shared.digest import json_digest
from shared.errors import UsageError
from shared.recipes import Component, apply_override, find_recipe, flatten, known_keys, load_recipe, to_values


class Align(Component):
    beta: float = 0.1
    learning_rate: float = 5e-7
    seeds: tuple[int, ...] = (0,)

    @model_validator(mode="after")
    def _seeded(self) -> Self:
        if not self.seeds:
            raise ValueError("name at least one seed.")
        return self


class Recipe(Component):
    align: Align = Align()
    name: str = "x"


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "cpu.yaml"
    path.write_text("align:\n  beta: 0.2\n")
    return path


def test_reads_defaults_values_and_overrides(recipe):
    loaded = load_recipe(Recipe, recipe, ["align.learning_rate=5e-5", "align.seeds=[1,2]", "name=y"])
    assert (loaded.align.beta, loaded.align.learning_rate, loaded.align.seeds, loaded.name) == (0.2, 5e-5, (1, 2), "y")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("align.betta=1", "'align.beta'"),
        ("beta=1", "'align.beta'"),
        ("algin.beta=1", "'align'"),
        ("align.beta=high", "align.beta.*number.*'high'"),
        ("align.beta", "form key.sub=value"),
        ("name.x=1", "'name'.*should be a valid string"),
        ("align.beta=[", "not valid YAML"),
        ("align.beta=.inf", "'align.beta'.*finite"),
        ("align.beta=.nan", "'align.beta'.*finite"),
        ('name="\\ud800"', "'name'.*Unicode"),
        ("align=3", "'align'.*is a group of keys.*'align.beta'"),
        ("align.beta.x=1", "'align.beta'.*not a group of keys|beta is a value"),
        ("align.seeds={a: 1}", "'align.seeds'.*not a group of keys"),
        ("align.seeds=[]", r"recipe key 'align' in cpu.yaml or --set: name at least one seed\.$"),
        ("name=" + "9" * 5_000, "not valid YAML"),
        ("name=2024-13-45", "month must be in"),
        ("name=" + "[" * 1_500, "nested too deeply|not valid YAML"),
        ("name=!!int ''", "not valid YAML"),
    ],
)
def test_a_wrong_override_is_one_sentence(recipe, override, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_recipe(Recipe, recipe, [override])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["align: [", "- 1\n", "align: 3", "\tx: 1"])
def test_a_broken_file_is_one_sentence(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.yaml"):
        load_recipe(Recipe, path)


def test_not_utf8(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        load_recipe(Recipe, path)


def test_find_by_name_path_or_nearest(recipe):
    assert find_recipe("cpu", recipe.parent) == recipe
    assert find_recipe(str(recipe), recipe.parent.parent) == recipe
    with pytest.raises(UsageError, match="did you mean cpu"):
        find_recipe("cppu", recipe.parent)
    with pytest.raises(UsageError, match="not there"):
        find_recipe("./nothing.yaml", recipe.parent)
    with pytest.raises(UsageError, match="is no file"):
        find_recipe(f"{recipe.parent}/", recipe.parent)
    for name in ("x" * 300 + ".yaml", "~nobody-of-that-name/x.yaml"):
        with pytest.raises(UsageError, match="cannot be opened"):
            find_recipe(name, recipe.parent)


def test_known_keys_and_flatten_agree():
    assert set(flatten(to_values(Recipe()))) <= set(known_keys(Recipe))


@given(st.text())
def test_any_override_is_read_or_refused(text):
    values: dict = {}
    try:
        apply_override(values, text)
    except UsageError:
        return
    assert "=" in text
    assert len(values) == 1


PIECES = st.sampled_from(
    [
        *(
            "align",
            "beta",
            "name",
            "seeds",
            ": ",
            "- ",
            "\n",
            "  ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "&a ",
            "*a",
            "<<: ",
            "? ",
            "|",
        ),
        *(
            ".inf",
            ".nan",
            "1e999",
            "0x1F",
            "2024-13-45",
            "!!int",
            "!!binary aGk=",
            "!!python/name:os",
            "!!set {a}",
            "1: 2",
        ),
        *('"\\ud800"', '"\\0"', "\t", "%", "@", "\x07", "\ufeff", "null", "true", "'", '"', "#", "---\n"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(text=st.lists(PIECES | st.text(max_size=3), max_size=14).map("".join), override=st.lists(PIECES).map("".join))
def test_whatever_stands_in_a_recipe_only_usage_errors(tmp_path_factory, text, override):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for overrides in ([], [override], [f"name={override}"]):
        message = ""
        try:
            json_digest(to_values(load_recipe(Recipe, path, overrides)))
        except UsageError as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 700
