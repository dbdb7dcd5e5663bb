"""Scalar reward models: loading, scoring and comparing. They are trained in `shared.training.reward`."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.device import pick_device
from shared.errors import DataError, SystemStateError
from shared.models import load_tokenizer, load_with
from shared.prompts import PromptFormat, fit, tokenize_completion, tokenize_for_encoder, tokenize_prompt
from shared.records import Message

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedTokenizerBase

SETTINGS_FILE = "reward.json"


class ScorerSettings(BaseModel):
    """What must be the same in training and scoring; kept beside the weights as reward.json.

    Attributes:
        body: causal language model (its prompt format applies) or encoder (text pair, rendered plainly).
        prompt: how conversations are rendered for a causal body.
        max_length: most tokens of conversation and response.
    """

    model_config = ConfigDict(extra="forbid")

    body: Literal["causal-lm", "encoder"]
    prompt: PromptFormat
    max_length: int


def is_encoder(path: Path) -> bool:
    """Whether a model folder holds an encoder, told by its architectures."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    names = config.get("architectures") or []
    return not any(name.endswith(("ForCausalLM", "ForConditionalGeneration")) for name in names)


def scorer_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """A tokenizer whose padding token is not its end token: causal scorers read the last token that is no padding."""
    tokenizer: Any = load_tokenizer(path)
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        other = next(
            (token for token in (tokenizer.unk_token, tokenizer.bos_token) if token and token != tokenizer.eos_token),
            None,
        )
        if other is not None:
            tokenizer.pad_token = other
    return tokenizer


def load_scorer(path: Path, tokenizer: Any) -> Any:
    """A model folder with a head of one score a sequence; the head is new where the folder has none."""
    from transformers import AutoModelForSequenceClassification

    model = load_with(AutoModelForSequenceClassification, path, num_labels=1)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model.eval()


def tokens_to_score(
    settings: ScorerSettings, messages: Sequence[Message], response: str, tokenizer: Any
) -> tuple[dict[str, list[int]], bool]:
    """({"ids", "types"} of one row, whether anything was cut)."""
    if settings.body == "encoder":
        ids, types, cut = tokenize_for_encoder(messages, response, tokenizer, settings.max_length)
        return {"ids": ids, "types": types}, cut
    prompt = tokenize_prompt(settings.prompt, messages, tokenizer)
    completion = tokenize_completion(settings.prompt, response, tokenizer)
    kept, (shorter,) = fit(prompt, [completion], settings.max_length)
    ids = [*kept, *shorter]
    return {"ids": ids, "types": [0] * len(ids)}, len(ids) < len(prompt) + len(completion)


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
            DataError: where the folder holds no reward model.
            SystemStateError: where it holds an adapter and no base is given or found.
        """
        try:
            settings = ScorerSettings.model_validate_json((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise DataError(f"{folder} holds no reward model: {SETTINGS_FILE} is missing or broken.") from error
        tokenizer = scorer_tokenizer(folder)
        if not (folder / "adapter_config.json").is_file():
            return cls(load_scorer(folder, tokenizer), tokenizer, settings, precision)
        from peft import PeftModel

        if base is None:
            named = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            base = Path(named.get("base_model_name_or_path") or "")
        if not (base / "config.json").is_file():
            raise SystemStateError(f"{folder} holds an adapter, and its base model is not at {base}: give its folder.")
        with_adapter = PeftModel.from_pretrained(load_scorer(base, tokenizer), str(folder), local_files_only=True)
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
            on_progress: called with (rows done, rows in all).

        Returns:
            float64 array [n].
        """
        import numpy as np
        import torch

        from shared.training.batches import ScoreCollator

        rows = [
            tokens_to_score(self.settings, prompt, response, self._tokenizer)[0]
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        collate = ScoreCollator(int(self._tokenizer.pad_token_id), self.settings.body == "encoder")
        scores = np.zeros(len(rows))
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]["ids"]))
        with torch.no_grad(), self._choice.autocast():
            for start in range(0, len(order), batch_size):
                part = order[start : start + batch_size]
                inputs = collate.model_inputs([rows[index] for index in part])
                inputs = {name: values.to(self._choice.device) for name, values in inputs.items()}
                scores[part] = self._model(**inputs).logits.squeeze(-1).double().cpu().numpy()
                if on_progress is not None:
                    on_progress(min(start + batch_size, len(rows)), len(rows))
        return scores

    def compare(
        self, prompts: Sequence[tuple[Message, ...]], a: Sequence[str], b: Sequence[str], batch_size: int = 16
    ) -> "np.ndarray":
        """Log-odds that response a is preferred to b: r(x, a) - r(x, b), [n]."""
        both = self.score([*prompts, *prompts], [*a, *b], batch_size)
        return both[: len(prompts)] - both[len(prompts) :]
