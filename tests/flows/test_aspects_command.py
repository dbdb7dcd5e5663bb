"""`valign aspects` as a user starts it: text, JSON, page, mistakes."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from shared.errors import DataError, UsageError
from tests.domains.ecommerce.word_vectors import word_vectors

REVIEWS = [
    "The blade is excellent. Call John Smith at john@example.org.",
    "The blade is awful.",
    "A <b>great</b> blade, I love it.",
    "The blade is terrible & dull.",
]


@pytest.fixture(autouse=True)
def _without_a_model(monkeypatch):
    monkeypatch.setattr("domains.ecommerce.factors.sentence_vectors.sentence_vectors", word_vectors)


def aspects(*arguments):
    return CliRunner().invoke(app, ["aspects", *map(str, arguments)])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reviews.jsonl"
    rows = [{"product": f"knife-{n}", "reviews": REVIEWS} for n in (1, 2, 3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_text_with_one_review_a_line(tmp_path):
    path = tmp_path / "knife.txt"
    path.write_text("\n".join(REVIEWS) + "\n\n")
    result = aspects(path)
    assert result.exit_code == 0, result.output
    assert "knife: 4 reviews" in result.stdout
    assert "blade  (4 reviews: 2 positive, 2 negative)" in result.stdout
    assert "Customers disagree on blade." in result.stdout
    assert "john@example.org" not in result.stdout
    assert "<b>" not in result.stdout


def test_a_table_gives_json_and_a_page(table, tmp_path):
    page = tmp_path / "new" / "aspects.html"
    result = aspects(table, "--json", "--html", page, "--most", 2)
    assert result.exit_code == 0, result.output
    reports = json.loads(result.stdout)
    assert [one["product"] for one in reports] == ["knife-1", "knife-2"]
    text = page.read_text()
    assert "Only the first 2 products" in text
    assert str(tmp_path) not in text
    assert "john@example.org" not in text
    only = json.loads(aspects(table, "--json", "--product", "knife-3").stdout)
    assert [one["product"] for one in only] == ["knife-3"]


def test_mistakes_are_one_sentence(table, tmp_path):
    assert "is not there" in str(aspects(tmp_path / "no.csv").exception)
    unknown = aspects(table, "--product", "spoon").exception
    assert isinstance(unknown, UsageError)
    assert "no product 'spoon'" in str(unknown)
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n")
    assert isinstance(aspects(empty).exception, DataError)
    nothing = tmp_path / "none.jsonl"
    nothing.write_text(json.dumps({"product": "a", "reviews": []}) + "\n")
    assert isinstance(aspects(nothing).exception, DataError)
    assert "is no place for a page" in str(aspects(table, "--html", tmp_path).exception)
    bytes_file = tmp_path / "b.txt"
    bytes_file.write_bytes(b"\xff\xfe\xff")
    assert isinstance(aspects(bytes_file).exception, DataError)
