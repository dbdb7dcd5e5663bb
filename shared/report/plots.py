"""Plots of a report as inline SVG: text stays text in the page's font, colours are the page's own.

Matplotlib draws with marker colours that are replaced by CSS variables, so that one plot is legible in light,
dark and print. Every function returns one `<svg>` element without script, style sheet, font or reference to
anything outside it; the same input gives the same bytes.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.report.blocks import Interval
from shared.report.numbers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 400  # CSS pixels: two stand side by side on a desk, one fills a phone with its text still readable

# Marker colour -> (CSS variable, fallback where the SVG stands alone).
_INK, MUTED, _RULE = "#010101", "#020202", "#030303"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)), (0, (3, 1)), (0, (9, 3)))
_VARIABLES = {
    _INK: "var(--ink, #1b1f24)",
    MUTED: "var(--muted, #59636e)",
    _RULE: "var(--rule, #d5d9de)",
    SERIES[0]: "var(--series-1, #1d5fa6)",
    SERIES[1]: "var(--series-2, #b34700)",
    SERIES[2]: "var(--series-3, #2b7a4b)",
    SERIES[3]: "var(--series-4, #7b3fa0)",
    SERIES[4]: "var(--series-5, #8a6a00)",
    SERIES[5]: "var(--series-6, #0f7480)",
}


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: `x` and `y` of equal length; a y that is None was not measured there (the line joins those
    that were), one that is NaN leaves a gap.

    Curves with one `group` share a colour and differ in their dashes (seeds of one metric, say).
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    group: str | None = None


@contextmanager
def plot_axes(height: float) -> "Iterator[tuple[Axes, list[str]]]":
    """Axes of `WIDTH` x `height` CSS pixels; what is appended to the list is the finished SVG."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "valign",
        "font.family": "DejaVu Sans",
        "font.size": 12.0,
        "text.parse_math": False,
        "text.color": _INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": _INK,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "axes.xmargin": 0.02,
        "grid.color": _RULE,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": 11.5,
        "ytick.labelsize": 11.5,
        "legend.frameon": False,
        "legend.fontsize": 11.5,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
    }
    finished: list[str] = []
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.subplots(), finished
        file = io.StringIO()
        with warnings.catch_warnings():
            # Labels in any script are drawn by the browser; that the measuring font lacks a glyph is no news.
            warnings.filterwarnings("ignore", message="Glyph")
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    finished.append(_for_page(file.getvalue()))


def _for_page(svg: str) -> str:
    # XML has no form for control characters, not even an escaped one.
    svg = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", svg[svg.index("<svg") :])
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    # The sheet only sets line joins, but as an inline <style> it would apply to the whole page.
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, flags=re.S)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"(?<=px )'DejaVu Sans'[^;\"]*", "var(--text-font, sans-serif)", svg)
    svg = re.sub(r"font-family: *'?DejaVu Sans'?[^;\"]*", "font-family: var(--text-font, sans-serif)", svg)
    # Ids of several plots must not meet on one page.
    prefix = "p" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{prefix}-", svg)
    opening = re.match(r"<svg[^>]*>", svg)
    assert opening is not None
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening[0])
    assert box is not None
    width, height = box.groups()
    tag = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{float(width):.0f}" height="{float(height):.0f}" '
        'stroke-linejoin="round" stroke-linecap="butt">'
    )
    return tag + svg[opening.end() :].strip()


def plot_legend(axes: "Axes", columns: int) -> None:
    axes.figure.legend(  # type: ignore[union-attr]
        *axes.get_legend_handles_labels(), loc="outside upper left", ncols=columns, handlelength=2.2, columnspacing=1.4
    )


def line_curves(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    reference: float | None = None,
    height: float = 280,
) -> str:
    """Curves over steps or epochs.

    Args:
        series: the curves; colour by `group` (else by curve), dashes tell curves of one colour apart.
        x_label: axis label with unit.
        y_label: axis label with unit.
        reference: a horizontal line to compare with (chance, the base model).
        height: in CSS pixels.
    """
    groups = list(dict.fromkeys(s.group or s.label for s in series))
    seen: dict[str, int] = {}
    with plot_axes(height) as (axes, finished):
        for curve in series:
            group = curve.group or curve.label
            nth = seen.setdefault(group, 0)
            seen[group] += 1
            colour = groups.index(group)
            dashes = DASHES[(nth if curve.group else colour) % len(DASHES)]
            measured = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
            axes.plot(
                [x for x, _ in measured],
                [y for _, y in measured],
                label=curve.label,
                color=SERIES[colour % len(SERIES)],
                linestyle=dashes,
                marker="o" if len(measured) < 12 else None,
                markersize=3.2,
            )
        if reference is not None:
            axes.axhline(reference, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.locator_params(nbins=6)
        if len(series) > 1:
            widest = max(len(s.label) for s in series)
            plot_legend(axes, columns=3 if widest <= 9 else 2 if widest <= 20 else 1)
    return finished[0]


def interval_forest(
    rows: Sequence[tuple[str, Interval]], x_label: str, *, reference: float | None = None, digits: int = 3
) -> str:
    """Estimates with their intervals, one below another: label and figures above the line they belong to.

    Args:
        rows: (label, estimate).
        x_label: axis label with unit.
        reference: a vertical line to compare with (chance, no difference).
        digits: decimals of the figures.
    """
    with plot_axes(height=56 + 46 * max(len(rows), 1)) as (axes, finished):
        ends = [e for _, i in rows for e in (i.value, i.low, i.high) if e is not None]
        ends += [reference] if reference is not None else []
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        margin = (high - low or 1.0) * 0.06
        axes.set_xlim(low - margin, high + margin)
        if reference is not None:
            axes.axvline(reference, color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)))
        for row, (label, estimate) in enumerate(rows):
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [row, row], color=SERIES[0], linewidth=2.2)
            if estimate.value is not None:
                axes.plot([estimate.value], [row], color=SERIES[0], marker="o", markersize=6.5)
            shown = number(estimate.value, digits)
            if estimate.low is not None and estimate.high is not None:
                shown += f"  [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"
            across = axes.get_yaxis_transform()
            axes.text(0.0, row - 0.26, label, transform=across, ha="left", va="bottom")
            axes.text(1.0, row - 0.26, shown, transform=across, ha="right", va="bottom", color=MUTED)
        axes.set_ylim(max(len(rows), 1) - 0.6, -0.95)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(x_label)
        axes.locator_params(axis="x", nbins=6)
    return finished[0]


def reliability_diagram(bins: Sequence[tuple[float, Interval, int]]) -> str:
    """Observed share against predicted probability; on the diagonal a model is calibrated.

    Args:
        bins: (mean predicted probability, observed share with its interval, count); empty bins are left out.
            The area of a point is proportional to its count.
    """
    kept = [(p, share, share.value, n) for p, share, n in bins if n and share.value is not None]
    largest = max((n for *_, n in kept), default=1)
    with plot_axes(height=340) as (axes, finished):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)))
        for predicted, share, value, count in kept:
            if share.low is not None and share.high is not None:
                axes.plot([predicted, predicted], [share.low, share.high], color=SERIES[0], linewidth=1.4)
            size = 16 + 84 * count / largest
            axes.scatter([predicted], [value], s=size, color=SERIES[0], linewidths=0, zorder=3)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("observed share")
    return finished[0]


def histogram(groups: Mapping[str, Sequence[float]], x_label: str, *, bins: int = 24, height: float = 260) -> str:
    """Distributions over common bins, as outlines that may overlap.

    Args:
        groups: label -> values.
        x_label: axis label with unit.
        bins: number of bins over the common range.
        height: in CSS pixels.
    """
    import numpy as np

    finite = {label: np.asarray([v for v in values if np.isfinite(v)], dtype=float) for label, values in groups.items()}
    together = np.concatenate([*finite.values(), np.zeros(0)])
    low, high = (float(together.min()), float(together.max())) if together.size else (0.0, 1.0)
    # Values too close for bins of finite width stand in the middle of bins as wide as their size asks for.
    closest = max(abs(low), abs(high), 1e-6) * 1e-6
    if high - low < closest:
        low, high = low - closest * bins, high + closest * bins
    edges = np.linspace(low, high, bins + 1)
    ends = edges.tolist()
    counted = {label: (np.histogram(values, bins=edges)[0].tolist(), ends) for label, values in finite.items()}
    return counted_histogram(counted, x_label, height=height)


def counted_histogram(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    *,
    y_label: str = "count",
    marks: Sequence[tuple[float, str]] = (),
    zone: tuple[float, float] | None = None,
    height: float = 260,
) -> str:
    """Distributions that were counted before, as outlines that may overlap.

    Args:
        groups: label -> (counts [bins], edges [bins + 1]).
        x_label: axis label with unit.
        y_label: what is counted.
        marks: (place, label) of vertical lines: a threshold, no difference.
        zone: (low, high) of a range to be shaded.
        height: in CSS pixels.
    """
    with plot_axes(height) as (axes, finished):
        if zone is not None:
            axes.axvspan(*zone, color=MUTED, alpha=0.16, linewidth=0)
        for index, (label, (counts, edges)) in enumerate(groups.items()):
            colour = SERIES[index % len(SERIES)]
            axes.stairs(counts, edges, fill=True, color=colour, alpha=0.18)
            axes.stairs(counts, edges, color=colour, linewidth=1.6, linestyle=DASHES[index % len(DASHES)], label=label)
        left, right = axes.get_xlim()
        for place, label in marks:
            axes.axvline(place, color=_INK, linewidth=1.2, linestyle=(0, (3, 2)))
            beyond_middle = place > (left + right) / 2
            axes.annotate(
                label,
                (place, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(-5 if beyond_middle else 5, 3),
                textcoords="offset points",
                ha="right" if beyond_middle else "left",
                va="bottom",
                color=MUTED,
            )
        axes.set_ylim(bottom=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(axis="x", visible=False)
        axes.locator_params(nbins=6)
        if len(groups) > 1:
            plot_legend(axes, columns=2)
    return finished[0]


def bar_chart(
    rows: Sequence[tuple[str, float | Interval]],
    x_label: str,
    *,
    digits: int | None = None,
    unit: str = "",
    reference: float | None = None,
) -> str:
    """Horizontal bars with their figure; an `Interval` gets a whisker.

    Args:
        rows: (label, count or estimate).
        x_label: axis label with unit.
        digits: decimals of the figures; whole numbers have none.
        unit: written behind every figure.
        reference: a vertical line to compare with (a threshold).
    """
    with plot_axes(height=54 + 46 * max(len(rows), 1)) as (axes, finished):
        for row, (label, bar) in enumerate(rows):
            value = (bar.value if isinstance(bar, Interval) else bar) or 0.0
            axes.barh([row], [value], height=0.34, color=SERIES[0])
            if isinstance(bar, Interval) and bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [row, row], color=_INK, linewidth=1.4)
            across = axes.get_yaxis_transform()
            shown = number(bar.value if isinstance(bar, Interval) else bar, digits)
            axes.text(0.0, row - 0.24, label, transform=across, ha="left", va="bottom")
            axes.text(1.0, row - 0.24, shown + unit, transform=across, ha="right", va="bottom", color=MUTED)
        if reference is not None:
            axes.axvline(reference, color=_INK, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_ylim(max(len(rows), 1) - 0.6, -0.85)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(x_label)
        axes.locator_params(axis="x", nbins=6)
    return finished[0]
