"""The report page as text: complete, escaped, self-contained, legible, the same for the same data."""

import itertools
import math
import re
from html.parser import HTMLParser

import pytest
from pydantic import ValidationError

from shared.report.blocks import Decision, Interval, Notice, Plot, ReportData, Section, Table
from shared.report.comparison import (
    ComparedRun,
    differing_settings,
    metrics_side_by_side,
    paired_rows,
    render_comparison,
    results_side_by_side,
)
from shared.report.numbers import duration, number
from shared.report.page import cell, environment, render_report

VOID = {"meta", "link", "br", "img", "hr", "input", "wbr"}


class Structure(HTMLParser):
    """Tags, ids, headings; complains about tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_loads_nothing(sample_report):
    page = Structure(render_report(sample_report))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "iframe", "object", "embed", "form", "video", "image"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src", "xlink:href"):
            if name in attributes:
                assert str(attributes[name]).startswith(("#", "data:,")), (tag, attributes)
    text = render_report(sample_report)
    assert "@import" not in text
    assert "@font-face" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_headings_captions_ids_and_links(sample_report):
    page = Structure(render_report(sample_report))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"])[1:] for tag, a in page.tags if tag == "a"}
    assert targets <= set(ids)
    counts = {name: sum(tag == name for tag, _ in page.tags) for name in ("table", "caption", "svg", "figure")}
    assert counts["table"] == counts["caption"] == 5
    assert counts["svg"] == counts["figure"] >= 12
    assert all(a.get("aria-label") for _, a in page.tags if a.get("role") == "img")


def test_texts_are_escaped_and_figures_are_shown(sample_report):
    page = render_report(sample_report)
    assert "<script>" not in page
    assert "&lt;script&gt;alert" in page
    for shown in ("0.634", "[0.561, 0.702]", "Not promoted", "no evidence", "1,204", "7 min 11 s", "not tested"):
        assert shown in page
    assert environment().autoescape is True


def test_same_data_same_bytes_and_json_round_trip(sample_report):
    again = ReportData.model_validate_json(sample_report.model_dump_json())
    assert render_report(again) == render_report(sample_report)


def test_what_is_not_given_does_not_appear():
    page = render_report(ReportData(title="T", domain="ads", run_id="r", started="2026-01-01"))
    for absent in ("Gate", "Lineage", "Results", "Reproduce", "Duration", "<table", "None"):
        assert absent not in page.replace("default-src 'none'", "")
    held = Decision(promoted=True, summary="Better.")
    assert "Promoted" in render_report(
        ReportData(title="T", domain="ads", run_id="r", started="", decision=held, sections=[Section(title="Lint")])
    )


@pytest.mark.parametrize(
    "svg",
    [
        "<p>no svg</p>",
        "<svg><script>1</script></svg>",
        '<svg onload="x()"></svg>',
        '<svg><use href="https://example.org/#a"/></svg>',
        '<svg><path style="fill: url(https://example.org/a)"/></svg>',
        "<svg><style>*{}</style></svg>",
        "<svg><foreignObject/></svg>",
        "<svg><g></svg>",
        "<svg><![CDATA[<script>]]></svg>",
    ],
)
def test_active_plots_are_refused(svg):
    with pytest.raises(ValidationError, match="a plot must be one <svg>"):
        Plot(title="t", svg=svg, alt="a")


def test_ragged_table_is_refused():
    with pytest.raises(ValidationError, match="row 0 of 'c' has 1 cells for 2 columns"):
        Table(caption="c", columns=["a", "b"], rows=[["x"]])


def test_numbers_for_reading():
    assert number(0.12345) == "0.123"
    assert number(-0.5) == "\N{MINUS SIGN}0.500"
    assert number(1204) == "1,204"
    assert number(12345.6) == "12,346"
    assert number(0.00004) == "4.0e\N{MINUS SIGN}05"
    assert number(0.0) == "0.000"
    assert number(math.nan) == number(None) == "–"
    assert [duration(s) for s in (0.44, 59.4, 192, 7500, None)] == ["0.4 s", "59 s", "3 min 12 s", "2 h 5 min", "–"]
    assert str(cell(True)) == "yes"
    assert str(cell("<b>")) == "&lt;b&gt;"
    assert "not available" in cell(Interval(value=math.nan, low=math.nan, high=math.nan).value)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    bright, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_reach_contrast_aa(theme):
    blocks = re.findall(r":root \{[^}]*--paper[^}]*\}", environment().globals["style_sheet"])
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[theme]))
    for paper in ("paper", "panel"):
        for text in ("ink", "muted", "link", "good"):
            assert contrast(colours[text], colours[paper]) >= 4.5, (text, paper)
    for level in ("good", "bad", "warn", "note"):
        for text in (level, "ink", "link"):
            assert contrast(colours[text], colours[f"{level}-panel"]) >= 4.5, (text, level)
    for index in range(1, 7):
        assert contrast(colours[f"series-{index}"], colours["paper"]) >= 3.0, index


def test_comparison_shows_what_differs_and_tests_pairs(sample_comparison):
    settings = differing_settings(sample_comparison)
    assert settings.columns[1:] == [run.run_id for run in sample_comparison]
    assert settings.rows[0] == ["align.beta", "0.05", "0.1", "0.3"]
    tables = {table.caption: table for table in metrics_side_by_side(sample_comparison)}
    assert {name: [row[0] for row in table.rows] for name, table in tables.items()} == {
        "Metrics: eval": [
            "eval/ranking_accuracy",
            "eval/kl_to_reference_nats_per_token",
            "eval/over_seeds/ranking_accuracy_normalised",
        ],
        "Metrics: align": ["align/rewards/accuracies (seed-0)"],
        "Metrics: reward": ["reward/ece"],
    }
    assert "1 that are the same in all runs" in tables["Metrics: align"].note
    rows = paired_rows(sample_comparison)
    first, second = (list(run.items["eval/ranking_accuracy"].values.values()) for run in sample_comparison[:2])
    expected = (sum(second) - sum(first)) / len(first)
    assert rows[0]["difference"].value == pytest.approx(expected)
    assert rows[0]["difference"].low <= expected <= rows[0]["difference"].high
    assert (rows[0]["n"], rows[0]["n_groups"], len(rows)) == (120, 40, 4)
    assert all(row["p_holm"] >= row["p_value"] for row in rows)
    page = render_comparison(sample_comparison)
    Structure(page)
    assert "Paired differences" in page
    assert "smollm2" not in page


def test_results_carry_the_interval_of_every_run(sample_comparison):
    table = results_side_by_side(sample_comparison)
    assert table.columns[1:] == [run.run_id for run in sample_comparison]
    assert all(cell is None or cell.low is not None for row in table.rows for cell in row[1:])
    page = render_comparison(sample_comparison)
    assert page.count("[−0.215, −0.040]") == 3


def test_more_runs_than_fit_side_by_side_stand_below_one_another(sample_comparison):
    runs = [run.model_copy(update={"run_id": f"{run.run_id}-{n}"}) for n, run in enumerate([*sample_comparison] * 2)]
    table = results_side_by_side(runs)
    assert table.columns == ["Result, then run", "Value"]
    assert len(table.rows) == 3 * (1 + 6)
    assert table.strong == [0, 7, 14]
    assert [row[0] for row in table.rows[1:7]] == [run.run_id for run in runs]
    Structure(render_comparison(runs))


def test_comparison_without_items_or_differences():
    runs = [ComparedRun(run_id=name, params={"beta": 0.1}, metrics={"eval/accuracy": 0.5}) for name in ("a", "b")]
    page = render_comparison(runs)
    assert "All recorded settings are the same" in page
    assert "Paired differences" not in page
    with pytest.raises(ValueError, match="at least one run"):
        render_comparison([])


def test_links_to_scripts_are_refused():
    with pytest.raises(ValidationError, match="report"):
        ComparedRun(run_id="a", report="javascript:alert(1)")
    assert Notice(level="note", text="x").level == "note"
