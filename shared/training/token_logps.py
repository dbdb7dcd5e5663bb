"""Log-probabilities of responses, with the language-model head applied to response tokens only.

Most of a small model's time goes to its head (49,152 words and a hidden size of 576): prompt and padding positions
never enter it here, and logits are held for one chunk of tokens at a time, also for the backward pass.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK_TOKENS = 512


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias).float()
    if scale != 1.0:
        logits = logits * scale
    return softcap * torch.tanh(logits / softcap) if softcap else logits


class _TokenLogps(torch.autograd.Function):
    """log softmax(h W^T)[label] of every token, never holding more than a chunk of logits.

    Where only the hidden states need a gradient (LoRA: the head is frozen), it is computed in the forward pass while
    the chunk's probabilities are at hand: ``d log p(y) / d h = W[y] - sum_v p(v) W[v]``. Where the head is trained
    too, logits are computed again in the backward pass.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        scale: float,
        softcap: float | None,
    ) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        eager = needs_hidden and not (needs_weight or needs_bias)
        w, b = weight.to(dtype), None if bias is None else bias.to(dtype)
        logps = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden, dtype=torch.float32) if eager else None
        with torch.autocast(device, enabled=False):
            for start in range(0, len(labels), CHUNK_TOKENS):
                part = slice(start, start + CHUNK_TOKENS)
                logits = _logits(hidden[part].to(dtype), w, b, scale, softcap)
                total = torch.logsumexp(logits, dim=-1)
                logps[part] = logits.gather(-1, labels[part, None]).squeeze(-1) - total
                if gradient is not None:
                    gradient[part] = _logit_gradient(logits, total, labels[part], scale, softcap).to(dtype) @ w
        ctx.save_for_backward(hidden, weight, bias, labels, gradient)
        ctx.settings = (dtype, scale, softcap)
        return logps

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, weight, bias, labels, gradient = ctx.saved_tensors
        if gradient is not None:
            return (outer[:, None] * gradient).to(hidden.dtype), None, None, None, None, None
        dtype, scale, softcap = ctx.settings
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        w, b = weight.to(dtype), None if bias is None else bias.to(dtype)
        for_hidden = torch.empty_like(hidden) if needs_hidden else None
        for_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        for_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias and bias is not None else None
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(labels), CHUNK_TOKENS):
                part = slice(start, start + CHUNK_TOKENS)
                h = hidden[part].to(dtype)
                logits = _logits(h, w, b, scale, softcap)
                total = torch.logsumexp(logits, dim=-1)
                d = _logit_gradient(logits, total, labels[part], scale, softcap).mul_(outer[part, None])
                d_low = d.to(dtype)
                if for_hidden is not None:
                    for_hidden[part] = (d_low @ w).to(hidden.dtype)
                if for_weight is not None:
                    for_weight += (d_low.T @ h).float()
                if for_bias is not None:
                    for_bias += d.sum(0)
        return for_hidden, for_weight, for_bias, None, None, None


def _logit_gradient(logits: Tensor, total: Tensor, labels: Tensor, scale: float, softcap: float | None) -> Tensor:
    """d log p(label) / d (raw logits): onehot - p, through softcap and scale, [tokens, vocabulary]."""
    d = torch.exp(logits - total[:, None]).neg_()
    d.scatter_add_(1, labels[:, None], torch.ones_like(labels, dtype=d.dtype)[:, None])
    if softcap:
        d.mul_(1 - (logits / softcap) ** 2)
    return d.mul_(scale) if scale != 1.0 else d


def _head_settings(model: Any) -> tuple[float, float | None]:
    """(factor of the logits, softcap), as the families that have them name them in their config."""
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None)
    if getattr(config, "logits_scaling", None):
        scale = 1 / config.logits_scaling
    return float(1.0 if scale is None else scale), getattr(config, "final_logit_softcapping", None)


def completion_logps(model: "PreTrainedModel", input_ids: Tensor, completion_mask: Tensor) -> Tensor:
    """Summed log-probability of each row's response tokens, differentiable.

    Rows are padded on the right and no attention mask is given: under causal attention no token sees what stands
    to its right, and without a mask attention takes its fast path.

    Args:
        model: causal language model, or one with adapters (PEFT).
        input_ids: prompt and response, padded on the right, [rows, time].
        completion_mask: 1 on response tokens, [rows, time].

    Returns:
        float32 sums in nats, [rows].
    """
    logps, wanted = _token_logps(model, input_ids, completion_mask)
    rows = torch.arange(len(input_ids), device=input_ids.device)[:, None].expand_as(wanted)[wanted]
    return torch.zeros(len(input_ids), dtype=torch.float32, device=logps.device).index_add(0, rows, logps)


def completion_token_logps(model: "PreTrainedModel", input_ids: Tensor, completion_mask: Tensor) -> Tensor:
    """Log-probability of every response token, row after row; arguments as in `completion_logps`.

    Returns:
        float32, nats, [response tokens of all rows].
    """
    return _token_logps(model, input_ids, completion_mask)[0]


def _token_logps(model: "PreTrainedModel", input_ids: Tensor, completion_mask: Tensor) -> tuple[Tensor, Tensor]:
    whole: Any = model
    inner = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
    hidden = inner.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    wanted = completion_mask[:, 1:].bool()
    head = inner.get_output_embeddings()
    scale, softcap = _head_settings(inner)
    logps: Any = _TokenLogps.apply(
        hidden[:, :-1][wanted], head.weight, getattr(head, "bias", None), input_ids[:, 1:][wanted], scale, softcap
    )
    return logps, wanted
