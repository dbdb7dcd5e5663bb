"""Sampling responses from a policy: batched, reproducible, with the prompt format of its training."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from shared.device import pick_device
from shared.prompts import PromptFormat, stop_ids, tokenize_prompt
from shared.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class GenerationConfig(BaseModel):
    """How to sample.

    Attributes:
        max_new_tokens: most tokens of a response.
        temperature: 0 is greedy.
        top_p: nucleus (Holtzman et al. 2019, arXiv:1904.09751); 1 samples from all tokens.
        seed: the same seed, prompts and batch size give the same responses on the same device.
        batch_size: responses written at once.
        n: responses a prompt.
    """

    model_config = ConfigDict(extra="forbid")

    max_new_tokens: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    batch_size: int = Field(default=16, ge=1)
    n: int = Field(default=1, ge=1)


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[tuple[Message, ...]],
    format: PromptFormat,
    config: GenerationConfig,
    precision: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[str]]:
    """Writes `config.n` responses to every prompt.

    Args:
        model: causal language model, with or without adapters; moved to the device that is picked.
        tokenizer: of the model.
        prompts: conversations that end with a user's turn.
        format: how they are rendered.
        config: how to sample.
        precision: see `pick_device`.
        on_progress: called with (responses done, responses in all).

    Returns:
        For every prompt its responses, without special tokens and surrounding spaces. One that reaches
        max_new_tokens is cut there.
    """
    import torch
    from transformers import GenerationConfig as TransformersGeneration

    choice = pick_device(precision)
    model.to(choice.device)  # pyright: ignore[reportArgumentType]
    model.eval()
    pad: Any = tokenizer.pad_token_id
    ends = stop_ids(format, tokenizer)
    rows = [tokenize_prompt(format, prompt, tokenizer) for prompt in prompts for _ in range(config.n)]
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    sampling: dict[str, Any] = {"do_sample": False}
    if config.temperature > 0:
        sampling = {"do_sample": True, "temperature": config.temperature, "top_p": config.top_p, "top_k": 0}
    settings = TransformersGeneration(
        max_new_tokens=config.max_new_tokens, eos_token_id=ends, pad_token_id=pad, use_cache=True, **sampling
    )
    written: list[str] = [""] * len(rows)
    devices = [torch.cuda.current_device()] if choice.device == "cuda" else []
    whole: Any = model
    with torch.no_grad(), choice.autocast(), torch.random.fork_rng(devices=devices):
        for start in range(0, len(order), config.batch_size):
            part = order[start : start + config.batch_size]
            longest = len(rows[part[0]])
            ids = torch.tensor([[pad] * (longest - len(rows[i])) + rows[i] for i in part])
            mask = torch.tensor([[0] * (longest - len(rows[i])) + [1] * len(rows[i]) for i in part])
            torch.manual_seed(config.seed * 1_000_003 + start)
            output = whole.generate(
                input_ids=ids.to(choice.device), attention_mask=mask.to(choice.device), generation_config=settings
            )
            for place, index in enumerate(part):
                tokens = output[place, longest:].tolist()
                cut = next((at for at, token in enumerate(tokens) if token in ends), len(tokens))
                written[index] = str(tokenizer.decode(tokens[:cut], skip_special_tokens=True)).strip()
            if on_progress is not None:
                on_progress(min(start + config.batch_size, len(rows)), len(rows))
    return [written[i * config.n : (i + 1) * config.n] for i in range(len(prompts))]
