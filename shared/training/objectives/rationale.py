"""Rationale-DPO: the policy also learns to say why the chosen response is better."""

import hashlib
from typing import Literal

from shared.records import Message, PreferenceRecord
from shared.training.objectives.implicit_rewards import per_token
from shared.training.objectives.sigmoid import sigmoid
from shared.training.objectives.terms import Losses, PairTerms

RationaleForm = Literal["nll", "sigmoid"]
Reduction = Literal["sum", "mean"]


def rationale(terms: PairTerms, *, gamma: float, form: RationaleForm = "nll", reduction: Reduction = "sum") -> Losses:
    """The rationale's term of Just et al. 2024 (https://arxiv.org/abs/2407.14477).

    ``-gamma log pi(r | x, y_w > y_l)`` as in the paper, or ``-log sigmoid(gamma log pi(r | x, y_w > y_l))`` as in its
    public code.

    Args:
        terms: with the rationale's log-probability, and its tokens under ``mean``.
        gamma: weight; the paper uses 0.1 and 0.001 with summed log-probabilities.
        form: ``nll`` or ``sigmoid``.
        reduction: ``sum`` over the rationale's tokens as in the paper, or their ``mean``, so that
            long rationales do not outweigh short ones.
    """
    from torch.nn.functional import logsigmoid

    logps = terms.need("rationale")
    if reduction == "mean":
        logps = per_token(logps, terms.need("rationale_tokens"))
    loss = -gamma * logps if form == "nll" else -logsigmoid(gamma * logps)
    return loss, {"logps/rationale": terms.need("rationale").detach()}


def rationale_dpo(
    terms: PairTerms, *, beta: float, gamma: float, form: RationaleForm = "nll", reduction: Reduction = "sum"
) -> Losses:
    """`sigmoid` + `rationale`: the loss of https://arxiv.org/abs/2407.14477."""
    preference, metrics = sigmoid(terms, beta=beta)
    explanation, more = rationale(terms, gamma=gamma, form=form, reduction=reduction)
    return preference + explanation, metrics | more


def rationale_conversation(record: PreferenceRecord) -> tuple[Message, ...]:
    """The prompt that the rationale answers: the conversation, both responses, and which one is preferred.

    Which response stands first follows the record's id, so that the policy cannot learn "the first is better" and
    every run has the same text. The wording is our own; rationales should say "the preferred response", not a number.
    """
    swapped = hashlib.sha256(record.id.encode()).digest()[0] % 2 == 1
    first, second = (record.rejected, record.chosen) if swapped else (record.chosen, record.rejected)
    turns = "\n\n".join(f"{message.role}: {message.content}" for message in record.prompt)
    text = (
        f"Two assistants answered this conversation.\n\n{turns}\n\nAssistant 1:\n{first}\n\nAssistant 2:\n{second}\n\n"
        f"The response of Assistant {2 if swapped else 1} is preferred. Explain why."
    )
    return (Message("user", text),)
