"""Log-probabilities of whole preference sets: of the reference before a training, of a policy for its evaluation."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.device import pick_device
from shared.errors import DataError
from shared.prompts import PromptFormat, tokenize_pair
from shared.records import PreferenceRecord

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PairLogps:
    """One pair under one model: summed log-probabilities in nats, and the tokens they are summed over.

    The tokens include the turn's end token, and are those left after cutting to max_length.
    """

    chosen_sum: float
    rejected_sum: float
    chosen_tokens: int
    rejected_tokens: int


def response_logps(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    records: Sequence[PreferenceRecord],
    format: PromptFormat,
    max_length: int,
    batch_size: int = 8,
    precision: str = "auto",
    on_progress: Progress | None = None,
) -> list[PairLogps]:
    """Log-probabilities of both responses of every pair, in the order of the records.

    Args:
        model: causal language model, with or without adapters; moved to the device that is picked.
        tokenizer: of the model.
        records: the pairs.
        format: how prompts are rendered.
        max_length: most tokens of prompt and response together.
        batch_size: pairs a forward pass.
        precision: see `pick_device`.
        on_progress: called with (pairs done, pairs in all).

    Returns:
        One `PairLogps` a record.
    """
    import torch

    from shared.training.batches import PolicyCollator
    from shared.training.token_logps import completion_logps

    rows = []
    for record in records:
        prompt, chosen, rejected, _ = tokenize_pair(format, record, tokenizer, max_length)
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    choice = pick_device(precision)
    model.to(choice.device)  # pyright: ignore[reportArgumentType]
    model.eval()
    collate = PolicyCollator(int(tokenizer.pad_token_id))  # pyright: ignore[reportArgumentType]
    order = sorted(
        range(len(rows)),
        key=lambda i: -len(rows[i]["prompt_ids"]) - max(len(rows[i]["chosen_ids"]), len(rows[i]["rejected_ids"])),
    )
    found: dict[int, PairLogps] = {}
    with torch.no_grad(), choice.autocast():
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            batch = collate([rows[index] for index in part])
            sums = completion_logps(
                model, batch["input_ids"].to(choice.device), batch["completion_mask"].to(choice.device)
            ).tolist()
            for place, index in enumerate(part):
                lengths = len(rows[index]["chosen_ids"]), len(rows[index]["rejected_ids"])
                found[index] = PairLogps(sums[place], sums[len(part) + place], *lengths)
            if on_progress is not None:
                on_progress(len(found), len(rows))
    return [found[index] for index in range(len(rows))]


def reference_logps(
    model_path: Path,
    records: Sequence[PreferenceRecord],
    format: PromptFormat,
    max_length: int,
    precision: str = "auto",
    batch_size: int = 8,
    on_progress: Progress | None = None,
) -> list[PairLogps]:
    """`response_logps` of the model in a folder: the reference of a training, computed once and kept."""
    from shared.models import load_causal_lm, load_tokenizer

    model, tokenizer = load_causal_lm(model_path), load_tokenizer(model_path)
    return response_logps(model, tokenizer, records, format, max_length, batch_size, precision, on_progress)


def write_logps(path: Path, records: Sequence[PreferenceRecord], logps: Sequence[PairLogps]) -> None:
    """Writes an Arrow file with one row a record: id, and the fields of `PairLogps` in float64."""
    import pyarrow

    rows = [{"id": record.id, **asdict(values)} for record, values in zip(records, logps, strict=True)]
    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("chosen_sum", pyarrow.float64()),
            ("rejected_sum", pyarrow.float64()),
            ("chosen_tokens", pyarrow.int32()),
            ("rejected_tokens", pyarrow.int32()),
        ]
    )
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, schema) as writer:
        writer.write_table(table)


def read_logps(path: Path) -> dict[str, PairLogps]:
    """`PairLogps` by record id from a file of `write_logps`.

    Raises:
        DataError: where the file is missing or none of ours.
    """
    import pyarrow

    try:
        with pyarrow.memory_map(str(path)) as file:
            rows = pyarrow.ipc.open_file(file).read_all().to_pylist()
        return {row.pop("id"): PairLogps(**row) for row in rows}
    except (OSError, pyarrow.ArrowInvalid, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: the reference log-probabilities cannot be read ({error}); run with --fresh."
        ) from error
