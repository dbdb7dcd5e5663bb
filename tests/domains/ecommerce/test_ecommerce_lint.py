"""E-commerce's own checks of its data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from domains.ecommerce.data import preference_records
from domains.ecommerce.data_config import EcommerceDataConfig
from domains.ecommerce.lint import CHECKS, lint_data
from domains.ecommerce.prompting import prompt_of
from shared.data.rows import RowTally
from shared.errors import DataError
from shared.lint.config import LintConfig
from shared.lint.findings import Severity
from shared.lint.run import lint
from shared.records import PreferenceRecord
from shared.stages import StageContext

REVIEWS = ("The handle broke after a week and the shop sent no answer. Sad.", "It boils fast.")
SEVERITIES: dict[str, Severity | Literal["off"]] = dict.fromkeys(
    ("label_flips", "wrong_language", "personal_data"), "off"
)
PLAIN = PreferenceRecord("r1", "g1", "f.jsonl:1", prompt_of(REVIEWS), "It boils fast but may break.", "It is blue.")


def counts(record: PreferenceRecord) -> dict[str, int]:
    report = lint({"all": lambda: [record]}, LintConfig(severities=SEVERITIES), None, CHECKS)
    return {check.name: sum(each.count for each in report.of(check.name)) for check in CHECKS}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ()),
        ({"rejected": "It is blue. This summary is bad because it lies."}, ("summary_about_itself",)),
        ({"chosen": "Here is a summary: it boils fast."}, ("summary_about_itself",)),
        (
            {"chosen": "the handle broke after a week  and the shop sent no answer. It boils fast."},
            ("preferred_summary_copies_a_review",),
        ),
        ({"chosen": "In summary, it boils fast."}, ()),
        (
            {
                "scores_chosen": {"given.a": 2.0, "measured.b": 9.0},
                "scores_rejected": {"given.a": 3.0, "measured.b": 0.0},
            },
            ("preferred_summary_scored_lower",),
        ),
        ({"scores_chosen": {"given.a": 3.0}, "scores_rejected": {"given.a": 3.0}}, ()),
    ],
)
def test_own_checks(changes, found) -> None:
    assert counts(replace(PLAIN, **changes)) == {check.name: int(check.name in found) for check in CHECKS}


def test_opinpref_has_such_summaries(real_data: Path) -> None:
    config = EcommerceDataConfig()
    path = real_data / "ecommerce" / "opinpref_train.jsonl"
    records = list(preference_records({"data": path}, config, RowTally()))
    assert len(records) == 800
    report = lint({"all": lambda: records}, LintConfig(severities=SEVERITIES), None, CHECKS)
    assert report.of("summary_about_itself")[0].count >= 15
    assert report.of("preferred_summary_scored_lower")[0].count > 100
    assert not report.of("prompt_in_several_groups")  # the head of every prompt is no title that groups share


def test_reviews_without_preferences_are_told_what_they_serve_for(tmp_path: Path) -> None:
    summary = {"name": "reviews.jsonl", "splits": {"train": {"pairs": 0}, "test": {"pairs": 0}}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match=r"reviews\.jsonl holds reviews and no preference .* `valign aspects FILE`"):
        lint_data(StageContext({}, {"data": tmp_path}, {}, {}, tmp_path, tmp_path))
