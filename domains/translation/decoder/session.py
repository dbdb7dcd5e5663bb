"""One sentence translated while it is read, unit by unit, as a live source or SimulEval gives it."""

from typing import TYPE_CHECKING

import torch

from domains.translation.decoder.decode import Decoder, numbers_of_key
from domains.translation.decoder.hypothesis import Decoded
from domains.translation.decoder.kept_states import KeptStates
from domains.translation.decoder.rules import ReadRule, rule_source
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.units import Unit, join_units, split_units

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from domains.translation.policy import SimulPolicy


class Session:
    """Gives what `decode` gives, as soon as it can be known.

    Args:
        policy: on its device.
        tokenizer: of the policy.
        rule: when to read.
        config: limits and sampling. A sampled session has the random numbers of `seed` alone: the sentence that makes
            those of a batch is not known yet.
    """

    def __init__(
        self, policy: "SimulPolicy", tokenizer: "PreTrainedTokenizerBase", rule: ReadRule, config: DecodingConfig
    ) -> None:
        assert policy.format.source_unit is not None
        self._policy, self._config = policy, config
        self._decoder = Decoder(policy, tokenizer, rule, config)
        self._tokenizer, self._rule, self._form = tokenizer, rule, policy.format
        self._unit: Unit = policy.format.source_unit
        self._states: KeptStates | None = None
        self.restart()

    def restart(self) -> None:
        """Another sentence begins."""
        start = rule_source(self._rule, self._form, self._tokenizer, "")
        self._hypothesis = self._decoder.hypothesis(start.prompt, start.marker)
        self._numbers = numbers_of_key(self._decoder.config.seed)
        if self._states is not None:
            with torch.inference_mode():
                self._states.restart(0)
        self._last = ""
        self._given = 0

    def to(self, device: str) -> None:
        """Moves the policy; the sentence begins anew."""
        self._policy.to(device)
        self._decoder, self._states = Decoder(self._policy, self._tokenizer, self._rule, self._config), None
        self.restart()

    @property
    def done(self) -> bool:
        """Whether the translation has ended."""
        return self._hypothesis.done

    def push(self, text: str, last: bool = False) -> list[str]:
        """Reads on.

        Args:
            text: one source unit; several are read one after the other.
            last: whether the source ends with it.

        Returns:
            The target units written before more source is wanted (all that are left, where the source has ended).
        """
        for unit in split_units(text, self._unit):
            self._hypothesis.add_unit(self._tokens(unit))
        if last:
            self._hypothesis.finish_source()
        if not self._hypothesis.done:
            with self._decoder.ready():
                self._write()
        new = self._hypothesis.units[self._given :]
        self._given += len(new)
        return new

    def finish(self) -> list[str]:
        """The source has ended after what was pushed: the target units that are left."""
        return self.push("", last=True)

    def decoded(self) -> Decoded:
        """The translation so far; whole once `done`."""
        return self._hypothesis.decoded()

    def _write(self) -> None:
        while (work := self._hypothesis.work()) is not None:
            if self._states is None:
                self._states = self._decoder.states(self._hypothesis.prompt, self._hypothesis.marker, 1)
            self._decoder.advance(self._states, [(0, self._hypothesis, work)], [self._numbers])

    def _tokens(self, unit: str) -> tuple[int, ...]:
        """Tokens of a unit behind the one before it: as in the whole sentence."""
        pair = [unit] if self._last == "" else [self._last, unit]
        source = rule_source(self._rule, self._form, self._tokenizer, join_units(pair, self._unit))
        self._last = unit
        return source.tokens[source.ends[-2] if len(pair) == 2 else 0 :]
