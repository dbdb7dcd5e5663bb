"""Renders a report as one self-contained HTML page: no script, no network, light, dark, phone and print."""

import functools
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from shared.report.blocks import Cell, Interval, ReportData
from shared.report.numbers import MISSING, duration, number

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def slug(title: str) -> str:
    """An id for a heading: letters, digits and hyphens."""
    return re.sub(r"\W+", "-", title.lower()).strip("-") or "section"


def cell(value: Cell, digits: int = 3) -> "Markup":
    """A table cell as HTML; text is escaped."""
    from markupsafe import Markup, escape

    if value is None:
        return Markup('<span class="missing" title="not available">{}</span>').format(MISSING)
    if isinstance(value, Interval):
        shown = Markup('<span class="value">{}</span>').format(number(value.value, digits))
        if value.low is None or value.high is None:
            return shown
        low, high = number(value.low, digits), number(value.high, digits)
        return shown + Markup(' <span class="interval">[{}, {}]</span>').format(low, high)
    if isinstance(value, bool):
        return escape("yes" if value else "no")
    if isinstance(value, int | float):
        return escape(number(value, None if isinstance(value, int) else digits))
    return _breakable(value)


def _breakable(text: str) -> "Markup":
    """Text in HTML; a long name may be broken behind slashes, dots and underscores."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=[/_.])", text) if re.search(r"\w[/_.]\w\S{8}|\S{16}", text) else [text]
    return Markup("<wbr>").join(escape(part) for part in parts)


@functools.cache
def environment() -> "Environment":
    """The templates, with automatic escaping on and undefined names refused."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("shared.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(cell=cell, slug=slug, duration=duration, number=number)
    # Plots are checked to be inert when the block is made; the style sheet is ours.
    made.filters["svg"] = lambda plot: Markup(plot.svg)
    made.globals["style_sheet"] = Markup(
        files("shared.report").joinpath("templates/page.css").read_text(encoding="utf-8")
    )
    return made


def render_report(data: ReportData) -> str:
    """The report of one run as an HTML page.

    Args:
        data: the report; sections that are not given do not appear.

    Returns:
        A complete HTML document.
    """
    return environment().get_template("report.html.j2").render(report=data)
