"""The list of checks: complete, true to the configuration, and the table of the documentation."""

from pathlib import Path

from shared.lint.catalogue import catalogue, markdown_table
from shared.lint.config import LintConfig
from shared.lint.run import CHECKS

DOCS = Path(__file__).parents[3] / "docs" / "lint.md"
OF_ALL = {"severities", "examples"}


def test_every_check_says_what_it_looks_for_and_every_threshold_belongs_to_one():
    rows = catalogue()
    assert [row.name for row in rows] == [each.name for each in CHECKS]
    assert all(row.about.endswith(".") for row in rows)
    named = {key.partition("=")[0] for row in rows for key in row.thresholds}
    assert named == set(LintConfig.model_fields) - OF_ALL


def test_the_table_of_the_documentation_is_the_registry_s():
    assert markdown_table() in DOCS.read_text(encoding="utf-8")
