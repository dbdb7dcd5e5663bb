"""`valign lint` as a user starts it: tables, JSON, page, exit codes."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from shared.lint.findings import LintError
from tests.shared.lint.lint_records import TEXTS


def lint(*arguments):
    return CliRunner().invoke(app, ["lint", *map(str, arguments)])


@pytest.fixture
def pairs(tmp_path):
    def write(name, numbers, **more):
        rows = [
            {
                "prompt": f"Question {n}: {TEXTS[n % 6]}?",
                "chosen": f"{TEXTS[(n * 5 + 1) % 6]} as reply {n}, and at some length.",
                "rejected": f"{TEXTS[(n * 5 + 3) % 6]} {n}.",
                **more,
            }
            for n in numbers
        ]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_a_file_gives_a_table_and_a_page(pairs, tmp_path):
    page = tmp_path / "new" / "lint.html"
    result = lint("--data", pairs("a.jsonl", range(30)), "--html", page)
    assert result.exit_code == 0, result.output
    assert "The data as given (all 30)" in result.stdout
    assert "length_bias" in result.stdout
    assert f"Page: {page}" in result.stdout
    text = page.read_text()
    assert "Lint of a.jsonl" in text
    assert "Judges that read no answer" in text
    assert str(tmp_path) not in text


def test_an_error_is_shown_with_its_table_and_page_and_ends_with_code_3(pairs, tmp_path):
    page = tmp_path / "lint.html"
    given = [f"train={pairs('a.jsonl', range(20))}", f"test={pairs('b.jsonl', range(15, 25))}"]
    result = lint("preferences", "--data", given[0], "--data", given[1], "--html", page, "--json")
    assert isinstance(result.exception, LintError)
    assert result.exception.exit_code == 3
    report = json.loads(result.stdout)["given"]
    assert report["splits"] == {"train": 20, "test": 10}
    leak = next(one for one in report["findings"] if one["check"] == "leak_group")
    assert (leak["severity"], leak["count"]) == ("error", 5)
    assert "<strong>Problem.</strong> The data as given: 1 error and" in page.read_text()


def test_columns_are_mapped_with_set(pairs, tmp_path):
    path = tmp_path / "mapped.csv"
    path.write_text("q;better;worse\n".replace(";", ",") + "".join(f"ask {n},one {n},two {n}\n" for n in range(12)))
    wrong = lint("--data", path)
    assert "no column 'chosen'" in str(wrong.exception)
    names = [f"data.columns.{key}={value}" for key, value in (("prompt", "q"), ("chosen", "better"))]
    result = lint("--data", path, "--set", names[0], "--set", names[1], "--set", "data.columns.rejected=worse")
    assert result.exit_code == 0, result.output
    assert "all 12" in result.stdout


def test_what_is_used_wrongly_is_said(pairs, tmp_path):
    path = pairs("a.jsonl", range(5))
    assert "--data FILE" in str(lint("preferences").exception)
    assert "did you mean opinpref" in str(lint("--data", path, "--recipe", "opinpreff").exception)
    assert "give one --data" in str(lint("counseling", "--data", path, "--data", path).exception)
    assert "is no place for a page" in str(lint("--data", path, "--html", tmp_path).exception)
    assert "nearest known one is 'lint.alpha'" in str(lint("--data", path, "--set", "lint.alpa=1").exception)


def test_a_domain_without_a_lint_stage_says_what_to_do(tiny_installed):
    assert "valign lint preferences --data FILE" in str(lint("tiny").exception)


def test_the_list_of_checks():
    shown = lint("--checks")
    assert shown.exit_code == 0
    assert "near_duplicate_similarity=0.8" in shown.stdout
    rows = json.loads(lint("--checks", "--json").stdout)
    assert {"name", "severity", "needs", "thresholds", "about"} == set(rows[0])
