"""General preference models: comparing and ranking by embeddings. They are trained in `shared.training.reward`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.device import pick_device
from shared.errors import DataError
from shared.records import Message, PreferenceRecord
from shared.rewards.bodies import adapter_base
from shared.rewards.ranking import Ranking, rank_table
from shared.rewards.rows import RowBatcher, scorer_tokenizer, through_model, tokens_to_score
from shared.rewards.settings import GpmSettings, read_settings

if TYPE_CHECKING:
    import numpy as np


class GeneralPreferenceModel:
    """A trained General Preference Model (https://arxiv.org/abs/2410.02197): embeddings of responses under a prompt.

    It tells which of two responses is better and may hold cycles (A > B > C > A); it has no score of a response alone.

    Args:
        network: a `PreferenceNetwork`, perhaps with an adapter.
        tokenizer: its tokenizer.
        settings: how rows are rendered, and the recipe's options.
        precision: see `pick_device`.
    """

    def __init__(self, network: Any, tokenizer: Any, settings: GpmSettings, precision: str = "auto") -> None:
        self._choice = pick_device(precision)
        self._network, self._tokenizer, self.settings = network.to(self._choice.device).eval(), tokenizer, settings

    @classmethod
    def load(cls, folder: Path, base: Path | None = None, precision: str = "auto") -> "GeneralPreferenceModel":
        """Reads a trained model: a whole one or an adapter, with reward.json.

        Args:
            folder: what a reward training saved.
            base: folder of the base model, where an adapter was saved.
            precision: see `pick_device`.

        Raises:
            DataError: where the folder holds no general preference model.
            SystemStateError: where it holds an adapter and no base is given or found.
        """
        from shared.rewards.preference_network import load_network, new_network

        settings = read_settings(folder)
        if not isinstance(settings, GpmSettings):
            raise DataError(f"{folder} holds a reward model of the kind {settings.kind}, not gpm.")
        tokenizer = scorer_tokenizer(folder)
        if not (folder / "adapter_config.json").is_file():
            return cls(load_network(folder, settings.gpm), tokenizer, settings, precision)
        from peft import PeftModel

        network: Any = new_network(adapter_base(folder, base), settings.gpm)
        with_adapter = PeftModel.from_pretrained(network, str(folder), local_files_only=True)
        return cls(with_adapter, tokenizer, settings, precision)

    def embed(
        self,
        prompts: Sequence[tuple[Message, ...]],
        responses: Sequence[str],
        batch_size: int = 16,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "tuple[np.ndarray, np.ndarray]":
        """Embeddings of n responses under their prompts.

        Args:
            prompts: n conversations.
            responses: n responses.
            batch_size: rows a forward pass.
            on_progress: called with (rows done, rows in all); rows that occur twice are computed once.

        Returns:
            (v float64 [n, 2k], lambda float64 [n, k]); lambda is 1 where the model has no gate.
        """
        import numpy as np

        rows = [
            tokens_to_score(self.settings, prompt, response, self._tokenizer)
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        k, encoder = self.settings.gpm.k, self.settings.body == "encoder"
        batcher = RowBatcher(int(self._tokenizer.pad_token_id), encoder, embeds=True, gate=self.settings.gpm.gate)
        found = through_model(
            rows, batcher, lambda inputs: self._network(**inputs), self._choice, batch_size, on_progress
        )
        return (found[0], found[1]) if found else (np.zeros((0, 2 * k)), np.zeros((0, k)))

    def compare(
        self, prompts: Sequence[tuple[Message, ...]], a: Sequence[str], b: Sequence[str], batch_size: int = 16
    ) -> "np.ndarray":
        """Log-odds s / tau that response a is preferred to b, float64 [n]; compare(a, b) is exactly -compare(b, a)."""
        n = len(prompts)
        v, gate = self.embed([*prompts, *prompts], [*a, *b], batch_size)
        return log_odds(v[:n], v[n:], gate[:n], gate[n:], self.settings.gpm.tau)

    def compare_records(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Log-odds that the chosen response is preferred, [n]."""
        return self.compare([r.prompt for r in records], [r.chosen for r in records], [r.rejected for r in records])

    def rank(self, prompt: tuple[Message, ...], responses: Sequence[str]) -> Ranking:
        """K responses in order, from K embeddings and one K x K table."""
        v, gate = self.embed([prompt] * len(responses), responses)
        table = log_odds(v[:, None], v[None, :], gate[:, None], gate[None, :], self.settings.gpm.tau)
        return rank_table(table)


def log_odds(
    first: "np.ndarray", second: "np.ndarray", gate_first: "np.ndarray", gate_second: "np.ndarray", tau: float
) -> "np.ndarray":
    """``s(i > j) / tau`` of embeddings (see `shared.rewards.losses.preference_score`), exactly antisymmetric.

    Two responses to one prompt have one gate; where a prompt was cut differently for them, the mean of the two is
    taken, which does not depend on their order.

    Args:
        first: v_i, [..., 2k].
        second: v_j, [..., 2k].
        gate_first: lambda of i's row, [..., k].
        gate_second: lambda of j's row, [..., k].
        tau: temperature.

    Returns:
        [...].
    """
    gate = 0.5 * (gate_first + gate_second)
    crossed = first[..., 0::2] * second[..., 1::2] - first[..., 1::2] * second[..., 0::2]
    return (gate * crossed).sum(axis=-1) / tau
