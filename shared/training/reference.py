"""Log-probabilities of whole preference sets: of the reference before a training, of a policy for its evaluation.

A file of them has one row a record: sum and number of tokens of every completion, and the log-probability of every
token, so that losses which look at a part of a response need no pass of their own.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.allocator import freed_memory_kept
from shared.device import pick_device
from shared.errors import DataError
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from shared.training.completion_roles import Parts
    from shared.training.layouts import Wanted
    from shared.training.pair_examples import PairTrees

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
MICRO_BATCH_TOKENS = 4096  # without gradients a pass needs little memory


@dataclass(frozen=True, slots=True)
class PairLogps:
    """One pair under one model: summed log-probabilities in nats, and the tokens they are summed over.

    The tokens include the turn's end token, and are those left after cutting to max_length.
    """

    chosen_sum: float
    rejected_sum: float
    chosen_tokens: int
    rejected_tokens: int


RowLogps = dict[str, list[float]]
"""Log-probability of every token, nats, by the role of the completion (see `shared.training.pair_examples`)."""


def token_logps_of(
    model: "PreTrainedModel",
    examples: Sequence["PairTrees"],
    roles: Sequence[str],
    layout: "Wanted" = "auto",
    precision: str = "auto",
    micro_batch_tokens: int = MICRO_BATCH_TOKENS,
    on_progress: Progress | None = None,
) -> list[RowLogps]:
    """Log-probability of every completion token of every example, in their order.

    Args:
        model: causal language model, with or without adapters; moved to the device that is picked.
        examples: token ids.
        roles: of the completions of an example, in order.
        layout: see `shared.training.layouts`.
        precision: see `pick_device`.
        micro_batch_tokens: most tokens of a forward pass.
        on_progress: called with (examples done, examples in all).
    """
    import torch

    from shared.training.layouts import cost, token_logps, use_layout
    from shared.training.trees import cut_by_tokens

    choice = pick_device(precision)
    model.to(choice.device)  # pyright: ignore[reportArgumentType]
    model.eval()
    found: dict[int, RowLogps] = {}
    with torch.no_grad(), freed_memory_kept(), use_layout(model, layout) as chosen:
        costs = [sum(cost(tree, chosen) for tree in one.trees) for one in examples]
        for group in cut_by_tokens(costs, micro_batch_tokens):
            with choice.autocast():
                logps = token_logps(model, [tree for index in group for tree in examples[index].trees], chosen)
            lengths = [length for index in group for length in examples[index].lengths]
            by_completion = iter(logps.tokens.cpu().split(lengths))
            for index in group:
                found[index] = {role: next(by_completion).tolist() for role in roles}
            if on_progress is not None:
                on_progress(len(found), len(examples))
    return [found[index] for index in range(len(examples))]


def response_logps(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    records: Sequence[PreferenceRecord],
    format: PromptFormat,
    max_length: int,
    precision: str = "auto",
    parts: "Parts | None" = None,
    layout: "Wanted" = "auto",
    on_progress: Progress | None = None,
) -> list[RowLogps]:
    """Log-probabilities of both responses (and what `parts` asks for) of every pair, in the order of the records.

    Args:
        model: causal language model, with or without adapters; moved to the device that is picked.
        tokenizer: of the model.
        records: the pairs.
        format: how prompts are rendered.
        max_length: most tokens of prompt and response together.
        precision: see `pick_device`.
        parts: completions beside the pair's own.
        layout: see `shared.training.layouts`.
        on_progress: called with (pairs done, pairs in all).
    """
    from shared.training.completion_roles import Parts
    from shared.training.pair_examples import pair_trees

    parts = parts or Parts()
    examples = pair_trees(records, format, tokenizer, max_length, parts)
    return token_logps_of(model, examples, parts.roles, layout, precision, on_progress=on_progress)


def reference_logps(
    model_path: Path,
    records: Sequence[PreferenceRecord],
    format: PromptFormat,
    max_length: int,
    precision: str = "auto",
    parts: "Parts | None" = None,
    layout: "Wanted" = "auto",
    on_progress: Progress | None = None,
) -> list[RowLogps]:
    """`response_logps` of the model in a folder: the reference of a training, computed once and kept."""
    from shared.models import load_causal_lm, load_tokenizer

    model, tokenizer = load_causal_lm(model_path), load_tokenizer(model_path)
    return response_logps(model, tokenizer, records, format, max_length, precision, parts, layout, on_progress)


def write_logps(path: Path, records: Sequence[PreferenceRecord], logps: Sequence[RowLogps]) -> None:
    """Writes an Arrow file with one row a record: id, and sum, tokens and token log-probabilities of every role."""
    import pyarrow

    roles = list(logps[0]) if logps else ["chosen", "rejected"]
    rows: dict[str, Any] = {"id": [record.id for record in records]}
    fields = [pyarrow.field("id", pyarrow.string())]
    for role in roles:
        values = [row[role] for row in logps]
        rows |= {
            f"{role}_sum": [sum(one) for one in values],
            f"{role}_tokens": [len(one) for one in values],
            f"{role}_logps": values,
        }
        fields += [
            pyarrow.field(f"{role}_sum", pyarrow.float64()),
            pyarrow.field(f"{role}_tokens", pyarrow.int32()),
            pyarrow.field(f"{role}_logps", pyarrow.list_(pyarrow.float32())),
        ]
    table = pyarrow.table(rows, schema=pyarrow.schema(fields))
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read_logps(path: Path) -> dict[str, PairLogps]:
    """`PairLogps` by record id from a file of `write_logps`.

    Raises:
        DataError: where the file is missing or none of ours.
    """
    table = _read(path, ["id", "chosen_sum", "rejected_sum", "chosen_tokens", "rejected_tokens"])
    return {row.pop("id"): PairLogps(**row) for row in table.to_pylist()}


def read_token_logps(path: Path, roles: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Log-probability of every token (float32 array) by role and record id, from a file of `write_logps`.

    Raises:
        DataError: where the file is missing, none of ours, or lacks a role.
    """
    table = _read(path, ["id", *(f"{role}_logps" for role in roles)])
    columns = {role: table.column(f"{role}_logps") for role in roles}
    ids = table.column("id").to_pylist()
    return {
        name: {role: column[row].values.to_numpy(zero_copy_only=False) for role, column in columns.items()}
        for row, name in enumerate(ids)
    }


def _read(path: Path, columns: list[str]) -> Any:
    import pyarrow

    try:
        with pyarrow.memory_map(str(path)) as file:
            return pyarrow.ipc.open_file(file).read_all().select(columns)
    except (OSError, pyarrow.ArrowInvalid, KeyError) as error:
        raise DataError(
            f"{path}: the reference log-probabilities cannot be read ({error}); run with --fresh."
        ) from error
