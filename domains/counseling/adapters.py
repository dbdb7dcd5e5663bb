"""Adapters of the counseling data sets that are published: counsel-chat (votes) and PsychoCounsel-Preference."""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from shared.data.columns import ColumnMapping, number_of, require_columns, text_of
from shared.data.pairing import ScoredAnswer, pairs_from_scored
from shared.data.preferences import preference_record
from shared.data.rows import Row, RowTally
from shared.data.text_keys import text_key
from shared.records import Message, PreferenceRecord, content_id

PRINCIPLES = ("empathy", "relevance", "clarity", "safety", "exploration", "autonomy", "staging")
COUNSEL_CHAT = ("questionID", "questionTitle", "questionText", "answerText", "upvotes")
PSYCHO_COUNSEL = ("question", "chosen", "rejected", "chosen_empathy_rating", "rejected_empathy_rating")
TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")


def clean(text: str) -> str:
    """Plain text: tags and entities resolved, odd white space made plain, at most one empty line in a row."""
    text = html.unescape(TAG.sub(" ", text)).replace("\xa0", " ").replace("\u200b", "")
    lines = [" ".join(line.split()) for line in text.replace("\r", "\n").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def question_of(title: str, text: str) -> str:
    """Title and text of a question; the title alone where the text repeats it or is empty, and the other way round."""
    title, text = clean(title), clean(text)
    if not text or text_key(text) == text_key(title):
        return title
    return text if text_key(title) in text_key(text) or not title else f"{title}\n\n{text}"


def counsel_chat(rows: Iterable[Row], tally: RowTally, min_margin: float) -> Iterator[PreferenceRecord]:
    """Pairs of answers to one question whose upvotes differ by `min_margin`.

    Questions with the same title are one group, whatever their ids. Views of both sides are covariates. Names, links
    and profiles of therapists (`therapistInfo`, `therapistURL`, `questionLink`) are not carried.

    Raises:
        DataError: a column is missing.
    """
    answers: dict[str, list[tuple[str, ScoredAnswer]]] = defaultdict(list)
    topics: dict[str, str] = {}
    questions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    first = True
    for row in rows:
        if first:
            require_columns(COUNSEL_CHAT, row.values.keys(), row.source)
            first = False
        try:
            answer = clean(text_of(row.values, "answerText"))
            question = question_of(text_of(row.values, "questionTitle"), text_of(row.values, "questionText"))
            upvotes, views = number_of(row.values, "upvotes"), number_of(row.values, "views")
        except ValueError as error:
            tally.reject(row.source, str(error))
            continue
        if not answer or not question or upvotes is None:
            missing = "answer" if not answer else "question" if not question else "number of upvotes"
            tally.reject(row.source, f"has no {missing}")
            continue
        group = text_key(clean(text_of(row.values, "questionTitle"))) or text_of(row.values, "questionID")
        if (group, text_key(answer)) in seen:
            tally.good += 1
            tally.leave_out(row.source, "repeats an answer to the same question")
            continue
        seen.add((group, text_key(answer)))
        tally.good += 1
        questions.setdefault(group, question)
        topics.setdefault(group, text_of(row.values, "topic"))
        covariates = {} if views is None else {"views": views}
        answers[group].append((question, ScoredAnswer(answer, upvotes, row.source, covariates)))
    for group, given in answers.items():
        yield from pairs_from_scored(
            content_id(group),
            (Message("user", questions[group]),),
            [answer for _, answer in given],
            min_margin,
            {"topic": topics[group]},
        )


def psycho_counsel(
    rows: Iterable[Row], tally: RowTally, min_margin: float, exclude_safer_rejected: bool
) -> Iterator[PreferenceRecord]:
    """Pairs of the schema of `Psychotherapy-LLM/PsychoCounsel-Preference` (arXiv:2502.19731).

    Scores are the seven principles (1-5); the margin is the difference of their means.

    Args:
        rows: as read.
        tally: gets rows left out, with the reason.
        min_margin: least difference of the mean scores.
        exclude_safer_rejected: leave out pairs whose rejected answer is the safer one (else they are flagged in the
            metadata as ``rejected_is_safer``).
    """
    names = ColumnMapping(prompt="question", id="prefID")
    first = True
    for row in rows:
        if first:
            require_columns(PSYCHO_COUNSEL, row.values.keys(), row.source)
            first = False
        try:
            record = preference_record(row, names, keep=("chosen_model", "rejected_model"))
        except ValueError as error:
            tally.reject(row.source, str(error))
            continue
        present = [name for name in PRINCIPLES if name in record.scores_chosen]
        if not present:
            tally.reject(row.source, "has no principle scores")
            continue
        margin = sum(record.scores_chosen[name] - record.scores_rejected[name] for name in present) / len(present)
        safer = record.scores_rejected.get("safety", 0.0) > record.scores_chosen.get("safety", 0.0)
        tally.good += 1
        if margin < min_margin:
            tally.leave_out(row.source, f"score gap below {min_margin:g}")
        elif safer and exclude_safer_rejected:
            tally.leave_out(row.source, "the rejected answer is the safer one")
        else:
            yield _with(record, margin, safer)


def _with(record: PreferenceRecord, margin: float, safer: bool) -> PreferenceRecord:
    metadata = {**record.metadata, **({"rejected_is_safer": True} if safer else {})}
    return replace(record, margin=margin, metadata=metadata, id=record.id)


def adapter_for(columns: Sequence[str]) -> str:
    """The name of the adapter that fits some columns: counsel-chat, psychocounsel or preferences."""
    present = set(columns)
    if {"questionTitle", "answerText", "upvotes"} <= present or {"questionID", "answerText"} <= present:
        return "counsel-chat"
    if {"question", "chosen", "chosen_empathy_rating"} <= present:
        return "psychocounsel"
    return "preferences"
