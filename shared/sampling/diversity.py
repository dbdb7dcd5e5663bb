"""How much the samples of one prompt differ, and how long they are."""

from collections.abc import Sequence

MOST_COMPARED = 8  # self-BLEU compares every response with all others


def distinct_n(responses: Sequence[str], n: int) -> float | None:
    """Different n-grams of words over all n-grams (Li et al. 2016, https://arxiv.org/abs/1510.03055).

    Args:
        responses: samples of one prompt.
        n: words an n-gram.

    Returns:
        From near 0 (all alike) to 1; None where no response has n words.
    """
    grams = []
    for response in responses:
        words = response.lower().split()
        grams += [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def self_bleu(responses: Sequence[str]) -> float | None:
    """Mean BLEU of each response against the others (Zhu et al. 2018, https://arxiv.org/abs/1802.01886), 0 to 1.

    sacrebleu's sentence BLEU with effective order; 1 is that all are equal. At most the first `MOST_COMPARED`
    responses are compared; None where fewer than two have words.
    """
    from sacrebleu.metrics.bleu import BLEU

    texts = [text for text in responses[:MOST_COMPARED] if text.split()]
    if len(texts) < 2:
        return None
    metric = BLEU(effective_order=True)
    scores = [
        metric.sentence_score(text, [other for place, other in enumerate(texts) if place != number]).score / 100
        for number, text in enumerate(texts)
    ]
    return sum(scores) / len(scores)


def sample_metrics(samples: Sequence[Sequence[str]]) -> dict[str, float]:
    """Means over prompts of the measures above, and words a response.

    Args:
        samples: responses of every prompt.

    Returns:
        ``words``, ``distinct_1``, ``distinct_2``, ``self_bleu`` (what cannot be measured is left out) and ``empty``
        (share of responses without a word).
    """
    flat = [text for responses in samples for text in responses]
    measured = {
        "distinct_1": [distinct_n(responses, 1) for responses in samples],
        "distinct_2": [distinct_n(responses, 2) for responses in samples],
        "self_bleu": [self_bleu(responses) for responses in samples],
    }
    found = {
        "words": sum(len(text.split()) for text in flat) / max(1, len(flat)),
        "empty": sum(not text.split() for text in flat) / max(1, len(flat)),
    }
    for name, values in measured.items():
        known = [value for value in values if value is not None]
        if known:
            found[name] = sum(known) / len(known)
    return found
