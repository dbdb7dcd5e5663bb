"""Scalar reward models: loading, scoring and comparing. They are trained in `shared.training.reward`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.device import pick_device
from shared.errors import DataError
from shared.models import load_with
from shared.records import Message, PreferenceRecord
from shared.rewards.bodies import adapter_base
from shared.rewards.protocol import Side
from shared.rewards.ranking import Ranking, rank_table, score_table
from shared.rewards.rows import RowBatcher, scorer_tokenizer, through_model, tokens_to_score
from shared.rewards.settings import SETTINGS_FILE, ScorerSettings, read_settings

if TYPE_CHECKING:
    import numpy as np


def load_scorer(path: Path, tokenizer: Any) -> Any:
    """A model folder with a head of one score a sequence; the head is new where the folder has none."""
    from transformers import AutoModelForSequenceClassification

    model = load_with(AutoModelForSequenceClassification, path, num_labels=1)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model.eval()


class RewardModel:
    """A trained Bradley-Terry model: a score for a response to a prompt, in log-odds units.

    Args:
        model: sequence-classification model with one output.
        tokenizer: its tokenizer.
        settings: how rows are rendered.
        precision: see `pick_device`.
    """

    def __init__(self, model: Any, tokenizer: Any, settings: ScorerSettings, precision: str = "auto") -> None:
        self._choice = pick_device(precision)
        self._model, self._tokenizer, self.settings = model.to(self._choice.device).eval(), tokenizer, settings

    @classmethod
    def load(cls, folder: Path, base: Path | None = None, precision: str = "auto") -> "RewardModel":
        """Reads a trained reward model.

        Args:
            folder: what a reward training saved: a whole model or an adapter, with reward.json.
            base: folder of the base model, where an adapter was saved.
            precision: see `pick_device`.

        Raises:
            DataError: where the folder holds no Bradley-Terry model.
            SystemStateError: where it holds an adapter and no base is given or found.
        """
        settings = read_settings(folder)
        if not isinstance(settings, ScorerSettings):
            raise DataError(f"{folder / SETTINGS_FILE} tells of the kind {settings.kind}, which has no text scorer.")
        tokenizer = scorer_tokenizer(folder)
        if not (folder / "adapter_config.json").is_file():
            return cls(load_scorer(folder, tokenizer), tokenizer, settings, precision)
        from peft import PeftModel

        body = load_scorer(adapter_base(folder, base), tokenizer)
        with_adapter = PeftModel.from_pretrained(body, str(folder), local_files_only=True)
        return cls(with_adapter, tokenizer, settings, precision)

    def score(
        self,
        prompts: Sequence[tuple[Message, ...]],
        responses: Sequence[str],
        batch_size: int = 16,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "np.ndarray":
        """Scores r(x, y); only differences under one prompt have a meaning.

        Args:
            prompts: n conversations.
            responses: n responses.
            batch_size: rows a forward pass.
            on_progress: called with (rows done, rows in all); rows that occur twice are computed once.

        Returns:
            float64 array [n].
        """
        import numpy as np

        rows = [
            tokens_to_score(self.settings, prompt, response, self._tokenizer)
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        batcher = RowBatcher(int(self._tokenizer.pad_token_id), self.settings.body == "encoder")
        found = through_model(rows, batcher, self._scores, self._choice, batch_size, on_progress)
        return found[0] if found else np.zeros(0)

    def _scores(self, inputs: dict[str, Any]) -> list[Any]:
        return [self._model(**inputs).logits.squeeze(-1)]

    def compare(
        self, prompts: Sequence[tuple[Message, ...]], a: Sequence[str], b: Sequence[str], batch_size: int = 16
    ) -> "np.ndarray":
        """Log-odds that response a is preferred to b: r(x, a) - r(x, b), [n]."""
        both = self.score([*prompts, *prompts], [*a, *b], batch_size)
        return both[: len(prompts)] - both[len(prompts) :]

    def compare_records(self, records: Sequence[PreferenceRecord]) -> "np.ndarray":
        """Log-odds that the chosen response is preferred, [n]."""
        return self.compare([r.prompt for r in records], [r.chosen for r in records], [r.rejected for r in records])

    def score_records(self, records: Sequence[PreferenceRecord], side: Side) -> "np.ndarray":
        """Scores of one side of every record, [n]."""
        return self.score([r.prompt for r in records], [r.chosen if side == "chosen" else r.rejected for r in records])

    def rank(self, prompt: tuple[Message, ...], responses: Sequence[str]) -> Ranking:
        """K responses in the order of their scores; a scalar model has no cycles."""
        return rank_table(score_table(self.score([prompt] * len(responses), responses)))
