"""The feature stage: records with measured scores, their catalogue, and the same scores for new texts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from domains.ecommerce.factors import FACTORS, extractor
from domains.ecommerce.feature_stage import FACTORS_FILE, features, score_agreement
from domains.ecommerce.prompting import prompt_of
from shared.data.record_files import read_records, write_records
from shared.errors import DataError, UsageError
from shared.records import Message, PreferenceRecord
from shared.stages import StageContext

ASPECTS = ["battery", "screen", "strap", "price", "colour", "handle"]


def pair(number: int, same_tier: bool) -> PreferenceRecord:
    first, second = ASPECTS[number % 6], ASPECTS[(number + 1) % 6]
    reviews = (f"The {first} is great. The {second} is awful.", f"I love the {first}, and hate the {second}.")
    return PreferenceRecord(
        id=f"pair-{number}",
        group_id=f"product-{number // 2}",
        source=f"pairs.jsonl:{number + 1}",
        prompt=prompt_of(reviews),
        chosen=f"Buyers love the {first}. They find the {second} awful.",
        rejected="It is a nice thing.",
        scores_chosen={"given.relevance": 4.0},
        scores_rejected={"given.relevance": 2.0 + 2.5 * (number == 0)},
        covariates_chosen={"tier": 0.0},
        covariates_rejected={"tier": 0.0 if same_tier else 2.0},
    )


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    for name in ("data", "out", "work"):
        (tmp_path / name).mkdir()
    write_records(tmp_path / "data" / "train.arrow", [pair(number, number % 3 == 0) for number in range(12)])
    write_records(tmp_path / "data" / "test.arrow", [pair(number, False) for number in range(12, 16)])
    write_records(tmp_path / "data" / "judge.arrow", [])
    return StageContext(
        {"costs": ["lexical"]}, {"data": tmp_path / "data"}, {}, {}, tmp_path / "out", tmp_path / "work"
    )


def test_both_sides_of_every_record_are_measured(context: StageContext) -> None:
    metrics = features(context)
    names = FACTORS.names(costs=["lexical"])
    for split, count in (("train", 12), ("test", 4), ("judge", 0)):
        before = read_records(context.inputs["data"] / f"{split}.arrow")
        after = read_records(context.out / f"{split}.arrow")
        assert len(after) == count
        for old, new in zip(before, after, strict=True):
            assert set(new.scores_chosen) == {"given.relevance", *(f"measured.{name}" for name in names)}
            assert replace(new, scores_chosen=old.scores_chosen, scores_rejected=old.scores_rejected) == old
            assert new.scores_chosen["measured.aspect-coverage"] == 1.0
            assert new.scores_rejected["measured.aspect-coverage"] == 0.0
    assert metrics["features/factors"] == len(names)
    assert metrics["features/summaries"] == 32.0
    assert metrics["features/agreement/measured.aspect-coverage"] == 1.0


def test_the_catalogue_and_each_scores_own_agreement_are_kept(context: StageContext) -> None:
    features(context)
    kept = json.loads((context.out / FACTORS_FILE).read_text())
    assert [row["name"] for row in kept["factors"]] == FACTORS.names(costs=["lexical"])
    rows = {row["name"]: row for row in kept["agreement"]["train"]}
    assert rows["measured.aspect-coverage"]["accuracy"]["value"] == 1.0
    assert rows["measured.aspect-coverage"]["strata"]["same-tier"]["n"] == 4
    assert rows["given.relevance"]["accuracy"]["value"] == pytest.approx(11 / 12)
    assert rows["given.relevance"]["strata"]["same-tier"]["value"] == pytest.approx(3 / 4)
    assert kept["agreement"]["judge"] == []


def test_new_texts_are_scored_as_records_are(context: StageContext) -> None:
    features(context)
    records = read_records(context.out / "train.arrow")
    extract = extractor(["lexical"])
    rows = extract([one.prompt for one in records], [one.chosen for one in records])
    for one, row in zip(records, rows, strict=True):
        assert row == {name: value for name, value in one.scores_chosen.items() if name.startswith("measured.")}


def test_a_second_run_looks_nothing_up_anew(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    first = features(context)
    monkeypatch.setattr("domains.ecommerce.factors.lexical.read_text", None)  # would be called for every summary
    assert features(context) == first


def test_a_choice_of_factors(context: StageContext) -> None:
    chosen = replace(context, config={"factors": ["length", "copy*"], "costs": ["lexical"], "splits": ["test"]})
    features(chosen)
    assert not (context.out / "train.arrow").exists()
    one = read_records(context.out / "test.arrow")[0]
    assert set(one.scores_chosen) == {"given.relevance", "measured.length", "measured.copying"}


def test_an_unknown_factor_names_the_nearest(context: StageContext) -> None:
    with pytest.raises(UsageError, match="did you mean aspect-coverage"):
        features(replace(context, config={"factors": ["aspect-covrage"]}))


def test_a_prompt_without_reviews_is_told(context: StageContext) -> None:
    broken = replace(pair(0, False), prompt=(Message("user", "Summarise."),))
    write_records(context.inputs["data"] / "train.arrow", [broken])
    with pytest.raises(DataError, match="holds no reviews"):
        features(context)


def test_agreement_leaves_out_what_some_record_lacks_and_strata_without_tiers() -> None:
    records = [
        pair(0, False),
        replace(pair(1, False), covariates_chosen={}, scores_chosen={"given.relevance": 5.0, "x": 1.0}),
    ]
    table = score_agreement(records)
    assert [row.name for row in table] == ["given.relevance"]
    assert table[0].strata == {}
    assert score_agreement([]) == []
