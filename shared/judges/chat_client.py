"""A client for any OpenAI-compatible endpoint: many requests at once, retried, cached, counted, within a budget.

Determinism: temperature 0 and a seed ask for the same answer each time, which servers promise as best effort only.
What makes a judging reproducible is the cache: what was answered once is not asked again.
"""

import asyncio
import json
import math
import random
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shared.digest import json_digest
from shared.errors import SystemStateError, UsageError, ValignError
from shared.judges.answer_cache import AnswerCache
from shared.judges.endpoint_config import DEFAULT_KEY, EndpointConfig
from shared.judges.prompting import ChatRequest
from shared.judges.protocol import Failure, OnProgress, no_progress
from shared.judges.usage import Usage, cost_of, estimated_tokens
from shared.judges.wire import (
    RETRIED,
    ChatAnswer,
    ServerError,
    adapted,
    cache_key_values,
    first_shape,
    read_answer,
    request_body,
    retry_after,
    server_error,
)

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request without an answer: rejected by the server, unreachable, refused by its filter, or never sent."""

    failure: Failure


class ChatClient:
    """Asks an endpoint; safe to use from a notebook (it brings its own event loop).

    Args:
        config: where and how.
        cache: answers kept on disk; None keeps none.

    Raises:
        SystemStateError: the API key's variable is named and not set.
    """

    def __init__(self, config: EndpointConfig, cache: AnswerCache | None = None) -> None:
        self.config, self.usage = config, Usage()
        self.stopped: ValignError | None = None
        self._cache = cache
        self._headers = {"accept": "application/json", "user-agent": "valign", **config.headers}
        if key := config.api_key():
            self._headers["authorization"] = f"Bearer {key}"
        self._shape, self._settled = first_shape(config), False
        self._failed_in_a_row = 0
        self._tokens_per_estimate = 1.0  # the most that a server counted for what was estimated as one prompt token
        self._not_before = 0.0  # time.monotonic() before which nothing is sent: the server asked for a pause

    def answer_all(
        self, requests: Sequence[ChatRequest], on_progress: OnProgress = no_progress
    ) -> list[ChatAnswer | Unanswered]:
        """Answers to all requests, in order; equal requests are asked once.

        The first request goes alone, until the server has shown what it takes; then `concurrency` at a time. Where
        the judging stops early, `stopped` says why and the rest has failure ``skipped``.

        Args:
            requests: the questions.
            on_progress: called with (answered, all distinct).

        Raises:
            UsageError: the endpoint does not know the model.
            SystemStateError: nothing was answered at all: no server there, key refused, budget too small.
        """
        keys = [json_digest(cache_key_values(self.config, one)) for one in requests]
        wanted = dict(zip(keys, requests, strict=True))
        answers: dict[str, ChatAnswer | Unanswered] = {}
        for key in wanted:
            if self._cache is not None and (kept := self._cache.get(key)) is not None:
                answers[key] = ChatAnswer(**kept)
                self.usage.cache_hits += 1
        todo = {key: request for key, request in wanted.items() if key not in answers}
        if todo and self.stopped is None:
            _in_event_loop(self._answer(todo, answers, len(wanted), on_progress))
        if self.stopped is not None and not self.usage.answers and not self.usage.cache_hits:
            raise self.stopped
        return [answers.get(key, Unanswered("skipped")) for key in keys]

    async def _answer(
        self,
        todo: dict[str, ChatRequest],
        answers: dict[str, ChatAnswer | Unanswered],
        total: int,
        on_progress: OnProgress,
    ) -> None:
        import httpx

        waiting = iter(todo.items())

        async def work(once: bool = False) -> None:
            for key, request in waiting:
                answer = await self._ask(http, key, request)
                if answer is not None:
                    answers[key] = answer
                    on_progress(len(answers), total)
                if once or self.stopped is not None:
                    return

        limits = httpx.Limits(
            max_connections=self.config.concurrency, max_keepalive_connections=self.config.concurrency
        )
        timeout = httpx.Timeout(self.config.timeout_s)
        async with httpx.AsyncClient(headers=self._headers, limits=limits, timeout=timeout) as http:
            while len(answers) < total and not self._settled and self.stopped is None:
                await work(once=True)
            if self.stopped is None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.config.concurrency, total - len(answers))):
                        group.create_task(work())

    async def _ask(self, http: "httpx.AsyncClient", key: str, request: ChatRequest) -> ChatAnswer | Unanswered | None:
        """One answer with retries; None where it was never sent or the judging stopped."""
        largest = self._largest_cost(request)
        attempt = 0
        while self.stopped is None:
            if (reason := self.usage.refuse(self.config, largest)) is not None:
                self._stop(SystemStateError(reason))
                return None
            await self._pause(self._not_before - time.monotonic())
            if self.stopped is not None:
                return None
            outcome = await self._send(http, request, largest, attempt)
            if isinstance(outcome, ChatAnswer):
                self._settled, self._failed_in_a_row = True, 0
                self._keep(key, outcome)
                return outcome
            if isinstance(outcome, _Again):
                if outcome.at_once:
                    continue
                if attempt >= self.config.retries:
                    return self._failed("unreachable", outcome.sentence)
                attempt += 1
                self.usage.retries[outcome.problem] += 1
                await self._back_off(attempt, outcome.wait_s)
                continue
            return outcome
        return None

    async def _send(
        self, http: "httpx.AsyncClient", request: ChatRequest, largest: float, attempt: int
    ) -> "ChatAnswer | Unanswered | _Again | None":
        """One request over the wire."""
        import httpx

        self.usage.requests += 1
        self.usage.reserved += largest
        address = f"{self.config.base_url}/chat/completions"
        shape = self._shape
        try:
            async with asyncio.timeout(self.config.timeout_s):
                response = await http.post(address, json=request_body(self.config, request, shape))
        except (TimeoutError, httpx.TimeoutException):
            sentence = (
                f"{address} does not answer within {self.config.timeout_s:g} s: check it, or raise endpoint.timeout_s."
            )
            return _Again("timeout", sentence)
        except (httpx.TransportError, httpx.DecodingError) as error:
            kind = type(error).__name__
            sentence = f"no connection to {address} ({kind}): start the server, or check the address and the network."
            return _Again("connection", sentence)
        finally:
            self.usage.reserved -= largest
        if response.status_code == 200:
            return self._read(response, request, address)
        if response.is_redirect:
            self._stop(UsageError(f"{address} redirects elsewhere ({response.status_code}): give the final address."))
            return None
        error = server_error(response.status_code, response.content, request)
        # A first 5xx may be the server's own trouble; one that returns may be its answer to a field it does not know.
        may_adapt = not self._settled and (error.status < 500 or attempt > 0 or error.about_format)
        if may_adapt and (other := adapted(self.config, shape, error)) is not None:
            self._shape = other[0]
            self.usage.adapted.append(other[1])
            return _Again(str(error.status), "", at_once=True)
        return await self._refused(http, error, retry_after(response.headers), address)

    def _read(self, response: "httpx.Response", request: ChatRequest, address: str) -> "ChatAnswer | _Again":
        try:
            answer = read_answer(response.json())
        except (ValueError, RecursionError):
            answer = None
        if answer is None:
            sentence = (
                f"{address} answers, but not with chat completions: give the address of an OpenAI-compatible server."
            )
            return _Again("broken answer", sentence)
        asked = _asked(request)
        if answer.prompt_tokens is not None:
            counted = answer.prompt_tokens / estimated_tokens(asked)
            self._tokens_per_estimate = max(self._tokens_per_estimate, counted)
        self.usage.charge(self.config, answer.prompt_tokens, answer.completion_tokens, asked)
        self.usage.models[answer.served_by] += 1
        return answer

    async def _refused(
        self, http: "httpx.AsyncClient", error: ServerError, wait_s: float | None, address: str
    ) -> "Unanswered | _Again | None":
        """What an error status means: try again, no answer to this one, or the end."""
        said = f": {error.message}" if error.message else ""
        status = error.status
        if error.filtered:
            self.usage.rejected[str(status)] += 1
            self._failed_in_a_row = 0
            return Unanswered("refused")
        if status in (401, 403):
            variable = self.config.api_key_env or DEFAULT_KEY
            held = "is not accepted" if "authorization" in self._headers else "is not set"
            self._stop(SystemStateError(f"{address} refuses access ({status}): the API key in {variable} {held}."))
            return None
        if error.out_of_quota:
            self._stop(SystemStateError(f"the account at {address} is used up ({status}{said}): what is done is kept."))
            return None
        if error.no_such_model or status in (404, 405):
            self._stop(UsageError(await self._unknown(http, error, address)))
            return None
        if status in RETRIED:
            if wait_s is not None and wait_s > self.config.longest_wait_s:
                sentence = f"{address} asks to wait {wait_s:.0f} s ({status}): what is done is kept; run again later."
                self._stop(SystemStateError(sentence))
                return None
            sentence = f"{address} keeps failing ({status}{said}): check the server; what is done is kept."
            return _Again(str(status), sentence, wait_s=wait_s)
        self.usage.rejected[str(status)] += 1
        if not self._settled:  # it was not the shape
            self._shape = first_shape(self.config)
            self.usage.adapted.clear()
        return self._failed("rejected", f"{address} rejects the requests ({status}{said}): check model and settings.")

    async def _unknown(self, http: "httpx.AsyncClient", error: ServerError, address: str) -> str:
        import httpx

        names: list[str] = []
        try:
            response = await http.get(f"{self.config.base_url}/models", timeout=10)
            names = [str(one["id"]) for one in response.json()["data"]][:8] if response.status_code == 200 else []
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            pass
        if names and self.config.model not in names:
            return f"{self.config.base_url} knows no model {self.config.model}: it has {', '.join(names)}."
        if error.no_such_model:
            return f"{self.config.base_url} knows no model {self.config.model}: name one it serves."
        return f"there is nothing at {address} ({error.status}): give the base address, such as https://host/v1."

    def _failed(self, failure: Failure, sentence: str) -> Unanswered | None:
        """Notes a request that failed for good; many in a row, or the very first ones, end the judging."""
        self._failed_in_a_row += 1
        nothing_there = failure == "unreachable" and not self._settled
        if nothing_there or self._failed_in_a_row >= self.config.give_up_after:
            self._stop(SystemStateError(sentence))
        return Unanswered(failure)

    def _keep(self, key: str, answer: ChatAnswer) -> None:
        if self._cache is None:
            return
        try:
            self._cache.put(key, answer.to_json())
        except SystemStateError as error:
            self._stop(error)

    def _stop(self, error: ValignError) -> None:
        self.stopped = self.stopped or error

    async def _back_off(self, attempt: int, wait_s: float | None) -> None:
        if wait_s is not None:
            # The server's word holds for all requests; a little jitter keeps them from coming back at once.
            self._not_before = max(self._not_before, time.monotonic() + wait_s)
            await self._pause(wait_s + random.uniform(0, 0.1 * self.config.backoff_s))
            return
        longest = min(self.config.longest_wait_s, self.config.backoff_s * 2 ** (attempt - 1))
        await self._pause(longest * random.uniform(0.5, 1.0))

    async def _pause(self, seconds: float) -> None:
        """Sleeps, in short steps so that a stopped judging ends soon."""
        end = time.monotonic() + seconds
        while self.stopped is None and (left := end - time.monotonic()) > 0:
            step = min(left, 0.25)
            self.usage.waited_s += step
            await asyncio.sleep(step)

    def _largest_cost(self, request: ChatRequest) -> float:
        tokens = math.ceil(estimated_tokens(_asked(request)) * self._tokens_per_estimate)
        return cost_of(self.config, tokens, self.config.max_tokens)


@dataclass(frozen=True, slots=True)
class _Again:
    """A request to be sent again, after `wait_s` (the server's word) or a back-off; `sentence` if it fails for good."""

    problem: str
    sentence: str
    wait_s: float | None = None
    at_once: bool = False


def _asked(request: ChatRequest) -> str:
    """All that a server counts as the prompt."""
    return "".join(turn.content for turn in request.messages) + json.dumps(request.schema)


def _in_event_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine; in a thread of its own where this one has a running loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
            failed.append(error)

    thread = threading.Thread(target=run, name="judge")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
