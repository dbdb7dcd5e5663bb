"""Log-probabilities of responses, with the language-model head applied to response tokens only.

Most of a small model's time goes to its head (49,152 words and a hidden size of 576): prompt and padding positions
never enter it here, and logits are held for one chunk of tokens at a time, also for the backward pass.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shared.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from shared.training.trees import PackedTrees

MATRIX_TOKENS = 512  # tokens of one matrix product with the head
SOFTMAX_TOKENS = 128  # tokens whose logits are held in float32: few enough to stay in a processor's cache
KEPT_BYTES = 512 * 2**20  # probabilities kept for the gradient of a trained head; above it they are computed again


class _TokenLogps(torch.autograd.Function):
    """log softmax(h W^T)[label] of every token, never holding more than a chunk of logits in float32.

    The gradient of the hidden states, ``d log p(y) / d h = W[y] - sum_v p(v) W[v]``, is computed in the forward pass
    while the chunk's probabilities are at hand, and scaled in the backward pass: the head is multiplied twice a token
    and not three times. Only a trained head (``d log p(y) / d W``) asks for the probabilities again: they are kept,
    or computed once more where they would not fit `KEPT_BYTES`.
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
        training: bool,
    ) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        wide = torch.promote_types(dtype, torch.float32)
        needs_hidden, needs_weight, needs_bias = (training and needed for needed in ctx.needs_input_grad[:3])
        head = _Head(weight.to(dtype), None if bias is None else bias.to(dtype), scale, softcap)
        low = hidden.to(dtype)
        count, words = len(labels), len(weight)
        logps = torch.empty(count, dtype=wide, device=hidden.device)
        factors = torch.ones(count, dtype=wide, device=hidden.device)
        gradient = torch.empty(count, hidden.shape[1], dtype=wide, device=hidden.device) if needs_hidden else None
        keep = (needs_weight or needs_bias) and count * words * low.element_size() <= KEPT_BYTES
        kept = torch.empty(count if keep else 0, words, dtype=dtype, device=hidden.device)
        scratch = torch.empty(0 if keep else min(count, MATRIX_TOKENS), words, dtype=dtype, device=hidden.device)
        with torch.autocast(device, enabled=False):
            for start in range(0, count, MATRIX_TOKENS):
                part = slice(start, min(start + MATRIX_TOKENS, count))
                place = kept[part] if keep else scratch[: part.stop - start]
                logps[part], factors[part] = head.probabilities(low[part], labels[part], place)
                if gradient is not None:
                    of_labels = head.weight[labels[part]].to(wide).mul_(factors[part, None])
                    gradient[part] = of_labels - torch.mm(place, head.weight)
        ctx.save_for_backward(low, weight, bias, labels, gradient, factors, kept)
        ctx.settings = (dtype, hidden.dtype, scale, softcap, needs_weight, needs_bias)
        return logps

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        low, weight, bias, labels, gradient, factors, kept = ctx.saved_tensors
        dtype, of_hidden, scale, softcap, needs_weight, needs_bias = ctx.settings
        for_hidden = None if gradient is None else (outer[:, None] * gradient).to(of_hidden)
        if not (needs_weight or needs_bias):
            return for_hidden, None, None, None, None, None, None
        wide = outer.dtype
        for_weight = torch.zeros(weight.shape, dtype=wide, device=weight.device) if needs_weight else None
        for_bias = torch.zeros(bias.shape, dtype=wide, device=bias.device) if needs_bias else None
        outer_low = (low * outer[:, None]).to(dtype)
        with torch.autocast(low.device.type, enabled=False):
            if not len(kept):
                head = _Head(weight.to(dtype), None if bias is None else bias.to(dtype), scale, softcap)
                scratch = torch.empty(min(len(labels), MATRIX_TOKENS), len(weight), dtype=dtype, device=low.device)
            step = len(labels) if len(kept) else MATRIX_TOKENS
            for start in range(0, len(labels), step):
                part = slice(start, min(start + step, len(labels)))
                place = kept[part]
                if not len(kept):
                    place = scratch[: part.stop - start]
                    head.probabilities(low[part], labels[part], place)
                if for_weight is not None:
                    for_weight -= torch.mm(place.T, outer_low[part])
                if for_bias is not None:
                    for_bias -= (place.to(wide) * outer[part, None]).sum(0)
            of_labels = outer * factors
            if for_weight is not None:
                for_weight.index_add_(0, labels, low.to(wide) * of_labels[:, None])
            if for_bias is not None:
                for_bias.index_add_(0, labels, of_labels)
        return for_hidden, for_weight, for_bias, None, None, None, None


class _Head:
    """The language-model head in the number format of the matrix products."""

    def __init__(self, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> None:
        self.weight, self._bias, self._scale, self._softcap = weight, bias, scale, softcap

    def probabilities(self, hidden: Tensor, labels: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Writes softmax's share of the gradient to `out` [tokens, vocabulary], for raw logits.

        Returns:
            (log-probability of each label, factor of the label's own share), float32 or wider, [tokens].
        """
        if self._bias is None:
            torch.mm(hidden, self.weight.T, out=out)
        else:
            torch.addmm(self._bias, hidden, self.weight.T, out=out)
        wide = torch.promote_types(out.dtype, torch.float32)
        logps = torch.empty(len(labels), dtype=wide, device=out.device)
        factors = torch.full_like(logps, self._scale)
        rows = min(len(labels), SOFTMAX_TOKENS)
        logits_buffer = torch.empty(rows, out.shape[1], dtype=wide, device=out.device)
        softmax_buffer = torch.empty_like(logits_buffer)
        for start in range(0, len(labels), SOFTMAX_TOKENS):
            part = slice(start, min(start + SOFTMAX_TOKENS, len(labels)))
            size = part.stop - start
            logits = logits_buffer[:size].copy_(out[part])
            if self._scale != 1.0:
                logits.mul_(self._scale)
            if self._softcap:
                logits.div_(self._softcap).tanh_().mul_(self._softcap)
            shares = torch.softmax(logits, -1, out=softmax_buffer[:size])
            # The largest probability is at least 1 / vocabulary, so its logarithm is exact where a label's is not.
            total = logits.amax(-1) - shares.amax(-1).log_()
            chosen = labels[part, None]
            logps[part] = logits.gather(-1, chosen).squeeze(-1) - total
            if self._softcap:
                slope = logits.div_(self._softcap).square_().neg_().add_(1.0)
                shares.mul_(slope)
                factors[part] *= slope.gather(-1, chosen).squeeze(-1)
            if self._scale != 1.0:
                shares.mul_(self._scale)
            out[part].copy_(shares)
        return logps, factors


def head_settings(model: Any) -> tuple[float, float | None]:
    """(factor of the logits, softcap), as the families that have them name them in their config."""
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None)
    if getattr(config, "logits_scaling", None):
        scale = 1 / config.logits_scaling
    return float(1.0 if scale is None else scale), getattr(config, "final_logit_softcapping", None)


def logps_of_states(model: Any, hidden: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each label after its hidden state, differentiable.

    Args:
        model: causal language model without PEFT's wrapper.
        hidden: last hidden states, [tokens, size].
        labels: [tokens].

    Returns:
        float32 or wider, nats, [tokens].
    """
    head = model.get_output_embeddings()
    scale, softcap = head_settings(model)
    bias = getattr(head, "bias", None)
    logps: Any = _TokenLogps.apply(hidden, head.weight, bias, labels, scale, softcap, torch.is_grad_enabled())
    return logps


def mean_logps_of_states(model: Any, hidden: Tensor, labels: Tensor, logps: Tensor) -> Tensor:
    """Mean over the vocabulary of the log-probabilities after each hidden state, differentiable.

    That of the label, plus its logit's distance to the mean logit; the mean logit is that of the mean embedding, so
    the head is not applied again.

    Args:
        model: causal language model without PEFT's wrapper.
        hidden: last hidden states, [tokens, size].
        labels: [tokens].
        logps: of the labels, [tokens].

    Returns:
        nats, as `logps`, [tokens].

    Raises:
        UsageError: under a soft cap the mean logit is not that of the mean embedding.
    """
    scale, softcap = head_settings(model)
    if softcap:
        raise UsageError("label_smoothing does not fit models with a soft cap on their logits: set it to 0.")
    head = model.get_output_embeddings()
    with torch.autocast(hidden.device.type, enabled=False):
        wide = hidden.to(logps.dtype)
        weight = head.weight.to(logps.dtype)
        distance = wide @ weight.mean(0) - (wide * weight[labels]).sum(-1)
        if head.bias is not None:
            distance = distance + head.bias.mean() - head.bias[labels]
    return logps + scale * distance


def _body(model: Any) -> Any:
    """What makes the hidden states, without the head; text models of a few families do not name it `base_model`."""
    return model.model if model.base_model is model and hasattr(model, "model") else model.base_model


def packed_states(model: Any, trees: "PackedTrees") -> Tensor:
    """Last hidden states of packed trees, [T, size]; `model` has a body (``base_model``) with tree attention."""
    output = _body(model)(input_ids=trees.input_ids, position_ids=trees.position_ids, use_cache=False, trees=trees)
    return output.last_hidden_state[0]


def without_adapter_wrapper(model: Any) -> Any:
    """The transformers model inside PEFT's wrapper, its adapters still at work."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def plain_token_logps(model: "PreTrainedModel", input_ids: Tensor, completion_mask: Tensor) -> Tensor:
    """Log-probability of every completion token, each completion in a row of its own behind its prompt.

    Rows are padded on the right and no attention mask is given: under causal attention no token sees what stands
    to its right, and without a mask attention takes its fast path.

    Args:
        model: causal language model, or one with adapters (PEFT).
        input_ids: prompt and completion, padded on the right, [rows, time].
        completion_mask: 1 on completion tokens, [rows, time].

    Returns:
        float32, nats, [completion tokens of all rows], row after row.
    """
    inner = without_adapter_wrapper(model)
    return logps_of_states(inner, *plain_states(inner, input_ids, completion_mask))


def plain_states(model: Any, input_ids: Tensor, completion_mask: Tensor) -> tuple[Tensor, Tensor]:
    """(last hidden state before every completion token [N, size], the tokens [N]) of `plain_token_logps`'s rows."""
    hidden = _body(model)(input_ids=input_ids, use_cache=False).last_hidden_state
    wanted = completion_mask[:, 1:].bool()
    return hidden[:, :-1][wanted], input_ids[:, 1:][wanted]
