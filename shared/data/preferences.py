"""Preference records from rows of the usual shapes.

Standard: ``prompt``, ``chosen``, ``rejected`` as text. Conversational: lists of ``{role, content}``. Implicit prompt:
chosen and rejected are whole dialogues that differ in their last turn, as lists or as "Human: ... Assistant: ..." text
(HH-RLHF). Columns ``{chosen,rejected}_<name>_rating`` and objects ``{chosen,rejected}_scores`` become factor scores,
``{chosen,rejected}_{score,rating,reward}`` the score "overall"; other columns ``{chosen,rejected}_<name>`` with numbers
on both sides become covariates, unless they are mapped to something else.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from shared.data.columns import ColumnMapping, number_of, numbers_of, require_columns, scalar_of, text_of
from shared.data.dialogues import Dialogue, is_dialogue, read_dialogue, split_common
from shared.data.rows import InvalidValueError, Row, RowTally
from shared.data.text_keys import text_key
from shared.records import Message, PreferenceRecord, Votes, content_id

RATING = re.compile(r"chosen_(.+)_rating")
SIDE = re.compile(r"chosen_(.+)")
OVERALL = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("chosen_reward", "rejected_reward"),
)
JUDGEMENTS = {"scores", "score", "rating", "reward", "votes", "upvotes"}  # would tell a baseline the label
SLACK = 1e-9  # of a difference of means that is a whole number on paper


def preferences(
    rows: Iterable[Row],
    tally: RowTally,
    columns: ColumnMapping | None = None,
    min_margin: float = 0.0,
    keep: Sequence[str] = ("chosen_model", "rejected_model"),
) -> Iterator[PreferenceRecord]:
    """One record a row; rows that cannot be used go to the tally with the reason, ties are left out.

    Args:
        rows: as read.
        tally: counts good and bad rows.
        columns: names of the columns.
        min_margin: least margin, where a row has one; a margin of 0 is a tie and always left out.
        keep: further columns kept as metadata.

    Raises:
        DataError: the first row lacks a column, or too many rows are broken.
    """
    names = columns or ColumnMapping()
    checked = False
    for row in rows:
        if not checked:
            _check_columns(row, names)
            checked = True
        try:
            record = preference_record(row, names, keep)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        if reason := undecided(record, min_margin):
            tally.leave_out(row.source, reason)
        else:
            yield record


def undecided(record: PreferenceRecord, min_margin: float = 0.0) -> str | None:
    """Why a sound record says nothing of a preference; None where it does."""
    if text_key(record.chosen) == text_key(record.rejected):
        return "chosen and rejected are the same text"
    if record.margin is not None and record.margin <= 0:
        return "tie: the margin is 0"
    if record.margin is not None and record.margin < min_margin - SLACK:
        return f"margin below {min_margin:g}"
    if record.votes is not None and record.votes.chosen == record.votes.rejected:
        return "tie: as many votes for both"
    if record.votes is not None and record.votes.chosen < record.votes.rejected:
        return "more votes for the rejected response"
    return "weight 0" if record.weight == 0 else None


def preference_record(row: Row, names: ColumnMapping, keep: Sequence[str] = ()) -> PreferenceRecord:
    """A record from one row.

    Raises:
        InvalidValueError: a value has the wrong type or is outside its range.
        ValueError: a text is missing. The message says which, and never quotes a value.
    """
    values = row.values
    prompt, chosen, rejected = _texts(values, names)
    if not any(message.content for message in prompt if message.role != "system"):
        raise ValueError("has an empty prompt")
    for side, text in ((names.chosen, chosen), (names.rejected, rejected)):
        if not text:
            raise ValueError(f"has an empty {side!r}")
    question = "\n".join(message.content for message in prompt)
    weight = number_of(values, names.weight, least=0)
    scores, covariates = _scores(values), _covariates(values, names)
    metadata = {name: scalar_of(values, name) for name in (*names.metadata, *keep)}
    return PreferenceRecord(
        id=text_of(values, names.id) or content_id(question, chosen, rejected),
        group_id=text_of(values, names.group_id) or content_id(text_key(question)),
        source=row.source,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=number_of(values, names.margin, least=0),
        weight=1.0 if weight is None else weight,
        votes=_votes(values, names),
        scores_chosen=scores[0],
        scores_rejected=scores[1],
        covariates_chosen=covariates[0],
        covariates_rejected=covariates[1],
        context=text_of(values, names.context) or None,
        rationale=text_of(values, names.rationale) or None,
        metadata={name: value for name, value in metadata.items() if value not in (None, "")},
    )


def _check_columns(row: Row, names: ColumnMapping) -> None:
    present = row.values.keys()
    require_columns((names.chosen, names.rejected, *names.renamed()), present, row.source)
    if names.prompt not in present and not is_dialogue(row.values[names.chosen]):
        require_columns((names.prompt,), present, row.source)


def _texts(values: Mapping[str, Any], names: ColumnMapping) -> tuple[Dialogue, str, str]:
    given = values.get(names.prompt)
    sides = [values.get(names.chosen), values.get(names.rejected)]
    for name, side in zip((names.chosen, names.rejected), sides, strict=True):
        if side is None or side == "" or side == []:
            raise ValueError(f"has an empty {name!r}")
    if given is None or given == "" or given == []:
        if not all(is_dialogue(side) for side in sides):
            raise ValueError("has an empty prompt")
        return split_common(read_dialogue(sides[0], names.chosen), read_dialogue(sides[1], names.rejected))
    prompt = _prompt(given, values, names.prompt)
    (chosen, asked), (rejected, asked_too) = (_response(values, name) for name in (names.chosen, names.rejected))
    if asked != asked_too:
        raise ValueError("has dialogues that differ before their last assistant turn")
    return _with_turns(prompt, asked), chosen, rejected


def _prompt(given: Any, values: Mapping[str, Any], name: str) -> Dialogue:
    if not is_dialogue(given):
        text = text_of(values, name)
        return (Message("user", text),) if text else ()
    turns = read_dialogue(given, name)
    # "... Assistant:" asks for the response that the other columns hold.
    return turns[:-1] if turns and turns[-1].role == "assistant" and not turns[-1].content else turns


def _response(values: Mapping[str, Any], name: str) -> tuple[str, Dialogue]:
    """A response, and the turns before it where the column holds a whole dialogue."""
    if not is_dialogue(values.get(name)):
        return text_of(values, name), ()
    turns = read_dialogue(values.get(name), name)
    if not turns or turns[-1].role != "assistant":
        raise ValueError(f"has a {name!r} that does not end with the assistant")
    return turns[-1].content, turns[:-1]


def _with_turns(prompt: Dialogue, turns: Dialogue) -> Dialogue:
    """The prompt, and the turns of the response columns where they go beyond it rather than repeat it."""
    if not turns:
        return prompt
    if turns[: len(prompt)] == prompt:
        return turns
    spoken = tuple(turn for turn in turns if turn.role != "system")
    last = prompt[-1].content if prompt else ""
    if spoken and text_key(spoken[0].content) == text_key(last):
        return (*prompt[:-1], *turns)
    raise ValueError("has dialogues that do not begin with the prompt")


def _scores(values: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    chosen = numbers_of(values, "chosen_scores")
    rejected = numbers_of(values, "rejected_scores")
    pairs = [
        (match.group(1), *_both(match.group(1), "_rating")) for one in values if (match := RATING.fullmatch(str(one)))
    ]
    pairs += [("overall", *both) for both in OVERALL if both[0] in values and both[1] in values]
    for name, one, other in pairs:
        first, second = number_of(values, one), number_of(values, other)
        if first is not None and second is not None:
            chosen[name], rejected[name] = first, second
    return chosen, rejected


def _both(name: str, ending: str = "") -> tuple[str, str]:
    return f"chosen_{name}{ending}", f"rejected_{name}{ending}"


@lru_cache(maxsize=64)
def _covariate_names(columns: tuple[str, ...], mapped: frozenset[str]) -> tuple[str, ...]:
    present = set(columns)
    names = [match.group(1) for one in columns if (match := SIDE.fullmatch(one))]
    taken = JUDGEMENTS | {"model"}
    return tuple(
        name
        for name in names
        if name not in taken
        and not name.endswith("_rating")
        and f"rejected_{name}" in present
        and not mapped & set(_both(name))
    )


def _covariates(values: Mapping[str, Any], names: ColumnMapping) -> tuple[dict[str, float], dict[str, float]]:
    chosen, rejected = {}, {}
    for name in _covariate_names(tuple(map(str, values)), names.mapped()):
        one, other = _both(name)
        try:
            first, second = number_of(values, one), number_of(values, other)
        except InvalidValueError:
            continue  # a text about each side: no covariate
        if first is not None and second is not None:
            chosen[name], rejected[name] = first, second
    return chosen, rejected


def _votes(values: Mapping[str, Any], names: ColumnMapping) -> Votes | None:
    columns = (names.votes_chosen, names.votes_rejected, names.votes_ties)
    chosen, rejected, ties = (number_of(values, name, least=0, most=1e9) for name in columns)
    if chosen is None or rejected is None:
        return None
    if any(count is not None and count != int(count) for count in (chosen, rejected, ties)):
        raise InvalidValueError("has votes that are no whole numbers")
    return Votes(int(chosen), int(rejected), int(ties or 0))
