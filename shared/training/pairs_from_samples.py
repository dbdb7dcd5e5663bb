"""Pairs from scored samples: which response of a prompt is chosen over which, and why the others are not used."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.records import Message, PreferenceRecord, content_id
from shared.training.iterative_config import PairingConfig

COUNTED: tuple[str, ...] = (
    "prompts",
    "responses",
    "pairs",
    "empty",
    "duplicates",
    "too_few",
    "ties",
    "cut",
    "length_gap",
    "moved_by_length",
)


@dataclass(frozen=True, slots=True)
class ScoredSamples:
    """The samples of one prompt with their scores.

    Attributes:
        id: of the record that the prompt was taken from.
        group_id: its group.
        prompt: the conversation.
        responses: texts.
        scores: one a response; only differences within a prompt have a meaning.
        cut: whether each response was cut at max_new_tokens.
    """

    id: str
    group_id: str
    prompt: tuple[Message, ...]
    responses: tuple[str, ...]
    scores: tuple[float, ...]
    cut: tuple[bool, ...]


def pairs_of(
    samples: Sequence[ScoredSamples], config: PairingConfig, round_number: int, seed: int = 0
) -> tuple[list[PreferenceRecord], dict[str, int]]:
    """One or more pairs for every prompt that has two responses that differ enough.

    Args:
        samples: the samples of each prompt.
        config: what is paired.
        round_number: written to the records' source and metadata.
        seed: of the random other under ``best-random``.

    Returns:
        (pairs, counts). Counted are ``prompts``, ``responses``, ``pairs``; responses left out as ``empty`` or
        ``duplicates`` (the same words as an earlier response of the prompt); prompts left without a pair, by the reason
        that took the last ones: ``too_few`` (under two different responses), ``ties``, ``cut``, ``length_gap``; and
        ``moved_by_length``: pairs that are not the first choice because that one exceeded max_length_ratio.
    """
    counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    records = []
    for one in samples:
        counts["prompts"] += 1
        counts["responses"] += len(one.responses)
        kept = _different(one, counts)
        if len(kept) < 2:
            counts["too_few"] += 1
            continue
        draw = random.Random(f"{seed}:{one.id}")
        taken, reason, moved = _chosen(one, kept, config, draw)
        if not taken:
            counts[reason] += 1
        counts["moved_by_length"] += moved
        counts["pairs"] += len(taken)
        records += [_record(one, best, worst, round_number) for best, worst in taken]
    return records, dict(counts)


def _different(one: ScoredSamples, counts: Counter[str]) -> list[int]:
    seen: set[str] = set()
    kept = []
    for place, text in enumerate(one.responses):
        words = " ".join(text.lower().split())
        if not words:
            counts["empty"] += 1
        elif words in seen:
            counts["duplicates"] += 1
        else:
            seen.add(words)
            kept.append(place)
    return kept


def _candidates(
    one: ScoredSamples, kept: Sequence[int], config: PairingConfig, draw: random.Random
) -> Iterator[tuple[int, int]]:
    """Pairs (better, other) in the order in which the strategy wants them."""
    scores = one.scores
    ranked = sorted(kept, key=lambda place: (-scores[place], place))
    if config.strategy == "best-random":
        others = ranked[1:]
        draw.shuffle(others)
        yield from ((ranked[0], other) for other in others)
        return
    both = [(a, b) for number, a in enumerate(ranked) for b in ranked[number + 1 :]]
    yield from sorted(both, key=lambda pair: (-(scores[pair[0]] - scores[pair[1]]), pair))


def _chosen(
    one: ScoredSamples, kept: Sequence[int], config: PairingConfig, draw: random.Random
) -> tuple[list[tuple[int, int]], str, int]:
    """(pairs, the reason where there is none, whether the first choice was passed over for its length)."""
    wanted = config.max_pairs if config.strategy == "margin" else 1
    taken: list[tuple[int, int]] = []
    used: set[int] = set()
    refused: list[str] = []
    moved = 0
    for better, other in _candidates(one, kept, config, draw):
        if len(taken) == wanted:
            break
        if better in used or other in used:
            continue
        reason = _refusal(one, better, other, config)
        if reason is not None:
            refused.append(reason)
            continue
        moved += not taken and "length_gap" in refused
        taken.append((better, other))
        used |= {better, other}
    order = ("length_gap", "cut", "ties")
    return taken, next((reason for reason in order if reason in refused), "ties"), moved


def _refusal(one: ScoredSamples, better: int, other: int, config: PairingConfig) -> str | None:
    if one.scores[better] - one.scores[other] <= config.min_margin:
        return "ties"
    if one.cut[better] and not config.cut_may_win:
        return "cut"
    if config.max_length_ratio is not None:
        lengths = sorted(len(one.responses[place].split()) for place in (better, other))
        if lengths[1] > config.max_length_ratio * lengths[0]:
            return "length_gap"
    return None


def _record(one: ScoredSamples, better: int, other: int, round_number: int) -> PreferenceRecord:
    chosen, rejected = one.responses[better], one.responses[other]
    prompt = "\n".join(f"{message.role}: {message.content}" for message in one.prompt)
    return PreferenceRecord(
        id=content_id("on-policy", prompt, chosen, rejected),
        group_id=one.group_id,
        source=f"round-{round_number}:{one.id}",
        prompt=one.prompt,
        chosen=chosen,
        rejected=rejected,
        margin=one.scores[better] - one.scores[other],
        metadata={"on_policy": True, "round": round_number, "chosen_cut": one.cut[better]},
    )


def mixed(
    on_policy: Sequence[PreferenceRecord], given: Sequence[PreferenceRecord], share: float, round_number: int
) -> list[PreferenceRecord]:
    """On-policy pairs and as many given ones that these are `share` of all (fewer where there are not so many).

    The given pairs come in an order fixed by their ids; each round takes the next ones.
    """
    wanted = min(len(given), round(share / (1 - share) * len(on_policy)))
    if not wanted:
        return list(on_policy)
    ordered = sorted(given, key=lambda record: content_id("mixed", record.id))
    start = (round_number - 1) * wanted % len(ordered)
    return [*on_policy, *(ordered + ordered)[start : start + wanted]]
