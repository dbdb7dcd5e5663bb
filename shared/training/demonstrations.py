"""Demonstrations: a conversation and a response to be learnt from, as files and from preference records.

The file format is Arrow, written in batches (`write_demonstrations`). Files of other origin (JSONL, CSV, Parquet; a
row has ``prompt``, text or a list of turns, and ``response``) are read by `demonstrations`; nothing is masked here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.data.columns import number_of, require_columns, text_of
from shared.data.dialogues import is_dialogue, read_dialogue
from shared.data.record_files import RecordWriter, iter_file
from shared.data.rows import Row, RowTally
from shared.data.text_keys import text_key
from shared.errors import DataError
from shared.records import Message, PreferenceRecord, content_id

if TYPE_CHECKING:
    import pyarrow as pa

Take = Literal["chosen", "undefeated"]
ARROW = ".arrow"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One prompt with a response to be learnt; a `shared.records.Record`.

    Attributes:
        id: stable id.
        group_id: rows of one group never stand in two splits.
        source: where it was read, e.g. ``summaries.jsonl:17``.
        prompt: the conversation before the response, oldest turn first.
        response: what is learnt.
        weight: factor of this response's loss.
    """

    id: str
    group_id: str
    source: str
    prompt: tuple[Message, ...]
    response: str
    weight: float = 1.0

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yields (field name, text) of every prompt turn and of the response."""
        for index, message in enumerate(self.prompt):
            yield f"prompt[{index}]", message.content
        yield "response", self.response


def demonstration_schema() -> "pa.Schema":
    """The columns of a file of demonstrations."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    texts = [(name, pa.string()) for name in ("id", "group_id", "source")]
    return pa.schema([*texts, ("prompt", pa.list_(message)), ("response", pa.string()), ("weight", pa.float64())])


def _row(one: Demonstration) -> dict[str, Any]:
    return {
        "id": one.id,
        "group_id": one.group_id,
        "source": one.source,
        "prompt": [{"role": turn.role, "content": turn.content} for turn in one.prompt],
        "response": one.response,
        "weight": one.weight,
    }


def _demonstration(row: Mapping[str, Any]) -> Demonstration:
    prompt = tuple(Message(turn["role"], turn["content"]) for turn in row["prompt"])
    return Demonstration(**{**row, "prompt": prompt})


def write_demonstrations(path: Path, demonstrations: Iterable[Demonstration]) -> int:
    """Writes them as they come to an Arrow file.

    Returns:
        How many were written.

    Raises:
        SystemStateError: no space is left, or the file cannot be written.
    """
    with RecordWriter(path, demonstration_schema(), _row) as writer:
        for one in demonstrations:
            writer.write(one)
    return writer.count


def read_demonstrations(path: Path) -> list[Demonstration]:
    """All demonstrations of an Arrow file, or of a file of rows (``.jsonl`` and what else `shared.data.reading` takes).

    Raises:
        DataError: the file is missing or broken, or too many of its rows are.
    """
    if path.suffix == ARROW:
        return list(iter_file(path, demonstration_schema(), _demonstration))
    from shared.data.reading import iter_rows

    tally = RowTally()
    found = list(demonstrations(iter_rows(path, tally), tally))
    tally.check()
    return found


def demonstrations(rows: Iterable[Row], tally: RowTally) -> Iterator[Demonstration]:
    """One demonstration a row; rows that cannot be used go to the tally with the reason.

    Columns: ``prompt`` (text, or a list of ``{role, content}``), ``response``; where they are there ``id``,
    ``group_id`` (otherwise the prompt) and ``weight``.

    Raises:
        DataError: the first row lacks a column, or too many rows are broken.
    """
    checked = False
    for row in rows:
        if not checked:
            require_columns(("prompt", "response"), row.values.keys(), row.source)
            checked = True
        try:
            found = _of_row(row)
        except ValueError as error:
            tally.reject_for(row.source, error)
            continue
        tally.good += 1
        yield found


def _of_row(row: Row) -> Demonstration:
    values = row.values
    given, response = values.get("prompt"), text_of(values, "response")
    prompt = read_dialogue(given, "prompt") if is_dialogue(given) else (Message("user", text_of(values, "prompt")),)
    if not any(turn.content.strip() for turn in prompt if turn.role != "system"):
        raise ValueError("has an empty prompt")
    if not response:
        raise ValueError("has an empty 'response'")
    question = "\n".join(turn.content for turn in prompt)
    weight = number_of(values, "weight", least=0)
    return Demonstration(
        id=text_of(values, "id") or content_id(question, response),
        group_id=text_of(values, "group_id") or content_id(text_key(question)),
        source=row.source,
        prompt=prompt,
        response=response,
        weight=1.0 if weight is None else weight,
    )


def of_preferences(records: Sequence[PreferenceRecord], take: Take = "chosen") -> list[Demonstration]:
    """The chosen responses of preference records, each once under its prompt.

    Args:
        records: the pairs.
        take: ``chosen`` every response that is chosen in a pair; ``undefeated`` those of them that are rejected in no
            pair with the same prompt.

    Returns:
        In the order of the records; the weight is 1, since a pair's weight says how sure the comparison is.

    Raises:
        DataError: every chosen response is rejected in another pair.
    """
    defeated = {(one.prompt, one.rejected) for one in records} if take == "undefeated" else set()
    found: dict[tuple[tuple[Message, ...], str], Demonstration] = {}
    for one in records:
        key = (one.prompt, one.chosen)
        if key not in defeated and key not in found:
            name = content_id(one.prompt_text(), one.chosen)
            found[key] = Demonstration(name, one.group_id, one.source, one.prompt, one.chosen)
    if records and not found:
        raise DataError("every chosen response is rejected in another pair: set examples to chosen.")
    return list(found.values())
