"""How translations are decoded: limits, sampling, batch."""

import math

from pydantic import BaseModel, ConfigDict, Field


class DecodingConfig(BaseModel):
    """How to decode; recipe keys of ``decoding``.

    Attributes:
        batch_size: sentences decoded at once; a sentence that ends makes place for the next.
        temperature: 0 is greedy.
        top_p: nucleus; 1 samples from all tokens.
        top_k: sample from so many of the likeliest tokens only; 0 is no limit.
        seed: every sentence has random numbers of its own, made from (seed, sentence, how often it came before), so
            that neither its neighbours nor its place change what is sampled, as far as rounding allows.
        tokens_per_source_token: most target tokens a source token read so far; beyond it more source is read, and once
            there is none the translation is cut.
        extra_tokens: added to that limit.
        no_repeat_ngram: no sequence of so many target tokens is written twice; 0 allows repetition.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(default=16, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    seed: int = 0
    tokens_per_source_token: float = Field(default=2.0, gt=0)
    extra_tokens: int = Field(default=16, ge=1)
    no_repeat_ngram: int = Field(default=0, ge=0)

    def most_tokens(self, source_tokens: int) -> int:
        """Most target tokens once so many source tokens are read."""
        return math.ceil(self.tokens_per_source_token * source_tokens) + self.extra_tokens
