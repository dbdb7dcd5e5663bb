"""What lint finds in public data, where they are at hand."""

from functools import partial

from shared.lint.config import LintConfig
from shared.lint.run import lint
from tests.shared.lint import real_pairs


def test_counsel_chat_views_dominating_questions_and_personal_data(real_data):
    report = lint({"all": partial(real_pairs.counsel_chat, real_data)}, LintConfig(severities={"label_flips": "off"}))
    (views,) = report.of("label_predictors", "covariates.views")
    assert views.severity == "warning"
    assert 0.9 < views.share < 0.97
    assert report.metrics["data/lint/groups_top_share"] > 0.1
    assert report.of("dominating_groups")
    assert report.figures["prompt_in_several_groups"]["whole prompt"]["texts"] >= 5
    for kind in ("web addresses", "phone numbers", "professional credentials (sign-offs)"):
        assert report.of("personal_data", kind)[0].count >= 30


def test_adparaphrase_texts_stand_in_several_splits(real_data):
    splits = {split: partial(real_pairs.ads, real_data, split) for split in ("train", "valid")}
    report = lint(splits, LintConfig(severities={"label_flips": "off"}))
    assert report.of("leak_text", "prompt")[0].count >= 40
    assert not report.of("leak_group")
    assert report.of("length_bias", "longer")
    assert report.of("ties")
    assert report.of("preference_cycles")
    assert report.metrics["data/lint/votes_kappa"] < 0.3


def test_opinpref_is_confounded_by_length_and_by_generation_tier(real_data):
    report = lint({"train": partial(real_pairs.opinpref, real_data)}, LintConfig(severities={"label_flips": "off"}))
    (length,) = report.of("length_bias", "longer")
    assert 0.72 < length.share < 0.82
    (tier,) = report.of("label_predictors", "metadata.tier")
    assert 0.8 < tier.share < 0.9
    scores = [each for each in report.of("label_predictors") if each.subject.startswith("scores.")]
    assert len(scores) == 7
    assert {each.severity for each in scores} == {"info"}
