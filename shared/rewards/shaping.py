"""Dense rewards by potential-based shaping: what every sentence of a response adds, without changing what is best.

A response is an episode of sentences; its state after k of m sentences is the prompt and the text so far. The reward
model speaks once, at the end. Shaping (Ng, Harada and Russell 1999, ICML) adds to the reward of every sentence

    F(s, s') = gamma Phi(s') - Phi(s),     Phi(s) the reward model's score of the text so far,

with Phi = 0 for the empty and for the finished response. Over an episode ``sum_k gamma^k F_k = gamma^m Phi(s_m) -
Phi(s_0) = 0``: no policy gains by it, whatever the potential and its weight, and from state s on a policy's return
changes by -Phi(s) alone. So in policy gradients it is a baseline of the state (Wiewiora 2003): it changes no expected
gradient, but tells which sentence earned the reward. gamma counts sentences; below 1 it prefers short responses, with
shaping and without.

Where a sentence ends is read off the text before it goes on (`sentences`), so that a potential is a function of what
was written so far and of nothing later: otherwise the baseline would depend on the action it is compared with.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Ends in . ! ? … (closing quotes and brackets with it) before white space, in their full-width forms before anything,
# and at the end of a line.
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』）]*(?=[^。！？”’」』）])|(?<=[^\s])(?=\n)")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|approx|no|inc|ltd|jr|sr|fig|e\.g|i\.e)|\b[A-Z]|(?:^|\n)\s*\d{1,3})\.$",
    re.IGNORECASE,
)


class ShapingConfig(BaseModel):
    """Rewards of sentences in a training that samples.

    Attributes:
        kind: ``potential``, by the reward model's score of the text so far.
        gamma: discount of a sentence; below 1 the end of a long response counts less.
        weight: factor of the potential; the best policy is the same for any.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["potential"] = "potential"
    gamma: float = Field(default=1.0, gt=0, le=1)
    weight: float = Field(default=1.0, ge=0)


@dataclass(frozen=True, slots=True)
class SentenceEnd:
    """Where a sentence ends before the response does.

    Attributes:
        place: characters up to its end.
        known: characters after which it is seen to have ended, one more.
    """

    place: int
    known: int


def sentences(text: str) -> list[SentenceEnd]:
    """The ends of a text's sentences but the last, which ends with the text.

    Lines are sentences too. Whether a place is an end depends on the text before it and on the one character after it;
    so a text that goes on with white space after its last word has an empty last sentence.
    """
    found: list[SentenceEnd] = []
    for match in _END.finditer(text):
        place = match.end()
        written = text[found[-1].place if found else 0 : place]
        if written.strip() and not _ABBREVIATION.search(written):
            found.append(SentenceEnd(place, place + 1))
    return found


def prefixes(text: str) -> list[str]:
    """The text up to the end of every sentence but the last; m - 1 of them where there are m sentences."""
    return [text[: end.place].strip() for end in sentences(text)]


def shaped(reward: float, potential: float, following: float, gamma: float = 1.0, weight: float = 1.0) -> float:
    """r + w (gamma Phi(s') - Phi(s)): the reward of one step under shaping.

    Args:
        reward: of the step.
        potential: Phi of the state it leaves.
        following: Phi of the state it reaches, 0 where that ends the episode.
        gamma: discount.
        weight: w.
    """
    return reward + weight * (gamma * following - potential)


def sentence_rewards(
    reward: float, potentials: Sequence[float], gamma: float = 1.0, weight: float = 1.0
) -> list[float]:
    """The shaped reward of each of a response's m sentences; at gamma = 1 they add up to `reward`.

    Args:
        reward: of the whole response.
        potentials: scores of its m - 1 `prefixes`.
        gamma: discount of a sentence.
        weight: factor of the potential.
    """
    states = [0.0, *potentials, 0.0]
    own = [*(0.0 for _ in potentials), reward]
    return [shaped(own[k], states[k], states[k + 1], gamma, weight) for k in range(len(own))]


def returns_to_go(rewards: Sequence[float], gamma: float = 1.0) -> list[float]:
    """``G_k = sum_{j >= k} gamma^(j - k) r_j`` of every step."""
    found: list[float] = []
    total = 0.0
    for reward in reversed(rewards):
        total = reward + gamma * total
        found.append(total)
    return found[::-1]


def group_advantages(
    rewards: Sequence[float], potentials: Sequence[Sequence[float]], gamma: float = 1.0, weight: float = 1.0
) -> "list[NDArray[np.float64]]":
    """Advantage of every sentence of the responses to one prompt, in reward units.

    The shaped return from the sentence on, less the group's mean at the same sentence, where a response that ended
    before is taken at its last one. Without potentials and at gamma = 1 these are GRPO's ``R_i - mean R``, for every
    sentence; with them the expected policy gradient is the same, since all that is added is fixed before the sentence
    is written.

    Args:
        rewards: of the G responses.
        potentials: of each, the scores of its `prefixes`.
        gamma: discount of a sentence.
        weight: factor of the potential.

    Returns:
        G arrays, one number a sentence.
    """
    import numpy as np

    returns = [
        returns_to_go(sentence_rewards(reward, given, gamma, weight), gamma)
        for reward, given in zip(rewards, potentials, strict=True)
    ]
    longest = max(len(one) for one in returns)
    means = [float(np.mean([one[min(k, len(one) - 1)] for one in returns])) for k in range(longest)]
    return [np.array(one) - np.array(means[: len(one)]) for one in returns]


def spread(advantages: "Sequence[NDArray[np.float64]]") -> float:
    """What `group_advantages` are divided by: the root of their mean square, every response weighing the same.

    With G / (G - 1) in it, as the group's standard deviation of rewards has it, which it is where nothing is shaped.
    """
    import numpy as np

    count = len(advantages)
    return float(np.sqrt(sum(float(np.mean(one**2)) for one in advantages) / max(1, count - 1)))


def owners(text_ends: Sequence[SentenceEnd], tokens: int, characters: Callable[[int], int]) -> list[int]:
    """Which sentence every token of a response belongs to: the one that was being written before it.

    Args:
        text_ends: the response's `sentences`.
        tokens: how many it has; those after its text (the end token) belong to its last sentence.
        characters: number of characters of the text that the first n tokens make.

    Returns:
        Rising numbers from 0, one a token.
    """
    from bisect import bisect_left

    found = [0] * tokens
    for number, end in enumerate(text_ends, 1):
        first = bisect_left(range(tokens + 1), end.known, key=characters)
        found[first:] = [number] * (tokens - min(first, tokens))
    return found
