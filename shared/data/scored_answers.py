"""Preference records from rows that hold one answer each, with a score: answers to one question are paired.

The adapter for question sites (votes), ratings of single responses, leaderboards of completions.
"""

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict

from shared.data.columns import number_of, require_columns, text_of
from shared.data.pairing import ScoredAnswer, pairs_from_scored
from shared.data.rows import InvalidValueError, Row, RowTally
from shared.records import Message, PreferenceRecord, content_id


class ScoredColumns(BaseModel):
    """Names of the columns of scored answers.

    Attributes:
        prompt: question; several columns (a title and a text) are joined by an empty line.
        response: the answer.
        score: what orders the answers to one question.
        group_id: what must not be torn across splits; answers are paired within a group and a question. Default: the
            question's text.
        covariates: columns with numbers that are no judgement of the answer (views, position).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: tuple[str, ...] = ("prompt",)
    response: str = "response"
    score: str = "score"
    group_id: str | None = None
    covariates: tuple[str, ...] = ()

    def named(self) -> list[str]:
        """Every column that must be there."""
        group = (self.group_id,) if self.group_id else ()
        return [*self.prompt, self.response, self.score, *group, *self.covariates]


def scored_answers(
    rows: Iterable[Row], tally: RowTally, columns: ScoredColumns, min_margin: float = 0.0
) -> Iterator[PreferenceRecord]:
    """All pairs of answers to one question whose scores differ; all answers are kept in memory.

    Args:
        rows: one answer each.
        tally: gets rows left out, with the reason.
        columns: names of the columns.
        min_margin: least difference of scores; equal scores never make a pair.

    Raises:
        DataError: a column is missing, or too many rows are broken.
    """
    answers: dict[tuple[str, str], list[ScoredAnswer]] = {}
    checked = False
    for row in rows:
        if not checked:
            require_columns(columns.named(), row.values.keys(), row.source, "data.scored")
            checked = True
        try:
            key, answer = _answer(row, columns)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        answers.setdefault(key, []).append(answer)
    for (group, question), of_question in answers.items():
        prompt = (Message("user", question),)
        pairs = pairs_from_scored(group, prompt, of_question, min_margin)
        if not pairs:
            for answer in of_question:
                tally.leave_out(answer.source, "no other answer to that question with another score")
        yield from pairs


def _answer(row: Row, columns: ScoredColumns) -> tuple[tuple[str, str], ScoredAnswer]:
    """((group, question), the answer) of one row."""
    values = row.values
    question = "\n\n".join(text for name in columns.prompt if (text := text_of(values, name)))
    answer = text_of(values, columns.response)
    score = number_of(values, columns.score)
    for name, there in ((" and ".join(columns.prompt), question), (columns.response, answer)):
        if not there:
            raise ValueError(f"has an empty {name!r}")
    if score is None:
        raise ValueError(f"has an empty {columns.score!r}")
    covariates = {}
    for name in columns.covariates:
        number = number_of(values, name)
        if number is None:
            raise InvalidValueError(f"column {name!r} holds no number")
        covariates[name] = number
    group = text_of(values, columns.group_id) if columns.group_id else ""
    return (group or content_id(question), question), ScoredAnswer(answer, score, row.source, covariates)
