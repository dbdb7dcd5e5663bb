"""Thresholds of the checks: the recipe's section `lint`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.lint.findings import Severity
from shared.prompts import PromptFormat


class LintConfig(BaseModel):
    """What counts as a defect.

    Attributes:
        severities: severity by check, in place of the check's own; ``off`` leaves it out.
        examples: most records named a finding.
        alpha: level of the tests, after Holm's correction over the columns tested.

        tie_margin: a pair whose margin is at most this is a tie.
        near_tie_margin: a pair whose margin is above a tie's and below this is a near-tie; None: not looked for.
        near_identical_similarity: share of common word pairs from which two responses are near-identical.

        top_group_share: share of the pairs from which a single group dominates.
        top_ten_share: share of the pairs from which the ten largest groups dominate together (looked at where there
            are at least 40 groups).
        contested_share: share of decided votes for the rejected side from which a pair is contested.
        contested_pairs: share of contested pairs from which that is a warning.

        predictor_accuracy: accuracy of a single column from which it is reported (if beyond chance).
        label_columns: name patterns of columns that define the label (``scores.*``): reported as info.
        position_columns: metadata that say where the chosen response stood (two values).
        length_accuracy: accuracy of the length-only judge (or one minus it) from which that is a warning.

        near_duplicate_similarity: Jaccard similarity of shingles from which two texts are near-duplicates.
        near_duplicate_shingles: least number of shingles of a text that is compared; shorter ones only exactly.
        leak_characters: least length of a response whose exact copy in another split is a leak.
        shared_line_characters: least length of a prompt's first line (a title) that is compared between groups.

        prompt: how conversations are rendered, for truncation.
        max_length: most tokens of prompt and response together; None: truncation is not looked at.
        truncated_share: share of cut pairs from which that is a warning.

        short_characters: a response with fewer characters is very short (scripts without spaces are not looked at).
        languages: expected ISO 639-1 codes; empty: the commonest language of the data is expected.
        prompt_languages: those of prompts, where they differ (translation); empty: as `languages`.
        language_candidates: codes among which a text's language is told.
        language_characters: least length of a text whose language is told (a fifth of it where a script writes
            without spaces).
        language_confidence: least probability from which a text counts as in another language.

        flip_confidence: held-out probability of the opposite label from which a label is suspicious.
        flip_sample: most pairs that the classifier sees; above it a random sample is taken, and said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    severities: dict[str, Severity | Literal["off"]] = {}
    examples: int = Field(default=5, ge=0)
    alpha: float = Field(default=0.01, gt=0, lt=1)

    tie_margin: float = Field(default=0.0, ge=0)
    near_tie_margin: float | None = Field(default=None, gt=0)
    near_identical_similarity: float = Field(default=0.9, gt=0, le=1)

    top_group_share: float = Field(default=0.05, gt=0, le=1)
    top_ten_share: float = Field(default=0.25, gt=0, le=1)
    contested_share: float = Field(default=0.4, gt=0, le=0.5)
    contested_pairs: float = Field(default=0.2, gt=0, le=1)

    predictor_accuracy: float = Field(default=0.55, ge=0.5, le=1)
    label_columns: tuple[str, ...] = ("scores.*",)
    position_columns: tuple[str, ...] = (
        "chosen_first",
        "chosen_position",
        "chosen_index",
        "swapped",
        "label",
    )
    length_accuracy: float = Field(default=0.6, ge=0.5, le=1)

    near_duplicate_similarity: float = Field(default=0.8, ge=0.5, le=1)
    near_duplicate_shingles: int = Field(default=8, ge=2)
    leak_characters: int = Field(default=20, ge=1)
    shared_line_characters: int = Field(default=15, ge=1)

    prompt: PromptFormat = PromptFormat()
    max_length: int | None = Field(default=None, ge=8)
    truncated_share: float = Field(default=0.05, gt=0, le=1)

    short_characters: int = Field(default=10, ge=1)
    languages: tuple[str, ...] = ()
    prompt_languages: tuple[str, ...] = ()
    language_candidates: tuple[str, ...] = (
        "en",
        "de",
        "fr",
        "es",
        "it",
        "pt",
        "nl",
        "ru",
        "zh",
        "ja",
        "ko",
        "ar",
    )
    language_characters: int = Field(default=60, ge=10)
    language_confidence: float = Field(default=0.95, gt=0.5, lt=1)

    flip_confidence: float = Field(default=0.9, gt=0.5, lt=1)
    flip_sample: int = Field(default=20_000, ge=100)

    @field_validator("severities", mode="before")
    @classmethod
    def _off_without_quotes(cls, given: Any) -> Any:
        # YAML 1.1 reads off as false.
        return (
            {name: "off" if one is False else one for name, one in given.items()} if isinstance(given, dict) else given
        )
