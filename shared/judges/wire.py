"""The OpenAI wire format: request bodies, answers, errors, and what each error means."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from shared.judges.endpoint_config import EndpointConfig
from shared.judges.prompting import ChatRequest

WireFormat = Literal["json_schema", "json_object_schema", "json_object", "text"]
RETRIED = frozenset((408, 409, 425, 429, *(code for code in range(500, 600) if code not in (501, 505))))
_FORMATS: tuple[WireFormat, ...] = ("json_schema", "json_object_schema", "json_object", "text")
_LONGEST_MESSAGE = 200
_OVERLAP = 24  # characters a server's message may share with the request before it is withheld


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What a server answered.

    Attributes:
        text: the answer.
        finish: finish reason.
        refusal: the server marked it as a refusal.
        prompt_tokens: as reported; None where not.
        completion_tokens: as reported.
        served_by: the server's name of the model, with its fingerprint.
    """

    text: str
    finish: str
    refusal: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    served_by: str

    def to_json(self) -> dict[str, Any]:
        """For the cache."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class WireShape:
    """How requests are written for one server.

    Attributes:
        format: how the answer's form is asked for.
        token_limit: name of the field with the most tokens.
        dropped: fields this server does not take.
    """

    format: WireFormat = "json_schema"
    token_limit: str = "max_tokens"
    dropped: frozenset[str] = field(default_factory=frozenset)


def first_shape(config: EndpointConfig) -> WireShape:
    """The shape that is tried first."""
    return WireShape("json_schema" if config.answer_format == "auto" else config.answer_format)


def request_body(config: EndpointConfig, request: ChatRequest, shape: WireShape) -> dict[str, Any]:
    """The JSON body of one request."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
        shape.token_limit: config.max_tokens,
        "temperature": config.temperature,
        "seed": None if config.seed is None else config.seed + request.sample,
        **config.extra_body,
    }
    body = {name: value for name, value in body.items() if value is not None and name not in shape.dropped}
    if shape.format == "json_schema":
        form = {"name": request.schema_name, "strict": True, "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    elif shape.format == "json_object_schema":  # llama.cpp's server
        body["response_format"] = {"type": "json_object", "schema": dict(request.schema)}
    elif shape.format == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def cache_key_values(config: EndpointConfig, request: ChatRequest) -> dict[str, Any]:
    """All that an answer depends on, without what a server made us adapt (it would make the key depend on luck)."""
    return {
        "format": 1,
        "base_url": config.base_url,
        "headers": config.headers,
        "answer_format": config.answer_format,
        "schema": {"name": request.schema_name, "schema": request.schema},
        "sample": request.sample,
        "body": request_body(config, request, WireShape("text")),
    }


def read_answer(body: Any) -> ChatAnswer | None:
    """The first choice of a chat completion; None where the body is none."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        usage = body.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        served = f"{body.get('model') or '?'}"
        if body.get("system_fingerprint"):
            served += f" ({body['system_fingerprint']})"
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    if isinstance(content, list):  # parts, as some servers write them
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    if not isinstance(content, str | None):
        return None
    prompt_tokens, completion_tokens = (
        one if isinstance(one, int) and not isinstance(one, bool) and one >= 0 else None for one in counts
    )
    finish = str(choice.get("finish_reason") or "stop")
    return ChatAnswer(content or "", finish, bool(refusal), prompt_tokens, completion_tokens, served)


@dataclass(frozen=True, slots=True)
class ServerError:
    """What a server said of a request it did not answer.

    Attributes:
        status: HTTP status.
        code: the error's code or type, lower case.
        text: the whole body, lower case, for matching only: it may quote the request.
        message: what may be shown: the message, unless it quotes the request.
    """

    status: int
    code: str
    text: str
    message: str

    @property
    def out_of_quota(self) -> bool:
        """No waiting helps: the account is empty."""
        return self.status == 402 or (self.status == 429 and "insufficient_quota" in self.text)

    @property
    def filtered(self) -> bool:
        """A content filter refused the request."""
        return self.status == 400 and bool(re.search(r"content[ _]?(filter|policy|management)", self.text))

    @property
    def no_such_model(self) -> bool:
        """The model's name is unknown there."""
        named = "model_not_found" in self.text or "model not found" in self.text
        unknown = re.search(r"\bmodel\b.{0,80}(does not exist|not found|not exist|unknown|not available)", self.text)
        return named or (self.status in (400, 404, 422) and unknown is not None)

    @property
    def about_format(self) -> bool:
        """It names the field that asks for the answer's form."""
        return "response_format" in self.text or "json_schema" in self.text

    @property
    def too_long(self) -> bool:
        """The request exceeds the model's context."""
        return (
            "context_length" in self.text or re.search(r"(maximum|max|exceed\w*).{0,60}context", self.text) is not None
        )


def server_error(status: int, content: bytes, request: ChatRequest) -> ServerError:
    """Reads an error body of any shape."""
    text = content[:20_000].decode("utf-8", "replace")
    code, message = "", ""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    error = body.get("error", body) if isinstance(body, Mapping) else None
    if isinstance(error, Mapping):
        code = str(error.get("code") or error.get("type") or "")
        given = error.get("message") or error.get("detail") or ""
        message = given if isinstance(given, str) else ""
    elif isinstance(error, str):
        message = error
    message = " ".join(message.split())[:_LONGEST_MESSAGE]
    if _quotes(message, request):
        message = ""
    return ServerError(status, code.lower(), text.lower(), message or code)


def _quotes(message: str, request: ChatRequest) -> bool:
    asked = " ".join(" ".join(turn.content.split()) for turn in request.messages)
    return any(message[start : start + _OVERLAP] in asked for start in range(max(0, len(message) - _OVERLAP + 1)))


def adapted(config: EndpointConfig, shape: WireShape, error: ServerError) -> tuple[WireShape, str] | None:
    """Another shape to try after an error, and what it changes; None where the shape is not the trouble.

    Args:
        config: whose ``answer_format`` says whether the format may change.
        shape: what was refused.
        error: what the server said.
    """
    if error.status not in (400, 404, 415, 422, 500, 501) or error.filtered or error.too_long or error.no_such_model:
        return None
    if "max_tokens" in error.text and "max_completion_tokens" in error.text and shape.token_limit == "max_tokens":
        return replace(shape, token_limit="max_completion_tokens"), "max_completion_tokens in place of max_tokens"
    if error.status < 500:
        for name in ("temperature", "seed", *config.extra_body):
            said = re.search(
                rf"['\"`]?\b{re.escape(name.lower())}\b['\"`]?.{{0,80}}(support|unknown|unrecogni|extra|not permitted)",
                error.text,
            )
            said = said or re.search(
                rf"(support|unknown|unrecogni|extra|not permitted).{{0,80}}\b{re.escape(name.lower())}\b", error.text
            )
            if said and name not in shape.dropped:
                return replace(shape, dropped=shape.dropped | {name}), f"without {name}"
    if config.answer_format == "auto" and shape.format != "text" and error.status != 404:
        following = _FORMATS[_FORMATS.index(shape.format) + 1]
        return replace(shape, format=following), f"answer format {following}"
    return None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds a server asks to wait (Retry-After in seconds or as a date, retry-after-ms), or None."""
    milliseconds = headers.get("retry-after-ms")
    given = headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if given is None:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", given):
            return float(given)
        moment = parsedate_to_datetime(given)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
