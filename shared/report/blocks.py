"""What a report is made of: plain, frozen, JSON-able blocks that know no domain.

A domain fills `Section`s with notices, tables, plots and examples; header, decision, lineage and footer are the
same in every report. `ReportData.model_dump_json()` keeps a report beside its page, and
`ReportData.model_validate_json` reads it back.
"""

import math
import re
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Block(BaseModel):
    """Settings of all blocks: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HasInterval(Protocol):
    """What `Interval.of` reads, e.g. an `Estimate` of the evaluation."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Interval(Block):
    """An estimate with its confidence interval; None where there is none (NaN becomes None)."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @field_validator("value", "low", "high", mode="before")
    @classmethod
    def _finite(cls, value: object) -> object:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    @classmethod
    def of(cls, estimate: HasInterval) -> "Interval":
        """From anything that has value, low and high."""
        return cls(value=estimate.value, low=estimate.low, high=estimate.high)


Cell = Interval | bool | int | float | str | None


class Table(Block):
    """A table; the first column names its row. Columns that hold numbers only are set flush right.

    Attributes:
        caption: what the table shows; read out by screen readers and printed above it.
        columns: headings.
        rows: cells, as many as there are headings.
        note: small print below (method, n, level of the intervals).
        digits: decimals of floats.
        strong: indices of rows to emphasise.
        dense: intervals stand below their estimates, which saves width where there are many columns.
    """

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""
    digits: int = 3
    strong: list[int] = Field(default_factory=list)
    dense: bool = False

    @model_validator(mode="after")
    def _rectangular(self) -> "Table":
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {index} of {self.caption!r} has {len(row)} cells for {len(self.columns)} columns"
                )
        return self

    @property
    def stacks(self) -> bool:
        """Whether a phone shows it as one block a row: it has many columns, or three with wide cells."""
        long = any(isinstance(cell, str) and len(cell) > 40 for row in self.rows for cell in row[1:])
        return len(self.columns) > 3 or (len(self.columns) == 3 and (long or self.dense))

    def numeric(self, column: int) -> bool:
        """Whether the column holds nothing but numbers where it is not empty."""
        cells = [row[column] for row in self.rows if row[column] is not None and row[column] != ""]
        return bool(cells) and all(isinstance(c, Interval | int | float) and not isinstance(c, bool) for c in cells)


_SVG_ELEMENTS = frozenset(
    ["svg", "g", "defs", "clipPath", "rect", "path", "use", "text", "tspan", "circle", "line", "polyline", "polygon"]
)


class Plot(Block):
    """A plot from `shared.report.plots` with its title, the text that stands for it, and small print."""

    title: str
    svg: str
    alt: str
    note: str = ""

    @field_validator("svg")
    @classmethod
    def _inert(cls, svg: str) -> str:
        import xml.etree.ElementTree as ElementTree

        problem = "a plot must be one <svg> of shapes and text, without script, style sheet or outside reference"
        if not svg.startswith("<svg") or "<!" in svg or "<?" in svg:
            raise ValueError(problem)
        try:
            elements = list(ElementTree.fromstring(svg).iter())
        except ElementTree.ParseError as error:
            raise ValueError(f"{problem} ({error})") from error
        for element in elements:
            if element.tag.rpartition("}")[2] not in _SVG_ELEMENTS:
                raise ValueError(problem)
            for name, value in element.attrib.items():
                attribute = name.rpartition("}")[2].lower()
                outside = attribute in ("href", "src") and not value.startswith("#")
                if attribute.startswith("on") or outside or re.search(r"url\((?!#)", value, re.IGNORECASE):
                    raise ValueError(problem)
        return svg


class Mark(Block):
    """A passage of a text that is set off.

    Attributes:
        start: first character.
        end: first character behind it.
        level: what it means; ``note`` is neither good nor bad.
        label: a few words that stand behind the passage.
    """

    start: int = Field(ge=0)
    end: int
    level: Literal["good", "warning", "bad", "note"]
    label: str = ""


class Answer(Block):
    """One response of an example: which model gave it, the text, and figures such as the judge's score.

    Attributes:
        marks: passages set off, in the order of the text and without overlap.
    """

    label: str
    text: str
    marks: list[Mark] = Field(default_factory=list)
    facts: dict[str, Cell] = Field(default_factory=dict)
    preferred: bool = False

    @model_validator(mode="after")
    def _marks_lie_in_the_text(self) -> "Answer":
        at = 0
        for mark in self.marks:
            if not at <= mark.start < mark.end <= len(self.text):
                raise ValueError(f"the mark {mark.start} to {mark.end} is out of order or outside the text")
            at = mark.end
        return self

    def pieces(self) -> list[tuple[str, Mark | None]]:
        """The text in pieces, each with its mark or None."""
        found: list[tuple[str, Mark | None]] = []
        at = 0
        for mark in self.marks:
            found += [(self.text[at : mark.start], None), (self.text[mark.start : mark.end], mark)]
            at = mark.end
        return [piece for piece in (*found, (self.text[at:], None)) if piece[0]]


class Example(Block):
    """A prompt with the responses side by side."""

    prompt: str
    answers: list[Answer]
    note: str = ""


class Notice(Block):
    """A sentence that must not be overlooked."""

    level: Literal["note", "good", "warning", "bad"]
    text: str


class Finding(Block):
    """One thing that a check found.

    Attributes:
        level: how grave it is.
        name: what was found, in a few words.
        amount: how often, e.g. ``1,204 · 12.3 %``.
        text: what it means and what to do.
        where: records to look at.
    """

    level: Literal["error", "warning", "info"]
    name: str
    amount: str = ""
    text: str = ""
    where: str = ""


class Findings(Block):
    """What checks found in one body of data."""

    caption: str
    rows: list[Finding]
    note: str = ""


class Share(Block):
    """A part of a bar: how many, and what they are."""

    label: str
    count: int = Field(ge=0)
    level: Literal["good", "warning", "bad", "note"]


class Quotation(Block):
    """A passage, verbatim, and where it stands."""

    text: str
    source: str
    level: Literal["good", "bad", "note"]


class Topic(Block):
    """One thing that texts speak of.

    Attributes:
        name: what it is.
        amount: how often, e.g. ``14 of 20 reviews``.
        text: what else is to be said of it, in small print.
        shares: the bar, from left to right.
        quotations: typical passages.
    """

    name: str
    amount: str = ""
    text: str = ""
    shares: list[Share] = Field(default_factory=list)
    quotations: list[Quotation] = Field(default_factory=list)

    def widths(self) -> list[tuple[Share, float]]:
        """Shares that are not empty, with their width in percent."""
        total = sum(share.count for share in self.shares)
        return [(share, round(100 * share.count / total, 2)) for share in self.shares if share.count]


class Topics(Block):
    """What texts speak of, one topic below another."""

    caption: str
    rows: list[Topic]
    note: str = ""


class Section(Block):
    """A part of the report. What is empty does not appear; sections that are not given do not exist."""

    title: str
    intro: str = ""
    notices: list[Notice] = Field(default_factory=list)
    findings: list[Findings] = Field(default_factory=list)
    tables: list[Table] = Field(default_factory=list)
    plots: list[Plot] = Field(default_factory=list)
    topics: list[Topics] = Field(default_factory=list)
    examples: list[Example] = Field(default_factory=list)


class Reason(Block):
    """One check of the gate: passed (True), failed (False) or not applicable (None), and its evidence."""

    passed: bool | None
    text: str


class Decision(Block):
    """What the gate decided and why."""

    promoted: bool
    summary: str
    reasons: list[Reason] = Field(default_factory=list)


class StageRow(Block):
    """One stage of the run: its key in the artifact store, whether it was reused, and how long it took."""

    stage: str
    key: str
    cache: Literal["hit", "miss"]
    seconds: float | None = None


class ReportData(Block):
    """A whole report.

    Attributes:
        title: e.g. ``Counseling: aligned with DPO``.
        domain: name of the domain.
        run_id: valign's id of the run; empty on a page that is of no run.
        started: ISO date and time.
        seconds: duration of the run.
        summary: one or two sentences: what was done and what came out.
        facts: what was run: recipe, model, seeds, pairs, ...; short values.
        headline: the few results that matter, with intervals.
        headline_plot: beside or below that table.
        notices: sentences that belong above everything else.
        decision: of the gate.
        sections: data, lint, training, evaluation, examples, ... in reading order.
        lineage: the stages in order.
        reproduce: commands that give this report again.
        version: of valign.
    """

    title: str
    domain: str
    run_id: str = ""
    started: str
    seconds: float | None = None
    summary: str = ""
    facts: dict[str, Cell] = Field(default_factory=dict)
    headline: Table | None = None
    headline_plot: Plot | None = None
    notices: list[Notice] = Field(default_factory=list)
    decision: Decision | None = None
    sections: list[Section] = Field(default_factory=list)
    lineage: list[StageRow] = Field(default_factory=list)
    reproduce: list[str] = Field(default_factory=list)
    version: str = ""
