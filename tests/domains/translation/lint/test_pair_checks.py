"""Lint of sentence pairs: what is planted is found, and clean pairs are clean."""

from dataclasses import replace
from pathlib import Path

import pytest

from domains.translation.data import prepare
from domains.translation.data_config import PairLanguages, TranslationDataConfig
from domains.translation.lint import lint_data
from domains.translation.lint_config import TranslationLintConfig
from domains.translation.pair_checks import lint_pairs
from domains.translation.records import SentencePair
from shared.errors import UsageError
from shared.lint.findings import LintError, LintReport
from shared.stages import StageContext

LANGUAGES = PairLanguages(source="de", target="en", source_unit="word", target_unit="word")
PLACES = ("Berlin", "Hamburg", "München", "Dresden", "Leipzig", "Bremen", "Rostock", "Mainz", "Kassel", "Trier")


def clean(count: int = 20) -> list[SentencePair]:
    return [
        SentencePair(
            id=f"p{number}",
            group_id=f"g{number}",
            source=f"pairs.jsonl:{number + 1}",
            source_text=f"Am Montag fährt der Zug Nummer {number} wieder pünktlich nach {PLACES[number % 10]}.",
            target_text=f"On Monday train number {number} will be running on time to {PLACES[number % 10]} again.",
        )
        for number in range(count)
    ]


def linted(pairs: list[SentencePair], test: list[SentencePair] | None = None, **config: object) -> LintReport:
    splits = {"train": pairs} if test is None else {"train": pairs, "test": test}
    return lint_pairs(splits, LANGUAGES, TranslationLintConfig.model_validate(config))


def test_clean_pairs_are_clean() -> None:
    report = linted(clean()[:12], clean()[12:])
    assert report.findings == ()
    assert set(report.checks.values()) == {"clean"}


def test_planted_defects_are_found_where_they_are() -> None:
    pairs = clean()
    pairs[1] = replace(pairs[1], target_text=pairs[1].source_text)
    pairs[3] = replace(pairs[3], target_text="Yes.")
    pairs[5] = replace(pairs[5], target_path=(1, 2, 3))
    pairs[7] = replace(pairs[7], source_text=pairs[8].source_text)
    report = linted(pairs)
    found = {one.check: {example.id for example in one.examples} for one in report.findings}
    assert found["untranslated_copy"] == {"p1"}
    assert "p1" in found["pair_language"]  # German where English should be
    assert found["pair_length_ratio"] == {"p3"}
    assert found["pair_path"] == {"p5"}
    assert found["several_translations"] == {"p7", "p8"}
    assert report.findings[0].severity == "error"
    assert report.checks["pair_leak"].startswith("not applicable")
    assert not any(pair.source_text in one.message for one in report.findings for pair in pairs)


def test_sides_that_are_swapped_are_a_warning() -> None:
    swapped = [replace(one, source_text=one.target_text, target_text=one.source_text) for one in clean()]
    report = linted(swapped)
    assert {one.subject for one in report.of("pair_language")} == {"source", "target"}
    assert all(one.severity == "warning" for one in report.of("pair_language"))


def test_a_sentence_in_two_splits_is_an_error_unless_it_is_off() -> None:
    leaking = [replace(clean()[0], id="q", target_text="Another translation of the same sentence about trains.")]
    report = linted(clean(), leaking)
    assert [one.subject for one in report.of("pair_leak")] == ["source"]
    assert report.of("pair_leak")[0].severity == "error"
    assert linted(clean(), leaking, severities={"pair_leak": "off"}).of("pair_leak") == []
    assert linted(clean(), leaking, severities={"pair_leak": "info"}).of("pair_leak")[0].severity == "info"


def context(tmp_path: Path, sample: Path, lint: dict[str, object]) -> StageContext:
    """The lint stage's context after the data stage on the packaged sample."""
    data = TranslationDataConfig(licence="CC0-1.0").model_dump(mode="json")
    folders = {name: tmp_path / name for name in ("data", "data-work", "out", "work")}
    for folder in folders.values():
        folder.mkdir()
    files = {"data": sample}
    prepare(
        StageContext(config=data, inputs={}, files=files, models={}, out=folders["data"], work=folders["data-work"])
    )
    config = {"lint": TranslationLintConfig.model_validate(lint).model_dump(mode="json"), "data": data}
    return StageContext(
        config=config,
        inputs={"data": folders["data"]},
        files=files,
        models={},
        out=folders["out"],
        work=folders["work"],
    )


SAMPLE = Path(__file__).parents[4] / "domains" / "translation" / "sample" / "pairs.jsonl"


@pytest.mark.slow
def test_the_stage_looks_at_renderings_too(tmp_path: Path) -> None:
    metrics = lint_data(context(tmp_path, SAMPLE, {}))
    report = LintReport.from_json(__import__("json").loads((tmp_path / "out" / "splits.json").read_text()))
    assert "length_bias" in report.checks  # of the shared checks of preferences
    assert report.of("length_bias")  # the sample's chosen renderings are the shorter ones
    assert metrics["data/lint/splits/sentence_pairs"] == 140
    assert not report.with_severity("error")


def test_mistakes_of_the_recipe_and_errors_in_the_data_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nearest is pair_leak"):
        lint_data(context(tmp_path, SAMPLE, {"severities": {"pair_leek": "off"}}))


@pytest.mark.slow
def test_errors_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(LintError, match="severities"):
        lint_data(context(tmp_path, SAMPLE, {"severities": {"length_bias": "error"}}))


def test_punctuation_that_tells_the_preferred_rendering_is_found() -> None:
    pairs = [replace(one, rejected_text=one.target_text.rstrip(".")) for one in clean(40)]
    pairs[0] = replace(pairs[0], rejected_text=pairs[0].target_text, target_text=pairs[0].target_text.rstrip("."))
    [found] = [one for one in linted(pairs).findings if one.check == "preference_marks"]
    assert (found.subject, found.count) == ("final_mark", 39)
    assert "ends in a mark in 97.5%" in found.message
    assert "data.target_marks=drop" in found.message
    assert not [one for one in linted(pairs, marks_accuracy=0.95).findings if one.check == "preference_marks"]
    even = [
        replace(one, target_text=one.rejected_text, rejected_text=one.target_text) if number % 2 else one
        for number, one in enumerate(pairs)
    ]
    assert not [one for one in linted(even).findings if one.check == "preference_marks"]
