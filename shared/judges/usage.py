"""What judging by an endpoint takes: requests, retries, tokens, money; and the budget that ends it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shared.judges.endpoint_config import EndpointConfig


@dataclass
class Usage:
    """Counts of one judging. Tokens and cost are those that the server reports; cached answers cost nothing.

    Attributes:
        requests: requests sent, repeated ones included.
        answers: of them, answered.
        cache_hits: questions answered from the cache.
        retries: requests sent again, by the problem before (``429``, ``timeout``, ``connection``).
        rejected: questions the server refused to take, by status.
        prompt_tokens: read by the model.
        completion_tokens: written by it.
        without_usage: answers whose server reported no tokens; their cost is estimated from the text's length.
        cost: in the currency of the prices.
        reserved: largest possible cost of what is under way.
        waited_s: seconds spent in back-off, summed over requests.
        models: what the servers called themselves, model and fingerprint.
        adapted: how requests were changed to what the server takes.
    """

    requests: int = 0
    answers: int = 0
    cache_hits: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    without_usage: int = 0
    cost: float = 0.0
    reserved: float = 0.0
    waited_s: float = 0.0
    models: Counter[str] = field(default_factory=Counter)
    adapted: list[str] = field(default_factory=list)

    def refuse(self, config: EndpointConfig, largest_cost: float) -> str | None:
        """Why the budget does not allow one more request, or None where it does."""
        budget = config.budget
        if budget.max_requests is not None and self.requests >= budget.max_requests:
            return (
                f"the judge's budget of {budget.max_requests} requests is used up: what is done is kept; raise "
                "endpoint.budget.max_requests to go on."
            )
        if budget.max_cost is not None and self.cost + self.reserved + largest_cost > budget.max_cost:
            return (
                f"the judge's budget of {budget.max_cost:g} does not allow another request ({self.cost:.4g} spent, up "
                f"to {largest_cost:.2g} for the next): what is done is kept; raise endpoint.budget.max_cost to go on."
            )
        return None

    def charge(
        self, config: EndpointConfig, prompt_tokens: int | None, completion_tokens: int | None, text: str
    ) -> None:
        """Adds an answer's tokens and cost; a server that reports none is charged by the text's length."""
        self.answers += 1
        if prompt_tokens is None or completion_tokens is None:
            self.without_usage += 1
            prompt_tokens, completion_tokens = estimated_tokens(text), config.max_tokens
            self.cost += cost_of(config, prompt_tokens, completion_tokens)
            return
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.cost += cost_of(config, prompt_tokens, completion_tokens)

    def to_json(self, config: EndpointConfig) -> dict[str, Any]:
        """JSON values for reports; no cost where no price is known."""
        return {
            "requests": self.requests,
            "answers": self.answers,
            "cache_hits": self.cache_hits,
            "retries": dict(self.retries),
            "rejected": dict(self.rejected),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "answers_without_token_count": self.without_usage,
            "cost": round(self.cost, 6) if config.cost_known else None,
            "waited_seconds": round(self.waited_s, 3),
            "served_by": dict(self.models),
            "adapted": list(self.adapted),
        }


def cost_of(config: EndpointConfig, prompt_tokens: int, completion_tokens: int) -> float:
    """Price of a request's tokens."""
    return (prompt_tokens * config.price_prompt + completion_tokens * config.price_completion) / 1e6


def estimated_tokens(text: str) -> int:
    """An upper estimate of a text's tokens: half its UTF-8 bytes (about four bytes a token are usual in English)."""
    return len(text.encode()) // 2 + 1
