"""Conversations and responses as token rows of a reward model, and their batches; one way for training and scoring."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.models import load_tokenizer
from shared.prompts import fit, tokenize_completion, tokenize_for_encoder, tokenize_prompt
from shared.records import Message
from shared.rewards.settings import NetworkSettings
from shared.training.batches import pad_right

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from shared.device import DeviceChoice


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """Tokens of one conversation with one response.

    Attributes:
        ids: token ids.
        types: token types of an encoder; zeros for a causal body.
        prompt_ids: the conversation's own tokens; for a causal body the beginning of `ids`, for an encoder
            ``[CLS] conversation [SEP]``.
        truncated: whether anything was cut to fit max_length.
    """

    ids: tuple[int, ...]
    types: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    truncated: bool


def scorer_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """A tokenizer whose padding token is not its end token: causal scorers read the last token that is no padding."""
    tokenizer: Any = load_tokenizer(path)
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        other = next(
            (token for token in (tokenizer.unk_token, tokenizer.bos_token) if token and token != tokenizer.eos_token),
            None,
        )
        if other is not None:
            tokenizer.pad_token = other
    return tokenizer


def tokens_to_score(settings: NetworkSettings, messages: Sequence[Message], response: str, tokenizer: Any) -> ScoreRow:
    """The row of a conversation and a response, cut to the settings' max_length (see `shared.prompts.fit`)."""
    if settings.body == "encoder":
        ids, types, cut = tokenize_for_encoder(messages, response, tokenizer, settings.max_length)
        return ScoreRow(tuple(ids), tuple(types), tuple(ids[: types.index(1)]), cut)
    prompt = tokenize_prompt(settings.prompt, messages, tokenizer)
    completion = tokenize_completion(settings.prompt, response, tokenizer)
    kept, (shorter,) = fit(prompt, [completion], settings.max_length)
    ids = (*kept, *shorter)
    return ScoreRow(ids, (0,) * len(ids), tuple(kept), len(ids) < len(prompt) + len(completion))


@dataclass(frozen=True, slots=True)
class RowBatcher:
    """Makes a model's inputs of rows.

    Attributes:
        pad_id: id that fills the rows on the right.
        encoder: whether the model takes an attention mask and token types. A causal one needs neither: with padding
            on the right no token that is read sees it.
        embeds: whether the model is a `PreferenceNetwork`, which is told the places that it reads.
        gate: whether it has a prompt gate, for which an encoder reads each conversation alone.
    """

    pad_id: int
    encoder: bool
    embeds: bool = False
    gate: bool = False

    def __call__(self, rows: Sequence[ScoreRow]) -> dict[str, "Tensor"]:
        """Inputs of rows: input_ids (and attention_mask, token_type_ids) [rows, time]; places [rows].

        An encoder's conversations are given once each, prompt_... [conversations, time], and prompt_index [rows].
        """
        import torch

        inputs = {"input_ids": pad_right([row.ids for row in rows], self.pad_id)}
        if self.encoder:
            inputs["attention_mask"] = pad_right([[1] * len(row.ids) for row in rows], 0)
            inputs["token_type_ids"] = pad_right([row.types for row in rows], 0)
        if self.embeds and not self.encoder:
            inputs["last"] = torch.tensor([len(row.ids) - 1 for row in rows])
        if self.gate and self.encoder:
            prompts = list(dict.fromkeys(row.prompt_ids for row in rows))
            inputs["prompt_input_ids"] = pad_right(prompts, self.pad_id)
            inputs["prompt_attention_mask"] = pad_right([[1] * len(prompt) for prompt in prompts], 0)
            inputs["prompt_index"] = torch.tensor([prompts.index(row.prompt_ids) for row in rows])
        elif self.gate:
            inputs["prompt_last"] = torch.tensor([len(row.prompt_ids) - 1 for row in rows])
        return inputs


def distinct(rows: Sequence[ScoreRow]) -> tuple[list[ScoreRow], list[int]]:
    """(each row once, longest first, in an order that depends on their content alone; the place of every given row).

    A response that is compared twice is computed once; and as the batches do not depend on which response stands
    first, exchanging the two sides changes the sign of the log-odds exactly.
    """
    unique = sorted(set(rows), key=lambda row: (-len(row.ids), row.ids, row.types))
    place = {row: index for index, row in enumerate(unique)}
    return unique, [place[row] for row in rows]


def alike(lengths: Sequence[int], most_padding: float = 0.2) -> list[list[int]]:
    """Groups of rows of like length, longest first, in which at most so large a share of the tokens is padding.

    Args:
        lengths: tokens of each row.
        most_padding: share.

    Returns:
        Indices of the rows of each group.
    """
    groups: list[list[int]] = []
    longest = held = 0
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        held += lengths[index]
        if not groups or held < (1.0 - most_padding) * longest * (len(groups[-1]) + 1):
            groups.append([])
            longest = held = lengths[index]
        groups[-1].append(index)
    return groups


def in_batches(
    rows: Sequence[ScoreRow], batch_size: int, on_progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[slice, Sequence[ScoreRow]]]:
    """Yields (place, rows) of each batch; `on_progress` is called with (rows done, rows in all) after each."""
    for start in range(0, len(rows), batch_size):
        end = min(start + batch_size, len(rows))
        yield slice(start, end), rows[start:end]
        if on_progress is not None:
            on_progress(end, len(rows))


def through_model(
    rows: Sequence[ScoreRow],
    batcher: RowBatcher,
    run: Callable[[dict[str, "Tensor"]], Sequence["Tensor"]],
    choice: "DeviceChoice",
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> "list[np.ndarray]":
    """What a model gives for every row, without gradients; rows that occur twice are computed once.

    Args:
        rows: n of them.
        batcher: makes the model's inputs.
        run: inputs on the device -> outputs, each [rows, ...].
        choice: device and number format.
        batch_size: rows a forward pass.
        on_progress: called with (distinct rows done, distinct rows in all).

    Returns:
        Each output as float64 array [n, ...]; an empty list where there are no rows.
    """
    import torch

    once, place = distinct(rows)
    parts: list[list[torch.Tensor]] = []
    with torch.no_grad(), choice.autocast():
        for _, part in in_batches(once, batch_size, on_progress):
            inputs = {name: values.to(choice.device) for name, values in batcher(part).items()}
            parts.append([output.double().cpu() for output in run(inputs)])
    return [torch.cat(outputs).numpy()[place] for outputs in zip(*parts, strict=True)]
