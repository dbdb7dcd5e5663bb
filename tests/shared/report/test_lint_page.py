"""Lint in the report and on a page of its own: every plot where it applies, in words too, and no text of the data."""

import copy
import json
import re

import pytest

from shared.lint.config import LintConfig
from shared.lint.run import lint
from shared.report.lint_plots import lint_plots
from shared.report.lint_section import findings_of, lint_page, lint_section
from tests.shared.lint.lint_records import TEXTS, pair

ALL = ["judges", "length", "margins", "votes", "tokens", "similarity", "groups", "languages", "leaks"]


def figures(svg):
    """The texts that a plot shows."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_every_plot_is_drawn_where_its_check_had_something_to_draw(sample_lint):
    drawn = lint_plots(sample_lint["splits"])
    assert [name for name in ALL if name in drawn] == list(drawn)
    assert {"judges", "length", "margins", "votes", "tokens", "similarity", "leaks"} <= set(drawn)
    assert not {"tokens", "leaks"} & set(lint_plots(sample_lint["source"]))
    assert all(len(plot.alt) > 40 for plot in drawn.values())
    assert all(re.search(r"\d", plot.alt) for plot in drawn.values())


def test_plots_show_the_numbers_of_the_report(sample_lint):
    report = sample_lint["splits"]
    drawn = lint_plots(report)
    views = next(r for r in report["figures"]["label_predictors"]["columns"] if r["column"] == "covariates.views")
    shown = f"{views['accuracy']:.3f}  [{views['low_together']:.3f}, {views['high_together']:.3f}]"
    assert shown in figures(drawn["judges"].svg)
    assert "the longer response" in figures(drawn["judges"].svg)
    assert "warmth *" in figures(drawn["judges"].svg)
    assert f"{report['figures']['truncation']['max_length']:,}" in drawn["tokens"].alt
    leaked = report["figures"]["leak_group"][""]["test"] / report["splits"]["test"]
    assert f"{100 * leaked:.1f} %" in figures(drawn["leaks"].svg)


def test_plain_pairs_have_the_plots_that_apply_only():
    report = lint({"all": lambda: [pair(n) for n in range(6)]}, LintConfig()).to_json()
    drawn = lint_plots(report)
    assert list(drawn) == ["judges", "length"]
    assert "95 % interval. Dashed" in drawn["judges"].note  # one judge alone: nothing to correct for


def test_groups_are_drawn_one_by_one_only_where_one_stands_out():
    many = [pair(n, group_id=f"g{n // 2}") for n in range(400)]
    few = [pair(n, group_id=f"g{n % 3}") for n in range(30)]
    titles = [
        lint_plots(lint({"all": lambda records=records: records}, LintConfig()).to_json())["groups"].title
        for records in (many, few)
    ]
    assert titles == ["Pairs of a group", "The largest groups"]


def test_a_report_of_an_earlier_version_is_still_drawn(sample_lint):
    old = copy.deepcopy(sample_lint["splits"])
    for check, keys in {
        "ties": ("tie_margin", "near_tie_margin"),
        "length_bias": ("difference",),
        "dominating_groups": ("threshold", "sizes"),
        "contested_votes": ("share_for_chosen",),
        "truncation": ("lengths",),
    }.items():
        for key in keys:
            del old["figures"][check][key]
    del old["about"]
    for row in old["figures"]["label_predictors"]["columns"]:
        del row["low_together"]
    assert "judges" in lint_plots(old)
    assert lint_page({"given": old}, name="a.csv", started="now")


def test_the_section_shows_each_kind_of_plot_once(sample_lint):
    section = lint_section(sample_lint)
    titles = [plot.title for plot in section.plots]
    assert len(titles) == len(set(titles))
    assert set(titles) == {plot.title for report in sample_lint.values() for plot in lint_plots(report).values()}
    assert section.plots[0].note.startswith("The data as given.")
    assert [len(each.rows) for each in section.findings] == [len(r["findings"]) for r in sample_lint.values()]


def test_findings_stand_with_counts_and_places(sample_lint):
    rows = findings_of("splits", sample_lint["splits"]).rows
    leak = next(row for row in rows if row.name == "Leak group")
    finding = next(each for each in sample_lint["splits"]["findings"] if each["check"] == "leak_group")
    assert leak.level == "error"
    assert leak.amount == f"{finding['count']} · {100 * finding['share']:.1f} %"
    assert leak.where.startswith("For example planted: ")
    assert [row.level for row in rows] == sorted((row.level for row in rows), key=["error", "warning", "info"].index)


def test_the_page_says_what_was_looked_for_and_what_came_of_it(sample_lint):
    page = lint_page(
        sample_lint, name="Pairs & more.csv", started="2026-01-01", left_out={"has an empty 'chosen'": 3},
        command="valign lint preferences --data pairs.csv",
    )  # fmt: skip
    for shown in ("Lint of Pairs &amp; more.csv", "Rows that are no pair", "What was looked for", "valign lint pref"):
        assert shown in page
    for name in sample_lint["splits"]["checks"]:
        assert name.replace("_", "_<wbr>") in page or name in page, name
    assert "run " not in re.sub(r"<style>.*?</style>", "", page, flags=re.S).split("<footer>")[1]


@pytest.mark.parametrize("part", ["source", "splits"])
def test_no_text_of_the_data_is_shown(part):
    secret = "Xanthippe"
    records = [pair(n, chosen=f"{secret} {TEXTS[n % 6]} {n}", margin=n % 3) for n in range(60)]
    report = lint({"train": lambda: records[:40], "test": lambda: records[30:]}, LintConfig()).to_json()
    assert secret not in json.dumps(report)
    assert secret not in lint_page({part: report}, name="a.csv", started="now")
