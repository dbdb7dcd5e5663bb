"""Sampling responses from a policy: batched, reproducible, with the prompt format of its training."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.device import pick_device
from shared.prompts import PromptFormat, stop_ids, tokenize_prompt
from shared.records import Message
from shared.sampling.settings import GenerationConfig, Sample, rows_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from shared.sampling.decoding import Written

__all__ = ["GenerationConfig", "Sample", "Sampled", "generate", "sample"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sampled:
    """Responses and what wrote them.

    Attributes:
        responses: for every prompt its `n` samples.
        engine: the engine that wrote them.
        why: why that engine, for people: ``named``, ``the only one at hand``, or the measured rates.
    """

    responses: list[list[Sample]]
    engine: str
    why: str


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[tuple[Message, ...]],
    format: PromptFormat,
    config: GenerationConfig,
    precision: str = "auto",
    on_progress: Progress | None = None,
) -> list[list[str]]:
    """Writes `config.n` responses to every prompt; see `sample`, of which this gives the texts.

    Returns:
        For every prompt its responses, without special tokens and surrounding spaces. One that reaches
        max_new_tokens is cut there.
    """
    found = sample(model, tokenizer, prompts, format, config, precision, on_progress=on_progress)
    return [[one.text for one in responses] for responses in found.responses]


def sample(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[tuple[Message, ...]],
    format: PromptFormat,
    config: GenerationConfig,
    precision: str = "auto",
    *,
    with_logps: bool = False,
    on_progress: Progress | None = None,
) -> Sampled:
    """Writes `config.n` responses to every prompt.

    Args:
        model: causal language model, with or without adapters; moved to the device that is picked.
        tokenizer: of the model.
        prompts: conversations that end with a user's turn.
        format: how they are rendered.
        config: how to sample, and with which engine.
        precision: see `pick_device`; bf16 samples from weights rounded to bf16.
        with_logps: whether samples carry the log-probabilities of their tokens.
        on_progress: called with (responses done, responses in all).

    Returns:
        The samples, and which engine wrote them. A prompt that leaves no room for max_new_tokens in the model's
        context loses its beginning, as in training, and says so.

    Raises:
        UsageError: the engine cannot run this model.
        SystemStateError: the named engine is not installed.
    """
    from shared.sampling.engines import open_engine

    if not prompts:
        return Sampled([], config.engine, "no prompt")
    choice = pick_device(precision)
    model.to(choice.device)  # pyright: ignore[reportArgumentType]
    model.eval()
    ids, cut = _fitting([tokenize_prompt(format, prompt, tokenizer) for prompt in prompts], model, config)
    rows = rows_of(ids, config.n, config.seed)
    ends = stop_ids(format, tokenizer)
    with open_engine(model, tokenizer, config, choice, ids, rows) as (engine, why):
        written = engine.write(ids, rows, config, ends, with_logps=with_logps, on_progress=on_progress)
        name = engine.name
    log.info("%d responses to %d prompts were sampled by %s (%s).", len(rows), len(prompts), name, why)
    samples = [
        _sample(one, tokenizer, config, ends, cut[row.prompt], with_logps)
        for row, one in zip(rows, written, strict=True)
    ]
    return Sampled([samples[i * config.n : (i + 1) * config.n] for i in range(len(prompts))], name, why)


def _fitting(prompts: list[list[int]], model: Any, config: GenerationConfig) -> tuple[list[list[int]], list[bool]]:
    """Prompts that leave room for the response in the model's context, and which of them were cut."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not context:
        return prompts, [False] * len(prompts)
    room = max(1, int(context) - config.max_new_tokens)
    return [prompt[-room:] for prompt in prompts], [len(prompt) > room for prompt in prompts]


def _sample(
    one: "Written", tokenizer: Any, config: GenerationConfig, ends: Sequence[int], cut: bool, with_logps: bool
) -> Sample:
    tokens = one.tokens[:-1] if one.tokens and one.tokens[-1] in ends else one.tokens
    text = str(tokenizer.decode(tokens, skip_special_tokens=True))
    places = [place for place in (text.find(string) for string in config.stop) if place >= 0]
    if places:
        text = text[: min(places)]
    logps = tuple(one.logps) if with_logps else None
    return Sample(text.strip(), tuple(one.tokens), one.finish_reason, logps, cut)
