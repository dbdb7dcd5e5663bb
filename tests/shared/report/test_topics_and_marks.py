"""Topics with bars and quotations, and marked passages: rendered escaped, refused where they make no sense."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.report.blocks import Answer, Mark, Quotation, ReportData, Section, Share, Topic, Topics
from shared.report.page import render_report


def page(topics):
    section = Section(title="Topics", topics=topics)
    return render_report(ReportData(title="t", domain="d", started="2026", sections=[section]))


def test_a_topic_has_its_bar_and_its_quotations_escaped():
    topic = Topic(
        name="Price <i>",
        amount="4 of 5 texts",
        shares=[
            Share(label="positive", count=3, level="good"),
            Share(label="mixed", count=0, level="warning"),
            Share(label="negative", count=1, level="bad"),
        ],
        quotations=[Quotation(text="<script>x</script>", source="text 1", level="bad")],
    )
    html = page([Topics(caption="What <b>", rows=[topic], note="note")])
    assert 'class="good" style="width:75.0%"' in html
    assert "<b>3</b> positive" in html
    assert "mixed" not in html.partition("<body>")[2]
    assert "<script" not in html
    assert "&lt;script&gt;x&lt;/script&gt;" in html
    assert "Price &lt;i&gt;" in html


def test_a_topic_without_shares_has_no_bar():
    assert 'class="bar"' not in page([Topics(caption="c", rows=[Topic(name="a")])])


@settings(deadline=None)
@given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=8, unique=True))
def test_pieces_give_the_text_again(text, cuts):
    ends = sorted(cut for cut in cuts if cut <= len(text))
    pairs = list(zip(ends[::2], ends[1::2], strict=False))
    marks = [Mark(start=a, end=b, level="good") for a, b in pairs]
    answer = Answer(label="a", text=text, marks=marks)
    pieces = answer.pieces()
    assert "".join(piece for piece, _ in pieces) == text
    assert [mark for _, mark in pieces if mark] == marks


@pytest.mark.parametrize("spans", [[(0, 9)], [(2, 2)], [(2, 3), (1, 2)], [(0, 2), (1, 3)]])
def test_marks_lie_in_the_text_and_in_order(spans):
    with pytest.raises(ValidationError, match="out of order or outside"):
        Answer(label="a", text="short", marks=[Mark(start=a, end=b, level="bad") for a, b in spans])


def test_old_reports_are_read_as_before():
    assert Answer.model_validate({"label": "a", "text": "b"}).pieces() == [("b", None)]
    assert Answer(label="a", text="").pieces() == []
