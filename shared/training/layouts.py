"""The two layouts of a micro-batch: trees that share their prompt in one packed row, or a padded row a completion.

The packed one is the default. The plain one is its oracle, and takes its place for architectures that trees do not
fit: attention with sinks or soft caps, recurrent or linear-attention layers, absolute masks of their own. Which they
are is not listed but tried: a few tokens go through both layouts, and must come out alike.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from shared.errors import UsageError
from shared.training.batches import pad_right
from shared.training.token_logps import (
    logps_of_states,
    mean_logps_of_states,
    packed_states,
    plain_states,
    without_adapter_wrapper,
)
from shared.training.tree_attention import IMPLEMENTATION, TreesUnsupported
from shared.training.trees import Tree, pack

log = logging.getLogger(__name__)

Wanted = Literal["auto", "shared", "plain"]
Layout = Literal["shared", "plain"]
PROBE_TOLERANCE = 1e-3  # of the states' size, float32; rounding is a thousandth of it
LOW_PROBE_TOLERANCE = 0.2  # the same where weights are bf16
_OWN_ATTENTION: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class CompletionLogps:
    """Log-probabilities of the tokens of C completions, completion after completion, N in all.

    Attributes:
        tokens: nats, float32 or wider, [N].
        owner: which completion a token belongs to, [N].
        place: its place within the completion, [N].
        completions: C.
        uniform: mean log-probability over the vocabulary where each token stands, [N]; where it was asked for.
    """

    tokens: Tensor
    owner: Tensor
    place: Tensor
    completions: int
    uniform: Tensor | None = None

    def sums(self, limits: Tensor | None = None) -> Tensor:
        """Summed over each completion, or over its first `limits` [C] tokens: [C]."""
        values = self.tokens
        if limits is not None:
            values = values.where(self.place < limits[self.owner], torch.zeros_like(values))
        # A long response adds up to a thousand nats, of which losses see differences: float32 would round every addend.
        wide = values.dtype if values.device.type == "mps" else torch.float64
        zeros = torch.zeros(self.completions, dtype=wide, device=values.device)
        return zeros.index_add(0, self.owner, values.to(wide)).to(values.dtype)


def cost(tree: Tree, layout: Layout) -> int:
    """Tokens that a tree takes of a micro-batch's budget."""
    return tree.tokens if layout == "shared" else tree.row_tokens


def token_logps(model: Any, trees: Sequence[Tree], layout: Layout, uniform: bool = False) -> CompletionLogps:
    """Log-probabilities of every completion token of a micro-batch, differentiable.

    Args:
        model: causal language model on its device; for the shared layout inside `use_layout`.
        trees: the micro-batch.
        layout: how it is laid out.
        uniform: whether mean log-probabilities over the vocabulary (for label smoothing) are asked for.
    """
    device, inner = next(model.parameters()).device, without_adapter_wrapper(model)
    packed = pack(trees).to(device)
    if layout == "shared":
        hidden, labels = packed_states(inner, packed)[packed.predictors], packed.labels
    else:
        rows = [(tree.prompt, completion) for tree in trees for completion in tree.completions]
        ids = pad_right([[*prompt, *completion] for prompt, completion in rows], 0).to(device)
        mask = pad_right([[0] * len(prompt) + [1] * len(completion) for prompt, completion in rows], 0).to(device)
        hidden, labels = plain_states(inner, ids, mask)
    logps = logps_of_states(inner, hidden, labels)
    mean = mean_logps_of_states(inner, hidden, labels, logps) if uniform else None
    return CompletionLogps(logps, packed.owner, packed.place, packed.completions, mean)


def set_layout(model: Any, wanted: Wanted, otherwise: str = "use `layout: plain` or auto") -> Layout:
    """Prepares a causal model (of language, or of rewards) for a layout, and keeps it so.

    Args:
        model: on its device; with the shared layout it can no longer be called but with trees.
        wanted: ``auto`` takes the shared layout where the architecture can.
        otherwise: what a user whose model cannot is told to do.

    Returns:
        The layout.

    Raises:
        UsageError: ``shared`` is asked for and the architecture cannot.
    """
    inner = without_adapter_wrapper(model)
    before = inner.config._attn_implementation
    if before == IMPLEMENTATION and wanted != "plain":
        return "shared"  # set before
    if wanted == "plain":
        if before == IMPLEMENTATION:
            inner.set_attn_implementation(_OWN_ATTENTION.pop(inner))
        return "plain"
    reason = _unsupported(inner)
    if reason is None:
        _OWN_ATTENTION[inner] = before
        return "shared"
    inner.set_attn_implementation(before)
    name = inner.config.model_type
    if wanted == "shared":
        raise UsageError(f"layout: shared does not fit {name} models ({reason}); {otherwise}.")
    log.warning("%s models train in the plain layout, some two times slower: %s.", name, reason)
    return "plain"


@contextmanager
def use_layout(model: Any, wanted: Wanted) -> Iterator[Layout]:
    """`set_layout` for a while: the model's own attention returns afterwards."""
    inner = without_adapter_wrapper(model)
    before, own = inner.config._attn_implementation, _OWN_ATTENTION.get(inner)
    try:
        yield set_layout(model, wanted)
    finally:
        if inner.config._attn_implementation != before:
            inner.set_attn_implementation(before)
        if own is None:
            _OWN_ATTENTION.pop(inner, None)
        else:
            _OWN_ATTENTION[inner] = own


@contextmanager
def without_trees(model: Any) -> Iterator[None]:
    """A model of `set_layout` with its own attention for a while: for sampling and single rows."""
    inner = without_adapter_wrapper(model)
    own = _OWN_ATTENTION.get(inner)
    if own is None:
        yield
        return
    inner.set_attn_implementation(own)
    try:
        yield
    finally:
        inner.set_attn_implementation(IMPLEMENTATION)


def _unsupported(model: Any) -> str | None:
    """Why trees do not fit, or None with tree attention set."""
    config = model.config.get_text_config()
    # A family that names no types and has a window uses it in every layer.
    types = set(getattr(config, "layer_types", None) or ["full_attention", "sliding_attention"])
    if other := types - {"full_attention", "sliding_attention"}:
        return f"it has {', '.join(sorted(other)).replace('_', ' ')} layers"
    training = model.training
    model.eval()
    low = any(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    device = next(model.parameters()).device.type
    try:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=low):
            trees = _probe(model)
            expected = _plain_states(model, trees)
            model.set_attn_implementation(IMPLEMENTATION)
            packed = pack(trees).to(expected.device)
            found = packed_states(model, packed)[packed.predictors]
    except (TreesUnsupported, ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a kernel does not compile
        return str(error).splitlines()[0].rstrip(".")
    finally:
        model.train(training)
    window = getattr(config, "sliding_window", None)
    if not packed.windows:
        return "its attention cannot be replaced"
    if window is not None and "sliding_attention" in types and window not in packed.windows:
        return "its sliding-window layers do not name their window"
    off = float((found - expected).abs().max() / expected.square().mean().sqrt())
    if off < (LOW_PROBE_TOLERANCE if low else PROBE_TOLERANCE):
        return None
    return f"its hidden states would be off by {off:.2g} of their size"


def _plain_states(model: Any, trees: Sequence[Tree]) -> Tensor:
    """Last hidden state before every completion token, each completion in a row of its own, [N, size]."""
    device = next(model.parameters()).device
    states = []
    for tree in trees:
        for completion in tree.completions:
            ids = torch.tensor([[*tree.prompt, *completion]], device=device)
            hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
            states.append(hidden[len(tree.prompt) - 1 : -1])
    return torch.cat(states)


def _probe(model: Any) -> list[Tree]:
    generator = torch.Generator().manual_seed(0)
    words = model.get_input_embeddings().weight.shape[0]

    def some(count: int) -> list[int]:
        return torch.randint(0, words, (count,), generator=generator).tolist()

    return [Tree(some(5), (some(4), some(1), some(3))), Tree(some(2), (some(2), some(6)))]
