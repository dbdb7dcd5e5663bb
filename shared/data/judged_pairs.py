"""Preference records from rows that hold two responses and how they were judged: a label, votes, or scores.

The adapter for data in which no side is called chosen yet: pairs with votes for each side (AdParaphrase), with the
labels of several raters (PandaLM), with an expert's preference and scores of both sides (OpinPref). A column may lie
inside another: ``summary-pairs.summary-one.summary-text``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.data.columns import number_of, numbers_of, require_columns, scalar_of, text_of
from shared.data.preferences import undecided
from shared.data.rows import InvalidValueError, Row, RowTally
from shared.data.text_keys import text_key
from shared.records import Message, PreferenceRecord, Votes, content_id

NO_JUDGEMENT = "no judgement"


class JudgedColumns(BaseModel):
    """Names of the columns of judged pairs.

    What decides is the first that is given of: `label`, `raters`, the votes, the scores. The others come along.

    Attributes:
        prompt: question; several texts (a list) are joined by newlines; null where there is none.
        instruction: stands for the prompt where `prompt` is null.
        first: one response.
        second: the other.
        label: who is preferred.
        raters: several columns with such a label each; they are counted as votes.
        label_first: values of a label that mean the first response (case aside).
        label_second: those that mean the second.
        label_tie: those that mean neither.
        votes_first: raters who preferred the first response.
        votes_second: raters who preferred the second.
        votes_ties: raters without a preference.
        scores_first: a score of the first response, or an object of scores by name; their mean decides.
        scores_second: the same of the second.
        sides: what is known of both responses, by name: the column of the first and that of the second. Numbers become
            covariates, texts metadata ``chosen_NAME`` and ``rejected_NAME``.
        id: id of the pair; default: hash of its content.
        group_id: what must not be torn across splits; default: the prompt's text, or the first response's where there
            is no prompt.
        context: what a judge sees beside the prompt.
        metadata: columns kept for reports.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str | None = "prompt"
    instruction: str = ""
    first: str = "response_a"
    second: str = "response_b"
    label: str | None = None
    raters: tuple[str, ...] = ()
    label_first: tuple[str, ...] = ("1", "a", "first", "model_a", "response_a")
    label_second: tuple[str, ...] = ("2", "b", "second", "model_b", "response_b")
    label_tie: tuple[str, ...] = ("0", "tie", "both", "neither")
    votes_first: str | None = None
    votes_second: str | None = None
    votes_ties: str | None = None
    scores_first: str | None = None
    scores_second: str | None = None
    sides: dict[str, tuple[str, str]] = Field(default_factory=dict)
    id: str | None = None
    group_id: str | None = None
    context: str | None = None
    metadata: tuple[str, ...] = ()

    def named(self) -> list[str]:
        """Every column that must be there."""
        single = (
            self.prompt, self.first, self.second, self.label, self.votes_first, self.votes_second, self.votes_ties,
            self.scores_first, self.scores_second, self.id, self.group_id, self.context,
        )  # fmt: skip
        both = [name for pair in self.sides.values() for name in pair]
        return [name for name in (*single, *self.raters, *both, *self.metadata) if name]

    def can_decide(self) -> bool:
        """Whether any column says which response is preferred."""
        votes = self.votes_first is not None and self.votes_second is not None
        return bool(
            self.label or self.raters or votes or (self.scores_first is not None and self.scores_second is not None)
        )


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Difference in favour of the first response (0: a tie), and how strong the preference is."""

    lead: float
    margin: float | None


def has_column(values: Mapping[str, Any], path: str) -> bool:
    """Whether a column is there, also one inside another (``outer.inner``)."""
    return _resolved(values, path) is not None


def flattened(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The named columns of a row, those inside others under their whole path; what is not there is left out."""
    found = {}
    for name in names:
        place = _resolved(values, name)
        if place is not None:
            found[name] = place[0][place[1]]
    return found


def _resolved(values: Mapping[str, Any], path: str) -> tuple[Mapping[str, Any], str] | None:
    """The object and the key of a column; a whole name goes before a path, since names may hold dots."""
    if path in values:
        return values, path
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        inner = values.get(".".join(parts[:cut]))
        if isinstance(inner, Mapping) and (found := _resolved(inner, ".".join(parts[cut:]))) is not None:
            return found
    return None


def judged_pairs(
    rows: Iterable[Row], tally: RowTally, columns: JudgedColumns, *, min_margin: float = 0.0, keep_ties: bool = False
) -> Iterator[PreferenceRecord]:
    """One record a row, the preferred response chosen; rows that cannot be used go to the tally with the reason.

    Args:
        rows: as read.
        tally: counts good and bad rows.
        columns: names of the columns.
        min_margin: least margin, where a row has one.
        keep_ties: also give pairs without a preference (with margin 0), which lint counts; else they are left out.

    Raises:
        DataError: the first row lacks a column, or too many rows are broken.
    """
    checked = False
    for row in rows:
        if not checked:
            present = {*row.values, *(name for name in columns.named() if has_column(row.values, name))}
            require_columns(columns.named(), present, row.source, "data.judged")
            checked = True
        try:
            record = _record(row, columns)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        if record is None:
            tally.leave_out(row.source, NO_JUDGEMENT)
        elif not keep_ties and (reason := undecided(record, min_margin)):
            tally.leave_out(row.source, reason)
        else:
            yield record


def _record(row: Row, columns: JudgedColumns) -> PreferenceRecord | None:
    """A record from one row; None where nobody judged it."""
    values = flattened(row.values, columns.named())
    prompt = _prompt(values, columns)
    texts = text_of(values, columns.first), text_of(values, columns.second)
    for name, text in zip((columns.first, columns.second), texts, strict=True):
        if not text:
            raise ValueError(f"has an empty {name!r}")
    votes, scores = _votes(values, columns), _scores(values, columns)
    judgement = _judge(values, columns, votes, scores)
    if judgement is None:
        return None
    first_wins = judgement.lead >= 0
    best, worst = (0, 1) if first_wins else (1, 0)
    context = text_of(values, columns.context) if columns.context else ""
    covariates, metadata = _sides(values, columns, first_wins)
    group = text_of(values, columns.group_id) if columns.group_id else ""
    return PreferenceRecord(
        id=(text_of(values, columns.id) if columns.id else "") or content_id(prompt, *texts),
        group_id=group or content_id(text_key(prompt if columns.prompt else texts[0])),
        source=row.source,
        prompt=(Message("user", prompt),),
        chosen=texts[best],
        rejected=texts[worst],
        margin=judgement.margin,
        votes=None if votes is None else Votes(votes[best], votes[worst], votes[2]),
        scores_chosen=scores[best],
        scores_rejected=scores[worst],
        covariates_chosen=covariates[0],
        covariates_rejected=covariates[1],
        context=context or None,
        metadata={
            **metadata,
            **{name: value for name in columns.metadata if (value := scalar_of(values, name)) not in (None, "")},
        },
    )


def _prompt(values: Mapping[str, Any], columns: JudgedColumns) -> str:
    if columns.prompt is None:
        return columns.instruction
    given = values.get(columns.prompt)
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        text = "\n".join(text_of({columns.prompt: one}, columns.prompt) for one in given).strip()
    else:
        text = text_of(values, columns.prompt)
    if not text:
        raise ValueError(f"has an empty {columns.prompt!r}")
    return text


def _judge(
    values: Mapping[str, Any],
    columns: JudgedColumns,
    votes: tuple[int, int, int] | None,
    scores: tuple[Mapping[str, float], Mapping[str, float]],
) -> _Judgement | None:
    """By the label, the votes or the scores, whatever comes first; None where the row has none of them."""
    if columns.label is not None:
        lead = _lead(values, columns.label, columns)
        return None if lead is None else _Judgement(lead, 0.0 if lead == 0 else None)
    if votes is not None:
        return _Judgement(votes[0] - votes[1], float(abs(votes[0] - votes[1]))) if sum(votes) else None
    common = scores[0].keys() & scores[1].keys()
    if not common:
        return None
    lead = sum(scores[0][name] - scores[1][name] for name in common) / len(common)
    return _Judgement(lead, abs(lead))


def _lead(values: Mapping[str, Any], name: str, columns: JudgedColumns) -> int | None:
    """1 where a label prefers the first response, -1 the second, 0 neither; None where it is empty."""
    value = values.get(name)
    # Tables with a missing value hold whole numbers as 1.0.
    label = text_of({name: int(value) if isinstance(value, float) and value.is_integer() else value}, name).casefold()
    if not label:
        return None
    for meant, lead in ((columns.label_first, 1), (columns.label_second, -1), (columns.label_tie, 0)):
        if label in {one.casefold() for one in meant}:
            return lead
    raise InvalidValueError(f"column {name!r} holds a label that is none of label_first, label_second, label_tie")


def _votes(values: Mapping[str, Any], columns: JudgedColumns) -> tuple[int, int, int] | None:
    """Votes for the first response, for the second, for neither."""
    if columns.raters:
        leads = [lead for name in columns.raters if (lead := _lead(values, name, columns)) is not None]
        return (leads.count(1), leads.count(-1), leads.count(0)) if leads else None
    if columns.votes_first is None or columns.votes_second is None:
        return None
    counts = [
        number_of(values, name, least=0, most=1e9) if name else None
        for name in (columns.votes_first, columns.votes_second, columns.votes_ties)
    ]
    if counts[0] is None or counts[1] is None:
        return None
    if any(count is not None and count != int(count) for count in counts):
        raise InvalidValueError("has votes that are no whole numbers")
    return int(counts[0]), int(counts[1]), int(counts[2] or 0)


def _scores(values: Mapping[str, Any], columns: JudgedColumns) -> tuple[dict[str, float], dict[str, float]]:
    if columns.scores_first is None or columns.scores_second is None:
        return {}, {}
    first, second = (_scores_of(values, name) for name in (columns.scores_first, columns.scores_second))
    return first, second


def _scores_of(values: Mapping[str, Any], name: str) -> dict[str, float]:
    given = values.get(name)
    if isinstance(given, Mapping) or (isinstance(given, str) and given.strip().startswith("{")):
        return numbers_of(values, name)
    score = number_of(values, name)
    return {} if score is None else {"score": score}


def _sides(
    values: Mapping[str, Any], columns: JudgedColumns, first_wins: bool
) -> tuple[tuple[dict[str, float], dict[str, float]], dict[str, Any]]:
    """((covariates of the chosen side, of the rejected one), metadata in twins)."""
    covariates: tuple[dict[str, float], dict[str, float]] = {}, {}
    metadata: dict[str, Any] = {}
    for name, pair in columns.sides.items():
        chosen, rejected = (scalar_of(values, one) for one in (pair if first_wins else pair[::-1]))
        try:
            one, other = number_of({name: chosen}, name), number_of({name: rejected}, name)
        except InvalidValueError:
            one, other = None, None  # a text
        if one is not None and other is not None:
            covariates[0][name], covariates[1][name] = one, other
        elif chosen is not None and rejected is not None:
            metadata |= {f"chosen_{name}": chosen, f"rejected_{name}": rejected}
    return covariates, metadata
