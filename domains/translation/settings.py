"""How a sentence becomes a simultaneous translator's row of tokens: languages, units, the texts around the source.

These settings travel with the policy (``simul_policy.json``), so that training, scoring and decoding use the same.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domains.translation.tokens import SourceTokens, TargetTokens, source_tokens, target_tokens
from domains.translation.units import Unit, unit_of
from shared.errors import DataError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LatencyWord = Literal["low", "low-medium", "medium", "medium-high", "high"]
LATENCY = "{latency}"
SETTINGS_FILE = "simul_policy.json"  # in the folder of a saved policy

# English names of the languages that instructions name; another needs `before` and `marker` in the recipe.
LANGUAGE_NAMES: dict[str, str] = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "gl": "Galician",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mk": "Macedonian",
    "ms": "Malay",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


def language_name(language: str) -> str:
    """The English name of a language.

    Args:
        language: ISO 639-1 code, with or without a region (``zh-TW``).

    Raises:
        UsageError: the code is not among `LANGUAGE_NAMES`.
    """
    code = language.lower().replace("_", "-").split("-")[0]
    if code not in LANGUAGE_NAMES:
        raise UsageError(
            f"the language {language!r} has no name here: state `before` and `marker` of the prompt in the recipe."
        )
    return LANGUAGE_NAMES[code]


class SimulFormat(BaseModel):
    """The row ``[prompt | source | marker + target]`` of a pair of languages.

    Attributes:
        source_language: ISO 639-1 code of the source.
        target_language: ISO 639-1 code of the target.
        source_unit: what a source is read in; by default the language's unit.
        target_unit: what a target is counted in; by default the language's unit.
        before: text before the source; by default it names the languages. ``{latency}`` stands for the latency word.
        marker: text between source and target; by default it names the target language.
        target_position: tokens between the first position of the source and that of the marker. The target's positions
            are the same however much source was read; a source of more tokens overlaps them, which is allowed.
        latency_word: how much latency the instruction asks for (one model for all latencies, as in EAST,
            arXiv:2504.09570), or null for an instruction without it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_language: str
    target_language: str
    source_unit: Unit | None = None
    target_unit: Unit | None = None
    before: str = ""
    marker: str = ""
    target_position: int = Field(default=64, ge=1)
    latency_word: LatencyWord | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        """Defaults are filled in here once, so that a saved format does not change with them."""
        if not isinstance(given, dict) or not {"source_language", "target_language"} <= given.keys():
            return given  # refused by the fields
        source, target = str(given["source_language"]), str(given["target_language"])
        filled = dict(given)
        filled["source_unit"] = unit_of(source, given.get("source_unit"))
        filled["target_unit"] = unit_of(target, given.get("target_unit"))
        asked = f" with {LATENCY} latency" if given.get("latency_word") else ""
        if not given.get("before"):
            source_name, target_name = language_name(source), language_name(target)
            filled["before"] = f"Translate {source_name} to {target_name}{asked}.\n{source_name}:"
        if not given.get("marker"):
            filled["marker"] = f"\n{language_name(target)}:"
        return filled

    @model_validator(mode="after")
    def _has_place_for_latency(self) -> "SimulFormat":
        if (self.latency_word is not None) != (LATENCY in self.before):
            raise ValueError(f"latency_word and {LATENCY} in `before` go together: state both or neither")
        return self

    def source(
        self, tokenizer: "PreTrainedTokenizerBase", text: str, latency: LatencyWord | None = None
    ) -> SourceTokens:
        """Tokens of a source sentence.

        Args:
            tokenizer: of the model.
            text: the sentence.
            latency: asked for instead of the format's `latency_word`.

        Raises:
            UsageError: a latency word for a format that has none.
        """
        word = latency or self.latency_word
        if word is not None and LATENCY not in self.before:
            raise UsageError(f"the policy's prompt has no place for a latency word ({latency}): train it with one.")
        assert self.source_unit is not None
        return source_tokens(tokenizer, text, self.source_unit, self.before.replace(LATENCY, word or ""), self.marker)

    def target(self, tokenizer: "PreTrainedTokenizerBase", text: str) -> TargetTokens:
        """Tokens of a target sentence, the end token last."""
        assert self.target_unit is not None
        return target_tokens(tokenizer, text, self.target_unit)


def read_format(folder: Path) -> SimulFormat:
    """The settings of a saved policy.

    Raises:
        DataError: the folder holds no policy, or its settings cannot be read.
    """
    try:
        told = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        return SimulFormat.model_validate(told["format"])
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no simultaneous policy ({SETTINGS_FILE} is missing).") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / SETTINGS_FILE} cannot be read: {error}") from error
