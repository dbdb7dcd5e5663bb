"""The study end to end on toy preferences, its report, and what it says of data that lack something."""

import json
from dataclasses import replace

import pytest

from domains.ecommerce.reward_study.config import RewardStudyConfig
from domains.ecommerce.reward_study.sections import study_sections
from domains.ecommerce.reward_study.stage import STUDY_FILE, reward_study, reward_study_stage
from shared.data.record_files import write_records
from shared.errors import DataError
from shared.stages import StageContext


@pytest.fixture
def study(tmp_path, quick):
    """(records by split, changes) to (metrics, folder of the artifact)."""

    def run(splits, **changes):
        features, out = tmp_path / "features", tmp_path / "out"
        for folder in (features, out):
            folder.mkdir()
        for name, records in splits.items():
            write_records(features / f"{name}.arrow", records)
        config = RewardStudyConfig.model_validate(quick(**changes))
        stage = reward_study_stage("reward-study", config, {"prompt": {}, "precision": "auto"}, features="features")
        context = StageContext(stage.config, {"features": features}, {}, {}, out, tmp_path / "work")
        return reward_study(context), out

    return run


def test_what_is_planted_is_found_and_reported(study, toy_preferences):
    records = toy_preferences(160, 80)
    curve = {"sizes": [10, 60], "repeats": 2, "inner_folds": 2, "l2": [0.03], "level": 0.7}
    network = {"hidden": [2], "seeds": [0, 1], "l2": [0.03], "max_iterations": 30}
    metrics, folder = study(
        {"train": records[:100], "test": records[100:]}, curve=curve, network=network, n_resamples=1000
    )
    report = json.loads((folder / STUDY_FILE).read_text())
    assert set(report["sets"]) == {"naive-mean", "given", "given-network", "measured", "both", "length", "tier"}
    assert set(report["skipped"]) == {"judge", "lm", "all"}
    assert metrics["reward-study/pairs"] == 160
    assert metrics["reward-study/products"] == 80
    assert metrics["reward-study/both/accuracy"] > 0.75
    assert metrics["reward-study/both/accuracy"] > metrics["reward-study/given/accuracy"] + 0.1
    assert metrics["reward-study/length/length_partialled"] == 0.5
    assert metrics["reward-study/tier/same_tier"] == 0.5
    assert metrics["reward-study/both/log_loss"] < 0.6
    better = report["differences"]["accuracy"]["length"]["both"]
    assert better["low"] > 0
    assert better["p_holm"] < 0.05
    assert report["sets"]["given-network"]["seeds"] == 2
    assert len(report["sets"]["both"]["l2"]) == 4
    assert report["facts"]["splits"] == {"test": 60, "train": 100}
    assert [point["size"] for point in report["curve"]["sets"]["both"]["points"]] == [10, 60]
    assert "reward-study/measured/pairs_to_level" in metrics
    (section,) = study_sections(folder)
    captions = [table.caption for table in section.tables]
    assert len(captions) == 7
    assert captions[-1] == "Pairs that it takes to reach an accuracy of 0.7"
    (plot,) = section.plots
    assert "measured text features, linear" in plot.alt
    assert plot.svg.count("fill-opacity") >= 3  # a band for each curve
    assert {row[0] for row in section.tables[0].rows} == {one["title"] for one in report["sets"].values()}


def test_a_second_run_gives_the_same_study(study, toy_preferences, tmp_path):
    records = toy_preferences(40, 20)
    first, _ = study({"train": records}, sets=["both", "length"])
    for folder in ("features", "out"):
        (tmp_path / folder).rename(tmp_path / f"{folder}-before")
    second, _ = study({"train": list(reversed(records))}, sets=["both", "length"])
    assert second == pytest.approx(first, abs=1e-6)


def test_pairs_that_lack_scores_are_left_out_and_counted(study, toy_preferences):
    records = toy_preferences(60, 30)
    for place in (0, 7):
        lacking = {name: value for name, value in records[place].scores_chosen.items() if name != "measured.support"}
        records[place] = replace(records[place], scores_chosen=lacking)
    _, folder = study({"train": records}, sets=["both", "tier"])
    report = json.loads((folder / STUDY_FILE).read_text())
    assert report["left_out"] == {"measured": 2}
    assert report["facts"]["pairs"] == 58
    assert "2 lack measured.*" in " ".join(notice.text for notice in study_sections(folder)[0].notices)


def test_data_without_given_scores_and_tiers(study, toy_preferences):
    records = [
        replace(one, covariates_chosen={}, covariates_rejected={})
        for one in toy_preferences(60, 30, families=("measured",))
    ]
    metrics, folder = study({"train": records})
    report = json.loads((folder / STUDY_FILE).read_text())
    assert set(report["sets"]) == {"measured", "length"}
    assert report["skipped"]["naive-mean"] == "the records carry no scores given.*"
    assert "reward-study/measured/same_tier" not in metrics
    assert study_sections(folder)[0].plots == []


def test_a_judges_features_are_a_set_of_their_own_and_part_of_all(study, toy_preferences):
    records = [
        replace(
            one,
            scores_chosen={**one.scores_chosen, "judge.relevance": 4.0 + number % 2},
            scores_rejected={**one.scores_rejected, "judge.relevance": 3.0 + number % 3},
        )
        for number, one in enumerate(toy_preferences(60, 30))
    ]
    _, folder = study({"train": records}, sets=["judge", "all"])
    report = json.loads((folder / STUDY_FILE).read_text())
    assert report["sets"]["judge"]["features"] == ["judge.relevance"]
    assert len(report["sets"]["all"]["features"]) == 6


def test_no_pair_with_all_scores_is_an_error(study, toy_preferences):
    records = toy_preferences(6, 6, families=("given",))
    bare = toy_preferences(6, 6, families=("measured",))
    with pytest.raises(DataError, match=r"6 lack given\.\*, 6 lack measured\.\*"):
        study({"train": [*records, *bare]}, sets=["both"])


def test_a_recipe_that_cannot_be_is_refused():
    for changes in (
        {"lm": {"folds": 20}},
        {"lm": {"training": {"kind": "gpm"}}},
        {"curve": {"sizes": [100, 50]}},
        {"curve": {"sets": ["lm"]}},
        {"sets": ["unknown"]},
    ):
        with pytest.raises(ValueError):
            RewardStudyConfig.model_validate(changes)
