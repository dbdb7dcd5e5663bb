"""A copy of a policy to sample from: adapters added into the weights, in the number format of the device."""

import copy
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def sampling_copy(model: Any, dtype: "torch.dtype") -> Any:
    """A model that computes as the given one and is fast to sample from; the given one is not touched.

    Weights that need no change are shared; the others exist once more in `dtype`, so a float32 model without adapters
    costs nothing when sampled in float32. bf16 weights are read twice as fast as float32 ones, which is what limits
    the writing of tokens, and autocast would convert all of them again for every token. Adapters are added in float32
    before rounding: samples see the policy up to bf16's rounding, as under autocast; log-probabilities that are
    compared (KL, rankings) are computed elsewhere, on weights that are not merged.

    Args:
        model: causal language model, perhaps with LoRA adapters (PEFT), on its device.
        dtype: of the copy's weights.

    Returns:
        A plain transformers model in evaluation mode.
    """
    import torch

    adapted = hasattr(model, "peft_config") and hasattr(model, "unload")
    deltas: dict[int, Any] = {}
    for layer in model.modules():
        if adapted and hasattr(layer, "get_delta_weight") and hasattr(layer, "base_layer"):
            weight = layer.base_layer.weight
            with torch.no_grad():
                deltas[id(weight)] = sum(
                    (layer.get_delta_weight(name).to(weight.dtype) for name in layer.active_adapters),
                    torch.zeros_like(weight),
                )
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        delta = deltas.pop(id(parameter), None)
        if delta is None and parameter.dtype == dtype:
            memo[id(parameter)] = parameter
            continue
        value = parameter.detach() if delta is None else parameter.detach() + delta
        memo[id(parameter)] = torch.nn.Parameter(value.to(dtype), requires_grad=False)
    made = copy.deepcopy(model, memo)
    made = (made.unload() if adapted else made).eval()
    head = made.get_output_embeddings()
    if head is not None:
        # The last position of a batch is no contiguous tensor, and torch would copy the whole head for each row of it.
        head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(),))
    if dtype == torch.bfloat16 and model.device.type == "cpu":
        pack_linear_layers(made)
    return made


def pack_linear_layers(model: Any) -> int:
    """Puts the weights of linear layers into oneDNN's blocked layout, in place; gives how many.

    Without it every product reorders its weights, for a few rows a third to a half of its time. The operators are those
    that torch.compile uses on a CPU; where this build of torch lacks them nothing is changed.
    """
    import torch
    from torch import nn

    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return 0

    class PackedLinear(nn.Module):
        """x W^T + b with W [out, in] in the blocked layout."""

        def __init__(self, layer: nn.Linear) -> None:
            super().__init__()
            self._packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
            self._bias = None if layer.bias is None else layer.bias.detach()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")

    packed = 0
    try:
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.Linear:
                    made = PackedLinear(child)
                    for hook in child._forward_pre_hooks.values():
                        made.register_forward_pre_hook(hook)  # pyright: ignore[reportArgumentType]
                    setattr(module, name, made)
                    packed += 1
    except (AttributeError, RuntimeError, NotImplementedError) as error:
        log.info("Linear layers stay in torch's layout (%s).", error)
    return packed
