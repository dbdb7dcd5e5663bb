"""How responses are sampled, what a sample is, and the random numbers that make it reproducible."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EngineName = Literal["auto", "transformers", "llama.cpp", "vllm"]
FinishReason = Literal["stop", "length"]


class GenerationConfig(BaseModel):
    """How to sample.

    Attributes:
        max_new_tokens: most tokens of a response.
        temperature: 0 is greedy.
        top_p: nucleus (Holtzman et al. 2019, arXiv:1904.09751); 1 samples from all tokens.
        top_k: sample from so many of the likeliest tokens only; 0 is no limit.
        seed: every response has random numbers of its own, made from (seed, prompt, number of the sample): the same
            seed and prompts give the same responses, in whatever order the prompts come and however they are
            batched, as far as rounding allows (see docs/sampling.md).
        batch_size: responses written at once.
        n: responses a prompt; the prompt is read once for all of them.
        stop: strings that end a response; they are not part of it.
        engine: transformers, llama.cpp (CPU), vllm (GPU), or auto: the fastest of those at hand, measured once.
    """

    model_config = ConfigDict(extra="forbid")

    max_new_tokens: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    seed: int = 0
    batch_size: int = Field(default=16, ge=1)
    n: int = Field(default=1, ge=1)
    stop: tuple[str, ...] = ()
    engine: EngineName = "transformers"


@dataclass(frozen=True, slots=True)
class Sample:
    """A sampled response.

    Attributes:
        text: what was written, without special tokens, stop string and surrounding spaces.
        tokens: its token ids as they were sampled, the end token included where it came.
        finish_reason: ``stop`` (an end token or a stop string) or ``length`` (cut at max_new_tokens).
        logps: log-probability of every token under the policy at temperature 1 over all tokens, nats; None where they
            were not asked for.
        prompt_cut: whether the prompt lost its beginning because the model's context is too short.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    logps: tuple[float, ...] | None = None
    prompt_cut: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A response to be written: which prompt it answers, and the key of its random numbers (128 bits)."""

    prompt: int
    key: int

    @property
    def seed(self) -> int:
        """31 bits of the key, for engines that take a seed of their own."""
        return self.key & 0x7FFF_FFFF

    def uniforms(self, count: int) -> "NDArray[np.float64]":
        """Its random numbers in [0, 1), one a token (Philox, keyed)."""
        import numpy as np

        return np.random.Generator(np.random.Philox(key=self.key)).random(count)


def rows_of(prompts: Sequence[Sequence[int]], n: int, seed: int) -> list[Row]:
    """The `n` responses of every prompt, in order.

    A key is made from the seed, the prompt's tokens, the number of the sample, and how often the same prompt came
    before: equal prompts get different responses, and neither other prompts nor the order change a response.

    Args:
        prompts: token ids of each prompt.
        n: responses a prompt.
        seed: of the sampling.
    """
    seen: dict[str, int] = {}
    rows = []
    for number, prompt in enumerate(prompts):
        digest = hashlib.sha256(",".join(map(str, prompt)).encode()).hexdigest()
        before = seen.get(digest, 0)
        seen[digest] = before + 1
        for sample in range(before * n, (before + 1) * n):
            key = hashlib.sha256(f"{seed}:{digest}:{sample}".encode()).digest()[:16]
            rows.append(Row(number, int.from_bytes(key, "big")))
    return rows
