"""The engine of PyTorch: one loop over tokens with a shared prompt cache, random numbers a row, finished rows dropped.

What it does that `transformers.generate` does not: reads a prompt once for its n samples; grows the cache without
copying it at every token; drops finished rows; and draws each row's tokens from random numbers of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from shared.sampling.cache import can_share_prompts, sampling_cache
from shared.sampling.settings import FinishReason, GenerationConfig, Row

LIKELIEST = 512  # nuclei are mostly far smaller: only where one is not are all tokens sorted
DROP_SHARE = 8  # finished rows are dropped once they are an eighth of the batch: each drop copies the cache


@dataclass(slots=True)
class Written:
    """Token ids of a response (with the end token), why it ended, and log-probabilities of its tokens."""

    tokens: list[int] = field(default_factory=list)
    finish_reason: FinishReason = "length"
    logps: list[float] = field(default_factory=list)


def inverse_cdf(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """The first index whose cumulative probability exceeds u times the sum.

    Args:
        probabilities: need not sum to 1, [rows, tokens].
        uniforms: in [0, 1), [rows].

    Returns:
        Indices [rows].
    """
    cumulative = probabilities.double().cumsum(dim=-1)
    wanted = (uniforms * cumulative[:, -1]).unsqueeze(-1)
    found = torch.searchsorted(cumulative, wanted, right=True).squeeze(-1)
    # u close to 1 may round to the sum; the last token with any probability is meant.
    last = cumulative.shape[-1] - 1 - (probabilities > 0).flip(-1).to(torch.int8).argmax(dim=-1)
    return torch.minimum(found, last)


def draw(logits: Tensor, uniforms: Tensor, config: GenerationConfig) -> Tensor:
    """Tokens of the next place.

    Args:
        logits: [rows, vocabulary], float32.
        uniforms: one random number a row, float64 [rows]; not used when greedy.
        config: temperature, top_k, top_p. As everywhere, temperature first, then top_k, then the nucleus: the smallest
            set of likeliest tokens whose probability reaches top_p.

    Returns:
        Token ids [rows].
    """
    if config.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits / config.temperature, dim=-1)
    if config.top_k == 0 and config.top_p == 1:
        return inverse_cdf(probabilities, uniforms)
    size = logits.shape[-1]
    most = min(size, config.top_k or LIKELIEST)
    kept, tokens = probabilities.topk(most, dim=-1)
    total = kept.sum(dim=-1) if config.top_k else torch.ones_like(kept[:, 0])
    if not config.top_k and most < size and bool((kept.sum(dim=-1) < config.top_p).any()):
        kept, tokens = probabilities.sort(dim=-1, descending=True)
    before = kept.cumsum(dim=-1) - kept
    kept = kept * (before < config.top_p * total.unsqueeze(-1))
    # In the order of the vocabulary again: otherwise rounding that swaps two tokens of like probability would change
    # which of all the tokens a random number means.
    tokens, order = tokens.sort(dim=-1)
    kept = kept.gather(-1, order)
    return tokens.gather(-1, inverse_cdf(kept, uniforms).unsqueeze(-1)).squeeze(-1)


def batches_of(rows: Sequence[Row], prompts: Sequence[Sequence[int]], batch_size: int, n: int) -> list[list[int]]:
    """Numbers of rows that are written together: longest prompts first, samples of one prompt together."""
    order = sorted(range(len(rows)), key=lambda i: (-len(prompts[rows[i].prompt]), rows[i].prompt, i))
    size = batch_size - batch_size % n if n < batch_size else batch_size
    return [order[start : start + size] for start in range(0, len(order), size)]


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Row],
    config: GenerationConfig,
    end_ids: Sequence[int],
    pad_id: int,
    *,
    with_logps: bool = False,
    ends_text: Callable[[list[int]], bool] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Written]:
    """Writes a response for every row.

    Args:
        model: causal language model on its device, in evaluation mode, in the number format to sample in.
        prompts: token ids of each prompt.
        rows: the responses to write (see `rows_of`).
        config: how to sample.
        end_ids: tokens that end a response.
        pad_id: fills shorter prompts on the left.
        with_logps: whether to give log-probabilities of the tokens.
        ends_text: whether the tokens so far contain a stop string.
        on_progress: called with (responses done, responses in all).

    Returns:
        One `Written` a row, in their order.
    """
    found = [Written() for _ in rows]
    done = 0
    for part in batches_of(rows, prompts, config.batch_size, config.n):
        batch = [rows[i] for i in part]
        written = _batch(model, prompts, batch, config, end_ids, pad_id, ends_text, with_logps)
        for number, one in zip(part, written, strict=True):
            found[number] = one
        done += len(part)
        if on_progress is not None:
            on_progress(done, len(rows))
    return found


def _batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Row],
    config: GenerationConfig,
    end_ids: Sequence[int],
    pad_id: int,
    ends_text: Callable[[list[int]], bool] | None,
    with_logps: bool,
) -> list[Written]:
    device = model.device
    written = [Written() for _ in rows]
    ends = torch.tensor(list(end_ids), device=device)
    noise = torch.zeros((len(rows), config.max_new_tokens), dtype=torch.float64)
    if config.temperature > 0:
        noise = torch.stack([torch.from_numpy(row.uniforms(config.max_new_tokens)) for row in rows])
    noise = noise.to(device)
    cache = sampling_cache(model.config, config.max_new_tokens)
    shared = can_share_prompts(cache)
    asked = list(dict.fromkeys(row.prompt for row in rows)) if shared else [row.prompt for row in rows]
    longest = max(len(prompts[number]) for number in asked)
    ids = torch.tensor([[pad_id] * (longest - len(prompts[i])) + list(prompts[i]) for i in asked], device=device)
    lengths = torch.tensor([len(prompts[i]) for i in asked], device=device)
    mask = (torch.arange(longest, device=device) >= longest - lengths.unsqueeze(-1)).long()
    places = (mask.cumsum(dim=-1) - 1).clamp(min=0)
    logits = _forward(model, ids, mask, places, cache)
    alive = torch.arange(len(rows), device=device)
    if shared:
        index = torch.tensor([asked.index(row.prompt) for row in rows], device=device)
        cache.batch_select_indices(index)
        logits, mask, lengths = logits[index], mask[index], lengths[index]
    mask = torch.cat([mask, mask.new_ones((len(rows), config.max_new_tokens))], dim=-1)
    finished = torch.zeros(len(rows), dtype=torch.bool, device=device)
    for step in range(config.max_new_tokens):
        tokens = draw(logits, noise[alive, step], config)
        listed = tokens.tolist()
        logps = (logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(dim=-1)) if with_logps else None
        values = logps.tolist() if logps is not None else None
        was = finished.tolist()
        ended = torch.isin(tokens, ends).tolist()
        now = list(was)
        for place, number in enumerate(alive.tolist()):
            if was[place]:
                continue
            one = written[number]
            one.tokens.append(listed[place])
            if values is not None:
                one.logps.append(values[place])
            if ended[place] or (ends_text is not None and ends_text(one.tokens)):
                one.finish_reason, now[place] = "stop", True
        if all(now) or step + 1 == config.max_new_tokens:
            break
        finished = torch.tensor(now, device=device)
        if shared and sum(now) * DROP_SHARE >= len(now):
            kept = torch.nonzero(~finished).squeeze(-1)
            cache.batch_select_indices(kept)
            tokens, mask, lengths, alive, finished = (
                tokens[kept],
                mask[kept],
                lengths[kept],
                alive[kept],
                finished[kept],
            )
        logits = _forward(
            model, tokens.unsqueeze(-1), mask[:, : longest + step + 1], (lengths + step).unsqueeze(-1), cache
        )
    return written


def _forward(model: Any, ids: Tensor, mask: Tensor, places: Tensor, cache: Any) -> Tensor:
    """Logits after the last token, float32 [rows, vocabulary]."""
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=places,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1].float()
