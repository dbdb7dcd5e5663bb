"""The network of a general preference model: a body, the embedding of a response, and the gate of a prompt."""

# ruff: noqa: ARG002  (the signatures are those of transformers)

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from shared.rewards.losses import prompt_gate
from shared.rewards.settings import GpmConfig

HEADS = ("embedding_head", "gate_head")


class PreferenceNetwork(PreTrainedModel):
    """``v = W_v h_last`` with ``W_v: d -> 2k`` and no bias, and ``lambda = k softmax(W_p h_prompt / sqrt(d))``.

    Embeddings and gate of https://arxiv.org/abs/2410.02197. Where the hidden states come from:

    - Causal body: h_last at the row's last token, h_prompt at the prompt's last token, both of one pass (no token of
      the response is seen there).
    - Encoder: h_last at [CLS] of (conversation, response). Every token of that pass has seen the response, so h_prompt
      is [CLS] of a pass of its own over the conversation alone: the gate depends on the prompt only.

    Both projections are computed in float32, whatever the body's number format: log-odds are divided by a small tau.

    Args:
        body: a model without a head.
        gpm: the recipe's options.
    """

    base_model_prefix = "body"
    supports_gradient_checkpointing = True
    main_input_name = "input_ids"
    # The body has chosen its attention and knows what it supports.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, body: PreTrainedModel, gpm: GpmConfig) -> None:
        super().__init__(body.config)
        text: Any = body.config.get_text_config()
        self.body, self.gpm, self.width = body, gpm, int(text.hidden_size)
        self.embedding_head = nn.Linear(self.width, 2 * gpm.k, bias=False)
        self.gate_head = nn.Linear(self.width, gpm.k, bias=False) if gpm.gate else None
        deviation = float(getattr(text, "initializer_range", 0.02))
        nn.init.normal_(self.embedding_head.weight, std=deviation)
        if self.gate_head is not None:
            nn.init.zeros_(self.gate_head.weight)  # every plane weighs 1 until the data say otherwise
        self.config.num_labels = 1  # what TRL asks of a reward model: one number a pair
        self.all_tied_weights_keys = {}
        self.eval()

    def _init_weights(self, module: nn.Module) -> None:
        """The body is given and the heads are set above: nothing is left to transformers."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        last: Tensor | None = None,
        prompt_last: Tensor | None = None,
        prompt_input_ids: Tensor | None = None,
        prompt_attention_mask: Tensor | None = None,
        prompt_index: Tensor | None = None,
        **ignored: Any,
    ) -> tuple[Tensor, Tensor]:
        """Embeddings and gates of rows, as `shared.rewards.rows.RowBatcher` makes their inputs.

        Args:
            input_ids: [rows, time]; the other tensors of that form belong to an encoder.
            attention_mask: of an encoder.
            token_type_ids: of an encoder.
            last: place of the last token of each row, [rows] (causal body).
            prompt_last: place of the last token of each prompt, [rows] (causal body with a gate).
            prompt_input_ids: the conversations alone, [conversations, prompt time] (encoder with a gate).
            prompt_attention_mask: of those.
            prompt_index: which of them belongs to each row, [rows]; None: they are as many as the rows.
            ignored: what trainers add and this model has no use for.

        Returns:
            (v [rows, 2k], lambda [rows, k]), float32.
        """
        if last is None:
            hidden = self._hidden(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            at_end = hidden[:, 0]
        else:
            hidden = self._hidden(input_ids, use_cache=False)
            at_end = hidden[torch.arange(len(last), device=last.device), last]
        of_prompt = None
        if self.gate_head is not None:
            if prompt_last is not None:
                of_prompt = hidden[torch.arange(len(prompt_last), device=prompt_last.device), prompt_last]
            elif prompt_input_ids is not None:
                of_prompt = self._hidden(prompt_input_ids, attention_mask=prompt_attention_mask)[:, 0]
                of_prompt = of_prompt if prompt_index is None else of_prompt[prompt_index]
            else:
                raise ValueError("a prompt gate asks for prompt_last (causal body) or prompt_input_ids (encoder)")
        return self.heads(at_end, of_prompt)

    def heads(self, at_end: Tensor, of_prompt: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embeddings and gates from hidden states.

        Args:
            at_end: h_last of each row, [rows, d].
            of_prompt: h_prompt of each row, [rows, d]; not looked at without a gate.

        Returns:
            (v [rows, 2k], lambda [rows, k]), float32.
        """
        with torch.autocast(at_end.device.type, enabled=False):
            embedding = _project(self.embedding_head, at_end)
            if self.gpm.normalise:
                embedding = nn.functional.normalize(embedding, dim=-1)
            if self.gate_head is None or of_prompt is None:
                return embedding, torch.ones_like(embedding[:, : self.gpm.k])
            return embedding, prompt_gate(_project(self.gate_head, of_prompt), self.width)

    def _hidden(self, input_ids: Tensor, **inputs: Any) -> Tensor:
        """Last hidden states [rows, time, d]."""
        return self.body(input_ids=input_ids, **inputs).last_hidden_state


def _project(head: nn.Module, hidden: Tensor) -> Tensor:
    """A head of hidden states, in the format of the head's weights."""
    return head(hidden.to(next(head.parameters()).dtype))


def new_network(base: Path, gpm: GpmConfig) -> PreferenceNetwork:
    """A network over the body of a model folder, with new heads (seed torch before)."""
    from transformers import AutoModel

    from shared.models import load_with

    return PreferenceNetwork(load_with(AutoModel, base), gpm)


def load_network(folder: Path, gpm: GpmConfig) -> PreferenceNetwork:
    """A network that was saved whole, in float32.

    Raises:
        DataError: where a tensor is missing or has another shape.
    """
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    from shared.errors import DataError

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    network = PreferenceNetwork(AutoModel.from_config(config, dtype=torch.float32), gpm)
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(path))
    try:
        missing, unexpected = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise DataError(f"{folder} holds weights of other shapes than reward.json says: train it anew.") from error
    if unexpected or _really_missing(network, missing, weights):
        raise DataError(f"{folder} does not hold all weights of the model that reward.json describes: train it anew.")
    return network.eval()


def _really_missing(network: nn.Module, missing: Iterable[str], saved: dict[str, Tensor]) -> list[str]:
    """Names that were not saved under another name: of tensors that share their memory one is saved."""
    places = network.state_dict(keep_vars=True)
    loaded = {places[name].data_ptr() for name in saved if name in places}
    return [name for name in missing if places[name].data_ptr() not in loaded]
