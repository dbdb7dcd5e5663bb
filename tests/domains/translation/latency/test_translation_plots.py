"""Quality-latency curves and staircases: inert, narrow, legible, and right where the numbers say."""

import re

import pytest

from domains.translation.curve_plots import quality_latency_plot, staircase_plot
from domains.translation.curves import CurvePoint
from shared.evaluation.intervals import Estimate
from shared.report.blocks import Plot


def at(setting, latency, quality, half=0.5):
    return CurvePoint(
        setting,
        Estimate(latency, latency - half, latency + half, 9),
        Estimate(quality, quality - 2 * half, quality + 2 * half, 9),
    )


CURVES = {
    "SimulDPO": [at("c=0.7", 5.0, 34.0), at("c=0.3", 2.0, 30.0)],
    "wait-k": [at("k=1", 2.5, 28.0), at("k=5", 6.0, 33.0)],
}


def test_curves_with_whiskers_and_a_mark():
    plot = quality_latency_plot(CURVES, marks={"offline": at("offline", 9.0, 36.0)})
    assert isinstance(plot, Plot)
    svg = plot.svg
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    assert width <= 400
    assert "LAAL (source units)" in svg
    assert "wait-k" in svg
    assert {"--series-1", "--series-2", "--series-3"} <= set(re.findall(r"--series-\d", svg))
    whiskers = re.findall(r"stroke-opacity: 0.55", svg)
    assert len(whiskers) == 10  # two for each of five points
    assert "SimulDPO: c=0.7 34.00 at 5.00, c=0.3 30.00 at 2.00" in plot.alt
    assert quality_latency_plot(CURVES).svg == quality_latency_plot(CURVES).svg


def test_a_curve_goes_from_low_to_high_latency():
    line = re.search(
        r'<path d="([^"]+)"[^>]*style="fill: none; stroke: var\(--series-1[^"]*stroke-width: 1.8',
        quality_latency_plot({"a": [at("x", 5.0, 30.0), at("y", 1.0, 20.0), at("z", 3.0, 25.0)]}).svg,
    )
    xs = [float(x) for x in re.findall(r"[ML] ([\d.]+)", line[1])]
    assert xs == sorted(xs)
    assert len(xs) == 3


def test_points_without_intervals_and_no_system_at_all():
    bare = CurvePoint("x", Estimate(1.0, float("nan"), float("nan"), 1), Estimate(2.0, float("nan"), float("nan"), 1))
    assert "stroke-opacity: 0.55" not in quality_latency_plot({"a": [bare]}).svg
    assert quality_latency_plot({}).svg.startswith("<svg")
    with pytest.raises(ValueError, match="7 systems in one plot"):
        quality_latency_plot({str(n): CURVES["wait-k"] for n in range(7)})


def test_a_staircase_goes_right_to_each_delay_and_up_by_one():
    plot = staircase_plot({"a": [1, 1, 3]}, ["der", "Hund", "bellt"], {"a": ["the", "dog", "barks"]})
    line = re.search(
        r'<path d="([^"]+)"[^>]*style="fill: none; stroke: var\(--series-1[^"]*stroke-width: 1.8', plot.svg
    )
    corners = [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.-]+) ([\d.-]+)", line[1])]
    x0, y0 = corners[0]
    unit_x, unit_y = (corners[-1][0] - x0) / 3, (corners[-1][1] - y0) / 3
    steps = [((x - x0) / unit_x, (y - y0) / unit_y) for x, y in corners]
    # Matplotlib merges what lies on one line: the corners that are left are where it turns.
    assert [pytest.approx(step, abs=0.01) for step in [(0, 0), (1, 0), (1, 2), (3, 2), (3, 3)]] == [
        step for step in steps if step != pytest.approx((1, 1), abs=0.01)
    ]
    assert "Hund" in plot.svg
    assert "barks" in plot.svg
    assert "a after 1, 1, 3" in plot.alt


def test_chinese_is_in_the_text_and_never_a_box_in_the_plot():
    source, target = list("狗在叫。"), ["the", "dog", "barks."]
    plot = staircase_plot({"a": [1, 2, 4], "b": [4, 4, 4]}, source, {"a": target, "b": target})
    assert not set("狗在叫") & set(plot.svg)
    assert "Source: 1 狗 2 在 3 叫 4 。" in plot.note
    assert "barks." in plot.svg
    backwards = staircase_plot({"a": [1, 2, 3, 3]}, target, {"a": source})
    assert not set("狗在叫") & set(backwards.svg)
    assert "Target: 1 狗" in backwards.note


def test_many_or_long_units_and_different_outputs_get_numbers():
    words = [f"w{n}" for n in range(30)]
    plot = staircase_plot({"a": list(range(1, 31))}, words, {"a": words})
    assert "w17" not in plot.svg
    assert "Source: 1 w0 2 w1" in plot.note
    high = staircase_plot({"a": list(range(1, 13))}, words[:12], {"a": [f"v{n}" for n in range(12)]})
    assert "w11" in high.svg  # twelve names have room below the plot,
    assert "v11" not in high.svg  # and would overlap at its side
    assert "Target: 1 v0" in high.note
    two = staircase_plot({"a": [1], "b": [1, 2]}, ["x", "y"], {"a": ["one"], "b": ["two", "three"]})
    assert "a: 1 one." in two.note
    assert "b: 1 two 2 three." in two.note
    empty = staircase_plot({"a": []}, ["x"], {"a": []})
    assert empty.svg.startswith("<svg")
    with pytest.raises(ValueError, match="2 delays for 1 units"):
        staircase_plot({"a": [1, 2]}, ["x", "y"], {"a": ["one"]})
