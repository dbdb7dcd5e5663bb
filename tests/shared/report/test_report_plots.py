"""Plots as SVG: inert, deterministic, in the page's colours, robust to what real figures contain."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.report.blocks import Interval, Plot
from shared.report.plots import Series, bar_chart, histogram, interval_forest, line_curves, reliability_diagram

BINS = [(0.1, Interval(value=0.2, low=0.1, high=0.3), 5), (0.9, Interval(value=None), 0)]
SHARE = Interval(value=0.5, low=0.4, high=0.6)
DRAWN = {
    "curves": lambda: line_curves(
        [Series("a", [0, 1, 2], [1.0, None, math.nan]), Series("b", [0], [1])], "step", "loss"
    ),
    "forest": lambda: interval_forest(
        [("x", Interval(value=0.5, low=0.4, high=0.6)), ("y", Interval(value=None))], "share"
    ),
    "reliability": lambda: reliability_diagram(BINS),
    "histogram": lambda: histogram({"a": [1.0, 2.0, math.nan], "b": []}, "tokens"),
    "bars": lambda: bar_chart([("a", 3), ("b", Interval(value=2.0, low=1.0, high=3.0))], "rows"),
    "histogram of one value": lambda: histogram({"a": [3.0, 3.0, 3.0 + 1e-15]}, "tokens"),
    "empty curves": lambda: line_curves([], "step", "loss"),
    "empty forest": lambda: interval_forest([], "share"),
    "empty reliability": lambda: reliability_diagram([]),
    "empty histogram": lambda: histogram({}, "tokens"),
    "empty bars": lambda: bar_chart([], "rows"),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_every_plot_is_inert_deterministic_and_themed(draw):
    svg = draw()
    assert Plot(title="t", svg=svg, alt="a").svg == svg
    assert draw() == svg
    assert "DejaVu" not in svg
    hard_colours = set(re.findall(r"#[0-9a-f]{6}", re.sub(r"var\([^)]*\)", "", svg)))
    assert hard_colours <= {"#ffffff"}
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([\w-]+)', svg)) <= set(ids)


def test_points_stand_where_the_numbers_say():
    svg = interval_forest([("x", Interval(value=0.5, low=0.25, high=1.0))], "share")
    line = re.search(r'<path d="M ([\d.]+) ([\d.]+)\s+L ([\d.]+) ([\d.]+)[^>]*stroke-width: 2.2', svg)
    marker = re.search(r'<use xlink:href="#[^"]+" x="([\d.]+)" y="([\d.]+)" style="fill: var\(--series-1', svg)
    assert line
    assert marker
    low, high, point = float(line[1]), float(line[3]), float(marker[1])
    assert (point - low) / (high - low) == pytest.approx(1 / 3, abs=0.01)
    assert "0.500  [0.250, 1.000]" in svg


def test_seeds_share_a_colour_and_differ_in_dashes():
    curves = [
        Series(f"{g} {s}", range(20), [s + i for i in range(20)], g) for g in ("chosen", "rejected") for s in (0, 1)
    ]
    svg = line_curves(curves, "step", "reward")
    drawn = re.findall(r"style=\"fill: none;([^\"]*)stroke: var\(--series-(\d)", svg)
    assert {colour for _, colour in drawn} == {"1", "2"}
    assert any("stroke-dasharray" in style for style, _ in drawn)


def test_what_is_measured_now_and_then_is_a_line():
    every_third = [float(step) if step % 3 == 0 else None for step in range(30)]
    svg = line_curves([Series("latency", range(30), every_third)], "step", "latency")
    curve = re.search(r'<path d="(M [^"]*)"[^>]*stroke: var\(--series-1', svg)
    assert curve
    assert curve[1].count("L ") >= 1  # a straight line: what lies on it may be left out


LABEL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=12, deadline=None)
@given(LABEL, st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), max_size=5))
def test_any_label_and_figure_gives_a_plot(label, values):
    svg = line_curves([Series(label, range(len(values)), values)], label, label)
    Plot(title=label, svg=svg, alt=label)
    svg = histogram({label: values}, label)
    Plot(title=label, svg=svg, alt=label)
