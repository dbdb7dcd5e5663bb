"""A language model at an endpoint as a judge: pairs in both orders, responses by the criteria of a rubric.

A pair's verdict is the one both orders agree on; where they differ it is a tie, and the share of such pairs is
reported (Zheng et al. 2023, https://arxiv.org/abs/2306.05685, section 3.4). With several repetitions the verdict is
the majority of the repetitions' verdicts.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from shared.judges.answer_cache import AnswerCache
from shared.judges.answers import CriterionAnswer, PairAnswer, Unreadable, read_pair, read_scores
from shared.judges.chat_client import ChatClient, Unanswered
from shared.judges.endpoint_config import EndpointConfig
from shared.judges.fencing import addresses_judge
from shared.judges.prompting import ChatRequest, correction_request, pair_request, score_request
from shared.judges.protocol import (
    Failure,
    OnProgress,
    PairItem,
    ResponseItem,
    ScoredResponse,
    Scores,
    Verdict,
    Verdicts,
    Winner,
    no_progress,
)
from shared.judges.rubric import Rubric
from shared.judges.wire import ChatAnswer

Answer = TypeVar("Answer")
NoAnswer = Unreadable | Unanswered
Reader = Callable[[str, str, bool], Answer | Unreadable]
_BY_PLACE: dict[str, Winner] = {"first": "a", "second": "b", "tie": "tie"}
_SWAPPED: dict[str, Winner] = {"first": "b", "second": "a", "tie": "tie"}


class EndpointJudge:
    """Judges by asking a chat model.

    Args:
        config: the endpoint.
        rubric: what to judge by.
        cache: where answers are kept; None keeps none.
        repeats: how often everything is asked, each time with another seed.

    Raises:
        SystemStateError: the API key's variable is named and not set.
    """

    def __init__(
        self, config: EndpointConfig, rubric: Rubric, cache: AnswerCache | None = None, *, repeats: int = 1
    ) -> None:
        self.config, self.rubric, self.repeats = config, rubric, repeats
        self._cache = cache
        ChatClient(config)  # a missing key is said before any work
        self.name = f"{config.model}/{rubric.name}-{rubric.version}"

    def compare(self, items: Sequence[PairItem], on_progress: OnProgress = no_progress) -> Verdicts:
        """Asks for every pair in both orders, `repeats` times.

        A pair with any order unanswered has no verdict; its failure is that of the first such order.

        Raises:
            UsageError, SystemStateError: as `ChatClient.answer_all`.
        """
        requests = [
            pair_request(self.rubric, item, swapped=swapped, sample=sample)
            for item in items
            for sample in range(self.repeats)
            for swapped in (False, True)
        ]
        client = ChatClient(self.config, self._cache)
        answers, corrected = self._ask(client, requests, read_pair, on_progress)
        width = 2 * self.repeats
        rows = tuple(_verdict(item, answers[index * width : (index + 1) * width]) for index, item in enumerate(items))
        suspicious = sum(addresses_judge(item.a) or addresses_judge(item.b) for item in items)
        return Verdicts(self.name, rows, self._facts(client, corrected, suspicious), client.stopped)

    def score(self, items: Sequence[ResponseItem], on_progress: OnProgress = no_progress) -> Scores:
        """Asks for the scores of every response, `repeats` times; the mean over repetitions counts.

        Raises:
            UsageError, SystemStateError: as `ChatClient.answer_all`.
        """
        requests = [score_request(self.rubric, item, sample=sample) for item in items for sample in range(self.repeats)]
        client = ChatClient(self.config, self._cache)
        rubric = self.rubric
        answers, corrected = self._ask(
            client, requests, lambda text, finish, refusal: read_scores(text, finish, refusal, rubric), on_progress
        )
        width = self.repeats
        rows = tuple(
            self._scored(item, answers[index * width : (index + 1) * width]) for index, item in enumerate(items)
        )
        suspicious = sum(addresses_judge(item.response) for item in items)
        return Scores(self.name, rows, self._facts(client, corrected, suspicious), client.stopped)

    def _ask(
        self, client: ChatClient, requests: Sequence[ChatRequest], read: Reader[Answer], on_progress: OnProgress
    ) -> tuple[list[Answer | NoAnswer], int]:
        """(readable answers or why there is none, answers that were readable only after a correction)."""
        asked = list(requests)
        given = client.answer_all(asked, on_progress)
        read_now = [_read(one, read) for one in given]
        corrected = 0
        for _ in range(self.config.answer_retries):
            again = [
                index for index, one in enumerate(read_now) if isinstance(one, Unreadable) and one.failure != "refused"
            ]
            if not again or client.stopped is not None:
                break
            for index in again:
                before, problem = given[index], read_now[index]
                assert isinstance(before, ChatAnswer)
                assert isinstance(problem, Unreadable)
                asked[index] = correction_request(requests[index], before.text, problem.problem)
            for index, answer in zip(again, client.answer_all([asked[index] for index in again]), strict=True):
                if isinstance(answer, Unanswered):
                    continue  # the first answer's fault stands
                given[index], read_now[index] = answer, _read(answer, read)
                corrected += not isinstance(read_now[index], Unreadable)
        return read_now, corrected

    def _scored(self, item: ResponseItem, answers: Sequence[dict[str, CriterionAnswer] | NoAnswer]) -> ScoredResponse:
        found = [one for one in answers if isinstance(one, dict)]
        if len(found) < len(answers):
            failure: Failure = next(one.failure for one in answers if not isinstance(one, dict))
            return ScoredResponse(item.id, None, failure=failure)
        names = [one.name for one in self.rubric.criteria]
        means = {name: sum(one[name].score for one in found) / len(found) for name in names}
        reasons = {name: found[0][name].reason for name in names}
        return ScoredResponse(item.id, self.rubric.overall(means), means, reasons)

    def _facts(self, client: ChatClient, corrected: int, suspicious: int) -> dict[str, object]:
        return {
            "kind": "endpoint",
            "model": self.config.model,
            "rubric": {"name": self.rubric.name, "version": self.rubric.version, "sha256": self.rubric.digest},
            "temperature": self.config.temperature,
            "seed": self.config.seed,
            "repeats": self.repeats,
            "corrected_answers": corrected,
            "texts_that_address_the_judge": suspicious,
            "usage": client.usage.to_json(self.config),
        }


def _read(answer: ChatAnswer | Unanswered, read: Reader[Answer]) -> Answer | NoAnswer:
    return answer if isinstance(answer, Unanswered) else read(answer.text, answer.finish, answer.refusal)


def _verdict(item: PairItem, answers: Sequence[PairAnswer | NoAnswer]) -> Verdict:
    """The verdict of one pair from its answers: (a first, b first) of each repetition."""
    found = [one for one in answers if isinstance(one, PairAnswer)]
    if len(found) < len(answers):
        failure: Failure = next(one.failure for one in answers if not isinstance(one, PairAnswer))
        return Verdict(item.id, None, failure=failure)
    orders: tuple[tuple[Winner, Winner], ...] = tuple(
        (_BY_PLACE[forward.verdict], _SWAPPED[backward.verdict])
        for forward, backward in zip(found[::2], found[1::2], strict=True)
    )
    winners: Counter[Winner] = Counter(agreed(both) for both in orders)
    (leader, most), *others = winners.most_common()
    winner: Winner = "tie" if others and others[0][1] == most else leader
    return Verdict(item.id, winner, orders=orders, reason=found[0].reason)


def agreed(both: tuple[Winner, Winner]) -> Winner:
    """The winner that both orders name; a tie where they differ."""
    return both[0] if both[0] == both[1] else "tie"
