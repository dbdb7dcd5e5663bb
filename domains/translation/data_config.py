"""Settings of the translation domain's data stage."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domains.translation.settings import SimulFormat
from domains.translation.units import Unit, unit_of
from shared.data.preparing import NearDuplicates
from shared.deidentify.config import DeidentifyConfig
from shared.errors import UsageError
from shared.recipes import Component

SPLITS = ("train", "validation", "test")


class PairColumns(BaseModel):
    """Names of the columns of a table of sentence pairs; all but source and target may be absent.

    A column that is named here by the user must be there; the default names are taken where they are. Where `source`
    and `target` have their default names and are absent, columns named for the languages (``de``, ``en``) and an
    object ``translation`` of texts by language, as many hub sets have it, are read.

    Attributes:
        source: source sentence.
        target: its translation; the preferred one where there is a rejected one.
        rejected: a less preferred translation; may be empty in some rows.
        target_path: source units read before each unit of the target: a list, or its text (``[1, 2, 2]``, ``1 2 2``).
        rejected_path: the same for the rejected translation.
        id: id of the pair; default: hash of its content.
        group_id: what must not be torn across splits (the document); default: hash of the source sentence.
        weight: factor of the pair's loss, at least 0.
        split: train, validation (valid, val, dev) or test; null reads none.
        metadata: columns kept for reports; no other column is carried into records.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = "source"
    target: str = "target"
    rejected: str = "rejected"
    target_path: str = "target_path"
    rejected_path: str = "rejected_path"
    id: str = "id"
    group_id: str = "group_id"
    weight: str = "weight"
    split: str | None = "split"
    metadata: tuple[str, ...] = ("topic",)

    def renamed(self) -> list[str]:
        """Columns whose names differ from the defaults: those must be there."""
        fields = type(self).model_fields
        names = [name for name in fields if name not in ("metadata", "split")]
        return [getattr(self, name) for name in names if getattr(self, name) != fields[name].default]


class PairFractions(Component):
    """Share of the pairs of each split; scaled to sum to 1. Splits that the data give themselves need none."""

    train: float = Field(default=0.8, gt=0)
    validation: float = Field(default=0.1, ge=0)
    test: float = Field(default=0.1, gt=0)


class PairLimits(Component):
    """Most pairs of each split; null keeps all. What stays is chosen by content hash after splitting: a larger number
    only adds pairs, and the test split does not depend on the size of the training split."""

    train: int | None = Field(default=None, ge=1)
    validation: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)


class PairDeidentify(DeidentifyConfig):
    """`deidentify` for sentence pairs; `languages` is set by the data's.

    Attributes:
        recognise_names: find person names by model and lists in the English text, where one is English, and mask them
            wherever they stand in the pair; off by default, since another language writes a name otherwise, and a pair
            masked on one side only is no translation any more and is left out.
    """

    recognise_names: bool = False


class TranslationDataConfig(Component):
    """How sentence pairs are read and split.

    Attributes:
        source_language: ISO 639-1 code, with or without a region; also the ending of the source files.
        target_language: the same for the translations.
        source_unit: what latency is counted in; null takes the language's own (char for Chinese and Japanese).
        target_unit: the same for the translations.
        target_file: file with the translations, beside the source file that --data names; null takes the file of the
            same name that ends with the target language.
        columns: names of the columns of a table.
        target_marks: keep the translations' punctuation, or drop it (`target_marks.without_marks`): for preferences
            whose two sides were punctuated by different hands.
        min_units: shortest source, translation and rejected translation kept, in units.
        max_source_units: longest source kept, in units; null sets no limit.
        max_target_units: longest translation kept, chosen or rejected, in units; null sets no limit.
        max_pairs_per_group: pairs kept of one group, by content hash; null keeps all.
        max_pairs: most pairs of each split.
        near_duplicates: keep pairs whose source and translations all nearly repeat another pair's, or drop them; exact
            repeats are always dropped.
        near_duplicate_similarity: share of common word pairs (of character triples where words are not set apart) from
            which texts are near-duplicates.
        max_bad_share: share of rows without a text above which the data are refused.
        max_broken_share: the same for rows that cannot be read (broken JSON, a path longer than its source).
        max_tokenised_share: share of tokenised sentences from which a side is reported as tokenised.
        fractions: sizes of the splits that the data do not give themselves.
        split_mode: quota (fractions met) or hash (stable when rows are added).
        split_salt: another value gives another split.
        licence: of the data, as its source states it.
        location: hub data set, set by `--data hub:ID`.
        deidentify: masking before anything is stored; cannot be switched off without a stated reason.
    """

    source_language: str = "de"
    target_language: str = "en"
    source_unit: Unit | None = None
    target_unit: Unit | None = None
    target_file: str | None = None
    columns: PairColumns = PairColumns()
    target_marks: Literal["keep", "drop"] = "keep"
    min_units: int = Field(default=1, ge=1)
    max_source_units: int | None = Field(default=None, ge=1)
    max_target_units: int | None = Field(default=None, ge=1)
    max_pairs_per_group: int | None = Field(default=None, ge=1)
    max_pairs: PairLimits = PairLimits()
    near_duplicates: NearDuplicates = "keep"
    near_duplicate_similarity: float = Field(default=0.8, ge=0.5, le=1)
    max_bad_share: float = Field(default=0.05, ge=0, le=1)
    max_broken_share: float = Field(default=0.0, ge=0, le=1)
    max_tokenised_share: float = Field(default=0.2, gt=0, le=1)
    fractions: PairFractions = PairFractions()
    split_mode: Literal["quota", "hash"] = "quota"
    split_salt: str = "valign"
    licence: str | None = None
    location: str | None = None
    deidentify: PairDeidentify = PairDeidentify()

    def languages(self) -> "PairLanguages":
        """Languages and units.

        Raises:
            UsageError: a language has no unit and none is stated, or both languages are the same.
        """
        if self.source_language.lower() == self.target_language.lower():
            raise UsageError(
                f"data.source_language and data.target_language are both {self.source_language!r}: name two languages."
            )
        return PairLanguages(
            source=self.source_language,
            target=self.target_language,
            source_unit=unit_of(self.source_language, self.source_unit),
            target_unit=unit_of(self.target_language, self.target_unit),
        )

    def masking(self) -> dict[str, Any]:
        """What is masked in which language, for summary and card."""
        languages = (self.source_language, self.target_language)
        named = self.deidentify.recognise_names and self.deidentify.enabled
        names = [one for one in languages if primary(one) == "en"] if named else []
        return {
            "patterns": list(languages) if self.deidentify.enabled else [],
            "names": names,
            "one_sided": "pairs masked on one side only are left out" if self.deidentify.enabled else None,
        }


class PairLanguages(BaseModel):
    """The two languages of sentence pairs and what latency is counted in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    target: str
    source_unit: Unit
    target_unit: Unit

    def bare_format(self) -> SimulFormat:
        """Languages and units without the texts of a prompt, for what looks at sentences and not at a model's rows."""
        return SimulFormat(
            source_language=self.source,
            target_language=self.target,
            source_unit=self.source_unit,
            target_unit=self.target_unit,
            before=" ",
            marker=" ",
        )


def primary(language: str) -> str:
    """The language of a code without its region, in lower case: ``zh-TW`` -> ``zh``."""
    return language.lower().replace("_", "-").split("-")[0]
