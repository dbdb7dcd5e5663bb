"""How a judge model is reached: the `endpoint` part of a recipe."""

import os
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from shared.errors import SystemStateError
from shared.recipes import Component

DEFAULT_KEY = "VALIGN_JUDGE_API_KEY"
AnswerFormat = Literal["auto", "json_schema", "json_object_schema", "json_object", "text"]


class BudgetConfig(Component):
    """When a judge stops; what is done is kept, and a larger budget goes on from there.

    Attributes:
        max_requests: most requests sent in one judging, repeated ones included; None: no limit.
        max_cost: most money spent in one judging, in the currency of the prices; None: no limit. A request is only
            sent where its largest possible cost still fits.
    """

    max_requests: int | None = Field(default=None, ge=1)
    max_cost: float | None = Field(default=None, gt=0)


class EndpointConfig(Component):
    """An OpenAI-compatible endpoint (``/v1/chat/completions``).

    Attributes:
        base_url: ``https://host/v1``; without a path ``/v1`` is added.
        model: name of the model at the endpoint.
        api_key_env: environment variable that holds the API key; the key itself is never written or logged. None:
            VALIGN_JUDGE_API_KEY where it is set, else no key.
        temperature: 0 asks for the likeliest answer.
        seed: sent with each request; servers promise no more than their best effort.
        max_tokens: most tokens of an answer; thinking counts.
        answer_format: ``auto`` tries JSON schema, JSON object with a schema (llama.cpp), JSON object, plain text, and
            keeps the first that the server takes; what it answers is checked in any case.
        answer_retries: how often an answer that cannot be read is asked for again, with a correction.
        timeout_s: seconds one request may take in all.
        concurrency: requests under way at once.
        retries: further attempts after 408, 409, 425, 429, 5xx, timeouts and lost connections.
        backoff_s: first pause; doubled each time, with jitter. Retry-After comes first.
        longest_wait_s: longest pause; a server that asks for a longer one ends the judging.
        give_up_after: requests in a row that fail for good before the judging ends.
        price_prompt: price of a million prompt tokens.
        price_completion: price of a million tokens of answers.
        budget: when to stop.
        extra_body: further JSON keys of every request (``top_k``, ``reasoning_effort``).
        headers: further header lines, without secrets.
    """

    base_url: str
    model: str = Field(min_length=1)
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    temperature: float | None = Field(default=0.0, ge=0)
    seed: int | None = 0
    max_tokens: int = Field(default=512, ge=1)
    answer_format: AnswerFormat = "auto"
    answer_retries: int = Field(default=1, ge=0, le=5)
    timeout_s: float = Field(default=120.0, gt=0)
    concurrency: int = Field(default=8, ge=1, le=1024)
    retries: int = Field(default=5, ge=0, le=20)
    backoff_s: float = Field(default=0.5, gt=0)
    longest_wait_s: float = Field(default=120.0, gt=0)
    give_up_after: int = Field(default=5, ge=1)
    price_prompt: float = Field(default=0.0, ge=0)
    price_completion: float = Field(default=0.0, ge=0)
    budget: BudgetConfig = BudgetConfig()
    extra_body: dict[str, Any] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("base_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an endpoint is an http:// or https:// address, such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("an endpoint's address holds no user, password or query; a key goes into api_key_env")
        import httpx

        try:
            httpx.URL(value.strip())
        except httpx.InvalidURL as error:
            raise ValueError(f"an endpoint's address must be valid ({error})") from error
        path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        return f"{parts.scheme}://{parts.netloc}{path}"

    @field_validator("extra_body")
    @classmethod
    def _no_stream(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted({"messages", "model", "stream", "n", "response_format"} & value.keys()):
            raise ValueError(f"{taken[0]} cannot be set in extra_body")
        return value

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        if secret := [name for name in value if re.search(r"authorization|api[-_]?key|token|secret", name, re.I)]:
            raise ValueError(f"the header {secret[0]} would write a secret into the recipe: use api_key_env")
        return value

    @model_validator(mode="after")
    def _cost_needs_prices(self) -> "EndpointConfig":
        if self.budget.max_cost is not None and not self.cost_known:
            raise ValueError("budget.max_cost needs price_prompt and price_completion")
        return self

    def api_key(self) -> str | None:
        """The key from the environment; None where there is none.

        Raises:
            SystemStateError: a variable is named and not set, or its value can stand in no header.
        """
        name = self.api_key_env or DEFAULT_KEY
        key = os.environ.get(name, "").strip()
        if not key and self.api_key_env:
            raise SystemStateError(
                f"the environment variable {name} is not set: export it with the endpoint's API key."
            )
        if not (key.isascii() and key.isprintable()):
            raise SystemStateError(f"the environment variable {name} holds no API key (characters that no key has).")
        return key or None

    @property
    def cost_known(self) -> bool:
        """Whether any price is given."""
        return bool(self.price_prompt or self.price_completion)
