"""Responses to be judged: K to a prompt, from a file, from preference data, or sampled from a policy."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from shared.data.columns import ColumnMapping, text_of
from shared.data.dialogues import is_dialogue, read_dialogue
from shared.data.preferences import preference_record
from shared.data.reading import iter_rows
from shared.data.rows import InvalidValueError, Row, RowTally
from shared.errors import DataError
from shared.records import Message, PreferenceRecord, content_id

_PAIR_COLUMNS = (("response_a", "response_b"), ("response1", "response2"), ("a", "b"))


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """One prompt and its responses; a record, so that it can be de-identified.

    Attributes:
        id: names the set in verdicts; never sent to an endpoint.
        group_id: sets of one group are resampled together.
        source: file and row.
        prompt: the conversation before the responses.
        responses: at least one.
        context: what a judge sees beside the prompt.
        preferred: index of the response that the data prefer, where they say so.
    """

    id: str
    group_id: str
    source: str
    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    context: str | None = None
    preferred: int | None = None

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yields (field name, text) of every text."""
        for index, message in enumerate(self.prompt):
            yield f"prompt[{index}]", message.content
        for index, response in enumerate(self.responses):
            yield f"responses[{index}]", response
        if self.context is not None:
            yield "context", self.context


def read_candidates(location: str | Path, *, limit: int | None = None) -> list[CandidateSet]:
    """Candidate sets from rows of any of three shapes.

    ``prompt, responses`` (a list of texts); ``prompt, response_a, response_b`` or ``prompt, response``; preference
    pairs ``prompt, chosen, rejected``, whose label is kept, and whose sides change places by a hash of their id, so
    that place tells nothing. Optional: ``id``, ``group_id``, ``context``.

    Args:
        location: path of a CSV, JSONL, JSON, Parquet or Arrow file.
        limit: most sets read.

    Raises:
        DataError: no such columns, too many bad rows, one id twice.
    """
    tally = RowTally()
    found: list[CandidateSet] = []
    seen: dict[str, str] = {}
    for row in iter_rows(location, tally):
        if tally.total == 0:
            _check_columns(row)
        try:
            one = candidate_set(row)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        if one.id in seen and not text_of(row.values, "id"):
            tally.leave_out(row.source, "the same texts stand in an earlier row")
            continue
        if one.id in seen:
            raise DataError(f"{row.source} has the same id as {seen[one.id]}: give every prompt an id of its own.")
        seen[one.id] = row.source
        found.append(one)
        if len(found) == limit:
            break
    tally.check()
    return found


def _check_columns(row: Row) -> None:
    present = {str(name) for name in row.values}
    shapes = [{"responses"}, {"chosen", "rejected"}, {"response"}, *map(set, _PAIR_COLUMNS)]
    if not any(shape <= present for shape in shapes):
        raise DataError(
            f"{row.source} holds nothing to judge: give columns prompt and responses, or response_a and response_b, or "
            f"chosen and rejected; there are {', '.join(sorted(present)[:12])}."
        )


def candidate_set(row: Row) -> CandidateSet:
    """The set of one row. Raises ValueError (InvalidValueError for a wrong type), whose message quotes no text."""
    values = row.values
    if "chosen" in values and "rejected" in values:
        return from_preference(preference_record(row, ColumnMapping()))
    responses = _responses(values)
    prompt = _prompt(values)
    asked = "\n".join(turn.content for turn in prompt)
    return CandidateSet(
        id=text_of(values, "id") or content_id(asked, *responses),
        group_id=text_of(values, "group_id") or content_id(asked),
        source=row.source,
        prompt=prompt,
        responses=responses,
        context=text_of(values, "context") or None,
    )


def from_preference(record: PreferenceRecord) -> CandidateSet:
    """The two responses of a preference record, in an order that a hash of its id decides, with the label kept."""
    chosen_first = sha256(record.id.encode()).digest()[0] % 2 == 0
    responses = (record.chosen, record.rejected) if chosen_first else (record.rejected, record.chosen)
    return CandidateSet(
        record.id,
        record.group_id,
        record.source,
        record.prompt,
        responses,
        record.context,
        preferred=0 if chosen_first else 1,
    )


def _responses(values: Mapping[str, Any]) -> tuple[str, ...]:
    if "responses" in values:
        given = values["responses"]
        if not isinstance(given, list) or not given:
            raise InvalidValueError("column 'responses' holds no list of texts")
        texts = [one.get("text", one.get("response")) if isinstance(one, Mapping) else one for one in given]
        if not all(isinstance(text, str) for text in texts):
            raise InvalidValueError("column 'responses' holds something that is no text")
    else:
        names = next((both for both in _PAIR_COLUMNS if set(both) <= values.keys()), ("response",))
        texts = [text_of(values, name) for name in names]
    if not all(text.strip() for text in texts):
        raise ValueError("has an empty response")
    return tuple(texts)


def _prompt(values: Mapping[str, Any]) -> tuple[Message, ...]:
    given = values.get("prompt")
    if is_dialogue(given):
        return read_dialogue(given, "prompt")
    text = text_of(values, "prompt")
    if not text:
        raise ValueError("has an empty prompt")
    return (Message("user", text),)


def deidentified(sets: Iterable[CandidateSet], deidentifier: Any, batch: int = 256) -> Iterator[CandidateSet]:
    """The sets with every text masked; ids, groups and sources stay, since no judge is shown them.

    Args:
        sets: as read.
        deidentifier: a `shared.deidentify.deidentifier.Deidentifier`.
        batch: sets held in memory at once.
    """
    stream = iter(sets)
    while part := list(islice(stream, batch)):
        for masked, given in zip(deidentifier.mask_records(part), part, strict=True):
            yield replace(masked, id=given.id, group_id=given.group_id, source=given.source)
