"""Adapters of the counseling data sets that are published: counsel-chat (votes) and PsychoCounsel-Preference."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Literal

from shared.data.columns import ColumnMapping, number_of, require_columns, text_of
from shared.data.pairing import ScoredAnswer, pairs_from_scored
from shared.data.plain_text import plain_text
from shared.data.preferences import preference_record, undecided
from shared.data.rows import Row, RowTally
from shared.data.text_keys import text_key
from shared.records import Message, PreferenceRecord, content_id

AdapterName = Literal["preferences", "counsel-chat", "psychocounsel"]
PRINCIPLES = ("empathy", "relevance", "clarity", "safety", "exploration", "autonomy", "staging")
COUNSEL_CHAT = ("questionID", "questionTitle", "questionText", "answerText", "upvotes")
RATINGS = tuple(f"{side}_{name}_rating" for side in ("chosen", "rejected") for name in PRINCIPLES)
PSYCHO_COUNSEL = ("question", "chosen", "rejected", *RATINGS)


def adapter_for(columns: Collection[str]) -> AdapterName:
    """The adapter that fits the columns of a file."""
    present = set(columns)
    if {"questionTitle", "answerText"} <= present or {"questionID", "answerText"} <= present:
        return "counsel-chat"
    if "question" in present and any(name in present for name in RATINGS):
        return "psychocounsel"
    return "preferences"


def question_of(title: str, text: str) -> str:
    """Title and text of a question; only one of them where the other is empty or repeated in it."""
    title, text = plain_text(title), plain_text(text)
    if not title or text_key(title) in text_key(text):
        return text or title
    return f"{title}\n\n{text}" if text_key(text) not in text_key(title) else title


class _Groups:
    """Union-find over names: question ids and titles that belong together."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        path = [name]
        while (above := self._parent.setdefault(path[-1], path[-1])) != path[-1]:
            path.append(above)
        self._parent.update(dict.fromkeys(path, path[-1]))
        return path[-1]

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first


def counsel_chat(rows: Iterable[Row], tally: RowTally, min_margin: float) -> Iterator[PreferenceRecord]:
    """Pairs of answers to one question whose upvotes differ by `min_margin`; all answers are kept in memory.

    Answers are paired only where title and text of the question are the same: some ids hold answers to two questions,
    and some titles stand above two texts. Questions that share an id or a title are one group. Of answers to one
    question with the same text the one with most upvotes is kept. A question that stands under several topics has the
    alphabetically first. Views of both sides are covariates. Names, profiles and links (`therapistInfo`,
    `therapistURL`, `questionLink`) are not carried. The order of rows does not matter.

    Args:
        rows: one answer each, with the columns of the published CSV.
        tally: gets rows left out, with the reason.
        min_margin: least difference of upvotes.

    Raises:
        DataError: a column is missing, or too many rows are broken.
    """
    answers: dict[str, dict[str, ScoredAnswer]] = defaultdict(dict)  # by keys of question and answer
    wordings: dict[str, set[str]] = defaultdict(set)  # by key of the question, as the next
    topics: dict[str, set[str]] = defaultdict(set)
    groups = _Groups()
    for number, row in enumerate(rows):
        if number == 0:
            require_columns(COUNSEL_CHAT, row.values.keys(), row.source)
        try:
            answer = plain_text(text_of(row.values, "answerText"))
            title = text_of(row.values, "questionTitle")
            question = question_of(title, text_of(row.values, "questionText"))
            upvotes, views = number_of(row.values, "upvotes"), number_of(row.values, "views", least=0)
            identifier, topic = text_of(row.values, "questionID"), plain_text(text_of(row.values, "topic"))
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        if not answer or not question or upvotes is None:
            missing = "answer" if not answer else "question" if not question else "number of upvotes"
            tally.reject(row.source, f"has no {missing}")
            continue
        tally.good += 1
        key, title_key = text_key(question), text_key(plain_text(title))
        names = [f"question {key}", *(f"id {one}" for one in [identifier] if one)]
        names += [f"title {title_key}"] if title_key else []
        for name in names[1:]:
            groups.join(names[0], name)
        wordings[key].add(question)
        topics[key] |= {topic} - {""}
        one = ScoredAnswer(answer, upvotes, row.source, {} if views is None else {"views": views})
        same = answers[key].get(text_key(answer), one)
        if same is not one:
            same, one = sorted((same, one), key=_precedence)
            tally.leave_out(same.source, "repeats an answer to the same question")
        answers[key][text_key(answer)] = one
    for key, found in answers.items():
        yield from pairs_from_scored(
            content_id("counsel-chat", groups.root(f"question {key}")),
            (Message("user", min(wordings[key])),),
            list(found.values()),
            min_margin,
            {"topic": min(topics[key])} if topics[key] else {},
        )


def _precedence(answer: ScoredAnswer) -> tuple[float, float, str]:
    return answer.score, answer.covariates.get("views", -1.0), answer.text


def psycho_counsel(
    rows: Iterable[Row], tally: RowTally, min_margin: float, exclude_safer_rejected: bool
) -> Iterator[PreferenceRecord]:
    """Pairs of the schema of `Psychotherapy-LLM/PsychoCounsel-Preference` (arXiv:2502.19731).

    Scores are the seven principles (1-5, equal weight); the margin is the difference of their means.

    Args:
        rows: as read.
        tally: gets rows left out, with the reason.
        min_margin: least difference of the mean scores.
        exclude_safer_rejected: leave out pairs whose rejected answer is rated safer (else they are flagged in the
            metadata as ``rejected_is_safer``).

    Raises:
        DataError: a column is missing, or too many rows are broken (a rating outside 1-5 breaks a row).
    """
    names = ColumnMapping(prompt="question", id="prefID", metadata=("chosen_model", "rejected_model"))
    for number, row in enumerate(rows):
        if number == 0:
            require_columns(PSYCHO_COUNSEL, row.values.keys(), row.source)
        try:
            ratings = [number_of(row.values, name, least=1, most=5) for name in RATINGS]
            if None in ratings:
                raise ValueError("lacks a rating")
            record = preference_record(row, names)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        gaps = [record.scores_chosen[name] - record.scores_rejected[name] for name in PRINCIPLES]
        margin = sum(gaps) / len(gaps)
        safer = record.scores_rejected["safety"] > record.scores_chosen["safety"]
        metadata = {**record.metadata, **({"rejected_is_safer": True} if safer else {})}
        record = replace(record, margin=margin, metadata=metadata)
        if safer and exclude_safer_rejected:
            tally.leave_out(row.source, "the rejected answer is rated safer")
        elif margin < 0:
            tally.leave_out(row.source, "the rejected answer has the higher mean score")
        elif reason := undecided(record, min_margin):
            tally.leave_out(row.source, reason)
        else:
            yield record
