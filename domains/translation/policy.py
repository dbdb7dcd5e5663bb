"""The simultaneous translator: a causal language model with a head for the confidence to WRITE.

The head is that of SM2 (Yu et al. 2024, arXiv:2406.02237): ``c = sigmoid(w . h + b)`` on the last hidden state of the
token that predicts the next segment. Its weights start at zero (c = 1/2) and are float32, also beside adapters and
under bf16.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from domains.translation.settings import SETTINGS_FILE, SimulFormat, read_format
from shared.durable import write_json
from shared.errors import DataError
from shared.training.layouts import set_layout
from shared.training.token_logps import logps_of_states, mean_logps_of_states, packed_states, without_adapter_wrapper

if TYPE_CHECKING:
    from domains.translation.streams import PackedStreams
    from shared.device import DeviceChoice

CONFIDENCE_FILE = "confidence.safetensors"
PREDICTION_TOKENS = 256  # tokens whose logits are held at once where only the largest is asked for


@dataclass(frozen=True, slots=True)
class StreamTerms:
    """What losses on streams are functions of.

    Attributes:
        logps: log-probability of every target token, nats, float32 or wider, [N], in the order of ``packed.labels``.
        write_logits: log-odds of WRITE in every policy state, [M], in the order of ``packed.states``.
        packed: the streams.
        uniform: mean log-probability over the vocabulary where each target token stands, [N]; where it was asked for.
    """

    logps: Tensor
    write_logits: Tensor
    packed: "PackedStreams"
    uniform: Tensor | None = None


class SimulPolicy(nn.Module):
    """A causal language model, adapters (PEFT) allowed, and the confidence head.

    Args:
        model: the language model.
        format: how rows are made.

    Attributes:
        confidence: the head, from the hidden size to one log-odds.
    """

    def __init__(self, model: Any, format: SimulFormat) -> None:
        super().__init__()
        self.model, self.format = model, format
        self.confidence = nn.Linear(without_adapter_wrapper(model).config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.confidence.weight)
        nn.init.zeros_(self.confidence.bias)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def write_logits(self, states: Tensor) -> Tensor:
        """Log-odds of WRITE after hidden states [..., size], float32 or wider, [...]."""
        with torch.autocast(states.device.type, enabled=False):
            return self.confidence(states.to(self.confidence.weight.dtype)).squeeze(-1)

    def use_streams(self) -> None:
        """Gives the model the attention of packed streams; sampling then needs `shared.training.layouts.without_trees`.

        Raises:
            UsageError: for architectures whose attention cannot be replaced, with the reason.
        """
        set_layout(
            self.model,
            "shared",
            "a simultaneous policy needs attention under a mask of its own: name another base model, e.g. of the "
            "Llama, Qwen 2, Qwen 3 or Gemma 3 family",
        )

    def terms(self, packed: "PackedStreams", uniform: bool = False) -> StreamTerms:
        """Log-probabilities and log-odds of WRITE, differentiable; the head is applied to target tokens only.

        Args:
            packed: streams, on any device.
            uniform: whether mean log-probabilities over the vocabulary (for label smoothing) are asked for.
        """
        self.use_streams()
        packed = packed.to(self.device)
        inner = without_adapter_wrapper(self.model)
        states: Any = packed_states(inner, packed)  # pyright: ignore[reportArgumentType]
        hidden = states[packed.predictors]
        logps = logps_of_states(inner, hidden, packed.labels)
        mean = mean_logps_of_states(inner, hidden, packed.labels, logps) if uniform else None
        return StreamTerms(logps, self.write_logits(states[packed.states]), packed, mean)

    forward = terms

    @torch.no_grad()
    def predictions(self, packed: "PackedStreams") -> Tensor:
        """The most likely token where each target token stands, [N]."""
        self.use_streams()
        packed = packed.to(self.device)
        inner = without_adapter_wrapper(self.model)
        states: Any = packed_states(inner, packed)  # pyright: ignore[reportArgumentType]
        head = inner.get_output_embeddings()
        found = [head(part).argmax(-1) for part in states[packed.predictors].split(PREDICTION_TOKENS)]
        return torch.cat(found)

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """What transformers' Trainer calls under `gradient_checkpointing`."""
        self.model.activation_checkpointing_enable(**settings)


def save_policy(policy: SimulPolicy, folder: Path, base: str | None = None) -> None:
    """Writes adapter or model, confidence head and settings; not the tokenizer.

    Args:
        policy: what is saved.
        folder: made where it is not there.
        base: what a saved adapter names as its base.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    policy.model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's template
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        config = json.loads(adapter.read_text(encoding="utf-8"))
        if base is not None:
            config["base_model_name_or_path"] = base
        config["target_modules"] = sorted(config["target_modules"])  # a set: its order changes from run to run
        write_json(adapter, config)
    head = {name: value.detach().cpu().contiguous() for name, value in policy.confidence.state_dict().items()}
    save_file(head, str(folder / CONFIDENCE_FILE))
    write_json(folder / SETTINGS_FILE, {"format": policy.format.model_dump(mode="json")})


def load_confidence(policy: SimulPolicy, folder: Path) -> None:
    """Reads the confidence head of a saved policy into one that is there.

    Raises:
        DataError: the file is missing, or of another hidden size.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        policy.confidence.load_state_dict(load_file(str(folder / CONFIDENCE_FILE)))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(f"{folder / CONFIDENCE_FILE} does not fit the model: {error}") from error


def load_for_decoding(base: Path, folder: Path, choice: "DeviceChoice") -> SimulPolicy:
    """A saved policy to decode with, on the device of `choice` and in its number format; no autocast is needed.

    Where that is bf16 so are the weights (`shared.sampling.weights`): autocast would convert all of them for every
    token. The confidence head stays float32.

    Args:
        base: as for `load_policy`.
        folder: as for `load_policy`.
        choice: of `shared.device.pick_device`.
    """
    from shared.sampling.weights import sampling_copy

    policy = load_policy(base, folder, merge=True).to(choice.device)
    if choice.autocast_bf16:
        policy.model = sampling_copy(policy.model, torch.bfloat16)
    return policy.eval()


def load_policy(base: Path, folder: Path, merge: bool = False) -> SimulPolicy:
    """A saved policy, in evaluation mode, float32, on the CPU.

    Args:
        base: folder of the base model; not read where `folder` holds a whole model.
        folder: of `save_policy`.
        merge: whether an adapter is added into the weights (faster decoding).

    Raises:
        DataError: the folder holds no policy.
    """
    from shared.models import load_policy as load_language_model

    policy = SimulPolicy(load_language_model(base, folder, merge), read_format(folder))
    load_confidence(policy, folder)
    return policy.eval()
