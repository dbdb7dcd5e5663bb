"""Plots of simultaneous translation: quality-latency curves, and the read/write staircase of a sentence."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from domains.translation.curves import CurvePoint
from shared.evaluation.intervals import Estimate
from shared.report.blocks import Plot
from shared.report.numbers import number

# Units named along an axis, below and at the side; beyond these they have numbers.
MOST_LABELS, MOST_SIDE_LABELS, LONGEST_LABEL = 20, 10, 12
MOST_SYSTEMS = 6


def quality_latency_plot(
    curves: Mapping[str, Sequence[CurvePoint]],
    *,
    metric: str = "chrF",
    lag: str = "LAAL",
    measure: str = "source units",
    marks: Mapping[str, CurvePoint] | None = None,
) -> Plot:
    """Quality against latency of several systems; whiskers are their intervals both ways.

    Args:
        curves: points of each system (`domains.translation.curves.curve`), six systems at most.
        metric: name of the score.
        lag: name of the latency.
        measure: what it is counted in.
        marks: systems of a single point without a curve, e.g. the offline translation.

    Raises:
        ValueError: more systems than can be told apart.
    """
    from shared.report.plots import DASHES, SERIES, plot_axes, plot_legend

    single = {name: [point] for name, point in (marks or {}).items()}
    systems = {**curves, **single}
    if len(systems) > MOST_SYSTEMS:
        raise ValueError(f"{len(systems)} systems in one plot; {MOST_SYSTEMS} can be told apart")
    with plot_axes(300) as (axes, finished):
        for place, (name, points) in enumerate(systems.items()):
            colour = SERIES[place]
            ordered = sorted(points, key=lambda one: one.latency.value)
            for point in ordered:
                for ends, across in ((point.latency, True), (point.quality, False)):
                    if not ends.has_interval():
                        continue
                    other = (point.quality if across else point.latency).value
                    line = ([ends.low, ends.high], [other, other])
                    axes.plot(*(line if across else line[::-1]), color=colour, linewidth=0.9, alpha=0.55)
            axes.plot(
                [one.latency.value for one in ordered],
                [one.quality.value for one in ordered],
                color=colour,
                linestyle="none" if name in single else DASHES[place],
                marker="D" if name in single else "o",
                markersize=5 if name in single else 3.6,
                label=name,
            )
        axes.set_xlabel(f"{lag} ({measure})" if measure else lag)
        axes.set_ylabel(metric)
        axes.locator_params(nbins=6)
        if systems:
            plot_legend(axes, columns=2 if max(map(len, systems)) <= 20 else 1)
    told = "; ".join(f"{name}: {', '.join(map(_told, points))}" for name, points in systems.items())
    return Plot(
        title=f"{metric} against {lag}",
        svg=finished[0],
        alt=f"{metric} and {lag} of each setting. {told}.",
        note="Upper left is better. Whiskers: 95 % intervals from resampling sentences, and training seeds where "
        "there are several.",
    )


def staircase_plot(
    paths: Mapping[str, Sequence[float]],
    source_units: Sequence[str],
    target_units: Mapping[str, Sequence[str]],
) -> Plot:
    """When each target unit of one sentence was written: source read on the x axis, target written on the y axis.

    A line goes right while the system reads and up while it writes. Units are named along the axes where they are few,
    short and in a script that the measuring font has; else they have numbers, and stand in the note by number, where
    the page's own fonts show them.

    Args:
        paths: of each system, source units read when each target unit was written (its delays) [H]; six at most.
        source_units: of the sentence.
        target_units: what each system wrote [H], by its name.

    Raises:
        ValueError: more systems than can be told apart, or a path that is not as long as what was written.
    """
    from shared.report.plots import DASHES, MUTED, SERIES, plot_axes, plot_legend

    if len(paths) > MOST_SYSTEMS:
        raise ValueError(f"{len(paths)} systems in one plot; {MOST_SYSTEMS} can be told apart")
    for name, path in paths.items():
        if len(path) != len(target_units[name]):
            raise ValueError(f"{name}: {len(path)} delays for {len(target_units[name])} units")
    tallest = max((len(path) for path in paths.values()), default=0)
    one_target = next(iter(target_units.values())) if len(set(map(tuple, target_units.values()))) == 1 else ()
    named_source, named_target = _fit(source_units, MOST_LABELS), _fit(one_target, MOST_SIDE_LABELS)
    with plot_axes(250 + (40 if named_source else 0)) as (axes, finished):
        axes.plot([0, len(source_units)], [0, tallest], color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)))
        # Steps of several systems would hide each other where they meet.
        apart = 0.06 * max(len(source_units), 1) / 20
        for place, (name, path) in enumerate(paths.items()):
            x, y = _steps(path, len(source_units))
            shift = (place - (len(paths) - 1) / 2) * apart
            axes.plot(
                [one + shift for one in x],
                [one - shift * max(tallest, 1) / max(len(source_units), 1) for one in y],
                color=SERIES[place],
                linestyle=DASHES[place],
                label=name,
            )
        # A little room, so that the first and the last step are seen whole.
        axes.set_xlim(-0.01 * len(source_units), max(len(source_units), 1) * 1.02)
        axes.set_ylim(-0.015 * tallest, max(tallest, 1) * 1.03)
        axes.locator_params(integer=True, nbins=7)
        # Grid lines stand between units, where steps are; names stand beside the step that reads or writes them.
        if named_source:
            axes.set_xticks(range(len(source_units) + 1), [""] * (len(source_units) + 1))
            middles = [place + 0.5 for place in range(len(source_units))]
            axes.set_xticks(middles, source_units, minor=True, rotation=60, ha="right", color=MUTED)
        if named_target:
            axes.set_yticks(range(len(one_target) + 1), [""] * (len(one_target) + 1))
            axes.set_yticks([place + 0.5 for place in range(len(one_target))], one_target, minor=True, color=MUTED)
        axes.tick_params(which="minor", length=0, labelsize=11.5)
        axes.set_xlabel("source units read")
        axes.set_ylabel("target units written")
        if len(paths) > 1:
            plot_legend(axes, columns=2 if max(map(len, paths)) <= 20 else 1)
    texts = {} if named_source else {"Source": source_units}
    texts |= {} if named_target else ({"Target": one_target} if one_target else dict(target_units))
    numbered = [f"{name}: {_numbered(units)}" for name, units in texts.items()]
    reads = "; ".join(f"{name} after {', '.join(f'{one:g}' for one in path)}" for name, path in paths.items())
    return Plot(
        title="Reading and writing",
        svg=finished[0],
        alt=f"Source units read before each target unit was written, of {len(source_units)}. {reads}.",
        note=" ".join(["A line goes right while reading, up while writing; dotted: an even pace.", *numbered]),
    )


def _steps(path: Sequence[float], source_units: int) -> tuple[list[float], list[float]]:
    """Corners of a staircase: right to each delay, then up by one unit; at last right to the end of the source."""
    x, y = [0.0], [0.0]
    for written, read in enumerate(path):
        x += [float(read), float(read)]
        y += [float(written), float(written + 1)]
    x.append(float(max(source_units, x[-1])))
    y.append(y[-1])
    # A corner that repeats adds nothing to the line.
    corners = [(x[0], y[0]), *(after for before, after in pairwise(zip(x, y, strict=True)) if after != before)]
    return [one for one, _ in corners], [one for _, one in corners]


def _fit(units: Sequence[str], most: int) -> bool:
    """Whether units can stand along an axis: few, short, and drawn by the font that measures them."""
    if not 0 < len(units) <= most or max(map(len, units)) > LONGEST_LABEL:
        return False
    from matplotlib.font_manager import FontProperties, findfont, get_font

    glyphs = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    return all(ord(one) in glyphs for unit in units for one in unit)


def _numbered(units: Sequence[str]) -> str:
    told = " ".join(f"{place} {unit}" for place, unit in enumerate(units, 1))
    return told if told.endswith(".") else f"{told}."


def _told(point: CurvePoint) -> str:
    return f"{point.setting} {_value(point.quality)} at {_value(point.latency)}"


def _value(estimate: Estimate) -> str:
    return number(estimate.value, 2)
