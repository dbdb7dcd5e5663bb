"""Hidden states of sentences that are being translated, from a kept cache."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from domains.translation.decoder.cache import TARGET, KeptCache, NewToken, refusal
from domains.translation.decoder.hypothesis import Work
from shared.training.token_logps import packed_states


class KeptStates:
    """Sentences with one prompt and marker, a row of the cache each.

    Prompt and marker but its last token see no source: they are computed once, and every row begins with a copy.

    Args:
        model: causal language model without PEFT's wrapper, inside `kept_layers`.
        prompt: tokens before the source.
        marker: tokens between source and target.
        target_position: tokens between the source's first position and the marker's.
        rows: sentences at once.
    """

    def __init__(
        self, model: Any, prompt: Sequence[int], marker: Sequence[int], target_position: int, rows: int
    ) -> None:
        self._model, self._before, self._target = model, len(prompt), len(prompt) + target_position
        tokens = [NewToken(token, place, place, 0, 0, place) for place, token in enumerate(prompt)]
        tokens += [
            NewToken(token, self._target + place, TARGET + place, 0, 0, len(prompt) + place)
            for place, token in enumerate(marker[:-1])
        ]
        self._prefix = len(tokens)
        cache = KeptCache(1, next(model.parameters()).device)
        packed_states(model, cache.step([(0, tokens)]))  # pyright: ignore[reportArgumentType]
        if len(cache.keys) != model.config.get_text_config().num_hidden_layers:
            raise refusal(model.config.model_type, "not all of its layers have an attention with keys of their own")
        self._cache = cache if rows == 1 else cache.repeated(rows)
        self._filled = [self._prefix] * rows
        self._last: list[int | None] = [None] * rows  # slot of the last marker or target token

    def compute(self, work: Sequence[tuple[int, Work]]) -> Tensor:
        """Last hidden states of the marker or target tokens of some rows, [rows, size]."""
        step = self._cache.step([(row, self._tokens(row, one)) for row, one in work])
        states = packed_states(self._model, step)  # pyright: ignore[reportArgumentType]
        ends = torch.tensor([len(one.source) + 1 for _, one in work], device=states.device).cumsum(0) - 1
        return states[ends]

    def restart(self, row: int) -> None:
        """Another sentence takes the row's place."""
        self._cache.restart(row, self._prefix)
        self._filled[row], self._last[row] = self._prefix, None

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Drops all other rows; those kept are numbered anew."""
        self._cache = self._cache.kept_rows(rows)
        self._filled = [self._filled[row] for row in rows]
        self._last = [self._last[row] for row in rows]

    def _tokens(self, row: int, work: Work) -> list[NewToken]:
        tokens = []
        for token, place, unit in work.source:
            at = self._before + place
            tokens.append(NewToken(token, at, at, unit, unit, self._filled[row]))
            self._filled[row] += 1
        # After a READ the last token is computed again, in its own slot; a probe's slot is given to the next token.
        again = self._last[row] if work.again else None
        slot = self._filled[row] if again is None else again
        if again is None and not work.probe:
            self._filled[row] += 1
            self._last[row] = slot
        place = self._target + work.place
        tokens.append(NewToken(work.token, place, TARGET + work.place, 0, work.limit, slot))
        return tokens
