"""Preferred renderings written by a language model at an endpoint: asked, checked, corrected once, counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domains.translation.construction.answer_checks import PROBLEMS, Unusable, read_translation, unusable
from domains.translation.construction.candidates import Progress, Rendering
from domains.translation.construction.config import Prompt, WriterConfig
from domains.translation.construction.prompts import VERSION, correction_of, writing_request
from domains.translation.records import SentencePair
from shared.errors import StageError
from shared.judges.answer_cache import AnswerCache
from shared.judges.chat_client import ChatClient, Unanswered
from shared.judges.prompting import ChatRequest
from shared.judges.wire import ChatAnswer


@dataclass(frozen=True, slots=True)
class WrittenRenderings:
    """What a model wrote.

    Attributes:
        renderings: of each source, those that can be used, in the order of the prompts; without paths.
        report: questions, answers that were used, those that were not by reason, usage (JSON values); no text.
    """

    renderings: list[list[Rendering]]
    report: dict[str, Any]


def write_renderings(
    pairs: Sequence[SentencePair],
    config: WriterConfig,
    source_language: str,
    target_language: str,
    cache: AnswerCache,
    on_progress: Progress,
) -> WrittenRenderings:
    """Asks for a rendering of every source under every prompt.

    Args:
        pairs: whose sources are sent, and nothing else of them; masked by the data stage.
        config: endpoint, prompts, most failures.
        source_language: code of the sources' language.
        target_language: code of the renderings' language.
        cache: answers kept on disk: what was answered once is not paid for again.
        on_progress: called with (answers, questions, text).

    Raises:
        SystemStateError: the endpoint is gone, refuses access, or the budget is used up.
        UsageError: the endpoint does not know the model; a language without a name.
        StageError: too many questions without a usable answer.
    """
    asked: list[tuple[SentencePair, Prompt]] = [(pair, prompt) for pair in pairs for prompt in config.prompts]
    requests = [writing_request(prompt, pair.source_text, source_language, target_language) for pair, prompt in asked]
    client = ChatClient(config.endpoint, cache)

    def told(done: int, total: int) -> None:
        on_progress(done, total, f"{config.endpoint.model} translates")

    def read(number: int, answer: ChatAnswer | Unanswered) -> str | Unusable:
        if isinstance(answer, Unanswered):
            return Unusable(answer.failure, answer.failure)
        text = read_translation(answer.text, answer.finish, answer.refusal)
        if isinstance(text, Unusable):
            return text
        pair = asked[number][0]
        return unusable(text, pair.source_text, pair.target_text, source_language, target_language) or text

    given = client.answer_all(requests, told)
    found = [read(number, answer) for number, answer in enumerate(given)]
    corrected = 0
    for _ in range(config.endpoint.answer_retries):
        corrections = _corrections(requests, given, found)
        if not corrections or client.stopped is not None:
            break
        for number, answer in zip(corrections, client.answer_all(list(corrections.values())), strict=True):
            if isinstance(answer, Unanswered):
                continue  # the first answer's fault stands
            given[number], found[number] = answer, read(number, answer)
            corrected += not isinstance(found[number], Unusable)
    if client.stopped is not None:
        raise client.stopped
    counts = Counter(one.failure for one in found if isinstance(one, Unusable))
    dropped = {name: counts[name] for name in PROBLEMS if counts[name]}
    _require_enough(dropped, len(asked), config)
    renderings: list[list[Rendering]] = [[] for _ in pairs]
    for number, one in enumerate(found):
        if not isinstance(one, Unusable):
            renderings[number // len(config.prompts)].append(Rendering(one, f"written:{asked[number][1]}"))
    report = {
        "model": config.endpoint.model,
        "prompts": {"version": VERSION, "names": list(config.prompts)},
        "questions": len(asked),
        "used": len(asked) - sum(dropped.values()),
        "dropped": dropped,
        "corrected": corrected,
        "usage": client.usage.to_json(config.endpoint),
    }
    return WrittenRenderings(renderings, report)


def _corrections(
    requests: Sequence[ChatRequest], given: Sequence[ChatAnswer | Unanswered], found: Sequence[str | Unusable]
) -> dict[int, ChatRequest]:
    """Questions to be asked again, by their number; a refusal is not argued with."""
    again = {}
    for number, (answer, one) in enumerate(zip(given, found, strict=True)):
        if isinstance(one, Unusable) and isinstance(answer, ChatAnswer) and one.failure != "refused":
            again[number] = correction_of(requests[number], answer.text, one.problem)
    return again


def _require_enough(dropped: dict[str, int], questions: int, config: WriterConfig) -> None:
    lost = sum(dropped.values())
    if lost > config.max_failed_share * questions:
        reasons = ", ".join(f"{count} {name}" for name, count in dropped.items())
        raise StageError(
            f"{config.endpoint.model} gave {questions - lost} usable translations of {questions} ({reasons}): use a "
            "model that keeps to the form, raise construction.writer.endpoint.max_tokens, or allow more with "
            "construction.writer.max_failed_share."
        )
