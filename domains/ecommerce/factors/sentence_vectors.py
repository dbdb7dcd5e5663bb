"""Vectors of sentences under a small sentence encoder: mean of its last states, cut to length 1.

The model is `minilm-l6` (all-MiniLM-L6-v2), which is packaged: another encoder would make other factors. It runs in
batches of sentences of like length, in bfloat16 where the device is fast in it (cosines then differ by at most some
thousandths from those of float32), else in float32.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.device import pick_device
from shared.home import models_folder
from shared.models import load_encoder, load_tokenizer, model_revision, resolve

if TYPE_CHECKING:
    import numpy as np

ENCODER = "minilm-l6"
MOST_TOKENS = 64  # of a sentence, special tokens among them; what lies beyond is not read
TOKENS_AT_ONCE = 1_024  # of a batch, padding among them: its states stay in a processor's cache


def encoder_revisions() -> dict[str, str]:
    """What decides the vectors beside the code: the model's revision and the number format."""
    return {"encoder": model_revision(ENCODER), "device": pick_device().description}


@cache
def _encoder() -> tuple[Any, Any, str]:
    import torch

    folder, choice = resolve(ENCODER, models_folder()).path, pick_device()
    encoder: Any = load_encoder(folder, torch.bfloat16 if choice.autocast_bf16 else torch.float32)
    return load_tokenizer(folder), encoder.to(choice.device), choice.device


def sentence_vectors(sentences: Sequence[str]) -> "np.ndarray":
    """One vector a sentence; equal sentences are computed once.

    Values are rounded to half precision, which halves what is kept of them.

    Args:
        sentences: texts without surrogates.

    Returns:
        float16 [sentences, 384], each of length 1; [0, 384] for none.
    """
    import numpy as np
    import torch

    tokenizer, encoder, device = _encoder()
    width = int(encoder.config.hidden_size)
    unique = list(dict.fromkeys(sentences))
    if not unique:
        return np.zeros((0, width), np.float16)
    tokens: list[list[int]] = tokenizer(unique, truncation=True, max_length=MOST_TOKENS)["input_ids"]
    order = sorted(range(len(unique)), key=lambda number: -len(tokens[number]))
    vectors = np.zeros((len(unique), width), np.float16)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            longest = len(tokens[order[start]])
            batch = order[start : start + max(1, TOKENS_AT_ONCE // longest)]
            start += len(batch)
            ids = torch.full((len(batch), longest), tokenizer.pad_token_id, dtype=torch.long)
            mask = torch.zeros((len(batch), longest), dtype=torch.long)
            for row, number in enumerate(batch):
                ids[row, : len(tokens[number])] = torch.tensor(tokens[number])
                mask[row, : len(tokens[number])] = 1
            states = encoder(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state.float()
            weights = mask.to(device)[..., None].to(states.dtype)
            means = (states * weights).sum(1) / weights.sum(1)
            vectors[batch] = torch.nn.functional.normalize(means, dim=-1).cpu().numpy()
    places = {sentence: number for number, sentence in enumerate(unique)}
    return vectors[[places[sentence] for sentence in sentences]]
