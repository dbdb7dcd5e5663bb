"""SimulEval's instances.log: one JSON object a sentence, with its prediction and when each unit of it was written.

Read as SimulEval scores it (https://github.com/facebookresearch/SimulEval, 1.1.4): predictions exactly as logged, an
end marker ``</s>`` being a word of them. Written so that SimulEval (``simuleval --score-only``) reads it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from domains.translation.latency.delays import Delays, prediction_units, reference_units
from domains.translation.units import Unit
from shared.data.text_files import text_lines
from shared.durable import write_text
from shared.errors import DataError

NAME = "instances.log"
# What a line holds: key, types in JSON (true is no number), the same in words.
KINDS: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("prediction", (str,), "a text"),
    ("reference", (str, type(None)), "a text"),
    ("index", (int,), "a whole number"),
    ("source_length", (int, float), "a number"),
    ("delays", (list,), "a list of numbers"),
    ("elapsed", (list, type(None)), "a list of numbers"),
)


@dataclass(frozen=True, slots=True)
class LoggedSentence:
    """One line of a log.

    Attributes:
        index: number of the sentence in its corpus, from 0.
        prediction: as logged.
        reference: of the log, or of the file with references.
        delays: with the lengths of source, reference and prediction.
        source: the source sentence; None of speech.
    """

    index: int
    prediction: str
    reference: str
    delays: Delays
    source: str | None


def read_log(path: Path, unit: Unit = "word", references: Path | None = None) -> list[LoggedSentence]:
    """Reads a log, in the order of its sentences' numbers.

    Args:
        path: instances.log (also packed, ``.gz``), or the folder SimulEval wrote it to.
        unit: what the target is counted in: SimulEval's ``--eval-latency-unit``.
        references: file with one reference a line (also ``.gz``), in place of those in the log.

    Raises:
        DataError: names file, line and what is wrong.
    """
    if path.is_dir():
        path = path / NAME
    if not path.exists():
        raise DataError(f"{path} is not there: give SimulEval's {NAME}, or the folder that holds it.")
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path.name} holds no sentence: give a log with one JSON object a line.")
    numbers = sorted(row["index"] for _, row in rows)
    twice = [one for one, after in pairwise(numbers) if one == after]
    if twice:
        raise DataError(f"{path.name} holds sentence {twice[0]} twice: keep one line of each `index`.")
    given = _references(references, path.name, numbers) if references is not None else None
    found = [_sentence(where, row, unit, given, numbers[0]) for where, row in rows]
    return sorted(found, key=lambda one: one.index)


def write_log(path: Path, sentences: Sequence[LoggedSentence]) -> None:
    """Writes a log that `read_log` and SimulEval's ``--score-only`` read.

    Args:
        path: ``instances.log`` in a folder of its own, where SimulEval is to score it.
        sentences: with predictions as they are to be scored.
    """
    write_text(path, "".join(json.dumps(_line(one), ensure_ascii=False) + "\n" for one in sentences))


def _line(one: LoggedSentence) -> dict[str, Any]:
    return {
        "index": one.index,
        "prediction": one.prediction,
        "delays": list(one.delays.delays),
        "elapsed": list(one.delays.elapsed or ()),
        "prediction_length": one.delays.prediction_length,
        "reference": one.reference,
        # SimulEval logs what the audio file says of itself, a list, where the source is speech.
        "source": [] if one.source is None else one.source,
        "source_length": one.delays.source_length,
    }


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (file:line, row) of a log whose rows have keys of the right types."""
    for number, line in enumerate(text_lines(path, path.name), 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(
                f"{where}: is broken JSON ({problem}); a log that was cut off must be written again."
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{where}: is a JSON {type(row).__name__}, not an object: give SimulEval's {NAME}.")
        _check_row(row, where)
        row.setdefault("index", number - 1)
        yield where, row


def _check_row(row: dict[str, Any], where: str) -> None:
    """Refuses a row that lacks a key, or that holds something else there."""
    if missing := [key for key in ("prediction", "delays", "source_length") if key not in row]:
        keys = " and ".join(f"'{key}'" for key in missing)
        raise DataError(
            f"{where}: has no key {keys}: give SimulEval's {NAME}, which has prediction, delays and source_length."
        )
    if "durations" in row:
        raise DataError(f"{where}: is of speech output, which has no words to score: give a log of text output.")
    for key, types, kind in KINDS:
        value = row.get(key)
        wrong = type(value) not in types and key in row
        if wrong or (type(value) is list and not set(map(type, value)) <= {int, float}):
            raise DataError(f"{where}: '{key}' is not {kind}: mend that line, or write the log again.")


def _sentence(where: str, row: dict[str, Any], unit: Unit, given: list[str] | None, first: int) -> LoggedSentence:
    reference: str | None = row.get("reference") if given is None else given[row["index"] - first]
    if reference is None:
        raise DataError(f"{where}: has no reference: give the file with references behind the log.")
    prediction: str = row["prediction"]
    reference = reference.rstrip("\r\n")
    delays = row["delays"]
    written = {prediction_units(prediction, unit)}
    if unit == "char":
        written.add(len("".join(prediction.split())))  # other white space than ' ', where the writer counts none
    if len(delays) not in written:
        raise DataError(
            f"{where}: has {len(delays)} delays for a prediction of {min(written)} {unit}s: give --unit as the log was "
            "written (SimulEval's --eval-latency-unit, word or char), and predictions as they were logged."
        )
    source = row.get("source")
    try:
        timed = Delays(
            tuple(delays),
            row["source_length"],
            reference_units(reference, unit),
            len(delays),
            tuple(row["elapsed"]) if row.get("elapsed") else None,
        )
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: holds {error}: mend that line, or write the log again.") from error
    return LoggedSentence(row["index"], prediction, reference, timed, source if isinstance(source, str) else None)


def _references(path: Path, log: str, numbers: Sequence[int]) -> list[str]:
    """The references, one for each sentence of the log."""
    if not path.is_file():
        raise DataError(f"{path} is not there or no file: give a text file with one reference a line.")
    lines = [line.rstrip("\r\n") for line in text_lines(path, path.name)]
    if len(lines) != len(numbers):
        raise DataError(
            f"{path.name} has {len(lines)} lines for the {len(numbers)} sentences of {log}: give one reference a line, "
            "in the order of the sentences."
        )
    if numbers[-1] - numbers[0] != len(numbers) - 1:
        raise DataError(
            f"{log} leaves out sentences (their `index` goes from {numbers[0]} to {numbers[-1]}, and there are "
            f"{len(numbers)}): leave out the file with references, and those in the log are used."
        )
    return lines
