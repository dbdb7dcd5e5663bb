"""Context-conditioned pairs: the preference shall be stronger where its context is given than where it is not."""

from shared.records import Message, PreferenceRecord
from shared.training.objectives.terms import Losses, PairTerms


def context(terms: PairTerms, *, beta: float) -> Losses:
    """MAPL's inter-sample loss (https://arxiv.org/abs/2505.12845), reconstructed from the text.

    ``-log sigmoid(Delta(x, y_w, y_l) - Delta(x', y_w, y_l))``, ``Delta(x, y_w, y_l) = beta [log-ratio(y_w|x) -
    log-ratio(y_l|x)]``, x the prompt with its context, x' the prompt without. Each Delta compares responses to one
    prompt, so the partition functions of the implicit rewards cancel. They do not in the intra-sample form
    ``-log sigmoid(r(x, y) - r(x', y))``, which is therefore one for reward models.

    Args:
        terms: with reference, and both responses' log-probabilities under the contrasting prompt.
        beta: strength of the pull to the reference.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = terms.log_ratios()
    contrast_chosen = terms.need("contrast_chosen") - terms.need("ref_contrast_chosen")
    contrast_rejected = terms.need("contrast_rejected") - terms.need("ref_contrast_rejected")
    gain = beta * ((chosen - rejected) - (contrast_chosen - contrast_rejected))
    metrics = {
        "context/margins": gain.detach(),
        "context/accuracies": (gain > 0).to(gain.dtype).detach(),
    }
    return -logsigmoid(gain), metrics


def contrasting_prompts(record: PreferenceRecord) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """(prompt with the record's context, prompt without): the context stands before the text of the last user turn.

    In the turn rather than in a system turn, which some chat templates refuse.

    Raises:
        ValueError: where the record has no context or no user turn.
    """
    users = [index for index, message in enumerate(record.prompt) if message.role == "user"]
    if not record.context or not users:
        raise ValueError(f"{record.source}: no context or no user turn")
    last = users[-1]
    told = Message("user", f"{record.context}\n\n{record.prompt[last].content}")
    return (*record.prompt[:last], told, *record.prompt[last + 1 :]), record.prompt
