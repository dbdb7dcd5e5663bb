"""The run as a whole: what it reads, how it is configured and extended, what it never says."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.data.record_files import write_records
from shared.errors import DataError, UsageError
from shared.lint.config import LintConfig
from shared.lint.findings import LintReport, Outcome, metric_name
from shared.lint.registry import check, record_check, table_check
from shared.lint.run import CHECKS, lint
from shared.records import Message, PreferenceRecord, Votes
from tests.shared.lint.lint_records import ids_of, pair, report_on


def test_clean_pairs_have_no_errors_and_every_check_has_a_status():
    report = report_on([pair(n) for n in range(40)], [pair(n) for n in range(40, 50)])
    assert list(report.checks) == [each.name for each in CHECKS]
    assert set(report.splits.items()) == {("train", 40), ("test", 10)}
    assert not report.with_severity("error")
    assert report.metrics["data/lint/pairs"] == 50
    report.raise_for_errors()


def test_reads_record_files_and_puts_train_first(tmp_path):
    write_records(tmp_path / "test.arrow", [pair(1), pair(2)])
    write_records(tmp_path / "train.arrow", [pair(1), pair(3)])
    report = lint({"test": tmp_path / "test.arrow", "train": tmp_path / "train.arrow"}, LintConfig())
    (finding,) = report.of("leak_group")
    assert [(each.id, each.split) for each in finding.examples] == [("r1", "test")]


def test_no_records_is_a_data_error():
    with pytest.raises(DataError, match="no record in train"):
        report_on([])


def test_errors_raise_only_when_asked_and_say_what_to_do():
    report = report_on([pair(n, group_id="one") for n in range(5)])
    assert [each.check for each in report.with_severity("error")] == ["one_group"]
    with pytest.raises(DataError, match=r"belong to one group.*lint\.severities"):
        report.raise_for_errors()


def test_severities_can_be_changed_and_checks_switched_off():
    records = [pair(n, group_id="one", margin=0.0) for n in range(5)]
    report = report_on(records, config={"severities": {"one_group": "info", "all_tied": "off", "ties": "error"}})
    assert report.checks["all_tied"] == "off"
    assert {each.check: each.severity for each in report.findings if each.check in {"one_group", "ties"}} == {
        "one_group": "info",
        "ties": "error",
    }


def test_off_needs_no_quotes_in_yaml():
    import yaml

    read = yaml.safe_load("{ties: off, one_group: info}")
    assert LintConfig(severities=read).severities == {"ties": "off", "one_group": "info"}


def test_an_unknown_check_in_severities_names_the_nearest():
    with pytest.raises(UsageError, match="the nearest is length_bias"):
        report_on([pair(1)], config={"severities": {"lenght_bias": "off"}})


def test_configuration_refuses_unknown_keys_and_changes():
    with pytest.raises(ValidationError):
        LintConfig(tie_margins=1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValidationError):
        LintConfig().examples = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_domains_add_checks_in_three_ways():
    @record_check("shouting", severity="error", message="{count} pairs ({share}) shout: lower their voice.")
    def shouting(record: PreferenceRecord) -> bool:
        return record.chosen.isupper()

    @table_check("size", severity="info")
    def size(table, config):
        """Counts."""
        return Outcome(figures={"n": len(table)}, metrics={metric_name("size"): float(len(table))})

    @check("seen", severity="info")
    class Seen:
        """Sees the batches."""

        def __init__(self, session):
            self.splits, self.ids = session.splits, []

        def observe(self, batch):
            self.ids += [record.id for record in batch.records]

        def finish(self, table):
            return Outcome(figures={"ids": self.ids, "splits": self.splits})

    report = report_on([pair(1), pair(2, chosen="GO AWAY, I SAID")], extra=(shouting, size, Seen))
    assert ids_of(report, "shouting") == {"r2"}
    assert report.of("shouting")[0].message == "1 pairs (50.0%) shout: lower their voice."
    assert report.figures["size"] == {"n": 2}
    assert report.figures["seen"]["ids"] == ["r1", "r2"]
    assert Seen.about == "Sees the batches."


def test_an_extra_check_may_take_the_place_of_a_built_in_one():
    @table_check("one_group", severity="warning")
    def one_group(table, config):
        return Outcome()

    report = report_on([pair(n, group_id="one") for n in range(5)], extra=(one_group,))
    assert report.checks["one_group"] == "clean"


def test_not_applicable_says_why():
    report = report_on([pair(n) for n in range(3)])
    assert report.checks["contested_votes"] == "not applicable: no pair has votes"
    assert report.checks["leak_group"] == "not applicable: there is one split only"
    assert report.checks["truncation"].startswith("not applicable: no tokenizer")


def test_examples_are_capped():
    records = [pair(n, chosen="Same here, same there.", rejected="same here,  SAME there.") for n in range(9)]
    (finding,) = report_on(records, config={"examples": 2}).of("identical_responses")
    assert (finding.count, len(finding.examples)) == (9, 2)
    assert finding.examples[0].source == "rows.csv:2"


SECRET = "Zxqv"
words = st.text(st.sampled_from("ab c.@<:/1"), max_size=30).map(lambda text: f"{SECRET} {text} {SECRET}")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(words, words, words, st.booleans()), min_size=1, max_size=12))
def test_any_pairs_give_a_report_that_round_trips_and_holds_no_text(rows):
    records = [
        PreferenceRecord(
            id=f"r{n}", group_id=f"{SECRET}{n % 3}", source=f"f:{n}", prompt=(Message("user", prompt),),
            chosen=chosen, rejected=rejected, margin=0.0 if tie else 1.0, votes=Votes(3, n % 4, 1), rationale=SECRET,
        )
        for n, (prompt, chosen, rejected, tie) in enumerate(rows)
    ]  # fmt: skip
    half = len(records) // 2
    report = report_on(records[half:], records[:half])
    dumped = json.dumps(report.to_json(), allow_nan=False)
    assert SECRET not in dumped
    assert SECRET not in str(report.to_rows())
    assert LintReport.from_json(json.loads(dumped)).findings == report.findings
    assert all(name.startswith("data/lint/") for name in report.metrics)
