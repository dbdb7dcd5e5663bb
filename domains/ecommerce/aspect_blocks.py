"""Aspect reports and supported summaries as blocks of the house's report, and the page that a product manager reads."""

import math
from collections.abc import Sequence

from domains.ecommerce.aspect_report import AspectReport, AspectSummary
from domains.ecommerce.faithfulness import Faithfulness
from domains.ecommerce.sentiment import sign
from shared.report.blocks import (
    Answer,
    Cell,
    Interval,
    Mark,
    Notice,
    Quotation,
    ReportData,
    Section,
    Share,
    Table,
    Topic,
    Topics,
)
from shared.report.numbers import number

SHOWN = 12  # aspects with quotes; further ones stand in the table
NOTE = (
    "Aspects are noun phrases that at least {least} review{s} mention{v}, merged where they mean the same. A review is "
    "positive, negative or mixed about an aspect by the sentiment (VADER) of the clauses that mention it; irony and "
    "negation across clauses are missed, so read the quotes. Quotes are verbatim; “…” stands where one was cut."
)


def aspect_topics(report: AspectReport, most: int = SHOWN) -> Topics:
    """The aspects with bars and quotes, most mentioned first."""
    single = report.least == 1
    note = NOTE.format(least="one" if single else "two", s="" if single else "s", v="s" if single else "")
    return Topics(
        caption="What customers speak of",
        rows=[_topic(one, report.read) for one in report.aspects[:most]],
        note=note,
    )


def _topic(one: AspectSummary, read: int) -> Topic:
    shares = [
        Share(label="positive", count=one.positive, level="good"),
        Share(label="mixed", count=one.mixed, level="warning"),
        Share(label="negative", count=one.negative, level="bad"),
        Share(label="without opinion", count=one.neutral, level="note"),
    ]
    quotations = [
        Quotation(
            text=f"“{quote.text}”",
            source=f"review {quote.review}",
            level={1: "good", -1: "bad"}.get(sign(quote.sentiment), "note"),  # pyright: ignore[reportArgumentType]
        )
        for quote in one.quotes
    ]
    also = f"Also called {', '.join(one.also[:6])}." if one.also else ""
    return Topic(
        name=one.name.capitalize(),
        amount=f"{len(one.reviews)} of {read} review{'' if read == 1 else 's'}",
        text=also,
        shares=shares,
        quotations=quotations,
    )


def aspect_table(report: AspectReport) -> Table:
    """Every aspect in one row, with the shares of the reviews that have an opinion and Wilson's intervals."""
    rows: list[list[Cell]] = [
        [
            one.name,
            len(one.reviews),
            _share(one.share_positive.value, one.share_positive.low, one.share_positive.high),
            _share(one.share_negative.value, one.share_negative.low, one.share_negative.high),
            one.mixed,
            one.neutral,
        ]
        for one in report.aspects
    ]
    return Table(
        caption="All aspects",
        columns=["Aspect", "Reviews", "Positive", "Negative", "Mixed", "Without opinion"],
        rows=rows,
        digits=2,
        dense=True,
        note="Positive and negative: share of the reviews with an opinion of the aspect, with the 95 % interval "
        "(Wilson) that so few reviews leave; where intervals are wide, more reviews may turn the picture.",
    )


def _share(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


def aspect_section(report: AspectReport, title: str = "Aspects") -> Section:
    """The aspects of one product as a section of any report."""
    notices = []
    if report.read < report.reviews:
        text = f"{report.read} of {report.reviews} reviews were read, evenly over their order in the file."
        notices.append(Notice(level="note", text=text))
    if not report.aspects:
        text = "No aspect is mentioned by two or more reviews: there is nothing that customers share."
        notices.append(Notice(level="note", text=text))
    elif report.read < 5:
        plural = "s are" if report.read > 1 else " is"
        text = f"Only {report.read} review{plural} at hand: take shares for anecdotes."
        notices.append(Notice(level="warning", text=text))
    disagreed = report.disagreements()
    intro = ""
    if disagreed:
        names = [f"{one.name} ({_sides(one)})" for one in disagreed]
        intro = f"Customers disagree on {', '.join(names[:5])}."
    elif report.aspects:
        intro = "There is no aspect on which two or more reviews stand on each side."
    return Section(
        title=title,
        intro=intro,
        notices=notices,
        topics=[aspect_topics(report)] if report.aspects else [],
        tables=[aspect_table(report)] if len(report.aspects) > 1 else [],
    )


def _sides(one: AspectSummary) -> str:
    mixed = f", {one.mixed} mixed" if one.mixed else ""
    return f"{one.positive} positive, {one.negative} negative{mixed}"


def aspect_page(
    reports: Sequence[AspectReport], name: str, started: str, command: str = "", version: str = "", note: str = ""
) -> str:
    """One self-contained HTML page of one or several products.

    Args:
        reports: at least one.
        name: of the file that was read.
        started: ISO date and time.
        command: that makes the page again.
        version: of valign.
        note: a sentence that belongs above everything else, e.g. that products were left out.
    """
    from shared.report.page import render_report

    single = reports[0] if len(reports) == 1 else None
    facts: dict[str, Cell] = {"Data": name, "Reviews": sum(one.reviews for one in reports)}
    if single is None:
        facts["Products"] = len(reports)
    else:
        facts["Product"] = single.product
        if single.category:
            facts["Category"] = single.category
        if single.mean_rating is not None:
            facts["Stars on average"] = number(single.mean_rating, 1)
    sections = [aspect_section(one, "Aspects" if single else f"Product {one.product}") for one in reports]
    data = ReportData(
        title="What customers say" if single is None else f"What customers say about {single.product}",
        domain="ecommerce",
        started=started,
        summary=_summary(single) if single else f"Aspects of {len(reports)} products, from their reviews.",
        facts=facts,
        notices=[Notice(level="note", text=note)] if note else [],
        sections=sections,
        reproduce=[command] if command else [],
        version=version,
    )
    return render_report(data)


def _summary(report: AspectReport) -> str:
    liked = [one.name for one in report.aspects if one.positive > one.negative + one.mixed and one.positive > 1][:3]
    disliked = [one.name for one in report.aspects if one.negative > one.positive + one.mixed and one.negative > 1][:3]
    parts = [f"Mostly praised: {', '.join(liked)}." if liked else "", f"Mostly criticised: {', '.join(disliked)}."]
    return " ".join(part for part in parts[: 2 if disliked else 1] if part)


def supported_answer(label: str, summary: str, found: Faithfulness, preferred: bool = False) -> Answer:
    """A summary whose statements are marked: supported (with review and similarity), unsupported, contradicted."""
    marks = []
    for place, one in enumerate(found.spans):
        where = (
            f"review {one.review + 1} · {number(math.floor(100 * one.similarity) / 100, 2)}"
            if one.review >= 0
            else "no review"
        )
        if place in found.contradictions:
            marks.append(Mark(start=one.start, end=one.end, level="bad", label=f"contradicted: {where}"))
        elif one.supported:
            marks.append(Mark(start=one.start, end=one.end, level="good", label=where))
        else:
            marks.append(Mark(start=one.start, end=one.end, level="warning", label=f"unsupported: {where}"))
    facts: dict[str, Cell] = {"Faithfulness": found.faithfulness, "Statements": found.statements}
    return Answer(label=label, text=summary, marks=marks, facts=facts, preferred=preferred)
