"""Factors under a language model that sees the summary alone: how usual its words are in English."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from domains.ecommerce.factors.items import MOST_CHARACTERS, SummaryItem
from shared.device import pick_device
from shared.explain.factors import factor
from shared.home import models_folder
from shared.models import load_causal_lm, load_tokenizer, model_revision, resolve

if TYPE_CHECKING:
    import numpy as np

LANGUAGE_MODEL = "smollm2-135m-instruct"
MOST_TOKENS = 512  # of a summary; what lies beyond is not read
TOKENS_AT_ONCE = 1_024  # of a batch, padding among them
NO_TOKENS = -15.0  # nats a token of an empty summary: worse than any text
WORST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class FluencyView:
    """What language-model factors are functions of: log-probability of each token of the summary, nats, [tokens]."""

    logps: "np.ndarray"


def language_model_revisions() -> dict[str, str]:
    """What decides the log-probabilities beside the code: the model's revision and the number format."""
    return {"language-model": model_revision(LANGUAGE_MODEL), "device": pick_device().description}


@cache
def _model() -> tuple[Any, Any, Any]:
    folder = resolve(LANGUAGE_MODEL, models_folder()).path
    choice = pick_device()
    model: Any = load_causal_lm(folder)
    return load_tokenizer(folder), model.to(choice.device), choice


def token_logps(texts: Sequence[str]) -> "list[np.ndarray]":
    """Log-probability of each token of each text after the model's beginning-of-text token, nats.

    Texts run in batches of like length; the head is applied to tokens of the text only, never to padding.
    """
    import numpy as np
    import torch

    from shared.training.token_logps import logps_of_states

    tokenizer, model, choice = _model()
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    readable = [text.strip()[:MOST_CHARACTERS].encode("utf-8", "replace").decode() for text in texts]
    encoded = tokenizer(readable, add_special_tokens=False)["input_ids"] if readable else []
    tokens = [[start, *one[:MOST_TOKENS]] for one in encoded]
    found = [np.zeros(0, np.float32) for _ in tokens]
    order = sorted((number for number, one in enumerate(tokens) if len(one) > 1), key=lambda one: -len(tokens[one]))
    first = 0
    with torch.inference_mode(), choice.autocast():
        while first < len(order):
            longest = len(tokens[order[first]])
            batch = order[first : first + max(1, TOKENS_AT_ONCE // longest)]
            first += len(batch)
            ids = torch.full((len(batch), longest), start, dtype=torch.long)
            mask = torch.zeros((len(batch), longest), dtype=torch.bool)
            for row, number in enumerate(batch):
                ids[row, : len(tokens[number])] = torch.tensor(tokens[number])
                mask[row, : len(tokens[number])] = True
            ids, mask = ids.to(choice.device), mask.to(choice.device)
            states = model.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
            wanted = mask[:, 1:]
            logps = logps_of_states(model, states[:, :-1][wanted], ids[:, 1:][wanted]).float().cpu().numpy()
            ends = np.cumsum(wanted.sum(dim=1).cpu().numpy())
            for number, part in zip(batch, np.split(logps, ends[:-1]), strict=True):
                found[number] = part
    return found


def fluency_views(items: Sequence[SummaryItem]) -> Iterator[FluencyView]:
    """One view an item, in order."""
    return map(FluencyView, token_logps([item.summary for item in items]))


@factor("fluency", scale="nats a token, below 0", sign="+", cost="language-model")
def fluency(view: FluencyView) -> float:
    """Mean log-probability a token of the summary alone under SmolLM2-135M-Instruct; -15 for an empty summary."""
    return float(view.logps.mean()) if view.logps.size else NO_TOKENS


@factor("fluency-worst", scale="nats a token, below 0", sign="+", cost="language-model")
def fluency_worst(view: FluencyView) -> float:
    """The same of the least likely tenth of its tokens: slips that a mean over a long text hides."""
    import numpy as np

    if not view.logps.size:
        return NO_TOKENS
    count = max(1, round(WORST_SHARE * view.logps.size))
    return float(np.sort(view.logps)[:count].mean())


FLUENCY = (fluency, fluency_worst)
