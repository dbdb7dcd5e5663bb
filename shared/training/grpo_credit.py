"""Which sentence of a sampled response earned its reward: token advantages for GRPO by potential-based shaping."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate.utils import gather_object

from shared.records import Message
from shared.rewards.shaping import ShapingConfig, group_advantages, owners, prefixes, sentences, spread

RewardFunction = Callable[[Sequence[tuple[Message, ...]], Sequence[str]], Sequence[float]]
LEAST_SPREAD = 1e-4  # as TRL adds to a group's standard deviation


@dataclass(frozen=True, slots=True)
class TokenAdvantages:
    """What a rollout is worth, token by token.

    Attributes:
        tokens: of the responses of all ranks, in TRL's order; one number a token.
        metrics: ``shaping/sentences`` (mean a response) and ``shaping/variance`` (mean square of the advantages over
            that without potentials: below 1 the potentials tell in advance what a response will get).
    """

    tokens: list[list[float]]
    metrics: dict[str, float]


class SentenceCredit:
    """Advantages of sentences, of one rollout at a time.

    The mean over a group of what `shared.rewards.shaping.group_advantages` gives is taken where TRL takes that of
    rewards. Under `scale_rewards` group they are divided by their own root mean square, which without potentials is
    the group's standard deviation, as TRL has it.

    Args:
        config: discount and weight.
        reward: score of every (prompt, response); the potential of the same prompt's beginnings of responses.
        prompts: conversations by the number that TRL's prompts hold.
        tokenizer: of the policy.
    """

    def __init__(
        self,
        config: ShapingConfig,
        reward: RewardFunction,
        prompts: Sequence[tuple[Message, ...]],
        tokenizer: Any,
    ) -> None:
        self._config, self._reward, self._prompts, self._tokenizer = config, reward, prompts, tokenizer
        self._rewards: list[float] = []
        self._potentials: list[list[float]] = []
        self._owners: list[list[int]] = []

    def keep(
        self, rewards: Sequence[float], prompts: Sequence[str], texts: Sequence[str], tokens: Sequence[Sequence[int]]
    ) -> None:
        """Scores the beginnings of this rank's responses and exchanges them; every rank calls it.

        Args:
            rewards: of the responses of all ranks.
            prompts: numbers of this rank's prompts, as TRL's rows have them.
            texts: its responses.
            tokens: their token ids.
        """
        begun = [prefixes(text) for text in texts]
        asked = [self._prompts[int(number)] for number, parts in zip(prompts, begun, strict=True) for _ in parts]
        flat = [part for parts in begun for part in parts]
        scores = iter(self._reward(asked, flat) if flat else ())
        potentials = [[float(next(scores)) for _ in parts] for parts in begun]
        belongs = [self._belongs(text, ids) for text, ids in zip(texts, tokens, strict=True)]
        self._rewards = [float(value) for value in rewards]
        self._potentials, self._owners = gather_object(potentials), gather_object(belongs)

    def _belongs(self, text: str, ids: Sequence[int]) -> list[int]:
        """Which sentence each token belongs to."""

        def characters(count: int) -> int:
            return len(self._tokenizer.decode(list(ids[:count]), skip_special_tokens=True))

        return owners(sentences(text), len(ids), characters)

    def advantages(self, group_size: int, scaled: bool) -> TokenAdvantages:
        """Advantages of the responses that were kept last.

        Args:
            group_size: responses to one prompt, beside each other.
            scaled: whether a group's are divided by their spread.
        """
        found: list[list[float]] = []
        squares, plain = 0.0, 0.0
        for start in range(0, len(self._rewards), group_size):
            part = slice(start, start + group_size)
            rewards, potentials = self._rewards[part], self._potentials[part]
            values = group_advantages(rewards, potentials, self._config.gamma, self._config.weight)
            squares += spread(values) ** 2
            plain += spread(group_advantages(rewards, potentials, self._config.gamma, 0.0)) ** 2
            scale = spread(values) + LEAST_SPREAD if scaled else 1.0
            for one, belongs in zip(values, self._owners[part], strict=True):
                found.append([float(one[number]) / scale for number in belongs])
        counted = float(np.mean([len(one) + 1 for one in self._potentials]))
        return TokenAdvantages(
            found, {"shaping/sentences": counted, "shaping/variance": squares / plain if plain else 1.0}
        )
