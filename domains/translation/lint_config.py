"""Thresholds of the lint of sentence pairs."""

from pydantic import Field

from shared.lint.config import LintConfig


class TranslationLintConfig(LintConfig):
    """What counts as a defect of sentence pairs; the keys of `LintConfig` are for pairs of renderings.

    Attributes:
        length_ratio: target by source units, relative to the data's median, from which (or from its inverse) a pair is
            an outlier.
        language_share: share of sentences in another language from which that is a warning.
        copied_share: share of untranslated copies from which that is a warning.
        marks_accuracy: share of the preferences in which one side has more punctuation marks, or more spaces, from
            which that is a warning.
    """

    marks_accuracy: float = Field(default=0.7, gt=0.5, le=1)
    length_ratio: float = Field(default=2.5, gt=1)
    language_share: float = Field(default=0.02, ge=0, le=1)
    copied_share: float = Field(default=0.01, ge=0, le=1)
