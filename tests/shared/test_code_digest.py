"""No edit of code serves a stale result; wording retrains nothing."""

import importlib
import sys
from pathlib import Path

import pytest

from shared.code_digest import code_digests, source_digest

SOURCE = '''
"""Module."""
import math

def area(radius):
    """Area."""
    return math.pi * radius ** 2  # circle
'''


def test_comments_docstrings_and_layout_do_not_count():
    reworded = SOURCE.replace("Module", "Another").replace("Area.", "The area of it.").replace("# circle", "")
    assert source_digest(reworded) == source_digest(SOURCE)
    assert source_digest("\n\n\n" + SOURCE) == source_digest(SOURCE)


def test_any_other_edit_counts():
    assert source_digest(SOURCE.replace("** 2", "** 3")) != source_digest(SOURCE)
    assert source_digest(SOURCE.replace("area", "surface")) != source_digest(SOURCE)


def test_function_with_only_a_docstring():
    assert source_digest('def f():\n    """one"""') == source_digest('def f():\n    """two"""')


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A plug-in package `plug`: stage -> helper (inside a function) -> shared.digest."""
    folder = tmp_path / "plug"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "stage.py").write_text("def run():\n    from . import helper\n    return helper.x\n")
    (folder / "helper.py").write_text("from shared.digest import json_digest\nx = 1\n")
    (folder / "other.py").write_text("x = 1\n")
    (folder / "child.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "plug"]:
        del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.write_text(text)
    importlib.invalidate_caches()


def test_reaches_modules_imported_inside_functions_and_relative_and_ours(package):
    assert {"plug.stage", "plug.helper", "shared.digest"} <= code_digests("plug.stage").keys()
    assert "plug.other" not in code_digests("plug.stage")


def test_an_edit_two_imports_away_changes_the_digests(package):
    before = code_digests("plug.stage")
    write(package / "helper.py", "from shared.digest import json_digest\nx = 22\n")
    assert code_digests("plug.stage") != before


def test_an_edit_elsewhere_does_not(package):
    before = code_digests("plug.stage")
    write(package / "other.py", "x = 12345\n")
    assert code_digests("plug.stage") == before


def test_a_child_process_started_by_module_name_counts(package):
    found = code_digests("shared.training.launch") if Path("shared/training/launch.py").exists() else None
    if found is not None:
        assert any(name.startswith("shared.training.worker") for name in found)
    write(package / "stage.py", 'COMMAND = ["python", "-m", "shared.digest"]\n')
    assert "shared.digest" in code_digests("plug.stage")


def test_a_builder_named_by_module_and_function_counts(package):
    write(package / "stage.py", 'BUILDER = "shared.digest:json_digest"\n')
    assert "shared.digest" in code_digests("plug.stage")
