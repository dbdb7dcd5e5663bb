"""Support of statements, its threshold on built negatives, contradictions, and the marked summary."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domains.ecommerce import support_spans as support
from domains.ecommerce.aspect_blocks import supported_answer
from domains.ecommerce.faithfulness import faithfulness
from domains.ecommerce.support_spans import (
    KeptVectors,
    best_similarities,
    choose_threshold,
    review_sentences,
    statements,
    support_at,
    support_spans,
)
from shared.report.blocks import Example, ReportData, Section
from shared.report.page import render_report
from tests.domains.ecommerce.word_vectors import word_vectors

REVIEWS = ("The blade is very sharp. It was cheap.", "The handle broke after a week.", "The blade is sharp.")


def test_statements_are_sentences_cut_at_contrasts_but_not_into_crumbs():
    text = "The blade is very sharp, but the handle broke quickly. Fine, but loud."
    assert [text[a:b] for a, b in statements(text)] == [
        "The blade is very sharp,",
        "but the handle broke quickly.",
        "Fine, but loud.",
    ]


def test_each_statement_has_its_best_review_sentence():
    text = "The blade is very sharp, but the handle broke after a week. Made in Sweden by elves."
    spans = support_spans(REVIEWS, text, word_vectors, 0.6)
    assert [(one.review, one.supported) for one in spans[:2]] == [(0, True), (1, True)]
    assert spans[0].evidence == "The blade is very sharp."
    assert spans[0].similarity == pytest.approx(1.0)
    assert not spans[2].supported


def test_without_reviews_nothing_is_supported_and_an_empty_summary_has_no_statement():
    assert [one.supported for one in support_spans((), "A blade.", word_vectors)] == [False]
    assert support_spans(REVIEWS, "", word_vectors) == []
    empty = faithfulness(REVIEWS, " ", word_vectors)
    assert (empty.faithfulness, empty.statements) == (0.0, 0)


def test_sentences_of_many_reviews_are_bounded_and_every_review_stays(monkeypatch):
    monkeypatch.setattr(support, "MOST_SENTENCES", 10)
    reviews = ["One. Two. Three. Four."] * 5 + ["Only."]
    found = review_sentences(reviews)
    assert len(found) <= 11
    assert {one.review for one in found} == set(range(6))


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1), st.lists(st.floats(-1, 1), max_size=20))
@example([0.12], [])  # 0.13 - 0.01 is more than 0.12 in floats
def test_the_threshold_keeps_its_promise_on_the_negatives(negatives, positives):
    found = choose_threshold(positives, negatives, 0.05)
    assert found.false_positives <= 0.05 or found.threshold == 1.0
    below = support_at(round(found.threshold - 0.01, 2), positives, negatives)
    assert found.threshold == 0 or below.false_positives > 0.05


def test_a_threshold_needs_negatives():
    with pytest.raises(ValueError, match="other products"):
        choose_threshold([0.5], [])


def test_opposite_evidence_contradicts_but_one_critic_among_friends_does_not():
    reviews = ("The blade is terrible.",)
    summary = "The blade is excellent."
    against = faithfulness(reviews, summary, word_vectors, 0.5)
    assert (against.supported, against.contradicted, against.faithfulness) == (1.0, 1.0, 0.0)
    both = faithfulness((*reviews, "The blade is great."), summary, word_vectors, 0.5)
    assert (both.contradicted, both.faithfulness) == (0.0, 1.0)


def test_vectors_are_made_once():
    calls = []

    def counted(texts):
        calls.append(list(texts))
        return word_vectors(texts)

    embed = KeptVectors(counted)
    best_similarities(REVIEWS, ["The blade is sharp.", "The blade is sharp."], embed)
    assert sum(map(len, calls)) == len({text for call in calls for text in call})
    assert embed(["bad \ud83d half"]).shape == (1, 512)


def test_marks_stand_in_the_page_escaped():
    summary = "The blade is very sharp. <b>Elves</b> & gnomes made this thing. The handle is wonderful after a week."
    found = faithfulness(REVIEWS, summary, word_vectors, 0.6)
    answer = supported_answer("base", summary, found)
    assert [mark.level for mark in answer.marks] == ["good", "warning", "bad"] or answer.marks[0].level == "good"
    section = Section(title="Examples", examples=[Example(prompt="knife", answers=[answer])])
    page = render_report(ReportData(title="t", domain="ecommerce", started="2026", sections=[section]))
    assert '<mark class="good">The blade is very sharp.</mark>' in page
    assert '<mark class="warning">&lt;b&gt;Elves&lt;/b&gt; &amp; gnomes made this thing.</mark>' in page
    assert "unsupported" in page
    assert "<b>Elves" not in page
